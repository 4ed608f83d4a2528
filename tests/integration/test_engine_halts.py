"""What an engine must not pass over: journal and outputs that somebody else wrote, or that lost their end (F14)."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from engine_log import (
    BANKS,
    OUTPUTS,
    control_value,
    create_topics,
    opening,
    payments_value,
    read_topic,
    write_log,
)

from clearing import kafka
from clearing.core.faults import Halt, HaltKind, Place
from clearing.engine import past
from clearing.engine.processor import Fenced, Processor
from clearing.engine.snapshots import SnapshotStore
from clearing.log import control, payments
from clearing.log.records import TRANSACTION_KEY, Transaction, decode_transaction
from clearing.names import Topics

TIMEOUT_S = 40


@pytest.fixture
async def topics(bootstrap: str) -> Topics:
    """With a log of two records: the scheme, and payments."""
    names = Topics(f"t{uuid4().hex[:8]}.")
    await create_topics(bootstrap, names)
    await write_log(bootstrap, names, [(control.KEY, control_value(opening())), some_payments(0)])
    return names


def some_payments(start: int) -> tuple[bytes, bytes]:
    """A log record of 5 payments; refused as too old, which is as good here."""
    return payments.KEY, payments_value([uuid4() for _ in range(5)], 1, start)


class Engine:
    """One that can be asked to go on to a place of the log, and to halt."""

    def __init__(self, bootstrap: str, topics: Topics, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.topics = topics
        self.store = SnapshotStore(folder, topics.prefix, "hk")
        self.at = 0
        self.moved = asyncio.Event()

    def passed(self, next_offset: int) -> None:
        self.at = max(self.at, next_offset)
        self.moved.set()

    def processor(self) -> Processor:
        return Processor(self.bootstrap, self.topics, "hk", 0, self.store, passed=self.passed)

    async def serve(self, upto: int) -> None:
        """Until it has committed so far; its own task ends then."""
        task = asyncio.create_task(self.processor().run())
        await self._reach(upto)
        task.cancel()
        await asyncio.wait([task])

    async def _reach(self, upto: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self.at < upto:
                self.moved.clear()
                await self.moved.wait()

    async def halts(self) -> Halt:
        with pytest.raises(Halt) as halted:
            await asyncio.wait_for(self.processor().run(), TIMEOUT_S)
        return halted.value

    async def write(self, topic: str, key: bytes, value: bytes) -> int:
        """As somebody who is not the engine."""
        async with kafka.started(kafka.producer(self.bootstrap)) as producer:
            return (await producer.send_and_wait(topic, value, key, 0)).offset

    async def last(self) -> Transaction:
        """Once it can be seen: a commit is answered before its markers are in the partitions."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                records = await read_topic(self.bootstrap, self.topics.journal)
                said = [
                    decode_transaction(v) for _, k, v, _ in records if k == TRANSACTION_KEY and v
                ]
                if said and said[-1].next_offset == self.at:
                    return said[-1]


@pytest.fixture
async def engine(bootstrap: str, topics: Topics, tmp_path: Path) -> Engine:
    """One that has committed the log's two records."""
    made = Engine(bootstrap, topics, tmp_path)
    await made.serve(2)
    await made.last()
    return made


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"chain": "0" * 64, "sequence": 2}, HaltKind.CHAIN),  # it goes on from the one before
        ({"chain": "0" * 64, "sequence": 9}, HaltKind.FOREIGN_WRITER),
        ({"netting_set": "eu"}, HaltKind.FOREIGN_WRITER),
        ({"next_offset": 99}, HaltKind.LOG_LOST),
    ],
)
async def test_a_last_transaction_that_is_none_of_ours_halts_until_the_last_genuine_one_is_there(
    engine: Engine, changes: dict[str, object], kind: HaltKind
) -> None:
    genuine = await engine.last()
    forged = msgspec.structs.replace(genuine, **({"sequence": genuine.sequence + 1} | changes))
    if changes.get("sequence") == 2:
        forged = msgspec.structs.replace(forged, sequence=genuine.sequence + 1)
    await engine.write(engine.topics.journal, TRANSACTION_KEY, msgspec.json.encode(forged))
    halt = await engine.halts()
    assert (halt.kind, halt.place is not None) == (kind, True)
    # As the runbook says.
    await engine.write(engine.topics.journal, TRANSACTION_KEY, msgspec.json.encode(genuine))
    await write_log(engine.bootstrap, engine.topics, [some_payments(5)])
    await engine.serve(3)


