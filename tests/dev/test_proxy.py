"""The proxies, with a real broker behind them: what a client sees of each fault, and what the broker has done."""

import asyncio
import gc
import re
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidTxnState,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.produce import ProduceRequest_v2, ProduceRequest_v7

from clearing import kafka
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.process import accepts
from clearing.dev.proxy import KafkaProxy, TcpProxy
from clearing.dev.proxy_rules import Api, ErrorCode, Request, error_answer

PRODUCER_FENCED_OR_OLD = {ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.PRODUCER_FENCED}


@pytest.fixture(scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[EmbeddedKafka, KafkaProxy]]:
    folder = tmp_path_factory.mktemp("proxied")
    async with (
        KafkaProxy() as proxy,
        EmbeddedKafka(folder, heap_mib=256, proxy_port=proxy.port) as broker,
    ):
        proxy.upstream = broker.behind_proxy
        yield broker, proxy


@pytest.fixture
async def broker(world: tuple[EmbeddedKafka, KafkaProxy]) -> EmbeddedKafka:
    return world[0]


@pytest.fixture
async def proxy(world: tuple[EmbeddedKafka, KafkaProxy]) -> AsyncIterator[KafkaProxy]:
    yield world[1]
    await world[1].heal()


@pytest.fixture
async def topic(broker: EmbeddedKafka, request: pytest.FixtureRequest) -> str:
    name = re.sub("[^a-z_]", ".", request.node.name.lower())
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()
    return name


class Producer(AIOKafkaProducer):
    """Through the proxy, and quick to doubt."""

    def __init__(self, proxy: KafkaProxy, client: str = "one", **options: Any) -> None:
        options = {"request_timeout_ms": 1_000, "retry_backoff_ms": 20, **options}
        super().__init__(bootstrap_servers=proxy.bootstrap, client_id=client, **options)


