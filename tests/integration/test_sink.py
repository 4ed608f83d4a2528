"""The sink against real Kafka and PostgreSQL: settlements in, postings and confirmations out, each once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from settlement_chain import (
    ALPHA,
    BETA,
    SettlementChain,
    answers,
    balances,
    encode,
    faults,
    opening,
    records,
)

from clearing import halts, kafka
from clearing.config import Settings
from clearing.core.commands import Confirmation
from clearing.core.outputs import Settlement, SettlementBatch
from clearing.failures import Failure
from clearing.ledgers import metrics, schema, sink, tenure
from clearing.ledgers.ledger import Source
from clearing.ledgers.postgres import open_ledger
from clearing.ledgers.tenure import Ended, Tenure
from clearing.scheme.directory import publish_directory

NETTING_SETS = ["hk", "cn"]


@pytest.fixture
async def settings(bootstrap: str, fresh_dsn: str) -> Settings:
    """An installation of its own: topics, directory and a migrated database."""
    made = Settings(bootstrap=bootstrap, dsn=fresh_dsn, topic_prefix=f"s{uuid4().hex[:8]}.")
    await schema.migrate(fresh_dsn)
    async with kafka.administration(bootstrap) as admin:
        partitioned = [made.topics.settlements, made.topics.confirmations]
        await admin.create_topics(
            [NewTopic(name, len(NETTING_SETS), 1) for name in partitioned]
            + [
                NewTopic(
                    made.topics.netting_sets, 1, 1, topic_configs={"cleanup.policy": "compact"}
                )
            ]
        )
    assert await publish_directory(bootstrap, made.topics, NETTING_SETS) == {"hk": 0, "cn": 1}
    return made


@pytest.fixture
async def reader(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.dsn)
    yield connection
    assert await faults(connection) == []  # R1, after every test
    await connection.close()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    ready = asyncio.Event()
    task = asyncio.create_task(sink.run(settings, ready.set))
    try:
        async with asyncio.timeout(30):
            waiter = asyncio.create_task(ready.wait())
            await asyncio.wait([waiter, task], return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
        assert not task.done(), task
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def write(
    settings: Settings,
    messages: Sequence[Settlement | bytes],
    partition: int = 0,
    *,
    commit: bool = True,
) -> None:
    """One transaction, as the engine writes; a marker follows the last record."""
    producer = kafka.producer(
        settings.bootstrap, transactional_id=f"{settings.topic_prefix}engine-{partition}"
    )
    async with kafka.started(producer):
        await producer.begin_transaction()
        for message in messages:
            value = message if isinstance(message, bytes) else encode(message)
            await producer.send_and_wait(settings.topics.settlements, value, partition=partition)
        if commit:
            await producer.commit_transaction()
        else:
            await producer.abort_transaction()


async def confirmations(
    settings: Settings, partition: int = 0
) -> list[tuple[bytes | None, Confirmation]]:
    """Key and message of everything in the confirmations topic."""
    there = TopicPartition(settings.topics.confirmations, partition)
    async with kafka.started(kafka.consumer(settings.bootstrap)) as consumer:
        consumer.assign([there])
        return [
            (record.key, msgspec.json.decode(record.value or b"", type=Confirmation))
            async for record in kafka.read_to_end(consumer, there)
        ]


async def until(condition: Callable[[], Awaitable[bool]], bound_s: float = 30) -> None:
    deadline = time.monotonic() + bound_s
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.05)


def confirmed(
    reader: asyncpg.Connection, batches: int, netting_set: str = "hk"
) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        done = await reader.fetchval(
            "SELECT count(confirmed_at) FROM clearing.batches WHERE netting_set = $1", netting_set
        )
        return done == batches

    return check


def batches_of(messages: Sequence[Settlement]) -> list[SettlementBatch]:
    return [message for message in messages if isinstance(message, SettlementBatch)]


def a_tenure(settings: Settings, owner: str, netting_set: str = "hk") -> Tenure:
    place = Source(netting_set, settings.topics.settlements, NETTING_SETS.index(netting_set))
    return Tenure(settings, place, "postgres", owner, open_ledger)


async def test_batches_are_posted_and_confirmed_in_their_partition(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    """What the ledger refuses is confirmed as refused, with the reason."""
    chain = SettlementChain("cn")
    messages = [
        *opening(chain),
        chain.batch({ALPHA: -30_00, BETA: 30_00}),
        chain.batch({ALPHA: -99_00, BETA: 99_00}, window=2),
    ]
    await write(settings, messages, 1)
    async with running(settings):
        await until(confirmed(reader, 3, "cn"))
        await write(settings, [chain.batch({ALPHA: -1, BETA: 1}, window=3)], 1)
        await until(confirmed(reader, 4, "cn"))
    told = await confirmations(settings, 1)
    assert [(key, c.ledger, c.status, c.reason, c.epoch) for key, c in told] == [
        (c.batch.encode(), "postgres", status, reason, 1)
        for (_, c), (status, reason) in zip(
            told,
            [
                ("POSTED", ""),
                ("POSTED", ""),
                ("REFUSED", f"{ALPHA} is short of 29.00 HKD"),
                ("POSTED", ""),
            ],
            strict=True,
        )
    ]
    assert [(c.batch, c.hash) for _, c in told[:3]] == [
        (b.id, b.hash) for b in batches_of(messages)
    ]
    assert [c.short for _, c in told] == [{}, {}, {ALPHA: "29.00"}, {}]  # R25
    assert await confirmations(settings, 0) == []
    assert (await balances(reader, "cn"))["HKD", ALPHA] == 69_99


async def test_aborted_batches_are_never_seen(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    chain, aborted = SettlementChain(), SettlementChain()
    await write(settings, opening(aborted, funds=999_00), commit=False)
    await write(settings, opening(chain))
    async with running(settings):
        await until(confirmed(reader, 1))
    assert (await balances(reader))["HKD", ALPHA] == 100_00


async def test_a_restarted_sink_goes_on_from_the_ledger_and_tells_what_was_not_told(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    """F1: posted, and killed before the confirmation; told twice at most, posted once."""
    chain = SettlementChain()
    messages = [*opening(chain), chain.batch({ALPHA: -30_00, BETA: 30_00})]
    await write(settings, messages)
    place = Source("hk", settings.topics.settlements, 0)
    async with open_ledger(settings, "postgres") as ledger:  # the sink that died after its COMMIT
        owned = await ledger.take_ownership(place, "dead", None)
        posted = await ledger.post(place, owned.epoch, records(messages[:3], step=1))
    assert len(posted.confirmations) == 1
    async with running(settings):
        await until(confirmed(reader, 2))
    told = [c for _, c in await confirmations(settings)]
    assert [(c.batch, c.epoch) for c in told] == [
        (batch.id, epoch) for batch, epoch in zip(batches_of(messages), (1, 2), strict=True)
    ]
    async with running(settings):
        await write(settings, [chain.batch({ALPHA: -1, BETA: 1}, window=2)])
        await until(confirmed(reader, 3))
    assert len(await confirmations(settings)) == 3
    assert (await balances(reader))["HKD", ALPHA] == 69_99


async def test_the_group_sees_the_offset_of_the_ledger(
    settings: Settings, reader: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For tools that show lag, hence behind the transaction's marker; the sink itself never reads it."""
    monkeypatch.setattr(sink, "GROUP_COMMIT_INTERVAL_S", 0.1)
    chain = SettlementChain()
    await write(settings, opening(chain))
    group = settings.topics.group("sink-postgres")
    there = TopicPartition(settings.topics.settlements, 0)
    async with kafka.administration(settings.bootstrap) as admin:

        async def seen() -> bool:
            offsets = await admin.list_consumer_group_offsets(group)
            return there in offsets and offsets[there].offset == 4

        async with running(settings):
            await until(seen)


