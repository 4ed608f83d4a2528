"""`python -m loadtests.views`: do the views keep up? What the engine says at so many payments a second, folded.

Twice: the folds alone, on one core, without a broker; and the whole of it, `clearing views` over real Kafka: a
backlog that one process of the views has to catch up with, while somebody looks on at the console.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import numpy as np
import psutil
from aiokafka import AIOKafkaProducer
from cyclopts import App, Parameter
from rich.console import Console

from clearing import kafka
from clearing.config import Settings
from clearing.core.outputs import Outcomes, WindowEvent
from clearing.core.reasons import Code
from clearing.dev.console import PEOPLE, demo_console
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.services import Services, supervised
from clearing.log.records import EVENT_KEY, OUTCOMES_KEY, encode_outcomes
from clearing.messages import DirectoryEntry
from clearing.messages_views import ActivityView, decode_activity
from clearing.names import Topics
from clearing.observe.views import Latest
from clearing.reading import partitions
from clearing.topics.cluster import apply_plan
from clearing.views.projection import Projection, Record
from loadtests.looking_on import Seen, looking_on

NETTING_SET, PARTITION = "load", 0
START_MS = 1_760_000_000_000
WANTED_PER_S = 200_000
BATCH_RECORDS = 500  # of one transaction
BOUND_S = 600.0

app = App(name="python -m loadtests.views", help_format="markdown")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """records: of `outcomes`, each of so many rows. caught_up_s: from the start of a process of the views until all
    payments are shown; cpu_us: of that process, a payment. looked: what somebody at the console was told."""

    records: int
    rows: int
    payments: int
    folds_records_per_s: float
    folds_payments_per_s: float
    caught_up_s: float
    records_per_s: float
    payments_per_s: float
    cpu_us: float
    looked: Seen


@app.default
def views(
    *,
    payments: int = 10_000_000,
    rows: int = 500,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure; exit code 1 if the whole is slower than 200,000 payments/s.

    Parameters
    ----------
    payments
        How many payments the engine has told of.
    rows
        How many of them in one record. An engine at 200,000 payments/s writes 500 to 4,000.
    json
        Print the figures as JSON.
    """
    figures = asyncio.run(_measure(payments, rows))
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
    else:
        _show(figures)
    return 0 if figures.payments_per_s >= WANTED_PER_S else 1


def _show(found: Figures) -> None:
    console = Console()
    console.print(f"{found.records:,} records of {found.rows:,} payments each")
    console.print(
        f"folds alone      {found.folds_records_per_s:>9,.0f} records/s  "
        f"{found.folds_payments_per_s:>13,.0f} payments/s"
    )
    console.print(
        f"clearing views   {found.records_per_s:>9,.0f} records/s  {found.payments_per_s:>13,.0f} payments/s  "
        f"({found.caught_up_s:.1f} s, {found.cpu_us:.3f} µs of CPU a payment)"
    )
    looked = found.looked
    console.print(
        f"console beside it: {looked.overviews} overviews, at most {looked.apart_s:.1f} s apart, of data at most "
        f"{looked.old_s:.1f} s old; {looked.pages} pages"
    )


def said(records: int, rows: int) -> Iterator[tuple[str, bytes, bytes]]:
    """(topic, key, value) of what an engine says: outcomes, and a journal event with every tenth."""
    random = np.random.default_rng(1)
    codes = random.choice(
        np.array([Code.ACCEPTED, Code.QUEUED, Code.LIQUIDITY], np.uint8), rows, p=[0.97, 0.02, 0.01]
    )
    repeat = np.zeros(rows, np.bool_)
    for number in range(records):
        time_ms = START_MS + number * 1_000 * rows // WANTED_PER_S
        value = encode_outcomes(NETTING_SET, Outcomes(number, time_ms, codes, repeat, {"HKD": 1}))
        yield "outcomes", OUTCOMES_KEY, value
        if number % 10 == 0:
            yield "journal", EVENT_KEY, msgspec.json.encode(_event(number, time_ms))


def _event(number: int, time_ms: int) -> WindowEvent:
    window, state = number // 20 + 1, "SETTLED" if number // 10 % 2 else "OPEN"
    return WindowEvent(
        netting_set=NETTING_SET, log_offset=number, time_ms=time_ms, asset="HKD", window=window,
        version=1, state=state, opened_at_ms=time_ms, cutoff_ms=time_ms,
    )  # fmt: skip


