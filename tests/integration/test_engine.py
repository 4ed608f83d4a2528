"""The processor against a real broker: exactly once, fencing, recovery (DESIGN.md §2)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from aiokafka.errors import ProducerFenced
from engine_log import (
    OUTPUTS,
    control_value,
    create_topics,
    opening,
    payments_value,
    read_outputs,
    read_topic,
    write_log,
)

from clearing import kafka
from clearing.core.commands import CloseWindow, RegisterParticipant
from clearing.core.faults import Halt, HaltKind
from clearing.core.inputs import ControlItem, Reject, SourceSpan
from clearing.core.reasons import Code
from clearing.core.state import DAY_MS
from clearing.engine.machine import Machine
from clearing.engine.processor import Fenced, Processor
from clearing.engine.snapshots import SnapshotStore
from clearing.log import control, payments
from clearing.log.records import (
    OUTCOMES_KEY,
    TRANSACTION_KEY,
    OutputRecord,
    Transaction,
    decode_outcomes,
    decode_transaction,
)
from clearing.names import Topics


@pytest.fixture
async def topics(bootstrap: str) -> Topics:
    names = Topics(f"t{uuid4().hex[:8]}.")
    await create_topics(bootstrap, names)
    return names


def processor(bootstrap: str, topics: Topics, folder: Path) -> Processor:
    return Processor(bootstrap, topics, "hk", 0, SnapshotStore(folder, topics.prefix, "hk"))


@asynccontextmanager
async def running(served: Processor) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(served.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Fenced, Halt):
            await task


async def until(condition: Callable[[], Awaitable[bool]], bound_s: float = 30) -> None:
    deadline = time.monotonic() + bound_s
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"


def applied(bootstrap: str, topics: Topics, next_offset: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        records = await read_topic(bootstrap, topics.journal)
        done = [decode_transaction(v) for _, k, v, _ in records if k == TRANSACTION_KEY and v]
        return bool(done) and done[-1].next_offset >= next_offset

    return check


def today() -> int:
    return int(time.time() * 1000) // DAY_MS


def batches(count: int, rows: int = 20) -> list[tuple[bytes, bytes]]:
    return [
        (payments.KEY, payments_value([uuid4() for _ in range(rows)], today(), i * rows))
        for i in range(count)
    ]


async def assert_outputs_are_those_of_a_replay(bootstrap: str, topics: Topics) -> Machine:
    """R29: what was committed is, byte for byte, what a fresh machine makes of the log."""
    machine = Machine("hk")
    expected: list[OutputRecord] = []
    (*_, last) = [
        v for _, k, v, _ in await read_topic(bootstrap, topics.journal) if k == TRANSACTION_KEY
    ]
    end = decode_transaction(last or b"").next_offset
    for offset, key, value, stamp in await read_topic(bootstrap, topics.log):
        if offset < end:  # a tick may have been written as the engine was stopped
            expected += machine.apply(key, value, offset, stamp)
    found = [r for r in await read_outputs(bootstrap, topics) if r.key != TRANSACTION_KEY]
    for name in OUTPUTS:
        assert [r for r in found if r.topic == name] == [r for r in expected if r.topic == name], (
            name
        )
    return machine


@pytest.mark.parametrize("cycle_s", [1.0, 0.0], ids=["cycles", "cycles cut short"])
async def test_outputs_are_committed_once_and_equal_a_replay(
    bootstrap: str, topics: Topics, tmp_path: Path, cycle_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:  # R29
    monkeypatch.setattr("clearing.engine.processor.CYCLE_S", cycle_s)
    log = [(control.KEY, control_value(opening())), *batches(5)]
    log.append((control.KEY, control_value([CloseWindow(id="c", by="op")], start=7)))
    await write_log(bootstrap, topics, log)
    async with running(processor(bootstrap, topics, tmp_path)):
        await until(applied(bootstrap, topics, len(log)))
    machine = await assert_outputs_are_those_of_a_replay(bootstrap, topics)
    outcomes = [r for r in await read_outputs(bootstrap, topics) if r.key == OUTCOMES_KEY]
    assert sum(int((decode_outcomes(r.value).codes == 0).sum()) for r in outcomes) == 100
    assert machine.state.counters.batches == 1


async def test_of_two_owners_one_is_fenced(
    bootstrap: str, topics: Topics, tmp_path: Path
) -> None:  # F3
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), *batches(3)])
    async with running(processor(bootstrap, topics, tmp_path / "a")) as first:
        await until(applied(bootstrap, topics, 4))
        async with running(processor(bootstrap, topics, tmp_path / "b")) as second:
            # The old one ends. But where its commit meets the fencing in the broker, that answers
            # UNKNOWN: then it is in doubt, fences in its turn, and the new one ends as soon as it writes.
            sent = 0
            async with asyncio.timeout(60):
                while not (first.done() or second.done()):
                    value = payments_value([uuid4() for _ in range(9)], today(), 60 + sent * 9)
                    await write_log(bootstrap, topics, [(payments.KEY, value)])
                    sent += 1
            ended, going = (first, second) if first.done() else (second, first)
            assert type(ended.exception()) is Fenced
            assert not going.done()
            await until(applied(bootstrap, topics, 4 + sent))
    await assert_outputs_are_those_of_a_replay(bootstrap, topics)


async def test_what_a_dead_owner_left_open_is_never_seen(
    bootstrap: str, topics: Topics, tmp_path: Path
) -> None:  # F1, F6
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), *batches(2)])
    dead = kafka.producer(bootstrap, transactional_id=topics.transactional_id("hk"))
    await dead.start()
    await dead.begin_transaction()
    for topic in (topics.outcomes, topics.journal):
        await (await dead.send(topic, b"torn", b"torn", 0))
    try:
        async with running(processor(bootstrap, topics, tmp_path)):
            await until(applied(bootstrap, topics, 3))
        assert b"torn" not in {r.value for r in await read_outputs(bootstrap, topics)}
        await assert_outputs_are_those_of_a_replay(bootstrap, topics)
    finally:
        await kafka.discard(dead, 2)


async def caused_by_more(bootstrap: str, topics: Topics) -> tuple[list[OutputRecord], Transaction]:
    """Outputs of two log records more, and maybe a tick, that no engine has stepped; the second one holds what
    nobody can read, and a command, of which the journal tells. And the journal's record for them, without its
    ends."""
    reject = Reject(code=Code.SYNTAX, hash="ab" * 16, detail="not JSON")
    late = RegisterParticipant(id="late", by="op", participant="LATEHKHH")
    items = [
        ControlItem(source=0, offset=7, reject=reject),
        ControlItem(source=0, offset=8, message=late),
    ]
    more = [
        (payments.KEY, payments_value([uuid4() for _ in range(9)], today(), 40)),
        (control.KEY, control.pack(items, [SourceSpan("commands", 0, 7, 9)])),
    ]
    await write_log(bootstrap, topics, more)
    journal = await read_topic(bootstrap, topics.journal)
    (*_, last) = [decode_transaction(v or b"") for _, k, v, _ in journal if k == TRANSACTION_KEY]
    machine = Machine("hk")
    outputs: list[OutputRecord] = []
    for offset, key, value, stamp in await read_topic(bootstrap, topics.log):
        caused = machine.apply(key, value, offset, stamp)
        outputs += caused if offset >= last.next_offset else []
    transaction = msgspec.structs.replace(
        last,
        sequence=last.sequence + 1,
        next_offset=machine.next_offset,
        chain=machine.chain.hex(),
        records=machine.records,
    )
    return outputs, transaction


async def write_torn(
    bootstrap: str,
    topics: Topics,
    outputs: Sequence[OutputRecord],
    transaction: Transaction,
    seen: Collection[str],
) -> None:
    """A transaction of a dead owner that Kafka has ended here and there: committed in these topics alone."""
    dead = kafka.producer(bootstrap, transactional_id=topics.transactional_id("hk"))
    ends = dict(transaction.ends)
    async with kafka.started(dead):
        for commit in (False, True):
            await dead.begin_transaction()
            for one in outputs:
                if (one.topic in seen) is commit:
                    topic = getattr(topics, one.topic)
                    ends[one.topic] = (
                        await dead.send_and_wait(topic, one.value, one.key, 0)
                    ).offset + 1
            if ("journal" in seen) is commit:
                value = msgspec.json.encode(msgspec.structs.replace(transaction, ends=ends))
                await dead.send_and_wait(topics.journal, value, TRANSACTION_KEY, 0)
            await (dead.commit_transaction() if commit else dead.abort_transaction())


@pytest.mark.parametrize(
    ("seen", "times"),
    [
        (["rejected"], 1),
        (["outcomes"], 1),
        (["outcomes", "journal"], 1),  # as if whoever ended the rest had been stopped meanwhile
        (["rejected", "journal"], 1),
        (["journal"], 1),
        (["journal"], 2),  # and whoever wrote the rest
        (["rejected", "journal"], 3),
    ],
)
async def test_of_a_torn_transaction_only_the_rest_is_written(
    bootstrap: str,
    topics: Topics,
    tmp_path: Path,
    seen: list[str],
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # F8
    monkeypatch.setattr(
        "clearing.engine.processor.CYCLE_S", 0.0
    )  # its records were of one, now not
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), *batches(2)])
    async with running(processor(bootstrap, topics, tmp_path)):
        await until(applied(bootstrap, topics, 3))
    outputs, transaction = await caused_by_more(bootstrap, topics)
    assert {one.topic for one in outputs} >= {"outcomes", "rejected", "journal"}
    await write_torn(bootstrap, topics, outputs, transaction, seen)
    rest = [one for one in outputs if one.topic not in seen]
    for number in range(1, times):
        again = msgspec.structs.replace(transaction, sequence=transaction.sequence + number)
        await write_torn(bootstrap, topics, rest, again, ["journal"])
    more = (payments.KEY, payments_value([uuid4() for _ in range(9)], today(), 49))
    await write_log(bootstrap, topics, [more])
    async with running(processor(bootstrap, topics, tmp_path)):
        await until(applied(bootstrap, topics, transaction.next_offset + 1))
    await assert_outputs_are_those_of_a_replay(bootstrap, topics)
    journal = await read_topic(bootstrap, topics.journal)
    shown = [decode_transaction(v or b"") for _, k, v, _ in journal if k == TRANSACTION_KEY]
    assert [one.sequence for one in shown] == list(range(1, len(shown) + 1))
    reached = [one.next_offset for one in shown]
    assert reached == sorted(reached)


@pytest.mark.parametrize("seen", [["outcomes"], ["outcomes", "journal"]])
async def test_what_readers_have_seen_and_the_log_does_not_cause_halts(
    bootstrap: str, topics: Topics, tmp_path: Path, seen: list[str]
) -> None:  # F8
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), *batches(2)])
    async with running(processor(bootstrap, topics, tmp_path)):
        await until(applied(bootstrap, topics, 3))
    outputs, transaction = await caused_by_more(bootstrap, topics)
    at = next(n for n, one in enumerate(outputs) if one.topic == "outcomes")
    forged = [*outputs[:at], outputs[at]._replace(value=b"{}"), *outputs[at + 1 :]]
    await write_torn(bootstrap, topics, forged, transaction, seen)
    with pytest.raises(Halt, match="not what this engine writes there") as raised:
        await asyncio.wait_for(processor(bootstrap, topics, tmp_path).run(), 30)
    assert raised.value.kind is HaltKind.FOREIGN_WRITER


async def test_many_cancels_in_mid_flight_change_nothing(
    bootstrap: str, topics: Topics, tmp_path: Path
) -> None:  # F1
    log = [(control.KEY, control_value(opening())), *batches(60, rows=5)]
    await write_log(bootstrap, topics, log)
    for place in (1, 9, 25, 40, len(log)):
        async with running(processor(bootstrap, topics, tmp_path)):
            await until(applied(bootstrap, topics, place))
    await assert_outputs_are_those_of_a_replay(bootstrap, topics)


async def test_a_snapshot_is_used_and_a_bad_one_is_not_needed(
    bootstrap: str, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # F13
    monkeypatch.setattr("clearing.engine.processor.SNAPSHOT_EVERY_RECORDS", 2)
    folder = tmp_path / f"{topics.prefix}hk"
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), *batches(4)])
    async with running(processor(bootstrap, topics, tmp_path)):
        await until(applied(bootstrap, topics, 5))

        async def written() -> bool:
            return any(folder.glob("*.snapshot"))

        await until(written)
    for path in folder.glob("*.snapshot"):
        path.write_bytes(path.read_bytes()[:-5])
    await write_log(bootstrap, topics, [(payments.KEY, payments_value([uuid4()], today(), 80))])
    async with running(processor(bootstrap, topics, tmp_path)):
        await until(applied(bootstrap, topics, 6))
    await assert_outputs_are_those_of_a_replay(bootstrap, topics)


async def test_a_gap_in_a_source_halts(
    bootstrap: str, topics: Topics, tmp_path: Path
) -> None:  # F14
    await write_log(
        bootstrap,
        topics,
        [
            (control.KEY, control_value(opening())),
            (payments.KEY, payments_value([uuid4()], today(), start=5)),
        ],
    )
    with pytest.raises(Halt, match="gap in source"):
        await asyncio.wait_for(processor(bootstrap, topics, tmp_path).run(), 30)


async def test_a_foreign_journal_halts(bootstrap: str, topics: Topics, tmp_path: Path) -> None:
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), *batches(1)])
    async with running(processor(bootstrap, topics, tmp_path)):
        await until(applied(bootstrap, topics, 2))
    records = await read_topic(bootstrap, topics.journal)
    last = next(v for _, k, v, _ in reversed(records) if k == TRANSACTION_KEY)
    assert last is not None
    chain = decode_transaction(last).chain
    forged = last.replace(chain.encode(), b"0" * 64)
    async with kafka.started(kafka.producer(bootstrap)) as producer:
        await producer.send_and_wait(topics.journal, forged, TRANSACTION_KEY, 0)
    with pytest.raises(Halt, match="replay of the log"):
        await asyncio.wait_for(processor(bootstrap, topics, tmp_path / "new").run(), 30)


async def test_an_idle_log_is_ticked_when_a_window_is_due(
    bootstrap: str, topics: Topics, tmp_path: Path
) -> None:  # R4
    commands = opening(every_s=1)
    await write_log(bootstrap, topics, [(control.KEY, control_value(commands)), *batches(1)])

    async def settled() -> bool:
        return len(await read_topic(bootstrap, topics.settlements)) > 3

    async with running(processor(bootstrap, topics, tmp_path)):
        await until(settled)
    log = await read_topic(bootstrap, topics.log)
    assert any(value == control.TICK for _, _, value, _ in log)
    await assert_outputs_are_those_of_a_replay(bootstrap, topics)


async def test_a_fenced_transaction_says_so_at_whatever_call_it_is_noticed(
    bootstrap: str, topics: Topics
) -> None:  # F3
    """aiokafka only says IllegalOperation once its sender has died of the fencing in the background."""
    identity = topics.transactional_id("hk")
    old = kafka.producer(bootstrap, transactional_id=identity)
    new = kafka.producer(bootstrap, transactional_id=identity)
    record = kafka.TopicRecord(topics.journal, 0, b"k", b"v")
    try:
        await old.start()
        await old.begin_transaction()
        await new.start()
        with pytest.raises(ProducerFenced):
            await (await old.send(record.topic, record.value, record.key, record.partition))
        with pytest.raises(ProducerFenced):
            await kafka.transact(old, [record], 10)
        await kafka.transact(new, [record], 10)
    finally:
        await kafka.discard(old, 2)
        await kafka.discard(new, 2)
    assert len(await read_topic(bootstrap, topics.journal)) == 1