async def test_two_sinks_share_the_netting_sets_and_take_over(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    """F3: rapid join and leave; every batch is posted once and confirmed."""
    chains = {0: SettlementChain("hk"), 1: SettlementChain("cn")}
    for partition, chain in chains.items():
        await write(settings, opening(chain), partition)

    async def one_more(window: int) -> None:
        for partition, chain in chains.items():
            await write(settings, [chain.batch({ALPHA: -1, BETA: 1}, window=window)], partition)
        for chain in chains.values():
            await until(confirmed(reader, window + 1, chain.netting_set))

    async with running(settings):
        await one_more(1)
        async with running(settings):
            await one_more(2)
            owners = await reader.fetch("SELECT DISTINCT netting_set, epoch FROM clearing.batches")
            assert len(owners) >= 2
        await one_more(3)
    for chain in chains.values():
        assert set((await answers(reader, chain.netting_set)).values()) == {"POSTED"}
        assert (await balances(reader, chain.netting_set))["HKD", BETA] == 3


async def test_a_halted_netting_set_leaves_the_other_alone(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    """R7: what stands before the fault is posted, nothing behind it."""
    good, bad = SettlementChain("hk"), SettlementChain("cn")
    first = opening(bad)
    forged = msgspec.structs.replace(bad.batch({ALPHA: -1, BETA: 1}), hash="0" * 64)
    await write(settings, [*first, forged, bad.batch({ALPHA: -2, BETA: 2}, window=2)], 1)
    async with running(settings):
        await until(confirmed(reader, 1, "cn"))
        halted = halts.halted.labels("sink-postgres", "cn", "chain")
        await until(lambda: _is(halted._value.get() == 1))
        await write(settings, opening(good), 0)
        await until(confirmed(reader, 1, "hk"))
        assert list((await answers(reader, "cn")).values()) == ["POSTED"]


async def _is(value: bool) -> bool:
    return value


async def test_an_unreadable_record_halts_after_what_stands_before_it(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    await write(settings, [*opening(SettlementChain()), b"rubbish"])
    async with asyncio.timeout(30):
        assert await a_tenure(settings, "a").run() is Ended.HALTED
    assert len(await answers(reader)) == 1
    assert len(await confirmations(settings)) == 1


async def test_a_batch_out_of_its_chain_halts_after_what_stands_before_it(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    """R7: also within one transaction of the ledger."""
    chain = SettlementChain()
    messages = opening(chain)
    chain.previous = "e" * 64
    await write(settings, [*messages, chain.batch({ALPHA: -1, BETA: 1})])
    async with asyncio.timeout(30):
        assert await a_tenure(settings, "a").run() is Ended.HALTED
    assert len(await answers(reader)) == 1


async def test_a_fenced_owner_stops_and_writes_nothing(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    """R31, F2: the zombie wakes up when another has gone on."""
    chain = SettlementChain()
    await write(settings, opening(chain))
    zombie = asyncio.create_task(a_tenure(settings, "zombie").run())
    await until(confirmed(reader, 1))
    place = Source("hk", settings.topics.settlements, 0)
    async with open_ledger(settings, "postgres") as successor:
        await successor.take_ownership(place, "successor", None)
    await write(settings, [chain.batch({ALPHA: -1, BETA: 1})])
    async with asyncio.timeout(30):
        assert await zombie is Ended.FENCED
    assert len(await answers(reader)) == 1


async def test_a_fenced_owner_returns_when_nobody_else_is_there(
    settings: Settings, reader: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F3: a late member of the group raised the epoch, and then learned that it is none. No duel: one pause."""
    monkeypatch.setattr(sink, "FENCED_WAIT_S", 0.5)
    chain = SettlementChain()
    await write(settings, opening(chain))
    fenced = metrics.fenced.labels("postgres", "hk")
    before = fenced._value.get()
    async with running(settings):
        await until(confirmed(reader, 1))
        async with open_ledger(settings, "postgres") as late:
            await late.take_ownership(Source("hk", settings.topics.settlements, 0), "late", None)
        await write(settings, [chain.batch({ALPHA: -1, BETA: 1})])
        await until(confirmed(reader, 2))
    assert fenced._value.get() == before + 1
    assert await reader.fetchval("SELECT max(epoch) FROM clearing.batches") == 3


@pytest.mark.parametrize("lost", ["tail", "head"])
async def test_records_that_are_lost_halt(
    settings: Settings, reader: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """F14: the ledger has read more than there is, or its next record is gone."""
    monkeypatch.setattr(tenure, "END_PATIENCE_S", 0.5)
    chain = SettlementChain()
    messages = opening(chain)
    place = Source("hk", settings.topics.settlements, 0)
    if lost == "tail":
        async with open_ledger(settings, "postgres") as ledger:
            owned = await ledger.take_ownership(place, "before", None)
            await ledger.post(place, owned.epoch, records(messages, start=50))
    else:
        await write(settings, messages)
        async with kafka.administration(settings.bootstrap) as admin:
            there = TopicPartition(place.topic, place.partition)
            await admin.delete_records({there: RecordsToDelete(2)})
    async with asyncio.timeout(30):
        assert await a_tenure(settings, "after").run() is Ended.HALTED
    assert await confirmations(settings) == []


async def test_a_lost_database_session_is_survived(
    settings: Settings, reader: asyncpg.Connection
) -> None:
    """F9: PostgreSQL ends every session; the same owner goes on under a new epoch, nothing doubles."""
    chain = SettlementChain()
    await write(settings, opening(chain))
    async with running(settings):
        await until(confirmed(reader, 1))
        for window in range(1, 4):
            await reader.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'clearing-sink' AND datname = current_database()"
            )
            await write(settings, [chain.batch({ALPHA: -1, BETA: 1}, window=window)])
            await until(confirmed(reader, 1 + window))
    assert (await balances(reader))["HKD", BETA] == 3
    batches = {c.batch for _, c in await confirmations(settings)}
    assert batches == set(await answers(reader))


async def test_a_sink_without_its_ledger_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "START_PATIENCE_S", 0.0)
    nobody = msgspec.structs.replace(settings, dsn="postgresql://x@127.0.0.1:1/x")
    async with asyncio.timeout(30):
        with pytest.raises(Failure, match="cannot reach the ledger postgres"):
            await sink.run(nobody)
