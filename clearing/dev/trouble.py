"""Scenes in which something goes wrong beside the story: a zombie that is fenced out, a ledger that is late.

Both are to be seen in the console as they happen; both must change nothing.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced

from clearing import __version__, kafka
from clearing.dev.stage import Stage
from clearing.messages_views import Heartbeat, HeartbeatState, Served, encode, heartbeat_key

ZOMBIE = "engine-zombie"
ZOMBIE_ASSET = "EUR"  # of a netting set apart from that of the story
AGAIN_S = 0.25
LATE_S = 2.0  # long enough to be seen, short enough not to hold up the demo


async def trouble(stage: Stage) -> None:
    """One after the other."""
    await late_ledger(stage)
    await zombie(stage)


async def late_ledger(stage: Stage) -> None:
    """The sink stands still for a while: its batches wait and nobody else does; then each is posted, once."""
    drill = stage.drill
    progress, services = drill.watch.progress, drill.services
    sink = services.of("sink")[0]
    services.pause(sink)
    try:
        stage.say(f"late ledger: {sink} stands still, its batches wait (PENDING); clearing goes on")
        await stage.until(lambda: progress.unconfirmed > 0, "a batch to wait for the ledger")
        began = time.monotonic()
        await asyncio.sleep(LATE_S)
        late = progress.batches.keys() - progress.confirmed
    finally:
        services.resume(sink)
    await stage.until(lambda: late <= progress.confirmed, "the ledger to catch up")
    took_s = time.monotonic() - began
    stage.keep(
        f"late ledger: {len(late)} batches waited up to {took_s:.1f} s, and were posted once each"
    )


async def zombie(stage: Stage) -> None:
    """F2: a second engine takes a netting set over, and writes on when it has long been taken back: it cannot.

    It is not of the group, so nobody stops it but Kafka: whoever was fenced in last owns it, every other one's
    commit is refused. What it says is that it lives, as engines do, so that it stands in the console.
    """
    netting_set = stage.netting_set(ZOMBIE_ASSET)
    engine, settings = stage.drill.services.of("engine")[0], stage.drill.settings
    topic = settings.topics.heartbeats
    async with _second_engine(stage, netting_set) as (producer, epoch):
        stage.say(
            f"zombie: a second engine takes {netting_set} over (epoch {epoch}); {engine} is fenced out at its next "
            "commit, and takes it back"
        )
        fenced: list[str] = []

        async def write_on() -> None:
            while not fenced:
                try:
                    await _commit(producer, topic, _beat(netting_set, epoch, "ready"))
                except (ProducerFenced, InvalidProducerEpoch) as error:
                    fenced.append(type(error).__name__)
                await asyncio.sleep(AGAIN_S)

        writing = asyncio.create_task(write_on())
        try:
            await stage.until(lambda: bool(fenced) or writing.done(), "the zombie to be fenced out")
        finally:
            writing.cancel()
            await asyncio.wait([writing])
        stage.check(bool(fenced), "the zombie's commit is refused", writing)
    async with kafka.started(
        kafka.producer(settings.bootstrap, client=f"clearing-{ZOMBIE}")
    ) as leaving:
        beat = _beat(netting_set, epoch, "stopping")
        await leaving.send_and_wait(topic, encode(beat), key=heartbeat_key(beat), partition=0)
    stage.keep(
        f"zombie: {engine} has taken {netting_set} back, the second engine's commit was refused"
    )


@asynccontextmanager
async def _second_engine(
    stage: Stage, netting_set: str
) -> AsyncIterator[tuple[AIOKafkaProducer, int]]:
    """Its producer, which has fenced the owner out, and its epoch."""
    settings = stage.drill.settings
    producer = kafka.producer(
        settings.bootstrap,
        client=f"clearing-{ZOMBIE}",
        transactional_id=settings.topics.transactional_id(netting_set),
    )
    try:
        await producer.start()
        assert producer._txn_manager is not None, "a producer with a transactional id has one"
        yield producer, producer._txn_manager.producer_epoch
    finally:
        await kafka.discard(producer, AGAIN_S)


def _beat(netting_set: str, epoch: int, state: HeartbeatState) -> Heartbeat:
    now_ms = time.time_ns() // 1_000_000
    return Heartbeat(
        service="engine",
        instance=ZOMBIE,
        host="demo",
        pid=os.getpid(),
        version=__version__,
        started_at_ms=now_ms,
        at_ms=now_ms,
        state=state,
        netting_sets={netting_set: Served(epoch=epoch, owned_since_ms=now_ms, next_offset=None)},
        details={},
    )


async def _commit(producer: AIOKafkaProducer, topic: str, said: Heartbeat) -> None:
    """A transaction as an engine's, of a heartbeat alone. Raises ProducerFenced, InvalidProducerEpoch."""
    await producer.begin_transaction()
    sent = await producer.send(topic, encode(said), key=heartbeat_key(said), partition=0)
    await producer.flush()
    await sent
    await producer.commit_transaction()
