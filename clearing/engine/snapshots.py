"""Snapshot files of machines: written aside, checksummed, pruned (FAULTS.md F13). STORED FORMAT 1.

<folder>/<prefix><netting set>/<next offset>-<chain>.snapshot: magic, the machine's chunks, SHA-256 over both.
A snapshot only saves time: what cannot be trusted is passed over, in the end for a replay from the first record.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from clearing import failpoints
from clearing.core.snapshot import Chunk
from clearing.engine import metrics
from clearing.engine.machine import Machine

_MAGIC = b"clearing snapshot 1\n"
_DIGEST_BYTES = 32
RUNBOOK = "ops/runbooks/snapshot_refused.md"
_KEPT = 2  # the newest, and the one before in case the newest turns out bad

_log = structlog.get_logger()


class BadSnapshot(Exception):
    """A snapshot file that is missing, cut off or changed."""


class SnapshotStore:
    """Snapshots of one netting set. Methods block: call them in a thread."""

    def __init__(self, folder: Path, prefix: str, netting_set: str) -> None:
        self.netting_set = netting_set
        self.folder = folder / f"{prefix}{netting_set}"

    def write(self, name: str, chunks: Sequence[Chunk]) -> None:
        """Write a snapshot so that it either is whole under its name or is not there; prune older ones."""
        self._write(name, chunks)
        for old in self._names()[_KEPT:]:
            (self.folder / old).unlink(missing_ok=True)

    def write_halted(self, name: str, chunks: Sequence[Chunk]) -> Path:
        """Keep the state of a machine that has halted; it is never taken for a snapshot. Its path."""
        self._write(name, chunks)
        return self.folder / name

    def _write(self, name: str, chunks: Sequence[Chunk]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{name}.{os.getpid()}.part"
        digest = hashlib.sha256(_MAGIC)
        try:
            with part.open("wb") as file:
                file.write(_MAGIC)
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                    failpoints.at("engine.snapshot.writing")
                file.write(digest.digest())
                file.flush()
                os.fsync(file.fileno())
            failpoints.at("engine.snapshot.written")
            part.replace(self.folder / name)
            failpoints.at("engine.snapshot.renamed")
        finally:
            part.unlink(missing_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, name: str, seed: int) -> Machine:
        """The machine of a snapshot. Raises BadSnapshot."""
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadSnapshot(f"{path}: {error.strerror}") from error
        body, digest = memoryview(data)[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != digest:
            raise BadSnapshot(f"{path}: the checksum is wrong")
        try:
            return Machine.load(body[len(_MAGIC) :], seed)
        except ValueError as error:  # another version's format; msgspec's errors are such too
            raise BadSnapshot(f"{path}: {error}") from error

    def newest(self, latest: str, at_most: int, seed: int) -> Machine | None:
        """The best machine not beyond log offset `at_most`: `latest`, else an older file, else None."""
        names = [latest] if latest else []
        names += [name for name in self._names() if name != latest]
        for name in names:
            try:
                machine = self.read(name, seed)
            except BadSnapshot as error:
                metrics.snapshots_refused.labels(self.netting_set).inc()
                _log.error("snapshot_refused", reason=str(error), runbook=RUNBOOK)
                continue
            if machine.next_offset <= at_most:
                _log.info("snapshot_loaded", netting_set=self.netting_set, snapshot=name)
                return machine
        return None

    def _names(self) -> list[str]:
        """Snapshot files, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path.name for path in self.folder.glob("*.snapshot")), reverse=True)


def snapshot_name(machine: Machine) -> str:
    """The place in the log first, so that names sort; then the chain, so that a foreign file has another name."""
    return f"{machine.next_offset:020d}-{machine.chain.hex()[:16]}.snapshot"