async def committed(broker: EmbeddedKafka, topic: str) -> list[bytes | None]:
    """What a read_committed reader sees, up to the last stable offset."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, isolation_level="read_committed"
    ) as reader:
        reader.assign([partition])
        end = (await reader.end_offsets([partition]))[partition]
        reader.seek(partition, 0)
        found: list[bytes | None] = []
        while await reader.position(partition) < end:
            batches = await reader.getmany(partition, timeout_ms=200)
            found += [record.value for record in batches.get(partition, [])]
        return found


async def until_committed(broker: EmbeddedKafka, topic: str, *values: bytes) -> None:
    """A commit is acknowledged before its markers stand in the partitions."""
    async with asyncio.timeout(10):
        while (found := await committed(broker, topic)) != list(values):
            assert len(found) <= len(values), found
            await asyncio.sleep(0.02)


async def fails(what: Awaitable[object], *errors: type[Exception]) -> None:
    with pytest.raises(errors):
        await asyncio.wait_for(what, 5)


async def test_clients_stay_on_the_proxy_for_everything(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    seen: list[str] = []
    for api in Api:
        proxy.on_request(api, lambda one: seen.append(Api(one.request.api).name), times=None)
    patient = Producer(proxy, transactional_id=topic, request_timeout_ms=20_000)
    async with patient as producer, producer.transaction():
        await producer.send_and_wait(topic, b"a")
    await until_committed(broker, topic, b"a")
    assert {"METADATA", "FIND_COORDINATOR", "INIT_PRODUCER_ID", "ADD_PARTITIONS_TO_TXN"} < set(seen)
    assert seen[-2:] == ["PRODUCE", "END_TXN"]
    await proxy.cut()
    await fails(Producer(proxy).start(), KafkaConnectionError)


async def test_lost_response_is_asked_again_and_nothing_doubles(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    async with Producer(proxy, enable_idempotence=True) as producer:
        lost = proxy.drop_response(Api.PRODUCE)
        sent = await producer.send_and_wait(topic, b"a")
        assert sent.offset == 0
        assert len(lost.hits) == 1
        assert lost.hits[0].decode_response().topics[0][1][0][1] == 0, "the broker had taken it"
    await until_committed(broker, topic, b"a")


async def test_lost_request_never_reaches_the_broker(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    async with Producer(proxy, enable_idempotence=True) as producer:
        lost = proxy.drop_request(Api.PRODUCE, times=None)
        sent = await producer.send(topic, b"a")
        await lost.hit()
        assert await committed(broker, topic) == []
        proxy.remove(lost)
        await asyncio.wait_for(sent, 5)
    assert all(exchange.response is None for exchange in lost.hits)
    await until_committed(broker, topic, b"a")


async def test_rule_acts_on_the_ones_it_names(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    second = proxy.on_request(Api.PRODUCE, lambda _: None, client="tw*", skip=1)
    large = proxy.on_request(
        Api.PRODUCE, lambda _: None, times=None, where=lambda request: len(request.frame) > 900
    )
    async with Producer(proxy, "one") as one, Producer(proxy, "two") as two:
        for producer in (one, two):
            for value in (b"a", b"b", b"c" * 1_000):
                await producer.send_and_wait(topic, value)
    assert [exchange.request.client for exchange in second.hits] == ["two"]
    assert b"b" in second.hits[0].request.frame
    assert [exchange.request.client for exchange in large.hits] == ["one", "two"]


async def test_delays_hold_until_released(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    async with Producer(proxy, request_timeout_ms=20_000) as producer:
        for delay in (proxy.delay_request, proxy.delay_response):
            held = delay(Api.PRODUCE)
            sent = await producer.send(topic, b"a")
            await held.hit()
            await asyncio.sleep(0.05)
            assert not sent.done()
            assert len(await committed(broker, topic)) == (2 if held.on_response else 0)
            proxy.remove(held)
            await asyncio.wait_for(sent, 5)
        proxy.delay_request(Api.PRODUCE, 0.3)
        began = time.monotonic()
        await producer.send_and_wait(topic, b"a")
        assert time.monotonic() - began >= 0.3


async def test_delayed_end_of_a_transaction_hits_the_next_one_of_the_same_epoch(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:  # why the engine takes a new epoch after every doubt (F4)
    async with Producer(proxy, transactional_id=topic) as producer:
        held = proxy.delay_request(Api.END_TXN)
        async with producer.transaction():
            await producer.send_and_wait(topic, b"first")
        # aiokafka has timed out, and asked again on another connection: committed. Now the next one.
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"half of the second")
        await until_committed(broker, topic, b"first")
        held.release()
        await until_committed(broker, topic, b"first", b"half of the second")
        assert held.hits[0].decode_response().error_code == 0


async def test_delayed_end_of_a_fenced_epoch_does_nothing(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:  # F4
    held = proxy.delay_request(Api.END_TXN)
    async with Producer(proxy, transactional_id=topic) as first:
        await first.begin_transaction()
        await first.send_and_wait(topic, b"never")
        await fails(asyncio.wait_for(first.commit_transaction(), 0.3), TimeoutError)
        async with Producer(proxy, transactional_id=topic) as second, second.transaction():
            await second.send_and_wait(topic, b"one")
            held.release()
            await held.hits[0].answered.wait()
            await second.send_and_wait(topic, b"two")
    assert held.hits[0].decode_response().error_code in PRODUCER_FENCED_OR_OLD
    await until_committed(broker, topic, b"one", b"two")


async def test_closed_before_the_broker_knows_nothing_closed_after_it_has_done_it(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    # Not idempotent: what is sent twice stands there twice.
    async with Producer(proxy) as producer:
        before = proxy.close_before(Api.PRODUCE)
        await producer.send_and_wait(topic, b"before")
        after = proxy.close_after(Api.PRODUCE)
        await producer.send_and_wait(topic, b"after")
    assert len(before.hits) == len(after.hits) == 1
    await until_committed(broker, topic, b"before", b"after", b"after")


async def test_error_answers_are_understood_and_the_broker_never_asked(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    async with Producer(proxy, transactional_id=topic) as producer:
        await producer.begin_transaction()
        refused = proxy.answer(Api.PRODUCE, ErrorCode.MESSAGE_TOO_LARGE)
        await fails(producer.send_and_wait(topic, b"a"), MessageSizeTooLargeError)
        assert refused.hits[0].response is None
        await producer.abort_transaction()
        await producer.begin_transaction()
        proxy.answer(Api.ADD_PARTITIONS_TO_TXN, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        # aiokafka goes on to produce, which the broker refuses: it knows of no such partition.
        sent = await producer.send(topic, b"b")
        await fails(sent, TopicAuthorizationFailedError, InvalidTxnState)
    async with Producer(proxy, transactional_id=topic) as producer:
        # These it sends again by itself.
        busy = proxy.answer(Api.ADD_PARTITIONS_TO_TXN, ErrorCode.CONCURRENT_TRANSACTIONS, times=3)
        short = proxy.answer(Api.PRODUCE, ErrorCode.NOT_ENOUGH_REPLICAS, times=2)
        async with producer.transaction():
            await producer.send_and_wait(topic, b"c")
        assert (len(busy.hits), len(short.hits)) == (3, 2)
        proxy.answer(Api.END_TXN, ErrorCode.INVALID_TXN_STATE)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"d")
        await fails(producer.commit_transaction(), KafkaError)
    proxy.answer(Api.INIT_PRODUCER_ID, ErrorCode.CONCURRENT_TRANSACTIONS)
    async with Producer(proxy, transactional_id=topic):
        pass  # fences, and what was left open is gone
    await until_committed(broker, topic, b"c")


async def test_falsified_answer_hides_what_the_broker_has_done(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    async with Producer(proxy) as producer:
        proxy.falsify(Api.PRODUCE, ErrorCode.MESSAGE_TOO_LARGE)
        await fails(producer.send_and_wait(topic, b"a"), MessageSizeTooLargeError)
    await until_committed(broker, topic, b"a")


async def test_half_open_is_silent_until_the_client_gives_up(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    one_options = {"enable_idempotence": True}  # else it gives up instead of asking again
    async with Producer(proxy, "one", **one_options) as one, Producer(proxy, "two") as two:
        await one.send_and_wait(topic, b"a")
        await proxy.half_open("one")
        sent = await one.send(topic, b"b")
        await two.send_and_wait(topic, b"c")
        await asyncio.sleep(0.1)
        assert not sent.done()
        await proxy.heal()
        await asyncio.wait_for(sent, 10)
    await until_committed(broker, topic, b"a", b"c", b"b")


@pytest.mark.parametrize(
    ("api", "code", "error"),
    [
        (
            Api.ADD_PARTITIONS_TO_TXN,
            ErrorCode.TOPIC_AUTHORIZATION_FAILED,
            TopicAuthorizationFailedError,
        ),
        (Api.PRODUCE, ErrorCode.TOPIC_AUTHORIZATION_FAILED, TopicAuthorizationFailedError),
        (Api.END_TXN, ErrorCode.INVALID_TXN_STATE, InvalidTxnState),
    ],
)
async def test_a_transaction_that_is_refused_says_why(
    broker: EmbeddedKafka,
    proxy: KafkaProxy,
    topic: str,
    api: Api,
    code: ErrorCode,
    error: type[KafkaError],
) -> None:  # F6
    proxy.answer(api, code)
    producer = kafka.producer(proxy.bootstrap, client="one", transactional_id=topic)
    try:
        await producer.start()
        await fails(kafka.transact(producer, [kafka.TopicRecord(topic, 0, None, b"a")], 5), error)
    finally:
        await kafka.discard(producer, 1)
    assert await committed(broker, topic) == []


async def test_a_discarded_producer_is_quiet(
    proxy: KafkaProxy, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One that could not send is not to go on trying behind its owner's back."""
    gc.collect()  # what earlier tests have left is not to be heard here
    caplog.clear()
    before = asyncio.all_tasks()
    for lost in (proxy.half_open, proxy.cut, None):
        producer = kafka.producer(proxy.bootstrap, client="one", transactional_id=topic)
        await producer.start()
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open")
        if lost is not None:
            await lost("one")
        else:
            proxy.answer(Api.PRODUCE, ErrorCode.NOT_ENOUGH_REPLICAS, times=None)
        sent = await producer.send(topic, b"never")
        await asyncio.sleep(0.05)
        await asyncio.wait_for(kafka.discard(producer, 0.1), 5)
        assert sent.done()
        assert isinstance(sent.exception(), KafkaError)
        await proxy.heal()
    asked = [
        proxy.on_request(api, lambda _: None, client="one", times=None)
        for api in (Api.PRODUCE, Api.METADATA, Api.INIT_PRODUCER_ID)
    ]
    await asyncio.sleep(0.3)
    assert not any(rule.hits for rule in asked)
    del sent, producer
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]
    left = {str(task.get_coro()) for task in asyncio.all_tasks() - before}
    assert not [name for name in left if "Sender." in name or "AIOKafkaProducer." in name], left


