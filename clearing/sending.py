"""Records on their way out without being copied: what aiokafka joins anew on every level of a request.

aiokafka 0.14 copies what it sends ten times between a record's value and the socket, and sums it up without the
processor's help. Where records are large that is half of what sending costs. Here a batch is joined once, and a
produce request is given to the socket in pieces. The same bytes as aiokafka's: property tests hold both equal.
"""

import struct
import time
from typing import Any

import google_crc32c
import pyarrow as pa
from aiokafka import conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Array, Bytes, Int32, Schema
from aiokafka.util import wait_for

SMALL_BYTES = 1 << 12  # what is smaller is joined with what stands beside it
MAGIC = 2
# Of a record batch: base offset, length from here on, leader epoch, magic, checksum of all that follows:
_FRAME = struct.Struct(">qiibI")
# attributes, last offset delta, first and greatest timestamp, producer's id, epoch and sequence, records.
_HEADER = struct.Struct(">hiqqqhii")
_LENGTH_FROM = 12  # what stands before the length and itself is not counted in it


class RecordBatch:
    """Records that the broker appends as one, uncompressed: what `AIOKafkaProducer.send_batch` needs of them."""

    def __init__(self, limit_bytes: int) -> None:
        """limit_bytes: it takes no more once it would be larger; a first record always fits."""
        self._limit_bytes = limit_bytes
        self._now_ms = int(time.time() * 1000)
        self._parts: list[bytes | memoryview] = []
        self._records = 0
        self._bytes = _FRAME.size + _HEADER.size
        self._producer = -1, -1, -1
        self._closed = False
        self._built = b""

    def append(self, *, key: bytes, value: bytes | memoryview) -> bool:
        """Whether there was room for it. All bear the time at which the batch was begun."""
        delta = self._records
        body = b"".join(
            (b"\0\0", varint(delta), varint(len(key)), key, varint(len(value)))
        )  # attributes, timestamp delta; no headers behind
        length = varint(len(body) + len(value) + 1)
        size = len(length) + len(body) + len(value) + 1
        if self._closed or (self._records and self._bytes + size > self._limit_bytes):
            return False
        self._parts += (length + body, value, b"\0")
        self._records += 1
        self._bytes += size
        return True

    def close(self) -> None:
        self._closed = True

    def closed(self) -> bool:
        return self._closed

    def size(self) -> int:
        return self._bytes

    def record_count(self) -> int:
        return self._records

    def _set_producer_state(self, producer_id: int, epoch: int, sequence: int) -> None:
        self._producer = producer_id, epoch, sequence

    def _build(self) -> bytes:
        if not self._built:
            self.close()
            now_ms, last = self._now_ms, self._records - 1
            header = _HEADER.pack(0, last, now_ms, now_ms, *self._producer, self._records)
            checksum = google_crc32c.value(header)
            for part in self._parts:
                # It refuses what somebody might change meanwhile, as a view, but not a buffer of Arrow.
                said = part if isinstance(part, bytes) else pa.py_buffer(part)
                checksum = google_crc32c.extend(checksum, said)
            frame = _FRAME.pack(0, self._bytes - _LENGTH_FROM, -1, MAGIC, checksum)
            self._built = b"".join((frame, header, *self._parts))
            self._parts.clear()
        return self._built


def varint(number: int) -> bytes:
    """A signed number of at most 64 bits, as records have it (protocol buffers' zigzag)."""
    left = number << 1 ^ number >> 63
    encoded = bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    encoded.append(left)
    return bytes(encoded)


def pieces(kind: Any, value: Any) -> list[bytes]:
    """What `kind.encode(value)` gives, in pieces; large bytes are pieces as they are. kind: one of its protocol."""
    found: list[bytes] = []
    small: list[bytes] = []
    for piece in _encoded(kind, value):
        if len(piece) < SMALL_BYTES:
            small.append(piece)
            continue
        found += (b"".join(small), piece)
        small.clear()
    return [*found, b"".join(small)]


def _encoded(kind: Any, value: Any) -> Any:
    if isinstance(kind, Schema):
        for field, item in zip(kind.fields, value, strict=True):
            yield from _encoded(field, item)
    elif isinstance(kind, Array) and value is not None:
        yield Int32.encode(len(value))
        for item in value:
            yield from _encoded(kind.array_of, item)
    elif kind is Bytes and value is not None:
        yield Int32.encode(len(value))
        yield value
    else:
        yield kind.encode(value)


def send(self: conn.AIOKafkaConnection, request: ProduceRequest) -> Any:
    """AIOKafkaConnection.send of a request that is answered."""
    if self._writer is None:
        raise KafkaConnectionError(f"No connection to broker at {self.host}:{self.port}")
    said: Any = request.prepare(self._versions)
    correlation_id = self._next_correlation_id()
    header = said.build_request_header(correlation_id=correlation_id, client_id=self._client_id)
    body = pieces(said.SCHEMA, [getattr(said, name) for name in said.SCHEMA.names])
    message = [header.encode(), *body]
    try:
        self._writer.writelines([Int32.encode(sum(map(len, message))), *message])
    except OSError as error:
        self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(
            f"Connection at {self.host}:{self.port} broken: {error}"
        ) from error
    answered = self._loop.create_future()
    self._requests.append((correlation_id, said, answered))
    return wait_for(answered, self._request_timeout)
