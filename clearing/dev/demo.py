"""`clearing demo`: the whole engine at work on this machine, with failures in the middle and a proof at the end.

Real Kafka, real PostgreSQL, real processes, all of them ours and gone afterwards. While banks publish, scenes are
played (clearing.dev.scenes) and every service is killed once. What is shown is read from the topics; what is
claimed is checked by clearing.verify and against the banks' own plan.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from clearing.config import Settings
from clearing.dev.banks import Banks
from clearing.dev.blows import Kill, one_blow_each
from clearing.dev.console import PEOPLE, demo_console
from clearing.dev.drill import Drill
from clearing.dev.folders import RunFolder, run_folder
from clearing.dev.proof import differences, prove
from clearing.dev.scenes import CASH, FAILING, play
from clearing.dev.screen import Screen, latency
from clearing.dev.services import COUNTS, Services, supervised
from clearing.dev.setup import in_force, prepare, read_scheme, renamed, servers, stop_on_terminate
from clearing.dev.tasks import task_group
from clearing.dev.workload import MIXED, streams
from clearing.scheme.model import Scheme
from clearing.verify import Report

SCHEME = Path(__file__).with_name("demo.toml")
GENTLE_ROWS_PER_S = 50.0
WINDOWS_MIN = 8
WATCHED_S, WATCHED_POLL_S = 20.0, 0.25
WITHOUT = frozenset({FAILING})  # the workload leaves these to the story
APART = frozenset({CASH})
MIX = MIXED._replace(ring=0.0001)  # few: the story's gridlock is the one to see


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """payments: how many banks publish, at rows_per_s; seed: of payments and kills. forever: stay up afterwards.
    keep: leave data and logs where they are. bootstrap, dsn: the user's own servers, "" for embedded ones."""

    payments: int = 200_000
    rows_per_s: float = 10_000.0
    seed: int = 1
    forever: bool = False
    keep: bool = False
    bootstrap: str = ""
    dsn: str = ""


class DemoResult(msgspec.Struct, kw_only=True):
    """How it went. differences: what is not as planned. first_payment_s: start to the first payment; folder:
    where data and logs are, "" if they are gone; story: what its scenes came to."""

    ok: bool
    payments: int
    seed: int
    first_payment_s: float
    took_s: float
    kills: list[Kill]
    windows_settled: int
    latency: str
    story: list[str]
    differences: list[str]
    report: Report
    folder: str


async def run(
    options: DemoOptions, screen: Screen, show: Callable[[DemoResult], None]
) -> DemoResult:
    """The demo from nothing to the proof, which is shown as soon as it is there: with `forever` there is no end.

    Raises what went wrong on the way; data and logs are kept then.
    """
    began = time.monotonic()
    stop_on_terminate()
    with run_folder("demo") as folder:
        try:
            return await _demo(options, screen, show, folder, began)
        except asyncio.CancelledError:
            raise
        except BaseException:
            folder.keep()
            screen.note(f"data and logs are kept in {folder.path}")
            raise


async def _demo(
    options: DemoOptions,
    screen: Screen,
    show: Callable[[DemoResult], None],
    folder: RunFolder,
    began: float,
) -> DemoResult:
    async with installed(options, folder.path, screen) as (scheme, partitions, services):
        settings = services.settings
        drill = Drill(
            settings,
            scheme,
            partitions,
            services,
            payments=options.payments,
            seed=options.seed,
            mix=MIX,
            rows_per_s=options.rows_per_s,
            blows=one_blow_each(options.payments, options.seed),
            without=WITHOUT,
            apart=APART,
        )
        banks = len(scheme.participants.keys() - WITHOUT)
        began += await _watched(screen, services)
        screen.note(f"{banks} banks publish {options.payments:,} payments")
        first_payment_s = time.monotonic() - began
        async with drill.following(), screen.showing(drill):
            async with task_group() as group:
                story = group.create_task(play(drill, screen.tell))
                group.create_task(drill.work())
            await drill.settle()
        screen.note(
            f"everything is through: {drill.watch.progress.settled} windows settled; verifying"
        )
        report = await prove(settings, screen.note)
        result = _result(options, drill, story.result(), report)
        result.first_payment_s = first_payment_s
        result.took_s = time.monotonic() - began
        if options.keep or not result.ok:
            folder.keep()
            result.folder = str(folder.path)
        show(result)
        if options.forever:
            await _stay(drill, settings, screen, folder)
        screen.note("stopping")
    return result


async def _watched(screen: Screen, services: Services) -> float:
    """Where a person looks on, time to open the console: until somebody has logged in, WATCHED_S at most.

    Returns the seconds that it took.
    """
    since = time.monotonic()
    if not screen.console.is_terminal:
        return 0.0
    screen.note(
        f"it begins as soon as somebody has logged in there, in {WATCHED_S:.0f} s at the latest"
    )
    (console,) = services.of("console")
    while time.monotonic() - since < WATCHED_S:
        if services[console].says("logged_in"):
            break
        await asyncio.sleep(WATCHED_POLL_S)
    return time.monotonic() - since


