"""What is sent without copies is, byte for byte, what aiokafka would have sent."""

import asyncio
import struct
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Int32
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import encode_varint_py
from hypothesis import given
from hypothesis import strategies as st

from clearing.sending import SMALL_BYTES, RecordBatch, pieces, send, varint

NOW_S = 1_795_341_600.125
HUGE = 1 << 30
sizes = st.one_of(st.integers(0, 200), st.sampled_from([8_191, 8_192, SMALL_BYTES, 1 << 20]))
records = st.lists(st.tuples(st.binary(max_size=70), sizes), min_size=1, max_size=70)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearing.sending.time.time", lambda: NOW_S)


def batch_of(given_: list[tuple[bytes, int]], limit_bytes: int = HUGE) -> RecordBatch:
    batch = RecordBatch(limit_bytes)
    for key, size in given_:
        assert batch.append(key=key, value=bytes(size))
    return batch


@given(records)
def test_a_batch_is_the_one_that_aiokafka_builds(given_: list[tuple[bytes, int]]) -> None:
    theirs = DefaultRecordBatchBuilder(2, 0, 0, 7, 3, 41, HUGE)
    for number, (key, size) in enumerate(given_):
        assert theirs.append(number, int(NOW_S * 1000), key, bytes(size), [])
    ours = batch_of(given_)
    assert ours.size() == theirs.size()
    ours._set_producer_state(7, 3, 41)
    assert ours._build() == bytes(theirs.build())
    assert ours._build() is ours._build(), "a batch that is sent again is the same"
    assert ours.record_count() == len(given_)
    batch = MemoryRecords(ours._build()).next_batch()
    assert batch is not None
    assert batch.validate_crc()
    assert [(r.offset, r.key, r.value) for r in batch] == [
        (number, key, bytes(size)) for number, (key, size) in enumerate(given_)
    ]


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_are_written_as_aiokafka_writes_them(number: int) -> None:
    theirs = bytearray()
    encode_varint_py(number, theirs.append)
    assert varint(number) == bytes(theirs)


def test_a_batch_takes_one_record_of_any_size_and_no_more_than_its_limit_or_once_it_is_closed() -> (
    None
):
    batch = RecordBatch(300)
    assert batch.append(key=b"k", value=bytes(500))
    assert not batch.append(key=b"k", value=b"")
    batch = RecordBatch(300)
    while batch.append(key=b"k", value=bytes(50)):
        assert batch.size() <= 300
    assert batch.record_count() == 4
    assert len(batch._build()) == batch.size()
    batch = RecordBatch(300)
    batch.close()
    assert batch.closed()
    assert not batch.append(key=b"k", value=b"")


def request_of(sizes: list[list[int]]) -> ProduceRequest:
    topics = [
        (f"status.{name}", [(number, bytes(size)) for number, size in enumerate(parts)])
        for name, parts in enumerate(sizes)
    ]
    return ProduceRequest(transactional_id=None, required_acks=-1, timeout=1_000, topics=topics)


@given(st.lists(st.lists(sizes, max_size=4), max_size=6), st.integers(3, 7))
def test_the_pieces_of_a_request_are_its_bytes_and_what_is_large_is_none_other(
    sizes: list[list[int]], version: int
) -> None:
    request: Any = request_of(sizes).prepare({ProduceRequest.API_KEY: (version, version)})
    values = [getattr(request, name) for name in request.SCHEMA.names]
    found = pieces(request.SCHEMA, values)
    assert b"".join(found) == request.encode()
    large = [records for _, parts in request.topics for _, records in parts]
    large = [records for records in large if len(records) >= SMALL_BYTES]
    assert [id(piece) for piece in found if len(piece) >= SMALL_BYTES] == [*map(id, large)]


class _Connection:
    """What `send` uses of aiokafka's."""

    host, port = "kafka-1", 9092

    def __init__(self, writer: Any) -> None:
        self._writer, self._versions = writer, {ProduceRequest.API_KEY: (7, 7)}
        self._client_id, self._request_timeout = "clearing", 10
        self._loop = asyncio.get_running_loop()
        self._requests: list[Any] = []
        self.closed = False

    def _next_correlation_id(self) -> int:
        return 5

    def close(self, reason: object) -> None:
        self.closed = True


class _Writer:
    def __init__(self, error: OSError | None = None) -> None:
        self.written, self._error = b"", error

    def writelines(self, parts: list[bytes]) -> None:
        if self._error is not None:
            raise self._error
        self.written += b"".join(parts)


async def test_a_request_is_framed_and_its_answer_awaited() -> None:
    writer = _Writer()
    connection: Any = _Connection(writer)
    answer = send(connection, request_of([[20, 1 << 16]]))
    said: Any = request_of([[20, 1 << 16]]).prepare(connection._versions)
    header = said.build_request_header(correlation_id=5, client_id="clearing")
    message = header.encode() + said.encode()
    assert writer.written == struct.pack(">i", len(message)) + message
    assert Int32.encode(5) in message[:12]
    ((correlation_id, request, answered),) = connection._requests
    assert (correlation_id, request.encode()) == (5, said.encode())
    answered.set_result("stored")
    assert await answer == "stored"


async def test_a_connection_that_is_gone_is_a_broken_one() -> None:  # F11
    gone: Any = _Connection(None)
    with pytest.raises(KafkaConnectionError, match="No connection to broker at kafka-1:9092"):
        send(gone, request_of([[20]]))
    broken: Any = _Connection(_Writer(ConnectionResetError("reset")))
    with pytest.raises(KafkaConnectionError, match="kafka-1:9092 broken: reset"):
        send(broken, request_of([[20]]))
    assert broken.closed
    assert broken._requests == []
