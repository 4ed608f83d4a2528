"""The one place where Kafka clients are built. Loops take them as arguments; nothing starts at import.

Facts about aiokafka 0.14 that this module answers for: read_committed everywhere; raw records (building
a ConsumerRecord is half of the cost of reading); a short back-off after a commit.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition, codec, conn
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    IllegalOperation,
    InvalidTxnState,
    KafkaConnectionError,
    KafkaError,
)
from aiokafka.producer import sender
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import RecordMetadata

from clearing import failpoints, security, sending
from clearing.consuming import Consumer, fetch_at_a_pace
from clearing.fetching import hand_out_lists
from clearing.metadata import learn
from clearing.records import Record

_log = structlog.get_logger()

# A connection on which a request is not answered for so long is taken for dead, and a new one is made. Nothing here
# asks a broker to wait nearly as long, and aiokafka's own 40 s would be as long a stall.
REQUEST_TIMEOUT_MS = 15_000
METADATA_AGE_MS = 10_000  # who leads what is asked anew that often, and whenever an answer says that it has changed
CANCEL_AGAIN_S = 8.0  # longer than anything here takes to close
BATCH_BYTES = (
    1 << 20
)  # of the records of one partition that are sent together; a larger one goes alone
ZSTD_LEVEL = 1
MAX_RECORD_BYTES = 16 << 20  # the broker's and every topic's limit in topics.toml is at most this
# Of one partition in an answer, and a few times that of all: bounds memory, and how long one source that floods
# keeps the others waiting (F18). More at once costs more: it leaves the processor's cache between the socket and
# its use. A record batch that is larger is given whole nevertheless. This counts what travels: what it unpacks to
# is bounded by the topic alone, whose broker stores what comes from outside unpacked and measures it then
# (topics.toml).
FETCH_BYTES = 1 << 20
# For banks and ledgers, who may be at the end of a slow line: what is asked for at once has to come within the
# request's time-out, or it is asked for in vain again and again.
AT_A_DISTANCE: dict[str, Any] = {"fetch_max_bytes": FETCH_BYTES}


_aiokafka_send = conn.AIOKafkaConnection.send


class RawRecord(Record, Protocol):
    """What every reader here uses of a record; aiokafka's own low-level record has it."""

    @property
    def key(self) -> bytes | None: ...


def tune_client() -> None:
    """Process-wide tuning of aiokafka; each service calls it once before it builds clients.

    Records are handed out as aiokafka parsed them (RawRecord), by the list, instead of being copied into a
    ConsumerRecord each: topic and partition are known from getmany() anyway. What is produced goes to the socket in
    pieces (clearing.sending). BACKOFF_OVERRIDE: after a commit the next AddPartitionsToTxn meets
    CONCURRENT_TRANSACTIONS and is retried after this many seconds. Level 1 of zstd makes log records as small as
    level 3, which aiokafka would take, for two thirds of what that costs: much in them is chance.
    """
    hand_out_lists()
    fetch_at_a_pace()
    sender.BACKOFF_OVERRIDE = 0.001
    codec.zstd_encode.__defaults__ = (ZSTD_LEVEL,)
    conn.AIOKafkaConnection.send = _send


def _send(self: conn.AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    """aiokafka's send, on a connection that may have been reset since anybody looked.

    There uvloop's transport raises a RuntimeError, where asyncio's says nothing: it is no bug in us, that would
    halt us, but a broken connection.
    """
    try:
        if expect_response and isinstance(request, ProduceRequest):
            return sending.send(self, request)
        return _aiokafka_send(self, request, expect_response)
    except KafkaError:  # these are RuntimeErrors too
        raise
    except RuntimeError as error:
        if self._writer is None or not self._writer.is_closing():
            raise
        self.close(reason=conn.CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken") from error


def consumer(
    bootstrap: str,
    *topics: str,
    group: str | None = None,
    instance: str = "",
    client: str = "clearing",
    secured: security.Security | None = None,
    **options: Any,
) -> Consumer:
    """A read_committed consumer that commits nothing by itself and fails on an offset out of range.

    secured: how the cluster is reached, None: as all clients of this process (clearing.security).

    instance: static group membership. A process that is killed and restarted under the same name gets its
    partitions back in milliseconds instead of after the session timeout.
    """
    settings: dict[str, Any] = {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "max_partition_fetch_bytes": FETCH_BYTES,
        "fetch_max_bytes": 4 * FETCH_BYTES,
        "fetch_max_wait_ms": 100,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": 50,
        "metadata_max_age_ms": METADATA_AGE_MS,
        **(secured or security.in_use()).arguments(),
    }
    if instance:
        settings["group_instance_id"] = instance
    return Consumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id=client,
        **(settings | options),
    )


class Producer(AIOKafkaProducer):
    """aiokafka's, which says why it could not begin."""

    async def start(self) -> None:
        async with security.explained(self.client):
            await super().start()


def producer(
    bootstrap: str,
    *,
    client: str = "clearing",
    secured: security.Security | None = None,
    **options: Any,
) -> AIOKafkaProducer:
    """An idempotent producer, acks from all in-sync replicas. secured: see consumer()."""
    settings: dict[str, Any] = {
        "enable_idempotence": True,
        "acks": "all",
        "linger_ms": 0,
        "max_batch_size": BATCH_BYTES,
        "max_request_size": MAX_RECORD_BYTES,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": 20,
        **(secured or security.in_use()).arguments(),
    }
    return Producer(bootstrap_servers=bootstrap, client_id=client, **(settings | options))


Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer)


