"""Fetched record batches handed out by the list: what aiokafka does with a generator, record by record.

Most of what taking a batch apart costs in aiokafka 0.14 is that generator and the ConsumerRecord it makes of each
record. Here the parser's records are handed out as they are (clearing.kafka.RawRecord), as many at once as a caller
wants. Same records, same positions, same errors in the same place: a property test holds both equal.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, cast

import google_crc32c
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

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

    def is_sound(self) -> bool:
        """Whether the last batch is as it was written."""
        batch = self._data[self._begin : self._end]
        if batch[_MAGIC_AT] < MAGIC:
            return self._last.validate_crc()
        (said,) = _CHECKSUM.unpack_from(batch, _CHECKSUM_AT)
        return google_crc32c.value(bytes(batch[_CHECKSUM_AT + _CHECKSUM.size :])) == said


class BatchedRecords(PartitionRecords):
    """The records of one partition in one answer of the broker. Replaces aiokafka's."""

    _parsed: Sequence[Any] = ()
    _given = 0  # of those

    @property
    def _lists(self) -> Iterator[list[Any]]:
        """What aiokafka calls an iterator of records: what _unpack_records has returned."""
        return cast(Iterator[list[Any]], self._records_iterator)

    def _unpack_records(self) -> Any:
        """Lists of records: not below next_fetch_offset, of no aborted transaction. Raises KafkaError."""
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

    def _of_batch(self, batch: Any) -> Iterator[list[Any]]:
        error: Exception | None = None
        full, left = True, chain(batch)  # a batch can be gone through once only
        while full and error is None:
            parsed: list[Any] = []
            try:
                parsed.extend(islice(left, PARSED_AT_ONCE))
            except Exception as found:
                error = found  # once what stands before it is given
            full = len(parsed) == PARSED_AT_ONCE
            if parsed and parsed[0].offset < self.next_fetch_offset:  # asked for from its middle on
                parsed = [record for record in parsed if record.offset >= self.next_fetch_offset]
            if parsed:
                yield parsed
        if error is not None:
            raise error

    def take(self, most: int | None) -> tuple[list[Any], bool]:
        """(the next records, at most so many; whether there are no more). Raises KafkaError."""
        taken: list[Any] = []
        while most is None or len(taken) < most:
            if self._given == len(self._parsed):
                self._given, self._parsed = 0, next(self._lists, ())
                if not self._parsed:
                    return taken, True
            stop = len(self._parsed) if most is None else self._given + most - len(taken)
            part = self._parsed[self._given : stop]
            taken += part
            self._given += len(part)
            self.next_fetch_offset = part[-1].offset + 1
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
    if not isinstance(
        records, BatchedRecords
    ):  # all given, or fetched before these were handed out
        return _aiokafka_getall(self, max_records)
    if not self.check_assignment(self._topic_partition):
        return []
    taken, is_all = records.take(max_records)
    self._update_position()
    if is_all:
        self._partition_records = None
    return taken


def hand_out_lists() -> None:
    """Process-wide. The fetcher makes what it finds under these names."""
    fetcher.MemoryRecords = SummedRecords
    fetcher.PartitionRecords = BatchedRecords
    FetchResult.getall = get_all