async def test_a_transaction_that_cannot_be_read_halts(engine: Engine) -> None:
    offset = await engine.write(engine.topics.journal, TRANSACTION_KEY, b"{}")
    halt = await engine.halts()
    assert (halt.kind, halt.place) == (
        HaltKind.UNREADABLE,
        Place(engine.topics.journal, 0, offset),
    )


async def test_a_journal_that_lost_its_end_halts_rather_than_clear_twice(engine: Engine) -> None:
    """Also one that is empty: without this everything would be cleared again from the first record."""
    journal = TopicPartition(engine.topics.journal, 0)
    async with kafka.administration(engine.bootstrap) as admin:
        await admin.delete_records({journal: RecordsToDelete(-1)})
    before = await read_topic(engine.bootstrap, engine.topics.outcomes)
    halt = await engine.halts()
    assert halt.kind is HaltKind.LOG_LOST
    assert "is about log offset 1, but the journal ends before 0" in halt.reason
    assert await read_topic(engine.bootstrap, engine.topics.outcomes) == before


@pytest.mark.parametrize("topic", ["outcomes", "journal"])
async def test_who_writes_past_a_running_engine_is_seen_at_its_next_transaction(
    engine: Engine, topic: str
) -> None:
    name = getattr(engine.topics, topic)
    await write_log(engine.bootstrap, engine.topics, [some_payments(5)])
    running = asyncio.create_task(engine.processor().run())
    await engine._reach(3)
    offset = await engine.write(name, b"x", b"not ours")
    await write_log(engine.bootstrap, engine.topics, [some_payments(10)])
    with pytest.raises(Halt, match=f"{name}-0 has something at offset {offset}") as halted:
        await asyncio.wait_for(running, TIMEOUT_S)
    assert halted.value.kind is HaltKind.FOREIGN_WRITER
    assert halted.value.place == Place(name, 0, offset)
    await engine.serve(4)  # its own state is right: it goes on once somebody has said so


async def test_what_kafka_refuses_for_good_halts(
    bootstrap: str, topics: Topics, tmp_path: Path
) -> None:  # F6
    """Trying again would replay and be refused for ever."""
    small = Topics("small-" + topics.prefix)
    new = [NewTopic(getattr(small, name), 1, 1) for name in ("log", *OUTPUTS) if name != "outcomes"]
    new += [NewTopic(small.outcomes, 1, 1, topic_configs={"max.message.bytes": "100"})]
    async with kafka.administration(bootstrap) as admin:
        await admin.create_topics(new)
    await write_log(bootstrap, small, [(control.KEY, control_value(opening())), some_payments(0)])
    halt = await Engine(bootstrap, small, tmp_path).halts()
    assert halt.kind is HaltKind.REFUSED
    assert await read_topic(bootstrap, small.journal) == []


async def test_a_log_record_that_is_not_of_this_netting_set_halts(engine: Engine) -> None:
    """What intake would write to the wrong partition."""
    value = payments_value([uuid4()], 1).replace(b"payments.hk.", b"payments.eu.")
    assert BANKS[0].encode() in value
    await write_log(engine.bootstrap, engine.topics, [(payments.KEY, value)])
    halt = await engine.halts()
    assert halt.kind is HaltKind.FOREIGN_WRITER
    assert halt.place == Place(engine.topics.log, 0, 2)


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("end_hanging", "somebody else wrote while this was read"),
        ("look_behind", "newer producer"),
        ("check_outcomes", "newer producer"),
    ],
)
async def test_who_is_overtaken_while_he_looks_back_is_fenced_and_halts_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, question: str, says: str
) -> None:  # F2 F3
    """The journal that he has read ends before what stands in outcomes by now: another has written both. He sees
    that, or does not look so far, and is fenced by the first thing he writes."""
    ask = getattr(past, question)

    async def late(*args: Any) -> Any:
        monkeypatch.setattr(past, question, ask)
        await write_log(engine.bootstrap, engine.topics, [some_payments(5)])
        await engine.serve(3)
        await engine.last()
        return await ask(*args)

    monkeypatch.setattr(past, question, late)
    with pytest.raises(Fenced, match=says):
        await asyncio.wait_for(engine.processor().run(), TIMEOUT_S)
