"""clearing.kafka.Consumer.fetched against aiokafka's own getmany, over what its fetcher holds."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult
from aiokafka.errors import CorruptRecordException, IllegalStateError, OffsetOutOfRangeError

from clearing.kafka import Consumer

PARTITIONS = [TopicPartition(f"payments.hk.{n}", 0) for n in range(3)]


class Record(NamedTuple):
    offset: int
    timestamp: int = 1_000
    value: bytes = b"{}"


class Records:
    """As aiokafka's PartitionRecords: `corrupt` breaks off behind the last."""

    def __init__(self, first: int, count: int, *, corrupt: bool = False) -> None:
        self.next_fetch_offset = first
        self._iterator = self._read(count, corrupt=corrupt)

    def _read(self, count: int, *, corrupt: bool) -> Iterator[Record]:
        for _ in range(count):
            self.next_fetch_offset += 1
            yield Record(self.next_fetch_offset - 1)
        if corrupt:
            raise CorruptRecordException("Invalid CRC")
        self.next_fetch_offset += 1  # a marker stands behind them

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        return next(self._iterator)


class Rig:
    """What of a consumer both ways of asking look at."""

    def __init__(self, *held: Records | Exception) -> None:
        self.positions = dict.fromkeys(PARTITIONS, 0)
        self.notified = 0
        states = {
            place: SimpleNamespace(
                paused=False,
                has_valid_position=True,
                position=0,
                consumed_to=lambda offset, place=place: self.positions.update({place: offset}),
            )
            for place in PARTITIONS
        }
        assignment = SimpleNamespace(active=True, state_value=states.get)
        records: OrderedDict[TopicPartition, object] = OrderedDict()
        for place, one in zip(PARTITIONS, held, strict=False):
            if isinstance(one, Exception):
                records[place] = FetchError(error=one, backoff=0.1)
            else:
                result = FetchResult(
                    place, assignment=assignment, partition_records=one, backoff=0.1
                )
                result.check_assignment = lambda tp: tp in PARTITIONS
                records[place] = result
        self.subscription: Any = SimpleNamespace(
            is_assigned=PARTITIONS.__contains__, reassignment_in_progress=False
        )
        self.fetcher: Any = SimpleNamespace(
            _records=records,
            _subscriptions=self.subscription,
            _wait_consume_future=None,
            _notify=self._count,
        )
        self.consumer: Any = SimpleNamespace(_subscription=self.subscription, _fetcher=self.fetcher)

    def _count(self, _: object) -> None:
        self.notified += 1

    def fetched(self, partition: TopicPartition, most: int) -> list[Any] | None:
        parts = Consumer.fetched(self.consumer, partition, most)
        return None if parts is None else [n for part in parts for n in part.offset.tolist()]

    def getmany(self, partition: TopicPartition, most: int) -> list[Any]:
        asked = Fetcher.fetched_records(self.fetcher, (partition,), 0, most)
        return [record.offset for record in asyncio.run(asked).get(partition, [])]

    def all_of(self, ask: Any, partition: TopicPartition, most: int) -> list[Any]:
        """Asked four times, whatever is raised included."""
        said: list[Any] = []
        for _ in range(4):
            try:
                said.append(ask(partition, most) or [])
            except Exception as error:
                said.append(type(error))
            said.append((self.positions[partition], self.notified, len(self.fetcher._records)))
        return said


@pytest.mark.parametrize("most", [1, 2, 5, 100])
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("kind", ["records", "markers", "corrupt", "error"])
def test_it_says_what_getmany_says(kind: str, which: int, most: int) -> None:
    def held() -> list[Records | Exception]:
        other: list[Records | Exception] = [Records(10 * n, n + 2) for n in range(3)]
        other[which] = {
            "records": lambda: Records(7, 5),
            "markers": lambda: Records(7, 0),
            "corrupt": lambda: Records(7, 3, corrupt=True),
            "error": lambda: OffsetOutOfRangeError({PARTITIONS[which]: 7}),
        }[kind]()
        return other

    ours, theirs = Rig(*held()), Rig(*held())
    asked = PARTITIONS[which]
    assert ours.all_of(ours.fetched, asked, most) == theirs.all_of(theirs.getmany, asked, most)


def test_it_tells_markers_from_nothing() -> None:
    rig = Rig(Records(7, 0))
    assert rig.fetched(PARTITIONS[0], 9) == []
    assert rig.positions[PARTITIONS[0]] == 8
    assert rig.fetched(PARTITIONS[0], 9) is None


def test_nothing_is_given_away_while_partitions_are_dealt_out_anew() -> None:
    rig = Rig(Records(7, 2))
    rig.subscription.reassignment_in_progress = True
    assert rig.fetched(PARTITIONS[0], 9) is None
    with pytest.raises(IllegalStateError):
        rig.fetched(TopicPartition("payments.hk.else", 0), 9)
