"""How a drill is shown while it runs: a live table on a terminal, a line every two seconds anywhere else.

Reads the drill's counters only; draws to a console that is handed in. Nothing here decides anything.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from clearing.dev.blows import Kill
from clearing.dev.drill import Drill
from clearing.dev.news import money

LIVE_S = 0.25
LINES_S = 2.0
RATE_OVER_S = 2.0
LATENCY_OVER = 1_000  # samples

_WHAT = {
    "banks": "messages published",
    "intake": "messages in the log",
    "engine": "messages cleared",
    "dispatch": "messages answered",
    "sink": "batches confirmed",
}


class Screen:
    """Says what happens: `note` a sentence that stays, `showing` a drill while it runs."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._clock = clock
        self._began = clock()
        self._kills_noted = 0

    def note(self, text: str) -> None:
        """A line with the time since the start."""
        at = f"[dim]{self._clock() - self._began:6.1f} s[/dim]"
        self.console.print(f"{at}  {text}", highlight=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """A line of the story."""
        self.note(f"[cyan]{escape(text)}[/cyan]")

    def paste(self, text: str) -> None:
        """A line that people are to copy: as it is, nothing before or in it."""
        self.console.print(f"  {text}", highlight=False, soft_wrap=True, markup=False)

    @asynccontextmanager
    async def showing(self, drill: Drill) -> AsyncIterator[None]:
        """Show the drill's progress for as long as the block lasts."""
        follow = self._live if self.console.is_terminal else self._lines
        task = asyncio.create_task(follow(drill))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            self._note_kills(drill)
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _live(self, drill: Drill) -> None:
        rates = Rates(self._clock)
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                self._note_kills(drill)
                live.update(stages(drill, rates), refresh=True)
                await asyncio.sleep(LIVE_S)

    async def _lines(self, drill: Drill) -> None:
        last = 0.0
        while True:
            self._note_kills(drill)
            if self._clock() - last >= LINES_S:
                last = self._clock()
                self.note(line(drill))
            await asyncio.sleep(LIVE_S)

    def _note_kills(self, drill: Drill) -> None:
        for kill in drill.kills[self._kills_noted :]:
            self.note(sentence(kill))
        self._kills_noted = len(drill.kills)


class Rates:
    """Counts per second over the last RATE_OVER_S."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: list[tuple[float, dict[str, int]]] = []

    def of(self, counts: dict[str, int]) -> dict[str, float]:
        now = self._clock()
        self._seen = [seen for seen in self._seen if now - seen[0] <= RATE_OVER_S]
        self._seen.append((now, counts))
        then, before = self._seen[0]
        elapsed = now - then
        return {k: (v - before[k]) / elapsed if elapsed else 0.0 for k, v in counts.items()}


def counts(drill: Drill) -> dict[str, int]:
    """How far each stage has come: messages, for the sink batches."""
    progress = drill.watch.progress
    return {
        "banks": drill.published,
        "intake": progress.logged,
        "engine": progress.cleared,
        "dispatch": drill.banks.told.rows,
        "sink": len(progress.confirmed),
    }


def sentence(kill: Kill) -> str:
    """What a kill met."""
    unit = "batches" if kill.service.startswith("sink") else "messages"
    return (
        f"[bold red]kill -9[/bold red] {kill.service} (pid {kill.pid}) "
        f"with {kill.outstanding:,} {unit} on its desk"
    )


def line(drill: Drill) -> str:
    """The whole progress in one line."""
    done, progress = counts(drill), drill.watch.progress
    return (
        f"{drill.phase}: published {done['banks']:,}, in the log {done['intake']:,}, "
        f"cleared {done['engine']:,}, told {done['dispatch']:,}; "
        f"windows settled {progress.settled}, batches {done['sink']}/{len(progress.batches)}; "
        f"in queues {queues(drill)}"
    )


def queues(drill: Drill) -> str:
    """What waits in the queues of each asset."""
    return (
        ", ".join(
            f"{asset} {money(str(one.value))} in {one.payments:,} payment{'s' * (one.payments > 1)}"
            for asset, one in sorted(drill.watch.progress.queued().items())
        )
        or "nothing"
    )


def stages(drill: Drill, rates: Rates) -> RenderableType:
    """The live table: stages, outcomes, queues, windows, kills, the last events."""
    done, progress = counts(drill), drill.watch.progress
    rate = rates.of(done)
    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("", "left"),
        ("done", "right"),
        ("to do", "right"),
        ("per s", "right"),
    ):
        table.add_column(name, justify=justify)  # pyright: ignore[reportArgumentType]
    table.add_column("")
    for stage, what in _WHAT.items():
        waiting = drill.payments - drill.published if stage == "banks" else drill.outstanding(stage)
        table.add_row(
            stage, f"{done[stage]:,}", f"{max(0, waiting):,}", f"{rate[stage]:,.0f}", f"[dim]{what}"
        )
    outcomes = progress.outcomes
    became = "  ".join(f"{name} {count:,}" for name, count in outcomes.most_common() if count)
    open_ = sum(state != "SETTLED" for state in progress.windows.values())
    details = [
        Text(became),
        Text(f"windows settled {progress.settled}, waiting for their ledger {open_}"),
        Text(f"in queues: {queues(drill)}", style="yellow"),
        Text(f"published → first answer read by the bank: {latency(drill, LATENCY_OVER)}"),
    ]
    news = [
        Text(f"· {said}", style="cyan", no_wrap=True, overflow="ellipsis") for said in progress.news
    ]
    downs = [
        f"{kill.service} killed, "
        + (f"back after {kill.again_s:.1f} s" if kill.again_s else "down")
        for kill in drill.kills
    ]
    title = Text(f"{drill.phase}, {time.monotonic() - drill.began_s:.0f} s", style="bold")
    return Group(Text(), title, table, *details, Text("; ".join(downs), style="red"), *news)


def latency(drill: Drill, last: int = 0) -> str:
    """Median and 99th percentile of the sampled payments: of all, or of the last so many."""
    sample = drill.banks.told.latencies_s[-last:]
    if not sample:
        return "–"
    p50, p99 = np.quantile(np.array(sample), (0.5, 0.99)) * 1000
    return f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"
