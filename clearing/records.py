"""Records of one partition as columns: where each value stands in the bytes that came, and at which offset.

Most of what taking records apart costs is the object made of each. Here a compiled loop reads the broker's format
(record batches of version 2, Kafka protocol guide "Record Batch") and makes none. Pure: bytes in, columns out.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from clearing.core.compiled import compiled
from clearing.core.inputs import I64, U8, read_only

# Of a record batch: base offset, length from there on, leader epoch, version, checksum of all that follows,
# attributes, last offset delta, first and greatest timestamp, producer's id, epoch and sequence, records.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_HEADER_BYTES = _HEADER.size
_VERSION = 2
_COMPRESSION, _APPEND_TIME = 0x07, 0x08  # bits of its attributes
_LEAST_RECORD_BYTES = 7
_VARINT_BYTES = 9  # at most, which are 63 bits
_DOUBT = -1


class Record(Protocol):
    """What is used of a record that is an object of its own."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(slots=True, frozen=True, eq=False)
class Records:
    """n records, offsets rising. Value i is data[begin[i] : end[i]], none is an empty one; begin rises too.

    data: uint8, whatever else it holds. begin, end, offset, timestamp_ms: (n,) int64.
    """

    data: U8
    begin: I64
    end: I64
    offset: I64
    timestamp_ms: I64

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Records":
        """The same records."""
        values = [record.value or b"" for record in records]
        end = np.cumsum([len(value) for value in values], dtype=np.int64)
        begin = np.zeros_like(end)
        begin[1:] = end[:-1]
        offset = np.array([record.offset for record in records], np.int64)
        timestamp = np.array([record.timestamp for record in records], np.int64)
        return cls(np.frombuffer(b"".join(values), np.uint8), begin, end, offset, timestamp)

    def __len__(self) -> int:
        return len(self.offset)

    def part(self, first: int, stop: int) -> "Records":
        """Records [first, stop), where they are."""
        rows = slice(first, stop)
        return Records(
            self.data,
            self.begin[rows],
            self.end[rows],
            self.offset[rows],
            self.timestamp_ms[rows],
        )

    def values(self) -> Iterator[bytes]:
        """One after the other."""
        for begin, end in zip(self.begin.tolist(), self.end.tolist(), strict=True):
            yield self.data[begin:end].tobytes()


def of_batch(batch: bytes | memoryview) -> Records | None:
    """All records of one record batch, its checksum looked at before. None: take it apart another way, for it is
    compressed, of another version, or not sound."""
    if len(batch) < _HEADER.size or batch[16] != _VERSION:
        return None
    found = _HEADER.unpack_from(batch)
    base_offset, attributes, first_ms, greatest_ms, count = (
        found[0],
        found[5],
        found[7],
        found[8],
        found[12],
    )
    if attributes & _COMPRESSION or not 0 <= count <= len(batch) // _LEAST_RECORD_BYTES:
        return None
    data = np.frombuffer(batch, np.uint8)
    begin, end, offset, timestamp_ms = np.empty((4, count), np.int64)
    if not _apart(read_only(data), base_offset, first_ms, begin, end, offset, timestamp_ms):
        return None
    if attributes & _APPEND_TIME:
        timestamp_ms[:] = greatest_ms
    return Records(data, begin, end, offset, timestamp_ms)


def warm() -> None:
    """Have the loop compiled."""
    of_batch(_HEADER.pack(0, _HEADER.size - 12, 0, _VERSION, 0, 0, -1, 0, 0, -1, -1, -1, 0))


@compiled
def _apart(
    data: U8, base_offset: int, first_ms: int, begin: I64, end: I64, offset: I64, timestamp_ms: I64
) -> bool:
    """Whether the batch holds as many records as there is room for, its offsets rising, and no byte more."""
    at = _HEADER_BYTES
    for i in range(len(begin)):
        length, at = _number(data, at)
        if at == _DOUBT or length < _LEAST_RECORD_BYTES - 1 or length > len(data) - at:
            return False
        if data[at] != 0:  # its attributes, of which none is in use
            return False
        stop = at + length
        delta_ms, at = _number(data, at + 1)
        delta, at = _number(data, at)
        _, at = _behind_bytes(data, at, stop)  # its key
        begin[i], end[i] = _behind_bytes(data, at, stop)
        headers, at = _number(data, end[i])
        if at == _DOUBT or headers < 0 or headers > length:
            return False
        for _ in range(headers):
            length, _ = _number(data, at)  # of its name, which there must be
            _, at = _behind_bytes(data, at, stop)
            if length < 0:
                return False
            _, at = _behind_bytes(data, at, stop)
        if at != stop:
            return False
        offset[i], timestamp_ms[i] = base_offset + delta, first_ms + delta_ms
        if delta < 0 or (i and offset[i] <= offset[i - 1]):
            return False
    return at == len(data)


@compiled
def _number(data: U8, at: int) -> tuple[int, int]:
    """A varint (protocol buffers' zigzag) and where it ends; _DOUBT where it does not, or is too long."""
    found, shift = 0, 0
    if at < 0:
        return 0, _DOUBT
    while at < len(data) and shift < 7 * _VARINT_BYTES:
        byte = int(data[at])
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1), at
        shift += 7
    return 0, _DOUBT


@compiled
def _behind_bytes(data: U8, at: int, stop: int) -> tuple[int, int]:
    """Where bytes begin that are led by their length (-1: there are none), and where they end."""
    length, at = _number(data, at)
    if at == _DOUBT or length < -1 or max(length, 0) > stop - at:
        return _DOUBT, _DOUBT
    return at, at + max(length, 0)
