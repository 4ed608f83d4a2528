"""Halts are good ones: one netting set stops and says why, the others go on, nothing tries again unseen (F14).

Real Kafka, PostgreSQL and services; two netting sets in the same processes. Three walls, one after the other: a
ledger that forbids a posting (repaired), a producer that writes past the engine, a gap in the log (never repaired).
"""

import asyncio
import json
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from aiokafka import TopicPartition

from clearing import kafka
from clearing.client import Bank
from clearing.config import Settings
from clearing.core.commands import CloseWindow
from clearing.core.inputs import ControlItem, SourceSpan
from clearing.dev.services import Services, environment, supervised
from clearing.dev.setup import in_force, prepare
from clearing.live import last_transaction
from clearing.log import control
from clearing.messages import HaltRecord
from clearing.observe import Observer, observer
from clearing.reading import partitions as reading
from tests.faults.conftest import Observe
from tests.faults.harness import scheme, settings_of, soon

FORBID = "ALTER TABLE clearing.batches ADD CONSTRAINT shut CHECK (netting_set <> 'west') NOT VALID"
ALLOW = "ALTER TABLE clearing.batches DROP CONSTRAINT shut"


class Hall:
    """An installation at work, and what one asks of it."""

    def __init__(
        self, settings: Settings, services: Services, observer: Observer, numbers: dict[str, int]
    ) -> None:
        self.settings = settings
        self.services = services
        self.observer = observer
        self.numbers = numbers

    async def halts(self) -> dict[tuple[str, str], HaltRecord]:
        """As `clearing status` shows them: by service and netting set."""
        report = await self.observer.collect()
        return {(halt.service, halt.netting_set): halt for halt in report.halts}

    async def halted(self, service: str, netting_set: str, times: int = 1) -> HaltRecord:
        """Once it says that it has, for the `times`th time."""
        found: list[HaltRecord] = []

        async def told() -> bool:
            halt = (await self.halts()).get((service, netting_set))
            if halt and halt.state == "HALTED" and halt.times >= times:
                found.append(halt)
            return bool(found)

        await soon(told, f"{service} to say that it halted for {netting_set}")
        return found[0]

    async def goes_on(self, service: str, netting_set: str) -> None:
        async def gone() -> bool:
            return (service, netting_set) not in await self.halts()

        await soon(gone, f"{service} to go on with {netting_set}")

    async def pays(self, netting_set: str, asset: str) -> str:
        """A payment that is answered: what became of it."""
        async with Bank(
            self.settings.bootstrap, "ALPHHKHH", netting_set, self.settings.topic_prefix
        ) as bank:
            sent = await bank.pay("BETAHKHH", asset, "1.00")
            async with asyncio.timeout(40):
                async for status in bank.statuses():
                    if status.id == sent:
                        return status.status
        raise AssertionError("statuses end only with their bank")

    async def write(self, topic: str, netting_set: str, key: bytes, value: bytes) -> int:
        """What a stranger writes: its offset."""
        async with kafka.started(kafka.producer(self.settings.bootstrap)) as producer:
            at = await producer.send_and_wait(topic, value, key, self.numbers[netting_set])
        return at.offset

    async def engine_of(self, netting_set: str) -> str:
        """Name of the service that wrote the last transaction."""
        journal = TopicPartition(self.settings.topics.journal, self.numbers[netting_set])
        async with reading(self.settings.bootstrap, "test") as reader:
            said = await last_transaction(reader, journal)
        assert said is not None
        pid = int(said.owner.rpartition(":")[2])
        return next(n for n in self.services.of("engine") if pid in self.services[n].pids)

    async def retry(self, netting_set: str) -> list[str]:
        """`clearing retry`: the services that were asked."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clearing", "retry", netting_set, "--by", "jane", "--json"),
            stdout=asyncio.subprocess.PIPE,
            env=environment(self.settings, "retry"),
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        return json.loads(said)

    def events(self, role: str, netting_set: str) -> list[str]:
        """What services of a role have logged of a netting set's halts, in order for each. What had halted before
        counts only where it was tried again."""
        wanted = ("halted", "halted_before", "tried_again", "halt_is_over", "serving")
        lines = [
            json.loads(line)
            for name in self.services.of(role)
            for line in self.services[name].log.read_text().splitlines()
            if line.startswith("{")
        ]
        return [
            line["event"]
            for line in lines
            if line["event"] in wanted
            and line.get("netting_set") == netting_set
            and (line["event"] != "halted_before" or line["tried_again"])
        ]

    def metrics(self, name: str) -> str:
        started = self.services[name].says("starting")
        assert started is not None
        url = f"http://127.0.0.1:{started['metrics_port']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()


@asynccontextmanager
async def hall(settings: Settings, folder: Path) -> AsyncIterator[Hall]:
    numbers = await prepare(settings, scheme(), by="test")
    counts = {"intake": 1, "engine": 2, "dispatch": 1, "sink": 1}
    async with (
        supervised(settings, folder / "services", counts) as services,
        observer(settings) as one,
    ):
        await services.ready()
        await in_force(settings, numbers)
        yield Hall(settings, services, one, numbers)


async def test_one_netting_set_halts_and_says_why_and_the_others_go_on(
    bootstrap: str,
    fresh_dsn: str,
    topic_prefix: str,
    tmp_path: Path,
    observed: Observe,
    rounds: int,
) -> None:  # F9 F14
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path)
    async with hall(settings, tmp_path) as here:
        assert await here.pays("east", "HKD") == await here.pays("west", "EUR") == "ACSP"
        await _forbidden_by_the_ledger(here, fresh_dsn)
        await _written_past_the_engine(here)
        await _gap_in_the_log(here, kills=rounds)
        # Nothing ended by itself: what restarted was killed by this test.
        assert sum(here.services[name].restarts for name in here.services.names) == rounds
    observed(
        "F14",
        "gap in the log; foreign record in settlements; ledger that forbids a posting; owner killed, retries",
        4 + rounds,
        "that netting set stands still and says why and how often; the others go on",
    )


async def _forbidden_by_the_ledger(here: Hall, dsn: str) -> None:
    """The sink of one netting set stands still until it is repaired and somebody says so."""
    ledger = await asyncpg.connect(dsn)
    try:
        await ledger.execute(FORBID)
        assert await here.pays("west", "EUR") == "ACSP"
        halt = await here.halted("sink-postgres", "west")
        assert (halt.kind, halt.times, halt.topic) == (
            "ledger_conflict",
            1,
            here.settings.topics.settlements,
        )
        assert "shut" in halt.reason
        assert halt.next_command == "clearing verify"
        assert (
            'clearing_halted{kind="ledger_conflict",netting_set="west",service="sink-postgres"} 1.0'
            in here.metrics("sink-1")
        )
        before = await _batches(ledger, "east")
        assert await here.pays("east", "HKD") == "ACSP"
        await soon(lambda: _more(ledger, "east", before), "the other netting set to settle")
        posted = await _batches(ledger, "west")
        await ledger.execute(ALLOW)
        assert await here.retry("west") == ["sink-postgres"]
        await here.goes_on("sink-postgres", "west")
        await soon(lambda: _more(ledger, "west", posted), "the batch to be posted")
    finally:
        await ledger.close()


async def _batches(ledger: asyncpg.Connection, netting_set: str) -> int:
    count: int | None = await ledger.fetchval(
        "SELECT count(*) FROM clearing.batches WHERE netting_set = $1", netting_set
    )
    assert count is not None
    return count


async def _more(ledger: asyncpg.Connection, netting_set: str, than: int) -> bool:
    return await _batches(ledger, netting_set) > than


async def _written_past_the_engine(here: Hall) -> None:
    """The engine sees it at its next batch; whoever takes over waits too, for it would see nothing."""
    settlements = here.settings.topics.settlements
    offset = await here.write(settlements, "west", b"x", b'{"type": "settlement"}')
    assert await here.pays("west", "EUR") == "ACSP"
    engine = await here.halted("engine", "west")
    assert (engine.kind, engine.topic, engine.offset) == ("foreign_writer", settlements, offset)
    sink = await here.halted("sink-postgres", "west")
    assert (sink.kind, sink.offset) == ("unreadable", offset)
    assert await here.pays("east", "HKD") == "ACSP"
    assert sorted(await here.retry("west")) == ["engine", "sink-postgres"]
    await here.goes_on("engine", "west")
    assert await here.pays("west", "EUR") == "ACSP"
    again = await here.halted("sink-postgres", "west", times=2)
    assert (again.offset, again.first_at_ms) == (offset, sink.first_at_ms)


async def _gap_in_the_log(here: Hall, kills: int) -> None:
    """Whoever gets the netting set says that it had halted, meets the place once, and counts."""
    span = SourceSpan(here.settings.topics.commands, here.numbers["east"], 10_000, 10_001)
    message = CloseWindow(id="forged", by="nobody", asset="HKD")
    forged = control.pack([ControlItem(source=0, offset=10_000, message=message)], [span])
    owner = await here.engine_of("east")
    offset = await here.write(here.settings.topics.log, "east", control.KEY, forged)
    halt = await here.halted("engine", "east")
    assert (halt.kind, halt.offset, halt.times) == ("gap", offset, 1)
    assert "the log goes on at offset 10000" in halt.reason
    assert halt.next_command == "clearing replay --netting-set east"
    assert halt.runbook == "ops/runbooks/gap.md"
    assert await here.pays("west", "EUR") == "ACSP"
    before, again = halt, halt
    for kill in range(kills):
        here.services.kill(owner)
        before, again = again, await here.halted("engine", "east", times=kill + 2)
        assert (again.offset, again.first_at_ms) == (offset, halt.first_at_ms)
        assert again.owner != before.owner
        owner = again.owner.partition(":")[0]
    assert await here.retry("east") == ["engine"]
    asked = (await here.halts())["engine", "east"]
    last = await here.halted("engine", "east", times=asked.times + (asked.state == "RETRY"))
    assert last.reason == halt.reason
    assert last.times >= kills + 2
    assert await here.pays("west", "EUR") == "ACSP"
    events = here.events("engine", "east")
    # A killed one that comes back may be given the netting set anew: that is a taking over, too.
    overs = events.count("halted_before")
    tries = events.count("tried_again")
    assert overs >= kills
    assert tries <= 1
    assert kills + 2 <= events.count("halted") <= 1 + overs + tries  # not once more
