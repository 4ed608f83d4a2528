"""Fetched record batches handed out by the list or by columns: what aiokafka does record by record.

Most of what taking a batch apart costs in aiokafka 0.14 is its generator and the ConsumerRecord it makes of each
record. Here the parser's records are handed out as they are (clearing.kafka.RawRecord), as many at once as a caller
wants, or none is made of them (clearing.records). Same records, same positions, same errors in the same place:
property tests hold all equal.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, cast

import google_crc32c
import numpy as np
import pyarrow as pa
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from clearing.records import Records, of_batch

# In a record batch: its length from there on, and of version 2 the checksum of all that follows.
_LENGTH, _LENGTH_AT = struct.Struct(">i"), 8
_CHECKSUM, _CHECKSUM_AT = struct.Struct(">I"), 17
MAGIC, _MAGIC_AT = 2, 16

PARSED_AT_ONCE = 2048  # records of a batch, which may have millions


class SummedRecords:
    """The record batches of an answer, each with a checksum that the processor helps with. Wraps aiokafka's."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._records = MemoryRecords(data)
        self._begin = self._end = 0  # of the batch that was given last
        self._last: Any = None

    def size_in_bytes(self) -> int:
        return self._records.size_in_bytes()

    def has_next(self) -> bool:
        return self._records.has_next()

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        self._begin = self._end
        (length,) = _LENGTH.unpack_from(self._data, self._begin + _LENGTH_AT)
        self._end += _LENGTH_AT + _LENGTH.size + length
        self._last = batch
        return batch

    def last(self) -> memoryview:
        """The bytes of the last batch."""
        return self._data[self._begin : self._end]

    def is_sound(self) -> bool:
        """Whether the last batch is as it was written."""
        batch = self.last()
        if batch[_MAGIC_AT] < MAGIC:
            return self._last.validate_crc()
        (said,) = _CHECKSUM.unpack_from(batch, _CHECKSUM_AT)
        # It refuses what somebody might change meanwhile, as a view is, but not a buffer of Arrow.
        summed = pa.py_buffer(batch[_CHECKSUM_AT + _CHECKSUM.size :])
        return google_crc32c.value(summed) == said


Some = Sequence[Any] | Records


class BatchedRecords(PartitionRecords):
    """The records of one partition in one answer of the broker. Replaces aiokafka's."""

    _some: Some = ()  # of one batch
    _given = 0  # of those
    _by_columns = False  # how the next ones are wanted

    @property
    def _parts(self) -> Iterator[Some]:
        """What aiokafka calls an iterator of records: what _unpack_records has returned."""
        return cast(Iterator[Some], self._records_iterator)

    def _unpack_records(self) -> Any:
        """Records by the batch: not below next_fetch_offset, of no aborted transaction. Raises KafkaError."""
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not self._is_sound(batch):
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not self._is_left_out(batch):
                yield from self._of_batch(batch)
            self.next_fetch_offset = batch.next_offset

    def _is_sound(self, batch: Any) -> bool:
        records = self._records
        return records.is_sound() if isinstance(records, SummedRecords) else batch.validate_crc()

    def _is_left_out(self, batch: Any) -> bool:
        """Control batches always; those of aborted transactions for who reads what is committed."""
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return batch.is_control_batch

    def _of_batch(self, batch: Any) -> Iterator[Some]:
        records = self._records
        if self._by_columns and isinstance(records, SummedRecords):
            columns = of_batch(records.last())
            if columns is not None:
                first = int(np.searchsorted(columns.offset, self.next_fetch_offset))
                if first < len(columns):
                    yield columns.part(first, len(columns))
                return
        yield from self._parsed(batch)

    def _parsed(self, batch: Any) -> Iterator[list[Any]]:
        """Those from next_fetch_offset on, which may be in the middle of the batch."""
        error: Exception | None = None
        full, left = True, chain(batch)  # a batch can be gone through once only
        while full and error is None:
            parsed: list[Any] = []
            try:
                parsed.extend(islice(left, PARSED_AT_ONCE))
            except Exception as found:
                error = found  # once what stands before it is given
            full = len(parsed) == PARSED_AT_ONCE
            if parsed and parsed[0].offset < self.next_fetch_offset:
                parsed = [record for record in parsed if record.offset >= self.next_fetch_offset]
            if parsed:
                yield parsed
        if error is not None:
            raise error

    def _next(self, most: int | None) -> Some:
        """The next records, at most so many, all of one batch; none: there are no more. Raises KafkaError."""
        if self._given == len(self._some):
            self._given, self._some = 0, next(self._parts, ())
        stop = len(self._some) if most is None else min(self._given + most, len(self._some))
        first, self._given = self._given, stop
        if isinstance(self._some, Records):
            part = self._some.part(first, stop)
            self.next_fetch_offset = int(part.offset[-1]) + 1
            return part
        part = self._some[first:stop]
        if part:
            self.next_fetch_offset = part[-1].offset + 1
        return part

    def take(self, most: int | None) -> tuple[list[Any], bool]:
        """(the next records, at most so many; whether there are no more). Raises KafkaError."""
        self._by_columns = False
        if isinstance(self._some, Records) and self._given < len(self._some):
            # Asked for the other way from the middle of a batch on: it is taken apart again.
            batch = MemoryRecords(self._some.data.tobytes()).next_batch()
            self._given, self._some = 0, [one for part in self._parsed(batch) for one in part]
        taken: list[Any] = []
        while most is None or len(taken) < most:
            part = self._next(None if most is None else most - len(taken))
            if not len(part):
                return taken, True
            taken += cast(Sequence[Any], part)
        return taken, False

    def take_columns(self, most: int) -> tuple[list[Records], bool]:
        """The same by columns, batch by batch."""
        self._by_columns = True
        taken: list[Records] = []
        count = 0
        while count < most:
            part = self._next(most - count)
            if not len(part):
                return taken, True
            count += len(part)
            taken.append(part if isinstance(part, Records) else Records.of(part))
        return taken, False

    def __next__(self) -> Any:
        taken, _ = self.take(1)
        if not taken:
            raise StopIteration
        return taken[0]


_aiokafka_getall = FetchResult.getall


def get_all(self: FetchResult, max_records: int | None = None) -> list[Any]:
    """Replaces FetchResult.getall: the next records, at most so many."""
    records = self._partition_records
    if isinstance(records, BatchedRecords):
        return _given(self, lambda: records.take(max_records))
    return _aiokafka_getall(self, max_records)  # all given, or fetched before these were handed out


def get_columns(found: FetchResult, most: int) -> list[Records]:
    """The same by columns, batch by batch."""
    records = found._partition_records
    if isinstance(records, BatchedRecords):
        return _given(found, lambda: records.take_columns(most))
    taken = _aiokafka_getall(found, most)
    return [Records.of(taken)] if taken else []


def _given(found: FetchResult, take: Callable[[], tuple[list[Any], bool]]) -> list[Any]:
    if not found.check_assignment(found._topic_partition):
        return []
    taken, is_all = take()
    found._update_position()
    if is_all:
        found._partition_records = None
    return taken


def hand_out_lists() -> None:
    """Process-wide. The fetcher makes what it finds under these names."""
    fetcher.MemoryRecords = SummedRecords
    fetcher.PartitionRecords = BatchedRecords
    FetchResult.getall = get_all