async def _measure(payments: int, rows: int) -> Figures:
    records = max(1, payments // rows)
    folds_s = _folds_alone(min(records, 5_000), rows)
    with TemporaryDirectory(prefix="views-") as folder:
        async with EmbeddedKafka(Path(folder) / "kafka") as server:
            settings = Settings(bootstrap=server.bootstrap, probe_every_s=0)
            await apply_plan(server.bootstrap, settings.topics, {})
            await _publish(settings, records, rows)
            caught_up_s, cpu_s, looked = await _catch_up(settings, Path(folder), records * rows)
    return Figures(
        records=records,
        rows=rows,
        payments=records * rows,
        folds_records_per_s=1 / folds_s,
        folds_payments_per_s=rows / folds_s,
        caught_up_s=caught_up_s,
        records_per_s=records / caught_up_s,
        payments_per_s=records * rows / caught_up_s,
        cpu_us=cpu_s * 1e6 / (records * rows),
        looked=looked,
    )


class _Nothing:
    def known(self, netting_set: str) -> list[msgspec.Struct]:
        return []


def _folds_alone(records: int, rows: int) -> float:
    """Seconds a record of `outcomes`, decoding included."""
    read = [
        Record(topic, PARTITION, number, key, value)
        for number, (topic, key, value) in enumerate(said(records, rows))
        if topic == "outcomes"
    ]
    views = ("windows", "batches", "activity", "rejects", "audit")
    projection = Projection({view: _Nothing() for view in views})
    began_s = time.perf_counter()
    for start in range(0, len(read), BATCH_RECORDS):
        projection.outcomes(read[start : start + BATCH_RECORDS])
    return (time.perf_counter() - began_s) / len(read)


async def _publish(settings: Settings, records: int, rows: int) -> None:
    """As the engine does, in transactions."""
    entry = DirectoryEntry(netting_set=NETTING_SET, partition=PARTITION)
    producer = kafka.producer(settings.bootstrap, transactional_id="load")
    async with kafka.started(producer), _transactions(producer) as send:
        await send(settings.topics.netting_sets, NETTING_SET.encode(), msgspec.json.encode(entry))
        for topic, key, value in said(records, rows):
            await send(getattr(settings.topics, topic), key, value)


@asynccontextmanager
async def _transactions(producer: AIOKafkaProducer):
    """Yields what sends a record; BATCH_RECORDS of them share a transaction."""
    sent: list[asyncio.Future[object]] = []

    async def flush() -> None:
        await asyncio.gather(*sent)
        sent.clear()
        await producer.commit_transaction()

    async def send(topic: str, key: bytes, value: bytes) -> None:
        if len(sent) == BATCH_RECORDS:
            await flush()
            await producer.begin_transaction()
        sent.append(await producer.send(topic, value, key=key, partition=PARTITION))

    await producer.begin_transaction()
    yield send
    await flush()


async def _catch_up(settings: Settings, folder: Path, payments: int) -> tuple[float, float, Seen]:
    """(seconds, CPU seconds) from the start of a process of the views until it shows every payment; what a console
    beside it has shown meanwhile."""
    async with _console(settings, folder) as (services, seen):
        began_s = time.perf_counter()
        services.start("views-1")
        await services.ready()
        process = psutil.Process(services.pid("views-1"))
        await _until_shown(settings, payments)
        cpu = process.cpu_times()
        return time.perf_counter() - began_s, cpu.user + cpu.system, seen


@asynccontextmanager
async def _console(settings: Settings, folder: Path) -> AsyncIterator[tuple[Services, Seen]]:
    """A console at which somebody looks, and what supervises it."""
    console = demo_console(folder)
    await console.admit()
    counts, command = {"console": 1}, console.command
    async with supervised(settings, folder / "services", counts, command=command) as services:
        await services.ready()
        async with looking_on(console.address, next(iter(PEOPLE)), console.password) as seen:
            yield services, seen


async def _until_shown(settings: Settings, payments: int) -> None:
    topics: Topics = settings.topics
    latest: Latest[ActivityView] = Latest(topics.view("activity"), decode_activity)
    async with partitions(settings.bootstrap, "load") as reader, asyncio.timeout(BOUND_S):
        shown = 0
        while shown < payments:
            await asyncio.sleep(0.1)
            minutes = await latest.refresh(reader, [PARTITION])
            shown = sum(one.accepted + one.queued + one.refused for one in minutes)
        assert shown == payments, f"{shown:,} payments are shown of {payments:,}"


if __name__ == "__main__":
    sys.exit(app())