@asynccontextmanager
async def installed(
    options: DemoOptions, folder: Path, screen: Screen
) -> AsyncIterator[tuple[Scheme, dict[str, int], Services]]:
    """Kafka, PostgreSQL, topics, scheme, ledger and services, all ready."""
    screen.note("starting Kafka and PostgreSQL")
    user = options.bootstrap, options.dsn
    async with servers(folder, screen.note, *user, keep=options.keep, probing=True) as made:
        screen.note(f"topics, scheme and ledger ({made.settings.bootstrap})")
        scheme = renamed(read_scheme(SCHEME), made.run)
        console = demo_console(folder)
        partitions, _ = await asyncio.gather(
            prepare(made.settings, scheme, by="demo"), console.admit()
        )
        counts = {**COUNTS, "console": 1}
        async with supervised(
            made.settings, folder / "services", counts, command=console.command
        ) as services:
            screen.note(f"starting {', '.join(services.names)}")
            await services.ready()
            await in_force(made.settings, partitions)
            people = " or ".join(PEOPLE)
            screen.note(
                f"console: {console.address}   log in as {people}, password {console.password}"
            )
            yield scheme, partitions, services


def _result(options: DemoOptions, drill: Drill, story: list[str], report: Report) -> DemoResult:
    progress, banks = drill.watch.progress, drill.banks
    found = differences(banks.plan(), report, progress, banks.scales, banks.told)
    for blow in drill.blows:
        met = [kill for kill in drill.kills if kill.service.startswith(blow.role) and kill.pid]
        if not any(kill.outstanding > 0 for kill in met):
            found.append(f"{blow.role} was not killed while it had work to do")
    if progress.settled < WINDOWS_MIN:
        found.append(f"{progress.settled} windows settled, fewer than {WINDOWS_MIN}")
    return DemoResult(
        ok=report.ok and not found,
        payments=drill.published,
        seed=options.seed,
        first_payment_s=0.0,
        took_s=0.0,
        kills=drill.kills,
        windows_settled=progress.settled,
        latency=latency(drill),
        story=story,
        differences=found,
        report=report,
        folder="",
    )


def summary(result: DemoResult) -> list[str]:
    """What a person is told of it below the verification's report, sentence by sentence."""
    kills = ", ".join(f"{kill.service} (back after {kill.again_s:.1f} s)" for kill in result.kills)
    sentences = [
        f"{result.payments:,} messages (seed {result.seed}), {result.windows_settled} windows settled",
        *result.story,
        f"killed while at work: {kills}",
        f"published → first answer read by the bank, kills included: {result.latency}",
        f"first payment after {result.first_payment_s:.1f} s, proved after {result.took_s:.1f} s",
    ]
    sentences += [f"NOT AS PLANNED: {difference}" for difference in result.differences]
    if not result.differences:
        sentences.append(
            "The banks' own plan agrees: every count, value, reason, net and final notice."
        )
    if result.folder:
        sentences.append(f"data and logs are kept in {result.folder}")
    return sentences


async def _stay(drill: Drill, settings: Settings, screen: Screen, folder: RunFolder) -> None:
    """Keep everything up, banks publishing at their ease, until Ctrl-C."""
    screen.note("everything stays up until Ctrl-C, banks go on publishing. In another terminal:")
    bank = next(iter(drill.scheme.participants))
    for line in (
        f"export CLEARING_BOOTSTRAP={settings.bootstrap}",
        f"export CLEARING_DSN='{settings.dsn}'",
        *([f"export CLEARING_TOPIC_PREFIX={settings.topic_prefix}"] * bool(settings.topic_prefix)),
        "clearing status --watch",
        f"clearing follow status {bank}",
        "clearing queue --watch",
        "clearing command close-window",
        "clearing drill",
        "clearing verify",
        *(f"kill -9 {drill.services.pid(name)}   # {name}" for name in drill.services.names),
    ):
        screen.paste(line)
    screen.note(f"whatever you kill comes back; logs are in {folder.path / 'services'}")
    made = streams(
        drill.scheme,
        payments=drill.payments,
        seed=drill.seed + 1,
        mix=MIX._replace(returned=0, recalled=0),  # nobody listens any more
        endless=True,
        without=WITHOUT,
        apart=APART,
    )
    banks = Banks(settings.bootstrap, settings.topics, made, drill.banks.scales)
    while True:
        await banks.publish(int(60 * GENTLE_ROWS_PER_S), GENTLE_ROWS_PER_S)
