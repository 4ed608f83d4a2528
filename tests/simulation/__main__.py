"""`python -m tests.simulation`: one seed with its trace, many with a summary, or the shortest list of faults."""

import os
import signal
import sys
import time
from contextlib import closing
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.faults import KINDS, Fault
from tests.simulation.many import Summary, encode, run_many
from tests.simulation.run import Outcome, run
from tests.simulation.shrink import shrink

OK, FAILED, INTERRUPTED = 0, 1, 130
FAILURES_SHOWN = 10
# Among so many seeds every kind of fault happens, or the simulation does not show any more what it is for.
ENOUGH_SEEDS = 500

app = App(name="python -m tests.simulation", help_format="markdown")


@app.default
def simulate(
    seed: int | None = None,
    /,
    *,
    seeds: int = 0,
    from_: Annotated[int, Parameter(name="--from")] = 1,
    jobs: int = os.cpu_count() or 1,
    within: float = 0.0,
    trace: Annotated[bool, Parameter(negative="")] = False,
    shrink: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run intake, engine, dispatch and sink over a simulated broker and ledger, with faults, in virtual time.

    One seed is one run: what banks pay, which faults happen when, how long every message takes. The same seed gives
    the same history, to the last byte. The run fails if anything is lost, doubled, torn or late, or stands still.

        python -m tests.simulation 17              # one run: its faults and its hash
        python -m tests.simulation 17 --trace      # … and all that happened; faults are marked with ⚡
        python -m tests.simulation 17 --shrink     # the shortest list of its faults that still fails
        python -m tests.simulation --seeds 20000 --from 1 --jobs 2
        make seeds                                 # as CI does

    Exit code 0: everything is as it must be; 1: a run failed, there was no time for all seeds, or of 500 and more
    none had some kind of fault; 130: interrupted.

    Parameters
    ----------
    seed
        The one to run.
    seeds
        How many to run instead.
    from_
        The first of them.
    jobs
        Processes to run them on.
    within
        Seconds that many seeds may take; what is not done by then makes it fail. 0: as long as it takes.
    trace
        Print what happens: virtual seconds, process, event.
    shrink
        Leave out faults for as long as it fails.
    json
        Of many seeds: print the summary as JSON.
    """
    console = Console()
    if seed is None:
        return _many(console, range(from_, from_ + (seeds or 100)), jobs, within, json=json)
    if shrink:
        return _shrink(console, seed, trace=trace)
    return _one(console, run(seed, tell=print if trace else None))


def _one(console: Console, outcome: Outcome) -> int:
    for fault in outcome.faults:
        console.print(f"  {fault}", highlight=False)
    for problem in outcome.problems:
        console.print(f"FAILED  {problem}", style="bold red", highlight=False, markup=False)
    counts = ", ".join(f"{count} {what}" for what, count in outcome.counts.items())
    console.print(f"{counts}; faults that happened: {sum(outcome.hits.values())}", highlight=False)
    console.print(
        f"seed {outcome.seed}: {'ok' if outcome.ok else 'FAILED'}, {outcome.virtual_s:.1f} virtual s "
        f"in {outcome.cpu_s:.2f} s, hash {outcome.hash}",
        highlight=False,
    )
    return OK if outcome.ok else FAILED


def _shrink(console: Console, seed: int, *, trace: bool) -> int:
    outcome = run(seed)
    if outcome.ok:
        console.print(f"seed {seed} does not fail")
        return OK
    tried = 0

    def fails(faults: list[Fault]) -> bool:
        nonlocal tried
        tried += 1
        console.print(f"  {tried}: {len(faults)} faults …", end="\r", highlight=False)
        return not run(seed, faults).ok

    faults = shrink(outcome.faults, fails)
    console.print(f"seed {seed} fails with {len(faults)} of {len(outcome.faults)} faults:   ")
    return _one(console, run(seed, faults, tell=print if trace else None))


def _many(console: Console, seeds: range, jobs: int, within_s: float, *, json: bool) -> int:
    summary = Summary()
    began_s = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    interrupted = False
    with (
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        closing(run_many(seeds, jobs)) as outcomes,
    ):
        task = progress.add_task("simulating", total=len(seeds))
        try:
            for outcome in outcomes:
                summary.add(outcome)
                failed = f", [red]{len(summary.failed)} failed" if summary.failed else ""
                progress.update(task, advance=1, description=f"simulating{failed}")
                if within_s and time.monotonic() - began_s > within_s:
                    break
        except KeyboardInterrupt:
            interrupted = True
    if json:
        sys.stdout.write(encode(summary).decode())
    else:
        show(console, summary, len(seeds), time.monotonic() - began_s)
    if interrupted:
        return INTERRUPTED
    return OK if is_good(summary, len(seeds)) else FAILED


def is_good(summary: Summary, seeds: int) -> bool:
    """Whether all seeds were run, none failed, and every kind of fault was among them if they are enough."""
    return summary.runs == seeds and not summary.failed and not missing(summary)


def missing(summary: Summary) -> list[str]:
    """Kinds of faults that have not happened in any of the seeds, where there are so many that they should."""
    if summary.runs < ENOUGH_SEEDS:
        return []
    return [kind for kind in KINDS if not summary.hits[kind]]


def show(console: Console, summary: Summary, seeds: int, took_s: float) -> None:
    """What was simulated and what came of it; the last line says all."""
    table = Table("fault", "times", box=None, pad_edge=False)
    for kind in KINDS:
        table.add_row(kind, f"{summary.hits[kind]:,}")
    console.print(table)
    for what, count in summary.counts.items():
        console.print(f"{count:>12,} {what}", highlight=False)
    _show_failures(console, sorted(summary.failed, key=lambda o: o.seed))
    for kind in missing(summary):
        console.print(f"no run had the fault {kind}", style="red", highlight=False)
    if summary.runs < seeds:
        console.print(f"only {summary.runs:,} of {seeds:,} seeds were run", style="red")
    happened = sum(1 for kind in KINDS if summary.hits[kind])
    console.print(
        f"{'ok' if is_good(summary, seeds) else 'FAILED'}: {summary.runs:,} seeds, {len(summary.failed)} failed, "
        f"in {took_s:.1f} s ({summary.runs / max(took_s, 1e-9):.1f} seeds/s, "
        f"{1000 * summary.cpu_s / max(1, summary.runs):.0f} ms of CPU each); "
        f"{summary.hits.total():,} faults of {happened} of {len(KINDS)} kinds; {summary.virtual_s:,.0f} virtual s",
        highlight=False,
        soft_wrap=True,
    )


def _show_failures(console: Console, failed: list[Outcome]) -> None:
    """The first of them, and how to look at each."""
    for outcome in failed[:FAILURES_SHOWN]:
        again = f"python -m tests.simulation {outcome.seed}"
        for line in (
            f"seed {outcome.seed} FAILED: {outcome.problems[0]}",
            f"    again, with all that happened:  {again} --trace",
            f"    the shortest list of its faults:  {again} --shrink",
        ):
            console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
    if len(failed) > FAILURES_SHOWN:
        numbers = " ".join(str(outcome.seed) for outcome in failed)
        console.print(f"all that failed: {numbers}", highlight=False, soft_wrap=True)


def hash_as_always() -> None:
    """Start this program again if hashes of strings, and with them the order of sets, differ from run to run."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        os.execve(sys.executable, sys.orig_argv, environment)


if __name__ == "__main__":
    hash_as_always()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sys.exit(app())
