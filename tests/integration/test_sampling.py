"""Lag against real services: a probe goes round and moves nothing; who is stopped, and who hangs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from clearing.client import Bank
from clearing.config import Settings
from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.services import supervised
from clearing.dev.setup import prepare
from clearing.doctor import examine
from clearing.doctor.checks import CHECKS
from clearing.messages import PaymentStatus, StatusMessage, StatusRecord
from clearing.names import PROBE
from clearing.observe import collect, metrics
from clearing.observe.behaviour import JUDGED_FROM_S
from clearing.observe.round_trip import MESSAGE
from clearing.observe.sampler import Sampler, sampler
from clearing.reading import partitions
from clearing.views.model import LagSample, StageLag
from tests.faults.harness import scheme, settings_of

WAIT_S = 120
BANK = "ALPHHKHH"


@pytest.fixture(scope="module")
async def settings(
    bootstrap: str, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """An installation of two netting sets at which nobody is at work."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE lag")
    await admin.close()
    folder = tmp_path_factory.mktemp("lag")
    made = settings_of(bootstrap, postgres.dsn_of("lag"), "lag-", folder)
    await prepare(made, scheme(), by="test")
    return made


async def seen(one: Sampler, condition: Callable[[LagSample], bool], what: str) -> LagSample:
    """Sample until it is as it should be."""
    deadline = time.monotonic() + WAIT_S
    while not condition(sample := await one.sample()):
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}; it is {sample}"
        await asyncio.sleep(0.5)
    return sample


def of(sample: LagSample, stage: str, bank: str = "", netting_set: str = "east") -> StageLag:
    (found,) = (
        lag
        for lag in sample.stages
        if (lag.stage, lag.bank, lag.netting_set) == (stage, bank, netting_set)
        and (stage != "intake" or bank or lag.topic.endswith("commands"))
    )
    return found


async def test_nobody_at_work_is_stopped_and_unknown_money_is_no_zero(settings: Settings) -> None:
    async with Bank(
        settings.bootstrap, BANK, netting_set="east", prefix=settings.topic_prefix
    ) as bank:
        for at in range(3):
            await bank.pay("BETAHKHH", "HKD", "1250.00", end_to_end_id=f"LAG-{at}")
    async with sampler(settings) as one:
        sample = await seen(
            one, lambda s: of(s, "intake", BANK).status == "STOPPED", "intake stopped"
        )
    lag = of(sample, "intake", BANK)
    assert (lag.records, lag.money, lag.money_is_estimate) == (3, {}, True)
    assert lag.seconds is not None
    assert lag.seconds >= JUDGED_FROM_S
    assert lag.drain_s is None
    assert lag.retention_used is not None
    assert 0 < lag.retention_used < 0.01
    assert of(sample, "engine").status == "OK"  # the log is empty
    assert sample.outlooks == []  # no engine has opened a window


@pytest.fixture
async def services(settings: Settings, tmp_path: Path) -> AsyncIterator[None]:
    counts = {"intake": 1, "engine": 1, "dispatch": 1, "sink": 1}
    async with supervised(settings, tmp_path, counts) as running:
        await running.ready()
        yield


async def test_there_and_back_and_netted_nowhere(settings: Settings, services: None) -> None:
    """R28: the engine answers the same message again; nothing else has heard of it."""
    topics = settings.topics
    async with sampler(settings, probing=True) as one:
        sample = await seen(
            one,
            lambda s: (
                s.probe is not None
                and s.probe.round_trip_ms is not None
                and bool(s.outlooks)
                and of(s, "engine").records == 0
            ),
            "a probe that is back",
        )
        probe = sample.probe
        assert probe is not None
        assert probe.seen_at_ms is not None
        assert probe.round_trip_ms == probe.seen_at_ms - probe.sent_at_ms >= 0
        assert sample.clock_skew_ms is not None
        assert abs(sample.clock_skew_ms) < 5_000  # broker and we share a clock
        metrics.tell(sample, one.positions)
        nets = [s for m in metrics.position_net.collect() for s in m.samples]
        assert nets
        assert all(s.value == 0 for s in nets)
    async with partitions(settings.bootstrap, "test") as reader:
        east = of(sample, "engine").partition
        for topic in (topics.rejected, topics.positions, topics.settlements):
            chunks = reader.chunks(TopicPartition(topic, east))
            values = [
                record.value or b"" for records in [c async for c in chunks] for record in records
            ]
            assert not [value for value in values if PROBE.encode() in value]
    said = [status async for status in _answers(settings)]
    assert {(s.id, s.status, s.reason, s.amount) for s in said} == {
        (MESSAGE.id, "RJCT", "NOOR", "")
    }
    # The first line of status is the outlook of the window that is worst off, in a sentence.
    report = await collect(settings)
    assert report.outlooks
    assert all(" window " in outlook.sentence for outlook in report.outlooks)
    # The doctor asks a real broker for all of it; this one is alone, and lets everybody in.
    findings = await examine(settings)
    found = {(one.check, one.verdict) for one in findings}
    assert {(one.check, one.text) for one in findings if one.text.startswith("cannot be")} == set()
    assert {check for check, _ in found} == set(CHECKS)
    assert {("brokers", "warn"), ("acls", "warn")} <= found
    right = {"topics", "transactions", "lag", "disk", "ledger", "versions"}
    assert right <= {check for check, verdict in found if verdict != "fail"}, findings
    assert [one.fix for one in findings if one.check == "services"] == ["clearing views"]


async def _answers(settings: Settings) -> AsyncIterator[PaymentStatus]:
    decode = msgspec.json.Decoder(StatusMessage).decode
    status = TopicPartition(settings.topics.status(PROBE), 0)
    async with partitions(settings.bootstrap, "test") as reader:
        async for records in reader.chunks(status):
            for record in records:
                message = decode(record.value or b"")
                assert isinstance(message, StatusRecord)
                for one in message.statuses:
                    yield one


async def test_who_hangs_is_named_and_what_waits_is_counted(settings: Settings) -> None:
    """F8: no lag shows behind a transaction that nobody ends; its producer is the culprit."""
    topics, name = settings.topics, f"{settings.topic_prefix}somebody-else"
    foreign = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap, transactional_id=name, transaction_timeout_ms=600_000
    )
    async with foreign as producer, sampler(settings) as one:
        before = await one.sample()
        partition = of(before, "dispatch").partition
        await producer.begin_transaction()
        await producer.send_and_wait(topics.outcomes, b"open", partition=partition)
        sample = await seen(
            one,
            lambda s: of(s, "dispatch").status == "HUNG_TXN" and bool(of(s, "dispatch").culprit),
            "the culprit",
        )
        assert of(sample, "dispatch").culprit.startswith(f"{name} (epoch ")
        assert of(sample, "engine").status == "OK"
        await producer.abort_transaction()