@asynccontextmanager
async def started(client: Client, *topics: str) -> AsyncIterator[Client]:
    """Start a client and stop it, also when its start failed half-way. topics: those it will work on, which have to
    be there; who leads them it then knows."""
    try:
        await client.start()
        # Stopped before its tasks ever ran, a consumer raises CancelledError.
        await asyncio.sleep(0)
        await learn(client, topics)
        yield client
    finally:
        if isinstance(client, AIOKafkaConsumer):
            await _end_fetches(client)
        await client.stop()


async def _end_fetches(consumer: AIOKafkaConsumer) -> None:
    """Before aiokafka's stop() does it: that one passes on the CancelledError of a fetch that it has cancelled
    while it waits to be tried again, as all do when the broker is away. Whoever stops a consumer would then end as
    if he had been cancelled himself, without a word, and nobody would begin again in his place.
    """
    fetcher = consumer._fetcher
    if fetcher is None:
        return
    pending: set[asyncio.Task[object]] = fetcher._pending_tasks
    for task in (fetcher._fetch_task, *pending):
        task.cancel()
    await asyncio.wait([fetcher._fetch_task, *pending])
    pending.clear()


@asynccontextmanager
async def administration(
    bootstrap: str, *, client: str = "clearing", secured: security.Security | None = None
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started administration client. It reports most refusals in its answers, not by raising. secured: see
    consumer()."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap,
        client_id=client,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        **(secured or security.in_use()).arguments(),
    )
    try:
        async with security.explained(admin._client):
            await admin.start()
        yield admin
    finally:
        await admin.close()


async def committed(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, tuple[int | None, str]]:
    """What the group has committed of each partition (None: nothing), and the metadata beside it. One request."""
    coordinator = consumer._coordinator
    assert isinstance(coordinator, GroupCoordinator), "a consumer without a group commits nothing"
    found = await coordinator.fetch_committed_offsets(partitions)
    known = {place: (one.offset, one.metadata) for place, one in found.items() if one.offset >= 0}
    return {partition: known.get(partition, (None, "")) for partition in partitions}


async def read_to_end(
    reader: AIOKafkaConsumer,
    partition: TopicPartition,
    start: int | None = None,
    end: int | None = None,
) -> AsyncIterator[RawRecord]:
    """Records of one assigned partition from `start` (None: its first) to `end` (None: its end as of the call).

    Ends by position, not by offset: the last thing in a partition may be a transaction marker, which is no
    record. The end is the last stable offset under read_committed.
    """
    last = (await reader.end_offsets([partition]))[partition] if end is None else end
    if start is None:
        start = (await reader.beginning_offsets([partition]))[partition]
    reader.seek(partition, start)
    while await reader.position(partition) < last:
        batches = await reader.getmany(partition, timeout_ms=200)
        for record in batches.get(partition, ()):
            if record.offset < last:
                yield record


Result = TypeVar("Result")


