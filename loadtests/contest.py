"""The comparison: all of ours together and each peer, warm, over the same payments, in turns.

The payments of a round are published before it and can be read all at once; so nobody waits for a producer.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import psutil
from aiokafka.admin import NewTopic

from clearing import kafka
from clearing.core.money import parse
from clearing.dev.jars import JarError
from loadtests.figures import ROLES, Together
from loadtests.meter import STALL_S, Stalled, cpu_seconds
from loadtests.peers import streams
from loadtests.peers.peer import Peer, Source
from loadtests.peers.work import AssetRule, PeerFailed, Round, Work
from loadtests.publish import held, in_process_of_its_own
from loadtests.session import POLL_S, PUBLISH_TIMEOUT_S, Mark, Session
from loadtests.workloads import WORKLOADS

SERVICES = tuple(f"{role}-1" for role in ROLES)
# name → part of a round's payments: the slow ones get fewer, so that all take about the same time.
PEERS: Mapping[str, float] = {
    "streams-memory": 1.0,
    "streams-rocksdb": 1.0,
    "streams-hash": 1.0,
    "streams-filtered": 1.0,
    "plain": 0.4,
    "faust": 0.1,
}
USUAL = ("streams-memory", "streams-rocksdb", "streams-hash", "plain", "faust")
READER = "reader"


@dataclass(slots=True)
class Field:
    """Those that take part. missing: peer → why it does not, or not to the end."""

    peers: dict[str, Peer]
    reader: Peer | None
    missing: dict[str, str] = field(default_factory=dict[str, str])

    async def close(self) -> None:
        """End all their processes."""
        for peer in (*self.peers.values(), self.reader):
            if peer is not None:
                await peer.close()


async def field_of(session: Session, names: tuple[str, ...]) -> Field:
    """The peers of these names, and Kafka's own consumer; nothing is started yet."""
    found = Field({}, None)
    home = None
    try:
        home = await streams.install(_downloads(session))
    except (JarError, PeerFailed, OSError) as error:
        session.note(f"no Kafka Streams and no consumer of Kafka's own: {error}")
        found.missing |= {name: str(error) for name in names if name.startswith("streams-")}
    for name in names:
        kind, _, variant = name.partition("-")
        work, folder = _work(session, name), session.folder / "peers" / name
        if kind == "streams":
            if home is not None:
                command = home.command(work, variant, folder)
                found.peers[name] = Peer(name, work, command, folder)
        else:
            module = {"plain": "loadtests.peers.plain", "faust": "loadtests.peers.faust_app"}[name]
            command = [sys.executable, "-m", module, msgspec.json.encode(work).decode()]
            found.peers[name] = Peer(name, work, command, folder, lasting=name != "faust")
    if home is not None:
        work, folder = _work(session, READER), session.folder / "peers" / READER
        found.reader = Peer(READER, work, home.command(work, "memory", folder), folder)
    return found


def _downloads(session: Session):
    def progress(there: int, total: int) -> None:
        if there == total:
            session.note(f"downloaded Kafka Streams, the first time only: {total} files")

    return progress


def _work(session: Session, name: str) -> Work:
    """The same banks and rules as ours."""
    netting_set = session.netting_set(WORKLOADS["uniform"])
    rules: dict[str, AssetRule] = {}
    for account in session.scheme.accounts_of(netting_set):
        scale = session.scales[account.asset]
        amounts = (
            parse(amount or "0", scale) for amount in (account.prefunded, account.net_debit_cap)
        )
        rules[account.asset] = AssetRule(scale, sum(units or 0 for units in amounts))
    settings = session.made.settings
    return Work(
        bootstrap=settings.bootstrap,
        name=f"{settings.topic_prefix}peer-{name}",
        banks=list(session.scheme.members[netting_set]),
        assets=rules,
        kafka_pid=session.kafka_pid,
    )


async def sources(session: Session, names: tuple[str, ...]) -> dict[str, Source]:
    """Peer → its input; those of the same size share one."""
    made: dict[int, Source] = {}
    found: dict[str, Source] = {}
    for name in names:
        payments = int(session.options.payments * PEERS[name])
        if payments not in made:
            session.note(f"publishing {payments:,} payments for peers")
            topic = f"{session.made.settings.topic_prefix}peers-{payments}"
            async with kafka.administration(session.made.settings.bootstrap) as admin:
                await admin.create_topics([NewTopic(topic, 1, 1)])
            order = session.order("uniform", payments, topic)
            published = await in_process_of_its_own(order, PUBLISH_TIMEOUT_S)
            made[payments] = published.source(topic)
        found[name] = made[payments]
    return found


async def compare(
    session: Session, others: Field, until_s: float
) -> tuple[list[Together], dict[str, list[Round]]]:
    """Rounds of ours and of each peer in turns, the first of each to warm up. until_s: begin no other round then.

    A peer that fails is left out from there on. Raises Invalid.
    """
    inputs = await sources(session, tuple(others.peers))
    names = ["ours", *others.peers]
    ours: list[Together] = []
    rounds: dict[str, list[Round]] = {name: [] for name in others.peers}
    for number in range(session.options.rounds + 1):
        began = time.monotonic()
        what = f"round {number} of {session.options.rounds}" if number else "round to warm up"
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            session.note(f"{what}: {name}")
            if name == "ours":
                made = await together(session, "uniform", session.options.payments)
                session.note(_said(made.payments, made.seconds, made.ours_s))
                ours.append(made)
                continue
            peer = others.peers[name]
            if name in others.missing or (number == 0 and not peer.lasting):
                continue
            try:
                found = await peer.round(inputs[name])
            except PeerFailed as error:
                session.note(str(error))
                others.missing[name] = str(error)
            else:
                session.note(_said(found.payments, found.seconds, found.cpu_s))
                if number:
                    rounds[name].append(found)
        now = time.monotonic()
        if number and now + (now - began) > until_s:
            break
    return ours[1:], {name: found for name, found in rounds.items() if found}


def _said(payments: int, seconds: float, cpu_s: float) -> str:
    return f"  {payments / seconds:,.0f} payments/s, {1e6 * cpu_s / payments:.2f} µs of CPU each"


async def together(session: Session, workload: str, payments: int) -> Together:
    """One round of ours, all services at work. Raises Invalid, Stalled."""
    async with held(session.order(workload, payments), PUBLISH_TIMEOUT_S) as banks:
        published = banks.published
        session.plan.add(published.tally())
        mark = Mark(session, await session.told())
        before = _cpu(session)
        began = time.monotonic()
        await banks.release()
        moved, since = -1, began
        while (told := await mark.told()) < published.rows:
            if told != moved:
                moved, since = told, time.monotonic()
            elif time.monotonic() - since > STALL_S:
                raise Stalled(
                    f"{workload}: {told:,} of {published.rows:,} rows are told, and no more"
                )
            await asyncio.sleep(POLL_S)
        seconds = time.monotonic() - began
        await session.until("windows to settle", lambda: session.watch.progress.all_settled)
        settled_s, after = time.monotonic() - began, _cpu(session)
    await mark.gate(workload, published, settled=True)
    return Together(
        workload=workload,
        payments=published.rows,
        seconds=seconds,
        settled_s=settled_s,
        cpu_s={name: after[name] - before[name] for name in before},
        memory_bytes=_memory(session),
    )


def _cpu(session: Session) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, pids)) for name, pids in session.groups().items()}


def _memory(session: Session) -> int:
    groups = session.groups()
    return sum(psutil.Process(pid).memory_info().rss for role in ROLES for pid in groups[role])
