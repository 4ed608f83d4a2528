"""What was read of each partition: how far, how much, a SHA-256 over it, and whether it was in order.

A reader around the reader: everything a verification looks at goes through it, so that it can say how far it is,
and slow down where a production cluster is not to be hurt.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence

import numpy as np
from aiokafka import TopicPartition

from clearing.kafka import RawRecord
from clearing.reading import Bounds, Reader
from clearing.verify.report import Check, Coverage, Findings

MIB = 1 << 20


class PartitionRead:
    """Grows with what is read of a partition. back, earlier: how often offsets did not rise, or times fell."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.records = self.bytes = 0
        self.back = self.earlier = 0
        self.at = start  # where reading is
        self._digests = (hashlib.sha256(), hashlib.sha256(), hashlib.sha256())
        self._last, self._time_ms = -1, -1

    def add(self, records: Sequence[RawRecord]) -> int:
        """The next records; how many bytes they have."""
        keys = [record.key for record in records]
        values = [record.value for record in records]
        heads = np.array(
            [
                [record.offset for record in records],
                [record.timestamp for record in records],
                [-1 if key is None else len(key) for key in keys],
                [-1 if value is None else len(value) for value in values],
            ],
            ">i8",
        )
        parts = (
            heads.T.tobytes(),
            b"".join([key or b"" for key in keys]),
            b"".join([value or b"" for value in values]),
        )
        for digest, data in zip(self._digests, parts, strict=True):
            digest.update(data)
        offsets, times = heads[0], heads[1]
        self.back += int(offsets[0] <= self._last) + int((offsets[1:] <= offsets[:-1]).sum())
        self.earlier += int(times[0] < self._time_ms) + int((times[1:] < times[:-1]).sum())
        self._last, self._time_ms = int(offsets[-1]), int(times[-1])
        self.at = self._last + 1
        self.records += len(records)
        size = int(np.maximum(heads[2:], 0).sum())
        self.bytes += size
        return size

    @property
    def sha256(self) -> str:
        return hashlib.sha256(b"".join(digest.digest() for digest in self._digests)).hexdigest()


class Audited:
    """A reader that keeps account. read: by partition, the last reading of it.

    max_mib_per_s: of keys and values, over all partitions; 0 for as fast as it goes.
    """

    def __init__(self, reader: Reader, max_mib_per_s: float = 0.0) -> None:
        self.reader = reader
        self.read: dict[TopicPartition, PartitionRead] = {}
        self.began = time.monotonic()
        self._max_bytes_per_s = max_mib_per_s * MIB
        self._bytes = 0
        self._work: dict[TopicPartition, tuple[float, int, int]] = {}  # weight, first, end

    def expect(self, bounds: Bounds, heavy: Iterable[TopicPartition] = ()) -> None:
        """What is to be read, so that it can be said how much is left. heavy: logs, a record of which is many rows;
        together they are as much work as all the rest."""
        logs = set(heavy)
        light = sum(end - first for at, (first, end) in bounds.items() if at not in logs)
        long = sum(end - first for at, (first, end) in bounds.items() if at in logs)
        for at, (first, end) in bounds.items():
            weight = max(light, 1) / max(long, 1) if at in logs else 1.0
            self._work[at] = weight, first, end

    @property
    def done(self) -> float:
        """Share of the reading that is done, 0 to 1."""
        total = sum(weight * (end - first) for weight, first, end in self._work.values())
        read = sum(
            weight * max(0, min(self.read[at].at, end) - first)
            for at, (weight, first, end) in self._work.items()
            if at in self.read
        )
        return min(1.0, read / total) if total else 0.0

    def progress(self) -> str:
        """ ", 42 %, 3 min left", or nothing where nobody knows."""
        done = self.done
        if not self._work or done < 0.01:
            return ""
        left_s = (time.monotonic() - self.began) * (1 - done) / done
        left = f"{left_s / 60:.0f} min" if left_s > 90 else f"{left_s:.0f} s"
        return f", {100 * done:.0f} %, about {left} left"

    async def topics(self) -> set[str]:
        return await self.reader.topics()

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        return await self.reader.bounds(partitions)

    async def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[RawRecord]]:
        if start is None or end is None:
            first, last = (await self.bounds([partition]))[partition]
            start, end = first if start is None else start, last if end is None else end
        read = self.read[partition] = PartitionRead(start, end)
        async for records in self.reader.chunks(partition, start, end):
            self._bytes += read.add(records)
            await self._wait()
            yield records
        read.at = end

    async def _wait(self) -> None:
        if self._max_bytes_per_s:
            ahead_s = self._bytes / self._max_bytes_per_s - (time.monotonic() - self.began)
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)

    def coverage(self) -> list[Coverage]:
        """By topic and partition."""
        return [
            Coverage(
                topic=at.topic,
                partition=at.partition,
                first_offset=read.start,
                end_offset=read.end,
                records=read.records,
                bytes=read.bytes,
                sha256=read.sha256,
            )
            for at, read in sorted(self.read.items())
        ]

    def check_order(self, stamped: Iterable[str]) -> Check:
        """Offsets rise within each partition (R29).

        stamped: topics whose time stamps are the broker's. That its clock went back is said and is no fault: the
        engine's time does not (F12), which is held by the journal and the replay.
        """
        found, by_broker = Findings(), set(stamped)
        for at, read in sorted(self.read.items()):
            if read.back:
                found.add(
                    f"{at.topic}-{at.partition}: offsets did not rise at {read.back:,} records",
                    read.back,
                )
        records = sum(read.records for read in self.read.values())
        earlier = sum(read.earlier for at, read in self.read.items() if at.topic in by_broker)
        return found.check(
            "offsets never go back",
            "R29",
            "all topics",
            f"{records:,} records of {len(self.read):,} partitions; the broker's clock went back {earlier:,} times",
        )