async def ended(
    tasks: Collection[asyncio.Task[Result]], again_s: float = CANCEL_AGAIN_S
) -> list[Result | BaseException]:
    """Cancel tasks that use these clients, and wait until they have ended: their results or errors.

    They are cancelled again every again_s: aiokafka loses a cancellation that comes while it closes a client, and
    whoever waits for the task would then wait for ever: a group that deals its partitions anew, for one.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_s)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def discard(client: AIOKafkaProducer, timeout_s: float) -> None:
    """Throw a producer away, within a bound: what it could not send in time is nobody's loss any more.

    aiokafka's stop() flushes first. Cancelled there, it leaves its sender behind, which would go on for ever with
    what nobody waits for, on new connections.
    """
    unsent = client._message_accumulator
    batches = {
        *unsent._pending_batches,
        *(one for all_ in unsent._batches.values() for one in all_),
    }
    stop = asyncio.create_task(client.stop())
    await asyncio.wait([stop], timeout=timeout_s)
    if not stop.done():
        await _end(stop)
        await _end(client._sender.sender_task)
        # What was to be sent again is not among the pending ones, from where its end removes it.
        unsent._pending_batches.update(one for queue in unsent._batches.values() for one in queue)
        unsent.fail_all(KafkaError("the producer was discarded"))
        await client.client.close()
    elif not stop.cancelled() and (error := stop.exception()) is not None:
        _log.debug("producer_discarded", error=repr(error))
    for batch in batches:
        if batch._drain_waiter.done():
            batch._drain_waiter.exception()  # nobody waits for it: not to be logged as never retrieved


async def _end(task: asyncio.Task[None] | None) -> None:
    """Cancel until it has ended: a sender that is cancelled once waits for every request on its way."""
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.01)


class TopicRecord(NamedTuple):
    """What a transaction writes."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


async def transact(
    producer: AIOKafkaProducer, records: Sequence[TopicRecord], timeout_s: float
) -> list[RecordMetadata]:
    """Begin, send all, await every send, commit, under one deadline; all or nothing.

    Raises ProducerFenced where another producer has the transactional id now, KafkaError or TimeoutError in
    any other doubt: the producer is then of no use any more (DESIGN.md §2).
    """
    sent: list[asyncio.Future[RecordMetadata]] = []
    try:
        async with asyncio.timeout(timeout_s):
            await producer.begin_transaction()
            failpoints.at("transact.begun")
            for topic, partition, key, value in records:
                future = await producer.send(topic, value, key=key, partition=partition)
                future.add_done_callback(_seen)
                sent.append(future)
            failpoints.at("transact.sent")
            # commit_transaction() would commit even if a send had failed: only the futures know.
            stored = await asyncio.gather(*sent)
            failpoints.at("transact.acknowledged")
            await producer.commit_transaction()
            failpoints.at("transact.committed")
            return stored
    except (IllegalOperation, AssertionError) as error:
        # Fenced between two calls, aiokafka only says that it is in no state for this; the sender knows why.
        raise _death(producer) or KafkaError(str(error)) from error
    except KafkaError as error:
        if (reason := _reason(producer, error)) is not error:
            raise reason from error
        raise


async def end_over(
    producer: AIOKafkaProducer,
    partitions: Iterable[TopicPartition],
    timeout_s: float,
    *,
    commit: bool,
) -> None:
    """A transaction without records that touches these partitions: its markers end, this way or that, what was open
    there before under the same producer id. Raises like `transact`."""
    assert producer._txn_manager is not None, "a producer with a transactional id has one"
    async with asyncio.timeout(timeout_s):
        await producer.begin_transaction()
        for partition in partitions:
            producer._txn_manager.maybe_add_partition_to_txn(partition)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


def _reason(producer: AIOKafkaProducer, error: KafkaError) -> BaseException:
    """What is behind an error: of a topic that may not be written any more aiokafka tells the transaction, and goes
    on until the broker calls its state invalid; what its sender did not expect it wraps."""
    assert producer._txn_manager is not None, "a producer with a transactional id has one"
    ended = producer._txn_manager._transaction_waiter
    if type(error) is InvalidTxnState and ended is not None and ended.done():
        return ended.exception() or error
    if type(error) is KafkaError and isinstance(error.__cause__, KafkaError):
        return error.__cause__
    return error


def _death(producer: AIOKafkaProducer) -> BaseException | None:
    """What ended the producer's sender, None while it lives."""
    task = producer._sender.sender_task
    return task.exception() if task and task.done() and not task.cancelled() else None


def _seen(sent: asyncio.Future[RecordMetadata]) -> None:
    """Where one send fails nobody waits for the others: their errors are the same one."""
    if not sent.cancelled():
        sent.exception()
