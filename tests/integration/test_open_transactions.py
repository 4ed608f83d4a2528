"""A transaction that nobody ends holds up every reader: status names whose it is, and how to end it (F8)."""

import asyncio
import time
from io import StringIO

from aiokafka import AIOKafkaProducer
from rich.console import Console

from clearing import kafka
from clearing.cli.status_tables import tables
from clearing.config import Settings
from clearing.dev.setup import prepare
from clearing.names import Topics
from clearing.observe import OpenTransaction, StatusReport, collect
from clearing.observe.transactions import open_transactions
from tests.faults.harness import scheme


def shown(report: StatusReport) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(tables(report))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def foreign(bootstrap: str, name: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=name, transaction_timeout_ms=600_000
    )


async def test_status_names_who_holds_up_the_readers(
    bootstrap: str, fresh_dsn: str, topic_prefix: str
) -> None:  # F8
    settings = Settings(bootstrap=bootstrap, dsn=fresh_dsn, topic_prefix=topic_prefix)
    await prepare(settings, scheme(), by="test")
    topics = settings.topics
    name = f"{topic_prefix}somebody-else"
    async with foreign(bootstrap, name) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topics.settlements, b"done", partition=1)
        await producer.begin_transaction()
        began_ms = time.time() * 1000
        sent = await producer.send_and_wait(topics.outcomes, b"open", partition=1)
        await producer.send_and_wait(topics.log, b"open too", partition=0)
        # Only what is open for too long is told.
        assert (await collect(settings)).open_transactions == []
        async with kafka.administration(bootstrap) as admin:
            at_ms = int(time.time() * 1000)
            others = await open_transactions(admin, Topics("other-"), at_ms, too_long_s=-60)
            found = await open_transactions(admin, topics, at_ms, too_long_s=-60)
        assert others == []
        assert {(one.topic, one.partition) for one in found} == {
            (topics.outcomes, 1),
            (topics.log, 0),
        }
        (outcomes,) = (one for one in found if one.topic == topics.outcomes)
        assert outcomes.transactional_id == name
        assert outcomes.state == "Ongoing"
        assert outcomes.offset == sent.offset
        assert abs(outcomes.since_ms - began_ms) < 5_000
        assert outcomes.ended_by("k:9092") == (
            "kafka-transactions.sh --bootstrap-server k:9092 "
            f"forceTerminateTransaction --transactionalId {name}"
        )
        report = await collect(settings)
        async with asyncio.timeout(20):
            while not report.open_transactions:
                await asyncio.sleep(0.5)
                report = await collect(settings)
    text = shown(report)
    assert f"HELD UP  readers of {topics.outcomes}-1 at offset {sent.offset}" in text
    assert f"transactional id {name}" in text
    assert f"forceTerminateTransaction --transactionalId {name}" in text
    # What that command does: a producer of the same name is started.
    async with foreign(bootstrap, name):
        pass
    async with kafka.administration(bootstrap) as admin:
        for _ in range(100):
            at_ms = int(time.time() * 1000)
            if not await open_transactions(admin, topics, at_ms, too_long_s=-60):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("it is still open")


def test_one_that_no_coordinator_knows_is_ended_by_its_place() -> None:
    one = OpenTransaction(
        topic="outcomes",
        partition=3,
        offset=17,
        since_ms=0,
        producer_id=9,
        producer_epoch=2,
        transactional_id="",
        state="",
    )
    assert one.ended_by("k:9092") == (
        "kafka-transactions.sh --bootstrap-server k:9092 abort --topic outcomes --partition 3 --start-offset 17"
    )


def test_an_installation_knows_its_topics() -> None:
    topics = Topics("one.")
    ours = (
        topics.log,
        topics.netting_sets,
        topics.payments("east", "ALPHHKHH"),
        topics.status("A1"),
    )
    assert all(map(topics.contains, ours))
    assert not any(map(topics.contains, ("log", "two.log", "one.else", "one.status.a b", "__x")))
