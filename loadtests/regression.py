"""`python -m loadtests.regression`: has a path of the core become dearer than it was when it was last recorded?

CPU of each path as a multiple of a reference of the same character, measured in turn in one process, the best of
many short rounds: how fast the machine is, and what else it does, falls out. Instruction counters would be exacter;
virtual machines mostly have none. What is recorded stands in regression.json; `--record` writes it anew.
"""

import gc
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from clearing.failures import ExitCode
from clearing.tuning import tune_memory
from loadtests.figures import Machine, machine
from loadtests.regression_paths import Path, Work, paths, references

RECORDED = File(__file__).with_name("regression.json")
ROUNDS = 20
ATTEMPTS = 5  # what seems worse is measured again, with what was measured before counting too
# Half way from no change to a doubling, as a factor. With another Python, or on another kind of processor, the
# paths and their references differ by themselves.
WORSE, WORSE_ELSEWHERE = 1.45, 2.5

app = App(name="python -m loadtests.regression", help_format="markdown")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """of: the path's CPU as a multiple of the reference `by`. cpu_us: a payment, on the machine of the record."""

    by: str
    of: float
    cpu_us: float


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """STORED FORMAT: what is compared with."""

    machine: Machine
    paths: dict[str, Figure]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A path's verdict. times: as dear as recorded; None: it is not recorded, or not there any more."""

    path: str
    before: Figure | None
    now: Figure | None
    times: float | None
    is_worse: bool


class Bench:
    """Best CPU time of every path and reference so far, over as many rounds as are asked for."""

    def __init__(self, watched: Sequence[Path], by: Mapping[str, Work]) -> None:
        self.watched, self.by = watched, by
        self._best_ns: dict[str, int] = {}

    def measure(self, rounds: int) -> dict[str, Figure]:
        """All of them in turn, so often; what they cost by all that was measured so far."""
        was_enabled = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds):
                for path in self.watched:
                    # The reference just before the path: what slows one slows the other.
                    self._take(path.by, self.by[path.by])
                    self._take(path.name, path.prepare())
        finally:
            if was_enabled:
                gc.enable()
        return {path.name: self._figure(path) for path in self.watched}

    def _take(self, name: str, work: Work) -> None:
        began_ns = time.process_time_ns()
        work()
        taken_ns = time.process_time_ns() - began_ns
        self._best_ns[name] = min(taken_ns, self._best_ns.get(name, taken_ns))

    def _figure(self, path: Path) -> Figure:
        best_ns = self._best_ns[path.name]
        return Figure(
            by=path.by,
            of=round(best_ns / self._best_ns[path.by], 4),
            cpu_us=round(best_ns / 1e3 / path.payments, 4),
        )


def judge(
    before: Mapping[str, Figure], now: Mapping[str, Figure], worse: float = WORSE
) -> list[Row]:
    """Every path that was recorded or is there now. Worse: it costs `worse` times as much, or only one has it."""
    rows: list[Row] = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        times = new.of / old.of if old and new and old.by == new.by else None
        rows.append(
            Row(
                path=name,
                before=old,
                now=new,
                times=times,
                is_worse=times is None or times > worse,
            )
        )
    return rows


def tolerated(recorded: Machine, here: Machine) -> float:
    """How much dearer a path may be: more where it is not the kind of machine of the record."""
    same = _kind(recorded) == _kind(here)
    return WORSE if same else WORSE_ELSEWHERE


def _kind(of: Machine) -> tuple[str, ...]:
    python = of.python.rpartition(".")[0]
    return (of.processor, python, *(of.versions[name] for name in ("numpy", "pyarrow", "msgspec")))


def compare(recorded: Recorded, here: Machine, bench: Bench) -> list[Row]:
    """The verdicts; a path is worse when it still is after ATTEMPTS, each of more rounds than the one before."""
    worse = tolerated(recorded.machine, here)
    rows: list[Row] = []
    for attempt in range(1, ATTEMPTS + 1):
        rows = judge(recorded.paths, bench.measure(attempt * ROUNDS), worse)
        if not any(row.is_worse for row in rows):
            break
    return rows


def show(rows: Sequence[Row], worse: float) -> Table:
    """One line a path; what is worse says so."""
    table = Table(
        box=box.SIMPLE,
        title=f"CPU as a multiple of a reference; worse: more than {worse} times the recorded",
        title_justify="left",
    )
    for name in ("path", "reference", "recorded", "now", "times", "CPU µs a payment", ""):
        table.add_column(name, justify="left" if name in ("path", "reference", "") else "right")
    for row in rows:
        old, new = row.before, row.now
        verdict = "WORSE" if row.times else "not recorded" if new else "recorded, not there"
        table.add_row(
            row.path,
            (new or old or Figure(by="", of=0, cpu_us=0)).by,
            f"{old.of:.3f}" if old else "",
            f"{new.of:.3f}" if new else "",
            f"{row.times:.2f}" if row.times else "",
            f"{new.cpu_us:.3f}" if new else "",
            verdict if row.is_worse else "",
        )
    return table


@app.default
def regression(
    *,
    record: Annotated[bool, Parameter(negative="")] = False,
    file: File = RECORDED,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> ExitCode:
    """Compare the CPU of the core's paths with what was recorded. Exit code 1: one of them has become dearer.

        python -m loadtests.regression
        python -m loadtests.regression --record

    Parameters
    ----------
    record
        Write what is measured to the file instead: after a change that is worth its price, or made it cheaper.
    file
        What is compared with. Of another kind of machine more is tolerated: record there for exacter comparisons.
    json
        Verdicts for machines.
    """
    tune_memory()  # as in the processes of the services
    here = machine(0.0)
    bench = Bench(paths(), references())
    console = Console(width=None if sys.stdout.isatty() else 116)
    if record:
        measured = bench.measure(ATTEMPTS * ROUNDS)
        encoded = msgspec.json.encode(Recorded(machine=here, paths=measured))
        file.write_bytes(msgspec.json.format(encoded) + b"\n")
        console.print(f"recorded in {file}")
        return ExitCode.OK
    recorded = msgspec.json.decode(file.read_bytes(), type=Recorded)
    rows = compare(recorded, here, bench)
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(rows)).decode() + "\n")
    else:
        console.print(show(rows, tolerated(recorded.machine, here)))
    return ExitCode.FAILED if any(row.is_worse for row in rows) else ExitCode.OK


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
