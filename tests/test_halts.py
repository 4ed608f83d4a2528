"""Halts: every kind has a page and a command that exists; told once, counted, tried again when somebody says so."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition
from cyclopts.exceptions import CycloptsError
from rich.console import Console

from clearing import halts, runbooks
from clearing.cli import app
from clearing.cli.status_tables import tables
from clearing.config import Settings
from clearing.core.faults import Halt, HaltKind, Place
from clearing.halts import Halts, as_halt, halt_key
from clearing.intake.halting import SourceHalts
from clearing.log.records import UnreadableLog
from clearing.messages import HaltRecord
from clearing.observe import StatusReport
from clearing.runbooks import next_command, retry_command, runbook

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / runbooks.FOLDER).glob("*.md"))
SERVICES = ("engine", "dispatch", "intake", "sink-postgres")
PARTS = ["It means.", "Safe meanwhile.", "Look at.", "Go on", "epair.", "Never"]


def parses(command: str) -> bool:
    """Whether the command line would take it, and mean one of its commands."""
    program, *tokens = command.split()
    try:
        app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError:
        return False
    return program == "clearing" and tokens != []


@pytest.mark.parametrize("kind", HaltKind)
def test_every_kind_has_a_page_that_says_what_to_do(kind: HaltKind) -> None:
    text = (ROOT / runbook(kind)).read_text("utf-8")
    assert text.startswith(f"# {kind.value}: ")
    assert [part for part in PARTS if part not in text] == []
    assert f"| [{kind.value}]({kind.value}.md) |" in (
        ROOT / runbooks.FOLDER / "README.md"
    ).read_text("utf-8")


def test_every_page_is_of_a_kind() -> None:
    known = {kind.value for kind in HaltKind} | {"README", "snapshot_refused"}
    assert {page.stem for page in PAGES} == known


@pytest.mark.parametrize("kind", HaltKind)
@pytest.mark.parametrize("service", SERVICES)
def test_every_command_that_a_halt_names_exists(kind: HaltKind, service: str) -> None:
    assert parses(next_command(kind, service, "hk"))
    assert parses(retry_command("hk"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_on_a_page_exists(page: Path) -> None:
    named = re.findall(r"`(clearing [^`]+)`", page.read_text("utf-8"))
    assert [command for command in named if not parses(command)] == []
    assert named or page.stem == "snapshot_refused"


@pytest.mark.parametrize(
    "command", ["clearing", "clearing skip hk", "clearing retry", "clearing retry hk --force"]
)
def test_a_command_that_does_not_exist_would_be_found(command: str) -> None:
    assert not parses(command)


def raised_by(statement: str) -> Exception:
    """The error of a statement that stands in a module of ours."""
    try:
        exec(compile(statement, "x", "exec"), {"__name__": "clearing.somewhere"})
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (Halt(HaltKind.GAP, "a gap"), HaltKind.GAP, "a gap"),
        (UnreadableLog("offset 7"), HaltKind.UNREADABLE, "offset 7"),
        (
            raised_by("assert 0, 'five is four'"),
            HaltKind.INVARIANT,
            "an assertion does not hold in clearing.somewhere line 1: five is four",
        ),
        (
            raised_by("{}['x']"),
            HaltKind.BUG,
            "KeyError in clearing.somewhere line 1: 'x'",
        ),
    ],
)
def test_any_error_is_a_halt_with_one_sentence(error: Exception, kind: HaltKind, says: str) -> None:
    halt = as_halt(error)
    assert (halt.kind, halt.reason) == (kind, says)


def test_a_place_that_is_known_stays() -> None:
    halt = Halt(HaltKind.CHAIN, "x", Place("journal", 1, -1)).at("log", 0, 5)
    assert halt.place == Place("journal", 1, -1)
    assert Halt(HaltKind.CHAIN, "x").at("log", 0, 5).place == Place("log", 0, 5)


class FakeTopic:
    """`halts` as a list of what was written; `broken`: it cannot be reached."""

    def __init__(self) -> None:
        self.standing: dict[bytes, HaltRecord] = {}
        self.written: list[tuple[bytes, HaltRecord | None]] = []
        self.broken = False
        self.more = asyncio.Condition()

    async def read(self, partition: int, timeout_s: float) -> dict[bytes, HaltRecord]:
        if self.broken:
            raise OSError("no broker")
        return {k: r for k, r in self.standing.items() if k.startswith(b"%d|" % partition)}

    async def write(self, partition: int, records: Mapping[bytes, HaltRecord | None]) -> None:
        if self.broken:
            raise OSError("no broker")
        for key, record in records.items():
            self.written.append((key, record))
            self.standing.pop(key, None)
            if record:
                self.standing[key] = record
        async with self.more:
            self.more.notify_all()

    def retry(self, key: bytes) -> None:
        record = self.standing[key]
        self.standing[key] = msgspec.structs.replace(record, state="RETRY", retried_by="jane")

    async def close(self) -> None:
        pass


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> FakeTopic:
    monkeypatch.setattr(halts, "RETRY_POLL_S", 0.01)
    monkeypatch.setattr(halts, "AGAIN_S_FIRST", 0.01)
    halts.halted.clear()
    fake = FakeTopic()
    monkeypatch.setattr(halts, "HaltTopic", lambda settings, client: fake)
    return fake


def engine(name: str) -> Halts:
    return Halts(Settings(instance=name), "engine", "log")


KEY = halt_key(3, "engine")
GAP = Halt(HaltKind.GAP, "a gap in source x", Place("log", 3, 123))


async def is_written(topic: FakeTopic, count: int) -> None:
    async with asyncio.timeout(5), topic.more:
        await topic.more.wait_for(lambda: len(topic.written) >= count)


def gauge() -> float:
    return halts.halted.labels("engine", "hk", "gap")._value.get()


async def test_it_stands_still_until_somebody_says_so(topic: FakeTopic) -> None:
    here = engine("a")
    standing = asyncio.create_task(here.stand_still("hk", 3, GAP))
    await is_written(topic, 1)
    await asyncio.sleep(0.05)
    assert not standing.done()
    assert gauge() == 1
    told = topic.standing[KEY]
    assert (told.state, told.kind, told.reason) == ("HALTED", HaltKind.GAP, "a gap in source x")
    assert (told.topic, told.partition, told.offset, told.times) == ("log", 3, 123, 1)
    assert told.next_command == "clearing replay --netting-set hk"
    assert told.owner.startswith("a:")
    topic.retry(KEY)
    await asyncio.wait_for(standing, 5)
    assert gauge() == 0


async def test_the_same_place_is_counted_and_another_is_not(topic: FakeTopic) -> None:
    first = asyncio.create_task(engine("a").stand_still("hk", 3, GAP))
    await is_written(topic, 1)
    since = topic.standing[KEY].first_at_ms
    here = engine("b")  # a peer that was given the netting set
    await here.before_serving(3)
    again = asyncio.create_task(here.stand_still("hk", 3, GAP))
    await is_written(topic, 2)
    assert (topic.standing[KEY].times, topic.standing[KEY].first_at_ms) == (2, since)
    again.cancel()
    here = engine("c")
    await here.before_serving(3)
    other = Halt(HaltKind.GAP, "another", Place("log", 3, 124))
    third = asyncio.create_task(here.stand_still("hk", 3, other))
    await is_written(topic, 3)
    assert topic.standing[KEY].times == 1
    for task in (first, third):
        task.cancel()


async def test_a_rebalance_tries_nothing_again(topic: FakeTopic) -> None:
    here = engine("a")
    standing = asyncio.create_task(here.stand_still("hk", 3, GAP))
    await is_written(topic, 1)
    standing.cancel()  # revoked, and assigned again
    back = asyncio.create_task(here.before_serving(3))
    await asyncio.sleep(0.05)
    assert not back.done()
    assert len(topic.written) == 1
    topic.retry(KEY)
    await asyncio.wait_for(back, 5)


async def test_what_is_not_met_twice_waits_for_a_person_everywhere(topic: FakeTopic) -> None:
    foreign = Halt(HaltKind.FOREIGN_WRITER, "a stranger", Place("outcomes", 3, 7))
    standing = asyncio.create_task(engine("a").stand_still("hk", 3, foreign))
    await is_written(topic, 1)
    standing.cancel()
    peer = engine("b")
    waiting = asyncio.create_task(peer.before_serving(3))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    topic.retry(KEY)
    await asyncio.wait_for(waiting, 5)
    peer.passed(3, 0)
    await is_written(topic, 2)
    assert topic.written[-1] == (KEY, None)


async def test_it_is_over_once_the_place_is_passed(topic: FakeTopic) -> None:
    here = engine("a")
    standing = asyncio.create_task(here.stand_still("hk", 3, GAP))
    await is_written(topic, 1)
    topic.retry(KEY)
    await asyncio.wait_for(standing, 5)
    here.passed(3, 123)  # serving again, up to the place
    await asyncio.sleep(0.03)
    assert len(topic.written) == 1
    here.passed(3, 124)
    await is_written(topic, 2)
    assert topic.standing == {}
    here.passed(3, 125)
    await asyncio.sleep(0.03)
    assert len(topic.written) == 2


async def test_without_the_topic_everything_else_goes_on(topic: FakeTopic) -> None:
    topic.broken = True
    here = engine("a")
    await here.before_serving(3)
    here.passed(3, 5)
    standing = asyncio.create_task(here.stand_still("hk", 3, GAP))
    await asyncio.sleep(0.05)
    assert gauge() == 1
    assert not standing.done()
    topic.broken = False
    await is_written(topic, 1)
    topic.retry(KEY)
    await asyncio.wait_for(standing, 5)


async def test_a_source_is_told_once_and_tried_again_when_asked(topic: FakeTopic) -> None:
    source = TopicPartition("payments.hk.ALPHA", 0)
    here = SourceHalts(Settings())
    key = halt_key(3, "intake", source)
    for _ in range(2):
        await here.source_stopped("hk", 3, source, "below the start")
    assert [key for key, _ in topic.written] == [key]
    told = topic.standing[key]
    assert (told.kind, told.topic, told.partition, told.offset) == (
        HaltKind.SOURCE,
        "payments.hk.ALPHA",
        0,
        -1,
    )
    assert not await here.is_retried(3, source)
    topic.retry(key)
    assert await here.is_retried(3, source)
    await here.source_stopped("hk", 3, source, "below the start")
    assert topic.standing[key].times == 2
    successor = SourceHalts(Settings())
    await successor.source_goes_on(3, source)
    await is_written(topic, 3)
    assert topic.standing == {}


async def test_sources_that_start_at_once_look_once(
    topic: FakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    read = topic.read

    async def slowly(partition: int, timeout_s: float) -> dict[bytes, HaltRecord]:
        looks.append(partition)
        await asyncio.sleep(0.01)
        return await read(partition, timeout_s)

    monkeypatch.setattr(topic, "read", slowly)
    here = SourceHalts(Settings())
    sources = [TopicPartition(f"payments.hk.BANK{number}", 0) for number in range(20)]
    await asyncio.gather(*(here.source_goes_on(3, source) for source in sources))
    assert looks == [3]


def test_status_shows_it_first_with_the_next_command() -> None:
    record = HaltRecord(
        netting_set="hk",
        service="engine",
        kind=HaltKind.GAP,
        reason="a gap [red]in\x1b[31m source x",
        topic="log",
        partition=3,
        offset=123,
        next_command=next_command(HaltKind.GAP, "engine", "hk"),
        runbook=runbook(HaltKind.GAP),
        times=3,
        first_at_ms=1_795_341_600_000,
        at_ms=1_795_345_200_000,
        owner="engine-1:7",
    )
    report = StatusReport(
        bootstrap="x:1", at_ms=0, netting_sets={"hk": 3}, services=[], lags=[], windows=[],
        ended=[], positions=[], halts=[record], unreadable=["journal-3 offset 9 cannot be read: x"],
    )  # fmt: skip
    console = Console(width=200)
    with console.capture() as shown:
        console.print(tables(report))
    lines = [line.strip() for line in shown.get().splitlines()]
    assert lines[1:5] == [
        "HALTED  engine of hk: gap",
        "a gap [red]in\N{REPLACEMENT CHARACTER}[31m source x",
        "at log-3 offset 123, 3rd time, first 2026-11-22 10:00:00 UTC, last by engine-1:7 2026-11-22 11:00:00 UTC",
        "next: clearing replay --netting-set hk; once it is repaired: clearing retry hk; see ops/runbooks/gap.md",
    ]
    assert "Somebody else writes here: journal-3 offset 9 cannot be read: x" in lines
