"""Records handed out by the list or by columns are those aiokafka gives one by one: positions and errors too."""

from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import example, given
from hypothesis import strategies as st

from clearing import fetching
from clearing.fetching import BatchedRecords, SummedRecords, get_all, get_columns

PLACE = TopicPartition("payments.hk.BANK01HK", 0)
_PLAIN_GETALL = FetchResult.getall
CONTROL, TRANSACTIONAL = 0x20, 0x10
ABORT, COMMIT = 0, 1


class _Plain(PartitionRecords):
    """aiokafka's own, whose ConsumerRecord tells the same as the parser's record."""


class Batch(NamedTuple):
    """producer: 0: in no transaction. marker: a control batch of that kind. gap: offsets that compaction left."""

    records: int
    producer: int = 0
    marker: int | None = None
    gap: int = 0
    bad_crc: bool = False
    cut: bool = False  # its last record says that it is longer than it is


def _bytes(batch: Batch, first: int) -> tuple[bytes, int]:
    """A record batch as a broker stores it, and the offset behind it."""
    count = 1 if batch.marker is not None else batch.records
    builder = DefaultRecordBatchBuilder(
        2, 0, int(batch.producer > 0), batch.producer, 0, 0, 1 << 16
    )
    for number in range(count):
        key = None if batch.marker is None else bytes([0, 0, 0, batch.marker])
        assert builder.append(number, 1_000, key, b"v%d" % (first + number), [])
    data = bytearray(builder.build())
    data[0:8] = first.to_bytes(8, "big")
    if batch.marker is not None:
        data[22] |= CONTROL | TRANSACTIONAL
    if batch.cut:
        data[-4] += 2
    data[23:27] = (max(0, count - 1) + batch.gap).to_bytes(4, "big")
    data[17:21] = (calc_crc32c(bytes(data[21:])) ^ batch.bad_crc).to_bytes(4, "big")
    return bytes(data), first + max(1, count) + batch.gap


class Position:
    """Of the one partition that is assigned."""

    active, paused = True, False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, place: TopicPartition) -> "Position":
        assert place == PLACE
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


Step = tuple[list[tuple[int, bytes | None]], int, bool] | str


def _told(
    kind: type[PartitionRecords],
    getall: Any,
    answer: bytes,
    start: int,
    aborted: Any,
    takes: list[int],
) -> list[Step]:
    """What each call gives: (records, position, whether there is more), or an error."""
    position = Position(start)
    read = SummedRecords if kind is BatchedRecords else MemoryRecords
    records = kind(PLACE, read(answer), list(aborted), start, None, None, True, 1)
    result = FetchResult(PLACE, assignment=position, partition_records=records, backoff=0)
    steps: list[Step] = []
    for most in takes:
        if not result.has_more():
            break
        try:
            if most:
                found = getall(result, most if most < 100 else None)
            else:
                one = result.getone()
                found = [] if one is None else [one]
        except KafkaError as error:
            steps.append(repr(error))
            continue
        records_found = [(record.offset, record.value) for record in found]
        steps.append((records_found, position.position, result.has_more()))
    return steps


@pytest.fixture(scope="module", autouse=True)
def few_at_once() -> Any:
    """So that batches of a few records are taken apart in more than one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "PARSED_AT_ONCE", 3)
        yield


_BATCHES = st.builds(
    Batch,
    st.integers(0, 8),
    producer=st.integers(0, 2),
    marker=st.sampled_from([None, None, None, ABORT, COMMIT]),
    gap=st.integers(0, 3),
    bad_crc=st.sampled_from([False] * 20 + [True]),
    cut=st.sampled_from([False] * 20 + [True]),
)


@given(
    st.lists(_BATCHES, min_size=1, max_size=6),
    st.integers(0, 12),
    st.lists(st.tuples(st.integers(1, 2), st.integers(0, 20)), max_size=3),
    st.lists(st.sampled_from([0, 1, 2, 3, 5, 100]), min_size=1, max_size=12),
)
@example([Batch(7), Batch(2, marker=COMMIT), Batch(4)], 2, [], [2, 100, 100])
@example([Batch(3, producer=1), Batch(1, producer=1, marker=ABORT), Batch(2)], 0, [(1, 0)], [100])
@example([Batch(4), Batch(8, cut=True)], 0, [], [5, 5, 5])
@example([Batch(4), Batch(8, bad_crc=True)], 0, [], [3, 3, 3])
def test_lists_and_columns_hold_what_comes_one_by_one(
    batches: list[Batch], start: int, aborted: list[tuple[int, int]], takes: list[int]
) -> None:
    answer, end = b"", 0
    for batch in batches:
        data, end = _bytes(batch, end)
        answer += data
    start = min(start, end)
    plain = _told(_Plain, _PLAIN_GETALL, answer, start, aborted, takes)
    assert _told(BatchedRecords, get_all, answer, start, aborted, takes) == plain
    assert _told(BatchedRecords, _by_columns, answer, start, aborted, takes) == plain


class One(NamedTuple):
    offset: int
    value: bytes


def _by_columns(result: FetchResult, most: int | None) -> list[One]:
    """In the form of the others, which may come before and behind: getone does."""
    parts = get_columns(result, most or 1_000)
    assert all(map(len, parts))
    return [
        One(*one) for part in parts for one in zip(part.offset.tolist(), part.values(), strict=True)
    ]


def test_an_error_comes_where_it_stands() -> None:
    """What stands before a record that cannot be taken apart is handed out first."""
    data, _ = _bytes(Batch(5, cut=True), 0)
    steps = _told(BatchedRecords, get_all, data, 0, [], [4, 4])
    assert steps[0] == ([(n, b"v%d" % n) for n in range(4)], 4, True)
    assert isinstance(steps[1], str)
    assert CorruptRecordException.__name__ in steps[1]
