"""`python -m tests.simulation.mutations`: can the simulation fail? Every mutant of the product must be caught.

Each mutant runs in a process of its own, in which one module of `clearing` is loaded with changed source. Nothing
of `clearing` may be imported here: a child would inherit it unchanged.
"""

import importlib.util
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType
from typing import Annotated, NamedTuple

import aiokafka.producer  # noqa: F401  what children need and need not load again
import asyncpg  # noqa: F401
import numpy  # noqa: ICN001, F401
import pyarrow.compute  # noqa: F401
from cyclopts import App, Parameter
from rich.console import Console

from tests.simulation.mutant import Mutant
from tests.simulation.mutants import MUTANTS

SEEDS = 20  # how many are tried at most
OK, FAILED = 0, 1

app = App(name="python -m tests.simulation.mutations", help_format="markdown")


class Verdict(NamedTuple):
    """seeds: how many were needed, 0 if it survived. sane: whether the unchanged product passes that very run."""

    mutant: str
    seeds: int
    problem: str
    took_s: float
    sane: bool = False


class _Loader(SourceFileLoader):
    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        return compile(changed(self.mutant, source), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(fullname)
        assert found is not None, f"there is no {fullname}"
        assert found.origin is not None
        loader = _Loader(fullname, found.origin)
        loader.mutant = self._mutant
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


def changed(mutant: Mutant, source: str) -> str:
    """The source with the mutant's edits. Raises LookupError where a snippet is not there exactly once."""
    for before, after in mutant.edits:
        if source.count(before) != 1:
            raise LookupError(
                f"{mutant.name}: {mutant.module} has this {source.count(before)} times:\n{before}"
            )
        source = source.replace(before, after)
    return source


def try_mutant(job: tuple[Mutant, int]) -> Verdict:
    """Run at most so many seeds until one fails. In a process that has imported nothing of clearing."""
    mutant, seeds = job
    assert not any(name.split(".")[0] == "clearing" for name in sys.modules), "clearing is loaded"
    sys.meta_path.insert(0, _Finder(mutant))
    from tests.simulation.run import run  # the changed product comes with it

    assert mutant.module in sys.modules, f"nothing imports {mutant.module}"
    began = time.monotonic()  # not while a simulation has its own clock there
    for seed in range(1, seeds + 1):
        outcome = run(seed, only=mutant.only)
        if not outcome.ok:
            return Verdict(mutant.name, seed, outcome.problems[0], time.monotonic() - began)
    return Verdict(mutant.name, 0, "", time.monotonic() - began)


def is_sane(job: tuple[Mutant, int]) -> bool:
    """Whether the product as it is passes the run that its mutant failed."""
    mutant, seed = job
    from tests.simulation.run import run

    return not seed or run(seed, only=mutant.only).ok


def verdicts(mutants: Sequence[Mutant], seeds: int, jobs: int) -> Iterator[Verdict]:
    """As they come; each mutant in a process of its own."""
    context = multiprocessing.get_context("fork")
    by_name = {mutant.name: mutant for mutant in mutants}
    with (
        context.Pool(jobs, maxtasksperchild=1) as pool,
        context.Pool(jobs) as unchanged,
    ):
        tried = pool.imap_unordered(try_mutant, [(mutant, seeds) for mutant in mutants], 1)
        for verdict in tried:
            job = (by_name[verdict.mutant], verdict.seeds)
            yield verdict._replace(sane=unchanged.apply(is_sane, (job,)))


@app.default
def mutations(
    *names: str,
    seeds: int = SEEDS,
    jobs: int = os.cpu_count() or 1,
    show: Annotated[bool, Parameter(name="--list", negative="")] = False,
) -> int:
    """Break the product on purpose, in many ways, one at a time: each must be caught by a few simulated runs.

        python -m tests.simulation.mutations              # all
        python -m tests.simulation.mutations --list       # which there are
        python -m tests.simulation.mutations snapshot     # those with this in their name

    Exit code 0: all were caught, and the unchanged product passes the runs that caught them; 1: not so.

    Parameters
    ----------
    names
        Parts of names; all mutants if there are none.
    seeds
        How many are tried at most.
    jobs
        Processes to run them on.
    show
        Only list them.
    """
    console = Console(width=150)
    chosen = [m for m in MUTANTS if not names or any(name in m.name for name in names)]
    if show:
        for mutant in chosen:
            console.print(f"{mutant.module:<28} {mutant.name}", highlight=False, markup=False)
        return OK
    began = time.monotonic()
    good = True
    for verdict in verdicts(chosen, seeds, jobs):
        good &= bool(verdict.seeds) and verdict.sane
        caught = verdict.problem[:90] if verdict.seeds else "SURVIVED"
        if not verdict.sane:
            caught = f"NOT SANE: the unchanged product fails, too: {caught}"
        line = f"{verdict.seeds:>3} seeds {verdict.took_s:>5.1f} s  {verdict.mutant:<60} {caught}"
        console.print(line, highlight=False, markup=False)
    console.print(f"{len(chosen)} mutants in {time.monotonic() - began:.1f} s", highlight=False)
    return OK if good else FAILED


if __name__ == "__main__":
    if (
        os.environ.get("PYTHONHASHSEED") != "0"
    ):  # as tests.simulation does: it cannot be imported here
        os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONHASHSEED": "0"})
    sys.exit(app())
