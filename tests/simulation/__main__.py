"""`python -m tests.simulation`: one seed with its trace, many with a summary, or the shortest list of faults."""

import os
import signal
import sys
import time
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

app = App(name="python -m tests.simulation", help_format="markdown")


@app.default
def simulate(
    seed: int | None = None,
    /,
    *,
    seeds: int = 0,
    from_: Annotated[int, Parameter(name="--from")] = 1,
    jobs: int = os.cpu_count() or 1,
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

    Exit code 0: everything is as it must be; 1: a run failed; 130: interrupted.

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
    trace
        Print what happens: virtual seconds, process, event.
    shrink
        Leave out faults for as long as it fails.
    json
        Of many seeds: print the summary as JSON.
    """
    console = Console()
    if seed is None:
        return _many(console, range(from_, from_ + (seeds or 100)), jobs, json=json)
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


def _many(console: Console, seeds: range, jobs: int, *, json: bool) -> int:
    summary = Summary()
    began_s = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    interrupted = False
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("simulating", total=len(seeds))
        try:
            for outcome in run_many(seeds, jobs):
                summary.add(outcome)
                failed = f", [red]{len(summary.failed)} failed" if summary.failed else ""
                progress.update(task, advance=1, description=f"simulating{failed}")
        except KeyboardInterrupt:
            interrupted = True
    if json:
        sys.stdout.write(encode(summary).decode())
    else:
        show(console, summary, time.monotonic() - began_s)
    if interrupted:
        console.print(f"interrupted after {summary.runs} of {len(seeds)} seeds")
        return INTERRUPTED
    return FAILED if summary.failed else OK


def show(console: Console, summary: Summary, took_s: float) -> None:
    """What was simulated and what came of it."""
    table = Table("fault", "times", box=None, pad_edge=False)
    for kind in KINDS:
        table.add_row(kind, f"{summary.hits[kind]:,}")
    console.print(table)
    for what, count in summary.counts.items():
        console.print(f"{count:>12,} {what}", highlight=False)
    for outcome in sorted(summary.failed, key=lambda o: o.seed)[:FAILURES_SHOWN]:
        console.print(
            f"seed {outcome.seed} FAILED: {outcome.problems[0]}", style="red", markup=False
        )
    if len(summary.failed) > FAILURES_SHOWN:
        numbers = " ".join(str(o.seed) for o in sorted(summary.failed, key=lambda o: o.seed))
        console.print(f"all that failed: {numbers}", highlight=False)
    console.print(
        f"{summary.runs:,} seeds, {len(summary.failed)} failed; {summary.virtual_s:,.0f} virtual s in "
        f"{took_s:.1f} s ({summary.runs / max(took_s, 1e-9):.1f} seeds/s, "
        f"{1000 * summary.cpu_s / max(1, summary.runs):.0f} ms of CPU each)",
        highlight=False,
    )


def hash_as_always() -> None:
    """Start this program again if hashes of strings, and with them the order of sets, differ from run to run."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        os.execve(sys.executable, sys.orig_argv, environment)


if __name__ == "__main__":
    hash_as_always()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sys.exit(app())