async def test_cut_by_client_and_reset(
    broker: EmbeddedKafka, proxy: KafkaProxy, topic: str
) -> None:
    async with Producer(proxy, "one") as one, Producer(proxy, "two") as two:
        for value in (b"a", b"b"):
            await one.send_and_wait(topic, value)
            assert await proxy.reset("one") >= 1
        await proxy.cut("one")
        await fails(Producer(proxy, "one").start(), KafkaConnectionError)
        await two.send_and_wait(topic, b"c")
        await proxy.cut()
        assert not await accepts(proxy.port)
        sent = await one.send(topic, b"d")
        await proxy.heal()
        await asyncio.wait_for(sent, 10)
    await until_committed(broker, topic, b"a", b"b", b"c", b"d")


async def test_throttle_lets_so_many_bytes_pass() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, TcpProxy(server.sockets[0].getsockname()) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await proxy.throttle(100)
        began = time.monotonic()
        writer.write(b"x" * 50)
        assert await reader.readexactly(50) == b"x" * 50
        assert time.monotonic() - began >= 0.4
        await proxy.throttle(0)
        writer.write(b"y" * 50)
        await fails(asyncio.wait_for(reader.read(1), 0.1), TimeoutError)
        await proxy.heal()
        assert await reader.readexactly(50) == b"y" * 50
        await proxy.reset()
        await fails(reader.read(1), ConnectionResetError)
        writer.close()


def test_a_request_that_wants_no_answer_is_known(tmp_path: Path) -> None:
    for acks in (0, 1, -1):
        old = ProduceRequest_v2(acks, 1_000, [])
        new = ProduceRequest_v7("transactional", acks, 1_000, [])
        for request in (old, new):
            header = request.build_request_header(correlation_id=7, client_id="c")
            parsed = Request.parse(header.encode() + request.encode())
            assert parsed.answered is (acks != 0)
            assert (parsed.client, parsed.correlation) == ("c", 7)


def test_an_answer_that_is_not_known_is_refused() -> None:
    header = bytes.fromhex("0001000400000007") + b"\0\x01c"  # Fetch v4
    with pytest.raises((AssertionError, KeyError, ValueError)):
        error_answer(Request.parse(header), ErrorCode.NOT_COORDINATOR)
