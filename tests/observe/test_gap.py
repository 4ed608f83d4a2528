"""The money between a position and the end of a partition: each record read once, at most so many at a look."""

from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from clearing.observe.gap import LOOK_RECORDS, Gap, Worth
from clearing.observe.value import Value
from clearing.reading import Bounds

LOG = TopicPartition("log", 0)


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Lists:
    """A reader over one list; it counts what it hands out."""

    def __init__(self, values: dict[int, bytes]) -> None:
        self.values = values
        self.read: list[int] = []

    async def topics(self) -> set[str]:
        return {LOG.topic}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        return dict.fromkeys(partitions, (0, max(self.values, default=-1) + 1))

    async def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[Sequence[Record]]:
        assert partition == LOG
        for offset in sorted(self.values):
            if (start or 0) <= offset < (end or 0):
                self.read.append(offset)
                yield [Record(offset, 0, None, self.values[offset])]


def worth(_: bytes | None, value: bytes) -> Value:
    amount = Decimal(value.decode()) if value.isdigit() else None
    if amount is None:
        raise ValueError("none of ours")
    return Value({"HKD": {"ALPHA": amount}}, {"ALPHA": 1})


async def test_it_reads_on_and_forgets() -> None:
    reader, gap = Lists(dict.fromkeys(range(5), b"10")), Gap(LOG, worth)
    found = await gap.look(reader, 0, 5, 5)
    assert found.money == {"HKD": {"ALPHA": Decimal(50)}}
    assert (found.is_estimate, found.unvalued_records, len(found.learnt)) == (False, 0, 5)
    reader.values[5] = b"1"
    found = await gap.look(reader, 3, 6, 3)
    assert found.money == {"HKD": {"ALPHA": Decimal(21)}}
    assert len(found.learnt) == 1
    assert reader.read == [0, 1, 2, 3, 4, 5]  # each once
    assert (await gap.look(reader, 6, 6, 0)).money == {}
    assert (await gap.look(reader, 4, 6, 2)).money == {"HKD": {"ALPHA": Decimal(11)}}  # rewound


async def test_holes_of_markers_are_no_records() -> None:
    """Offsets 1 and 3 are markers: two records wait, and both are known."""
    reader, gap = Lists({0: b"10", 2: b"10"}), Gap(LOG, worth)
    found = await gap.look(reader, 0, 4, 4)
    assert found.money == {"HKD": {"ALPHA": Decimal(20)}}
    assert (found.is_estimate, found.unvalued_records) == (False, 0)


async def test_a_long_backlog_is_estimated_and_read_little_by_little() -> None:
    count = 3 * LOOK_RECORDS
    reader, gap = Lists(dict.fromkeys(range(count), b"10")), Gap(LOG, worth)
    for look in range(1, 4):
        found = await gap.look(reader, 0, count, count)
        assert found.money == {"HKD": {"ALPHA": Decimal(10 * count)}}
        assert found.is_estimate == (look < 3)
        assert len(found.learnt) == LOOK_RECORDS


async def test_what_is_none_of_ours_is_worth_nothing() -> None:
    found = await Gap(LOG, worth).look(Lists({0: b"junk", 1: b"7"}), 0, 2, 2)
    assert found.money == {"HKD": {"ALPHA": Decimal(7)}}


async def test_the_newest_tells_what_payments_are_worth() -> None:
    reader, gap = Lists({0: b"10", 1: b"30"}), Gap(LOG, worth)
    assert [value.money for value in await gap.newest(reader, 2)] == [
        {"HKD": {"ALPHA": Decimal(30)}}
    ]
    assert await gap.newest(Lists({}), 0) == []


async def test_what_retention_has_passed_is_worth_nobody_knows_what() -> None:
    """F14: who looks at lag is not to fail when records are gone; their reader halts, and says so."""

    class Gone(Lists):
        async def chunks(
            self, partition: TopicPartition, start: int | None = None, end: int | None = None
        ) -> AsyncIterator[Sequence[Record]]:
            raise OffsetOutOfRangeError({partition: start})
            yield []

    gone, gap = Gone({}), Gap(LOG, worth)
    assert await gap.look(gone, 3, 6, 3) == Worth({}, False, 3, [])
    assert await gap.newest(gone, 6) == []
    found = await gap.look(Lists({6: b"10"}), 6, 7, 1)
    assert found.money == {"HKD": {"ALPHA": Decimal(10)}}
