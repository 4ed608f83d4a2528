"""The same range read again, and read with what was aborted: what a first look cannot see (R29, DESIGN §2).

A second consumer must get the same bytes at the same offsets. A third one, that reads uncommitted records too,
shows what transactions took back: nobody may have used any of it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from aiokafka import TopicPartition

from clearing.core.commands import Confirmation
from clearing.core.inputs import I64
from clearing.kafka import RawRecord
from clearing.reading import Reader
from clearing.verify.coverage import PartitionRead
from clearing.verify.report import Check, Findings

DIGEST = np.dtype("V16")


class _Head(msgspec.Struct):
    """Of a batch; an account has neither."""

    id: str = ""
    hash: str = ""


_decode_head = msgspec.json.Decoder(_Head).decode


@dataclass(slots=True)
class Rereads:
    """Compares further readings with the first one. aborted: (id, hash) of batches that were taken back."""

    again: Reader
    uncommitted: Reader
    found: Findings = field(default_factory=Findings)
    records: int = 0
    partitions: int = 0
    aborted_records: int = 0
    transactional: int = 0
    aborted: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _committed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    async def compare(
        self, at: TopicPartition, first: PartitionRead, *, settlements: bool, transactional: bool
    ) -> None:
        """Read a partition's range again. settlements: it holds batches; transactional: written in transactions."""
        where = f"{at.topic}-{at.partition}"
        kept, _ = (await self.again.bounds([at]))[at]
        if kept > first.start:
            return  # its first records have gone meanwhile
        second = PartitionRead(first.start, first.end)
        offsets: list[I64] = []
        digests: list[np.ndarray] = []
        async for records in self.again.chunks(at, first.start, first.end):
            second.add(records)
            if transactional:
                offsets.append(_offsets(records))
                digests.append(_digests(records))
                if settlements:
                    self._committed.update(_batches(records))
        self.partitions += 1
        self.records += second.records
        if (second.records, second.sha256) != (first.records, first.sha256):
            self.found.add(
                f"{where}: a second reading gives {second.records:,} records, the first {first.records:,}, or "
                "other bytes"
            )
        if transactional:
            await self._compare_uncommitted(at, first, (offsets, digests), settlements=settlements)

    async def _compare_uncommitted(
        self,
        at: TopicPartition,
        first: PartitionRead,
        committed: tuple[list[I64], list[np.ndarray]],
        *,
        settlements: bool,
    ) -> None:
        known = np.concatenate([np.empty(0, np.int64), *committed[0]])
        digests = np.concatenate([np.empty(0, DIGEST), *committed[1]])
        seen = 0
        async for records in self.uncommitted.chunks(at, first.start, first.end):
            offset = _offsets(records)
            place = np.minimum(np.searchsorted(known, offset), max(len(known) - 1, 0))
            stays = known[place] == offset if len(known) else np.zeros(len(offset), np.bool_)
            seen += int(stays.sum())
            if (digests[place[stays]] != _digests(records)[stays]).any():
                self.found.add(f"{at.topic}-{at.partition}: other bytes when read uncommitted")
            self.aborted_records += int((~stays).sum())
            if settlements:
                taken_back = [
                    r for r, stay in zip(records, stays.tolist(), strict=True) if not stay
                ]
                self.aborted.update(_batches(taken_back))
        self.transactional += 1
        if seen != len(known):
            self.found.add(
                f"{at.topic}-{at.partition}: {len(known) - seen:,} committed records are missing when read "
                "uncommitted"
            )

    def check_again(self) -> Check:
        """Whoever reads a range again, committed or not, gets the same bytes at the same offsets (R29)."""
        return self.found.check(
            "a second reading gives the same",
            "R29",
            "log and outputs",
            f"{self.records:,} records of {self.partitions:,} partitions by a second consumer, "
            f"{self.transactional:,} of them by a third that reads uncommitted",
        )

    def check_aborted(self, answers: Iterable[Confirmation], told: Iterable[str]) -> Check:
        """Nothing refers to a batch that was taken back (DESIGN §2). told: hashes of batches banks were told of.

        What is written again after an abort is the same by design; it is then committed and no longer meant here.
        That ledgers post from committed offsets only is held by "the ledger equals the batches".
        """
        found = Findings()
        gone = self.aborted - self._committed
        ids = {id_ for id_, _ in gone} - {id_ for id_, _ in self._committed}
        hashes = {hash_ for _, hash_ in gone} - {hash_ for _, hash_ in self._committed}
        for answer in answers:
            if answer.batch in ids or answer.hash in hashes:
                found.add(f"batch {answer.batch} was confirmed, but its transaction was aborted")
        for hash_ in sorted(hashes.intersection(told)):
            found.add(f"banks were told of a batch with hash {hash_[:12]}…, which was aborted")
        return found.check(
            "nothing aborted was used",
            "R23 R30",
            "outputs",
            f"{self.aborted_records:,} aborted records of {self.transactional:,} partitions, among them "
            f"{len(self.aborted):,} batches, {len(gone):,} of which were not written again",
        )


def _offsets(records: Sequence[RawRecord]) -> I64:
    return np.array([record.offset for record in records], np.int64)


def _digests(records: Sequence[RawRecord]) -> np.ndarray:
    return np.array([_digest(record) for record in records], DIGEST)


def _digest(record: RawRecord) -> bytes:
    digest = hashlib.blake2b(record.key or b"", digest_size=16)
    digest.update(len(record.key or b"").to_bytes(4, "big"))
    digest.update(record.value or b"")
    return digest.digest()


def _batches(records: Iterable[RawRecord]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for record in records:
        try:
            head = _decode_head(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue  # a committed one is told by the replay; an aborted one nobody could use
        if head.hash:
            found.add((head.id, head.hash))
    return found
