"""Each stage alone over the same backlog, so that each has the machine (and the broker) to itself."""

from collections.abc import Awaitable, Callable

import msgspec
from aiokafka import AIOKafkaProducer

from clearing import kafka
from clearing.dev.banks import send
from clearing.dev.drill import close_windows
from loadtests.figures import Stages
from loadtests.meter import Measured, measure
from loadtests.peers.peer import Peer
from loadtests.peers.work import PeerFailed
from loadtests.publish import held, run_module
from loadtests.raw import Read, Reading
from loadtests.session import PUBLISH_TIMEOUT_S, READY_TIMEOUT_MS, Mark, Session
from loadtests.workloads import WORKLOADS, Workload, made

CLOSINGS = 40  # windows closed one after the other, so that the sink has enough to be measured by
ROWS_PER_CLOSING = 4  # of each bank


async def stages(
    session: Session, workload: Workload, payments: int, own_consumer: Peer | None
) -> Stages:
    """One pass over a workload: raw, intake, engine, dispatch. Raises Invalid."""
    session.note(f"{workload.name}: {payments:,} payments, {workload.says}")
    starts = await session.starts(session.netting_set(workload))
    mark = Mark(session, await session.told())

    async def logged() -> int:
        return mark.logged

    async def cleared() -> int:
        return mark.cleared

    # Intake stands ready when its payments can be read.
    session.services.start("intake-1")
    await session.services.ready("intake-1", timeout_ms=READY_TIMEOUT_MS)
    async with held(session.order(workload.name, payments), PUBLISH_TIMEOUT_S) as banks:
        published = banks.published
        session.plan.add(published.tally())
        await banks.release()
        intake = await measure("intake", "payments", published.rows, logged, session.groups)
    await session.services.stop("intake-1")
    reading = Reading(bootstrap=session.made.settings.bootstrap, starts=starts)
    raw = await run_module("loadtests.raw", reading, Read, PUBLISH_TIMEOUT_S)
    own = await _own_consumer(session, own_consumer, published.records, starts)
    found = [
        intake,
        await alone(session, "engine", published.rows, cleared),
        await alone(session, "dispatch", published.rows, mark.told),
    ]
    await mark.gate(workload.name, published, settled=False)
    return Stages(
        workload=workload.name,
        says=workload.says,
        payments=published.rows,
        records=published.records,
        size_bytes=published.size_bytes,
        log_bytes=mark.log_bytes,
        raw=raw,
        own_consumer=own,
        stages=found,
    )


async def _own_consumer(
    session: Session, reader: Peer | None, records: int, starts: dict[str, int]
) -> Read | None:
    """What Kafka's own consumer takes for it, warm: it has read the same before."""
    if reader is None:
        return None
    words = ("read", records, *(f"{topic}:{offset}" for topic, offset in starts.items()))
    try:
        await reader.ask(*words)
        return msgspec.json.decode(await reader.ask(*words), type=Read)
    except PeerFailed as error:
        session.note(str(error))
        return None


async def alone(
    session: Session,
    role: str,
    total: int,
    progress: Callable[[], Awaitable[int]],
    unit: str = "payments",
) -> Measured:
    """Run one role until `total` is done, and stop it."""
    name = f"{role}-1"
    session.services.start(name)
    await session.services.ready(name, timeout_ms=READY_TIMEOUT_MS)
    measured = await measure(role, unit, total, progress, session.groups)
    await session.services.stop(name)
    return measured


async def sink(session: Session) -> Measured:
    """The sink alone over the batches of many small windows, and whatever waits for it already."""
    session.note(f"closing {CLOSINGS} windows of each asset, for the sink")
    settings, progress, names = (
        session.made.settings,
        session.watch.progress,
        ("intake-1", "engine-1"),
    )
    uniform = WORKLOADS["uniform"]
    order = session.order("uniform", 0)
    ours = made(
        uniform, session.scheme, session.netting_set(uniform), order.payments_in_all, order.seed
    )
    session.services.start(*names)
    before = session.plan.rows
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, enable_idempotence=True)
    async with kafka.started(producer):
        for number in range(CLOSINGS):
            for stream in ours:
                topic = settings.topics.payments(stream.netting_set, stream.bank)
                await send(producer, topic, stream.take(ROWS_PER_CLOSING))
            goal = before + sum(stream.tally.rows for stream in ours)
            await session.until("a window", lambda goal=goal: progress.cleared >= goal)
            await close_windows(settings, session.partitions, f"closing-{number}")
    for stream in ours:
        session.plan.add(stream.tally)
    accepted = session.plan.outcomes["accepted"]
    await session.until("windows to close", lambda: progress.in_batches >= accepted)
    await session.services.stop(*names)
    posted = await session.posted()
    entries = sum(progress.batches.values()) - posted

    async def done() -> int:
        return await session.posted() - posted

    return await alone(session, "sink", entries, done, "entries")
