"""Record batches as bytes: what the broker reads in their header, what it writes into it, and markers of its own.

STORED FORMAT of Kafka, magic 2. The clients' own code packs and unpacks the records.
"""

import struct
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
_PATCHED = struct.Struct(">qii")  # base offset, length, leader epoch
_BODY = struct.Struct(">hiqq")  # attributes, last offset delta, first and highest timestamp
_CRC_AT, _BODY_AT, _CRC = 17, 21, struct.Struct(">I")
_MARKER_KEY = struct.Struct(">HH")
_MARKER_VALUE = struct.pack(">hi", 0, 0)
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20


class Header(NamedTuple):
    """Of a batch as a client sent it. sequence: of its first record, -1 without idempotence."""

    records: int
    producer: int
    epoch: int
    sequence: int
    transactional: bool
    max_timestamp: int


def read_header(data: bytes) -> Header:
    """What the broker looks at."""
    (*_, attributes, last, _, max_timestamp, producer, epoch, sequence, _) = HEADER.unpack_from(
        data
    )
    transactional = bool(attributes & TRANSACTIONAL)
    return Header(last + 1, producer, epoch, sequence, transactional, max_timestamp)


def placed(data: bytes, base_offset: int, append_time_ms: int | None) -> bytes:
    """The batch as it is stored: with its offset, and the broker's time where the topic says so."""
    stored = bytearray(data)
    _PATCHED.pack_into(stored, 0, base_offset, len(stored) - 12, 0)
    if append_time_ms is not None:
        attributes, last, first, _ = _BODY.unpack_from(stored, _BODY_AT)
        _BODY.pack_into(stored, _BODY_AT, attributes | LOG_APPEND_TIME, last, first, append_time_ms)
        _CRC.pack_into(stored, _CRC_AT, calc_crc32c(bytes(stored[_BODY_AT:])))
    return bytes(stored)


def packed(records: list[tuple[bytes | None, bytes | None]], time_ms: int) -> bytes:
    """A batch of the world's own, neither idempotent nor in a transaction."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 24,
    )
    for number, (key, value) in enumerate(records):
        assert builder.append(number, time_ms, key, value, []) is not None
    return bytes(builder.build())


def marker(producer: int, epoch: int, *, commit: bool, time_ms: int) -> bytes:
    """A control batch: the end of a transaction in one partition."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=1,
        producer_id=producer,
        producer_epoch=epoch,
        base_sequence=-1,
        batch_size=1 << 10,
    )
    builder.append(0, time_ms, _MARKER_KEY.pack(0, int(commit)), _MARKER_VALUE, [])
    data = bytearray(builder.build())
    attributes, last, first, highest = _BODY.unpack_from(data, _BODY_AT)
    _BODY.pack_into(data, _BODY_AT, attributes | CONTROL, last, first, highest)
    _CRC.pack_into(data, _CRC_AT, calc_crc32c(bytes(data[_BODY_AT:])))
    return bytes(data)


def unpacked(data: bytes) -> list[tuple[int, int, bytes | None, bytes | None]]:
    """(offset, timestamp, key, value) of the records of a stored batch."""
    batch = MemoryRecords(data).next_batch()
    assert batch is not None
    return [(r.offset, r.timestamp or 0, r.key, r.value) for r in batch]
