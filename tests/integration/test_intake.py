"""Intake workers against a real broker: what is published stands in the log, each source exactly covered."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar
from uuid import UUID

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from aiokafka.consumer import fetcher
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer import sender

from clearing import kafka
from clearing.config import Settings
from clearing.core.commands import CloseWindow, Confirmation
from clearing.core.inputs import LogRecord
from clearing.core.reasons import Code
from clearing.intake import metrics, worker
from clearing.intake.sources import Stop
from clearing.log import records
from clearing.messages import DirectoryEntry
from clearing.names import Topics

T = TypeVar("T")
ALPHA, BETA = "ALPHHKHH", "BETAHKHH"


class Cluster:
    """An installation's topics under a prefix of their own, a plain producer and the log read back."""

    def __init__(self, bootstrap: str, prefix: str, producer: AIOKafkaProducer) -> None:
        self.settings = Settings(bootstrap=bootstrap, topic_prefix=prefix)
        self.bootstrap = bootstrap
        self.topics: Topics = self.settings.topics
        self.producer = producer

    async def create(self, *names: str, partitions: int = 1) -> None:
        async with kafka.administration(self.bootstrap) as admin:
            await admin.create_topics([NewTopic(name, partitions, 1) for name in names])

    async def enter(self, netting_set: str, partition: int) -> None:
        """Give a netting set its partition, in the directory."""
        entry = DirectoryEntry(netting_set=netting_set, partition=partition)
        await self.producer.send_and_wait(
            self.topics.netting_sets, msgspec.json.encode(entry), netting_set.encode()
        )

    async def publish(self, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
        sent = [
            await self.producer.send(topic, value, key=b"-", partition=partition)
            for value in values
        ]
        await asyncio.gather(*sent)

    async def log(self, partition: int = 0) -> list[LogRecord]:
        """Everything in one partition of the log."""
        where = TopicPartition(self.topics.log, partition)
        async with kafka.started(kafka.consumer(self.bootstrap)) as reader:
            reader.assign([where])
            return [
                records.read(record.key, record.value or b"", record.offset, record.timestamp)
                async for record in kafka.read_to_end(reader, where)
            ]

    async def committed(self, topic: str) -> int | None:
        async with kafka.started(
            kafka.consumer(self.bootstrap, group=self.topics.group("intake"))
        ) as reader:
            where = TopicPartition(topic, 0)
            reader.assign([where])
            return await reader.committed(where)


@pytest.fixture
async def cluster(bootstrap: str, topic_prefix: str) -> AsyncIterator[Cluster]:
    async with kafka.started(kafka.producer(bootstrap, linger_ms=5)) as producer:
        made = Cluster(bootstrap, topic_prefix, producer)
        topics = made.topics
        await made.create(topics.netting_sets)
        await made.create(topics.log, topics.commands, topics.confirmations, partitions=2)
        await made.create(topics.payments("hk", ALPHA), topics.payments("hk", BETA))
        await made.enter("hk", 0)
        yield made


@pytest.fixture(params=["as it is", "tuned"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """aiokafka untouched, and with raw records as the services run it; put back afterwards."""
    monkeypatch.setattr(
        fetcher.PartitionRecords, "_consumer_record", fetcher.PartitionRecords._consumer_record
    )
    monkeypatch.setattr(sender, "BACKOFF_OVERRIDE", sender.BACKOFF_OVERRIDE)
    if request.param == "tuned":
        kafka.tune_client()
    return request.param


@asynccontextmanager
async def intake(cluster: Cluster) -> AsyncIterator[asyncio.Task[None]]:
    """A worker in this process, ready; cancelled at the end."""
    ready = asyncio.Event()
    task = asyncio.create_task(worker.run(cluster.settings, ready.set))
    try:
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED, timeout=30)
        waiting.cancel()
        assert ready.is_set(), task
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def payment(number: int, **changes: object) -> bytes:
    fields = {
        "type": "payment",
        "id": str(UUID(int=number, version=4)),
        "debtor": ALPHA,
        "creditor": BETA,
        "asset": "HKD",
        "amount": "1.00",
        "value_date": "2026-03-02",
        "end_to_end_id": f"E{number}",
    }
    return json.dumps(fields | changes).encode()


def row_sources(log: Sequence[LogRecord]) -> list[tuple[str, int]]:
    """(topic, offset) of every payment row, in log order."""
    return [
        (record.sources[source].topic, offset)
        for record in log
        if record.payments is not None
        for source, offset in zip(
            record.payments.source.tolist(), record.payments.source_offset.tolist(), strict=True
        )
    ]


def assert_covered(log: Sequence[LogRecord]) -> dict[str, int]:
    """No span leaves a gap (R30), every row is within its span; returns where each source stands."""
    reached: dict[str, int] = {}
    for record in log:
        for span in record.sources:
            key = f"{span.topic}-{span.partition}"
            assert span.start <= reached.get(key, 0), f"a gap in {key}"
            assert span.start < span.end
            reached[key] = max(reached.get(key, 0), span.end)
        if record.payments is not None:
            rows = record.payments
            for source, offset in zip(rows.source, rows.source_offset, strict=True):
                assert record.sources[source].start <= offset < record.sources[source].end
    return reached


async def until(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], bound_s: float = 30
) -> T:
    deadline = time.monotonic() + bound_s
    while not holds(found := await ask()):
        assert time.monotonic() < deadline, f"not in time; last seen: {found!r:.2000}"
        await asyncio.sleep(0.05)
    return found


def has_rows(count: int) -> Callable[[list[LogRecord]], bool]:
    return lambda log: len(row_sources(log)) >= count


@pytest.mark.usefixtures("client")
async def test_what_a_plain_producer_publishes_stands_in_the_log(cluster: Cluster) -> None:
    """R30: every record once, in its source's order, under spans that cover both topics from 0 on."""
    alpha, beta = (cluster.topics.payments("hk", bank) for bank in (ALPHA, BETA))
    await cluster.publish(alpha, [payment(n) for n in range(500)])
    async with intake(cluster):
        await cluster.publish(
            beta, [payment(1000 + n, debtor=BETA, creditor=ALPHA) for n in range(500)]
        )
        log = await until(cluster.log, has_rows(1000))
        assert await until(lambda: cluster.committed(alpha), lambda offset: offset == 500) == 500
    assert assert_covered(log) == {f"{alpha}-0": 500, f"{beta}-0": 500}
    assert sorted(row_sources(log)) == [(t, n) for t in (alpha, beta) for n in range(500)]
    rows = [row for record in log if (row := record.payments)]
    assert all(not row.reject.any() for row in rows)
    assert {name for row in rows for name in row.participants} == {ALPHA, BETA}


async def test_restart_without_a_commit_reads_again_under_the_right_spans(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F15: what was not committed is written twice, from the position it really was read from."""
    alpha = cluster.topics.payments("hk", ALPHA)
    await cluster.publish(alpha, [payment(n) for n in range(100)])
    with monkeypatch.context() as patched:
        patched.setattr(worker._Session, "_commit", _nothing)
        async with intake(cluster):
            await until(cluster.log, has_rows(100))
    assert await cluster.committed(alpha) is None
    async with intake(cluster):
        log = await until(cluster.log, has_rows(200))
    assert assert_covered(log) == {f"{alpha}-0": 100}
    assert row_sources(log) == [(alpha, n) for n in range(100)] * 2
    again = next(r for r in log if r.sources[0].start == 0 and r.offset > log[0].offset)
    assert again.payments is not None
    assert again.payments.source_offset[0] == 0
    async with intake(cluster):
        await cluster.publish(alpha, [payment(100)])
        log = await until(cluster.log, has_rows(201))
    assert row_sources(log)[-1] == (alpha, 100)
    assert log[-1].sources[0].start == 100  # committed: nothing was read a third time


async def _nothing(self: object) -> None:
    pass


async def test_workers_come_and_go_and_every_record_stands_in_the_log(cluster: Cluster) -> None:
    """Rebalances under way lose nothing and leave no gap; two workers share the sources (F3, F15)."""
    banks = [f"BANK{n:02d}XX" for n in range(6)]
    names = [cluster.topics.payments("hk", bank) for bank in banks]
    await cluster.create(*names)
    published = 0

    async def publish_all(count: int) -> None:
        nonlocal published
        for _ in range(count):
            named = zip(names, banks, strict=True)
            await asyncio.gather(
                *(cluster.publish(name, [payment(published, debtor=bank)]) for name, bank in named)
            )
            published += len(banks)

    async with AsyncExitStack() as first:
        await first.enter_async_context(intake(cluster))
        await publish_all(40)
        async with intake(cluster):
            publishing = asyncio.create_task(publish_all(400))
            await until(
                lambda: members(cluster), lambda found: sorted(map(bool, found)) == [True, True]
            )
            await first.aclose()  # the first one leaves while they are publishing
            await publishing
            await until(lambda: members(cluster), lambda found: len(found) == 1)
            await publish_all(20)
            wanted = {(name, n) for name in names for n in range(published // len(names))}
            log = await until(cluster.log, lambda log: wanted <= set(row_sources(log)))
    reached = assert_covered(log)
    assert reached == {f"{name}-0": published // len(names) for name in names}
    assert set(row_sources(log)) == wanted


async def members(cluster: Cluster) -> list[int]:
    """Number of partitions of each member of the group."""
    async with kafka.administration(cluster.bootstrap) as admin:
        [answer] = await admin.describe_consumer_groups([cluster.topics.group("intake")])
    groups = answer.to_object()["groups"]
    assignments = [member["member_assignment"] for group in groups for member in group["members"]]
    return [
        len(ConsumerProtocolMemberAssignment.decode(assigned).partitions()) if assigned else 0
        for assigned in assignments
    ]


async def test_garbage_becomes_reject_rows_and_disturbs_nobody(cluster: Cluster) -> None:
    """Nothing vanishes at the door: reason, hash and source position stand in the log."""
    alpha, beta = (cluster.topics.payments("hk", bank) for bank in (ALPHA, BETA))
    garbage: list[tuple[bytes | None, Code]] = [
        (None, Code.EMPTY),
        (b"", Code.EMPTY),
        (b"\xff\xfe", Code.ENCODING),
        (b"[" * 100_000, Code.SYNTAX),
        (payment(1)[:-1] + b',"amount":"2.00"}', Code.DUPLICATE_KEY),
        (payment(1, amount="1e2"), Code.AMOUNT_SYNTAX),
        (payment(1, id="x"), Code.ID),
    ]
    async with intake(cluster):
        await cluster.publish(beta, [payment(2)])
        await cluster.publish(alpha, [value for value, _ in garbage])
        await cluster.publish(alpha, [payment(3)])
        log = await until(cluster.log, has_rows(len(garbage) + 2))
    assert_covered(log)
    refused = {
        (
            record.sources[record.payments.source[row]].topic,
            int(record.payments.source_offset[row]),
        ): Code(reject.code)
        for record in log
        if record.payments is not None
        for row, reject in record.payments.rejects.items()
    }
    assert refused == {(alpha, n): code for n, (_, code) in enumerate(garbage)}
    assert {(alpha, len(garbage)), (beta, 0)} <= set(row_sources(log)) - set(refused)


async def test_commands_and_confirmations_go_to_their_netting_sets_partition(
    cluster: Cluster,
) -> None:
    """Control enters by the log too, in order, and what cannot be read says why."""
    await cluster.enter("us", 1)
    command = {"type": "close_window", "id": "c1", "by": "operator"}
    confirmation = {
        "type": "confirmation",
        "ledger": "postgres",
        "batch": "b",
        "hash": "h",
        "status": "POSTED",
    }
    async with intake(cluster):
        for partition in (0, 1):
            await cluster.publish(
                cluster.topics.commands,
                [json.dumps(command).encode(), b'{"type":"close_window","id":"c\\n2","by":"x"}'],
                partition,
            )
        await cluster.publish(cluster.topics.confirmations, [json.dumps(confirmation).encode()], 1)
        both = [
            await until(
                lambda partition=partition: cluster.log(partition),
                lambda log, wanted=wanted: sum(len(record.control) for record in log) >= wanted,
            )
            for partition, wanted in ((0, 2), (1, 3))
        ]
    for partition, log in enumerate(both):
        assert_covered(log)
        items = [
            (record.sources[item.source].topic, record.sources[item.source].partition, item)
            for record in log
            for item in record.control
        ]
        commands = [
            item
            for topic, at, item in items
            if topic == cluster.topics.commands and at == partition
        ]
        assert [item.message for item in commands] == [CloseWindow(id="c1", by="operator"), None]
        assert commands[1].reject is not None
        assert commands[1].reject.code == Code.CHARACTER
        others = [item.message for topic, _, item in items if topic == cluster.topics.confirmations]
        assert others == ([msgspec.convert(confirmation, Confirmation)] if partition == 1 else [])


async def test_a_netting_set_that_is_not_in_the_directory_yet_is_waited_for(
    cluster: Cluster,
) -> None:
    """A topic that appears while intake runs is found, and loses nothing to the wait."""
    early = cluster.topics.payments("us", ALPHA)
    alpha = cluster.topics.payments("hk", ALPHA)
    async with intake(cluster):
        await cluster.create(early)
        await cluster.publish(early, [payment(n) for n in range(10)])
        await until(_waiting, lambda waiting: waiting >= 1)
        await cluster.publish(alpha, [payment(100)])
        assert row_sources(await until(cluster.log, has_rows(1))) == [(alpha, 0)]
        assert await cluster.log(1) == []
        await cluster.enter("us", 1)
        log = await until(lambda: cluster.log(1), has_rows(10))
    assert row_sources(log) == [(early, n) for n in range(10)]
    assert assert_covered(log) == {f"{early}-0": 10}


async def _waiting() -> float:
    return metrics.sources_waiting._value.get()


def _stopped(reason: Stop) -> Callable[[], Awaitable[float]]:
    async def read() -> float:
        return metrics.sources_stopped.labels(reason)._value.get()

    return read


@pytest.mark.parametrize(
    ("committed", "deleted", "reason"),
    [
        (50, 0, Stop.BEYOND_END),  # its tail is lost
        (2, 5, Stop.BELOW_START),  # retention has passed what was not read
        (None, 5, Stop.START_UNKNOWN),
    ],
)
async def test_a_position_that_is_gone_stops_that_source_alone(
    cluster: Cluster, committed: int | None, deleted: int, reason: Stop
) -> None:
    """F14: never skip, never reset; loud, and the other sources go on."""
    alpha, beta = (cluster.topics.payments("hk", bank) for bank in (ALPHA, BETA))
    where = TopicPartition(alpha, 0)
    await cluster.publish(alpha, [payment(n) for n in range(10)])
    if committed is not None:
        group = kafka.consumer(cluster.bootstrap, group=cluster.topics.group("intake"))
        async with kafka.started(group) as reader:
            reader.assign([where])
            await reader.commit({where: committed})
    if deleted:
        async with kafka.administration(cluster.bootstrap) as admin:
            await admin.delete_records({where: RecordsToDelete(deleted)})
    async with intake(cluster) as task:
        await until(_stopped(reason), lambda count: count == 1)
        await cluster.publish(beta, [payment(100)])
        log = await until(cluster.log, has_rows(1))
        assert not task.done()
    assert row_sources(log) == [(beta, 0)]
    assert await cluster.committed(alpha) == committed


async def test_what_the_log_has_is_not_read_again_where_it_was_never_committed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def commit(self: kafka.Consumer, offsets: object) -> None:
        raise KafkaError("no")

    monkeypatch.setattr(kafka.Consumer, "commit", commit)
    monkeypatch.setattr(worker, "METADATA_AGE_MS", 500)
    alpha, gamma = (cluster.topics.payments("hk", bank) for bank in (ALPHA, "GAMMHKHH"))
    await cluster.publish(alpha, [payment(n) for n in range(3)])
    async with intake(cluster):
        await until(cluster.log, has_rows(3))
        await cluster.create(gamma)  # every source is dealt anew
        await cluster.publish(gamma, [payment(100)])
        await until(cluster.log, lambda log: (gamma, 0) in row_sources(log))
        await cluster.publish(alpha, [payment(3)])
        log = await until(cluster.log, lambda log: (alpha, 3) in row_sources(log))
    assert row_sources(log) == [*((alpha, n) for n in range(3)), (gamma, 0), (alpha, 3)]


async def test_a_source_that_cannot_be_looked_up_stops_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those it is asked about together with begin; it begins when the broker speaks of it again."""
    alpha, beta = (cluster.topics.payments("hk", bank) for bank in (ALPHA, BETA))
    told = kafka.Consumer.beginning_offsets
    forbidden = {alpha}

    async def beginning_offsets(
        self: kafka.Consumer, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        if topics := {partition.topic for partition in partitions} & forbidden:
            raise TopicAuthorizationFailedError(*topics)
        return await told(self, partitions)

    monkeypatch.setattr(kafka.Consumer, "beginning_offsets", beginning_offsets)
    monkeypatch.setattr(worker, "RETRY_INTERVAL_S", 3.0)
    await cluster.publish(alpha, [payment(1)])
    await cluster.publish(beta, [payment(2)])
    async with intake(cluster) as task:
        await until(_stopped(Stop.UNREACHABLE), lambda count: count == 1)
        log = await until(cluster.log, has_rows(1))
        assert row_sources(log) == [(beta, 0)]
        forbidden.clear()
        log = await until(cluster.log, has_rows(2))
        assert row_sources(log) == [(beta, 0), (alpha, 0)]
        await until(_stopped(Stop.UNREACHABLE), lambda count: count == 0)
        assert not task.done()


@pytest.mark.parametrize("seen", [True, False], ids=["while it is read", "while nobody reads"])
async def test_a_topic_that_was_made_again_stops_that_source_alone(
    cluster: Cluster, seen: bool
) -> None:
    """F14: its records are others than those that were read at these offsets; the group remembers its id."""
    alpha, beta = (cluster.topics.payments("hk", bank) for bank in (ALPHA, BETA))
    where = TopicPartition(alpha, 0)
    await cluster.publish(alpha, [payment(n) for n in range(10)])
    async with kafka.administration(cluster.bootstrap) as admin:
        async with intake(cluster) as task:
            await until(cluster.log, has_rows(10))
            await until(lambda: cluster.committed(alpha), lambda offset: offset == 10)
            if seen:
                await admin.delete_topics([alpha])
                await until(admin.list_topics, lambda names: alpha not in names)
                await cluster.create(alpha)
                await cluster.publish(alpha, [payment(200 + n) for n in range(20)])
                await until(_stopped(Stop.RECREATED), lambda count: count == 1)
                # Remembered for who comes next: Kafka forgot it with the topic. (20, not 10, where the new
                # one's records from 10 on were read before it was known for another.)
                await until(lambda: cluster.committed(alpha), lambda offset: offset in (10, 20))
                assert not task.done()
        if not seen:
            async with kafka.started(
                kafka.consumer(cluster.bootstrap, group=cluster.topics.group("intake"))
            ) as group:
                group.assign([where])
                _, read_as = (await kafka.committed(group, [where]))[where]
                assert read_as
                await group.commit({where: (10, "another-topic-id")})
    async with intake(cluster):
        await until(_stopped(Stop.RECREATED), lambda count: count == 1)
        await cluster.publish(beta, [payment(100)])
        log = await until(cluster.log, lambda log: (beta, 0) in row_sources(log))
    rows = row_sources(log)
    assert len(set(rows)) == len(rows)  # nothing below what was read is taken for what was read
    assert [row for row in rows if row[1] < 10] == [*((alpha, n) for n in range(10)), (beta, 0)]


async def test_transaction_markers_and_aborted_records_leave_no_gap(cluster: Cluster) -> None:
    """Offsets are sparse: spans go by positions, so a bank may publish in transactions (R30)."""
    alpha = cluster.topics.payments("hk", ALPHA)
    identity = f"{cluster.topics.prefix}bank"
    async with kafka.started(kafka.producer(cluster.bootstrap, transactional_id=identity)) as bank:
        for n in range(3):
            await bank.begin_transaction()
            await bank.send_and_wait(alpha, payment(n), partition=0)
            await (bank.abort_transaction() if n == 1 else bank.commit_transaction())
        async with intake(cluster):
            await until(lambda: cluster.committed(alpha), lambda offset: offset == 6)
        await bank.begin_transaction()
        await bank.send_and_wait(alpha, payment(3), partition=0)
        await bank.commit_transaction()
        async with intake(cluster):  # goes on behind the marker
            log = await until(cluster.log, has_rows(3))
            await until(lambda: cluster.committed(alpha), lambda offset: offset == 8)
        log = await cluster.log()
    assert row_sources(log) == [(alpha, 0), (alpha, 4), (alpha, 6)]
    assert assert_covered(log) == {f"{alpha}-0": 8}


async def test_an_error_of_the_log_rebuilds_everything_and_loses_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F6: after a refused log record nothing behind it is sent; reading starts again from the last word."""
    alpha = cluster.topics.payments("hk", ALPHA)
    send = AIOKafkaProducer.send
    failures = 0

    async def failing(
        self: AIOKafkaProducer, topic: str, *args: object, **options: object
    ) -> asyncio.Future[object]:
        nonlocal failures
        if topic == cluster.topics.log and failures < 2:
            failures += 1
            refused: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            refused.set_exception(MessageSizeTooLargeError("refused by the test"))
            return refused
        return await send(self, topic, *args, **options)

    monkeypatch.setattr(AIOKafkaProducer, "send", failing)
    monkeypatch.setattr(worker, "BACKOFF_S", (0.1,))
    lost = metrics.sessions_lost._value.get()
    async with intake(cluster):
        await cluster.publish(alpha, [payment(n) for n in range(50)])
        log = await until(cluster.log, has_rows(50))
    assert metrics.sessions_lost._value.get() == lost + 2
    assert assert_covered(log) == {f"{alpha}-0": 50}
    assert row_sources(log) == [(alpha, n) for n in range(50)]


async def test_without_its_log_topic_intake_says_so(bootstrap: str, topic_prefix: str) -> None:
    """A clear error at the start, and no topic made by asking for it."""
    settings = Settings(bootstrap=bootstrap, topic_prefix=topic_prefix)
    with pytest.raises(UnknownTopicOrPartitionError, match=f"{topic_prefix}log"):
        await asyncio.wait_for(worker.run(settings), 30)
    async with kafka.administration(bootstrap) as admin:
        assert f"{topic_prefix}log" not in await admin.list_topics()
