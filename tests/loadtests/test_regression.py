"""A path that has become dearer is found, once it is sure; noise, and paths that became cheaper, are not."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path as File

import msgspec
import pytest

from clearing.failures import ExitCode
from loadtests import regression
from loadtests.figures import machine
from loadtests.regression import (
    ATTEMPTS,
    RECORDED,
    ROUNDS,
    WORSE,
    WORSE_ELSEWHERE,
    Bench,
    Figure,
    Recorded,
    compare,
    judge,
    tolerated,
)
from loadtests.regression_paths import Path, paths, references

MACHINE = machine(0.0)


def figure(of: float, by: str = "columns") -> Figure:
    return Figure(by=by, of=of, cpu_us=1.0)


def verdicts(before: dict[str, Figure], now: dict[str, Figure]) -> dict[str, bool]:
    return {row.path: row.is_worse for row in judge(before, now)}


class Clock:
    """CPU time that passes only when work says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ns = 0
        monkeypatch.setattr(regression.time, "process_time_ns", lambda: self.ns)

    def work(self, ns: Iterator[int]) -> Callable[[], None]:
        def passes() -> None:
            self.ns += next(ns)

        return passes

    def bench(self, ns: Iterator[int], reference_ns: int = 1_000) -> Bench:
        work = self.work(ns)
        path = Path("step", "columns", 10, lambda: work)
        return Bench([path], {"columns": self.work(itertools.repeat(reference_ns))})


def test_twice_as_dear_is_worse_and_a_quarter_is_noise() -> None:
    before = {name: figure(2.0) for name in ("same", "noise", "cheaper", "doubled")}
    now = {
        "same": figure(2.0),
        "noise": figure(2.5),
        "cheaper": figure(0.5),
        "doubled": figure(4.0),
    }
    assert [name for name, worse in verdicts(before, now).items() if worse] == ["doubled"]


def test_a_path_that_is_not_compared_is_not_passed_over() -> None:
    """Renamed, forgotten, or measured by another reference: it has to be recorded."""
    before = {"gone": figure(1.0), "other": figure(1.0, "objects")}
    now = {"new": figure(1.0), "other": figure(1.0)}
    assert verdicts(before, now) == {"gone": True, "new": True, "other": True}


def test_the_best_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Clock(monkeypatch).bench(
        itertools.chain([9_000, 2_000, 7_000], itertools.repeat(3_000))
    )
    assert bench.measure(3)["step"].of == 2.0
    assert bench.measure(5)["step"].of == 2.0, "what was measured before counts too"


def test_worse_for_a_while_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded(machine=MACHINE, paths={"step": figure(2.0)})
    busy = Clock(monkeypatch).bench(
        itertools.chain(itertools.repeat(5_000, 2 * ROUNDS), itertools.repeat(2_000))
    )
    assert [row.is_worse for row in compare(recorded, MACHINE, busy)] == [False]


def test_worse_for_good_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded(machine=MACHINE, paths={"step": figure(2.0)})
    left = itertools.repeat(4_000, 10_000)
    dearer = Clock(monkeypatch).bench(left)
    (row,) = compare(recorded, MACHINE, dearer)
    assert row.is_worse
    assert row.times == 2.0
    assert len(list(left)) == 10_000 - ROUNDS * ATTEMPTS * (ATTEMPTS + 1) // 2


def test_another_kind_of_machine_is_given_more() -> None:
    assert tolerated(MACHINE, MACHINE) == WORSE
    other = msgspec.structs.replace(MACHINE, python="3.99.1")
    assert tolerated(MACHINE, other) == WORSE_ELSEWHERE
    later = msgspec.structs.replace(MACHINE, load=5.0, cores=64)
    assert tolerated(MACHINE, later) == WORSE


def test_the_command_says_which_and_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: File, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    cost = itertools.chain(itertools.repeat(1_000, ROUNDS * ATTEMPTS), itertools.repeat(2_000))
    work = clock.work(cost)
    monkeypatch.setattr(
        regression, "paths", lambda: [Path("step, plain", "columns", 10, lambda: work)]
    )
    monkeypatch.setattr(
        regression, "references", lambda: {"columns": clock.work(itertools.repeat(500))}
    )
    file = tmp_path / "recorded.json"
    assert regression.regression(record=True, file=file) == ExitCode.OK
    assert regression.regression(file=file) == ExitCode.FAILED
    printed = capsys.readouterr().out
    assert "step, plain" in printed
    assert "WORSE" in printed


def test_everything_that_is_watched_is_recorded() -> None:
    """And every path does its work, as often as it is asked to."""
    recorded = msgspec.json.decode(RECORDED.read_bytes(), type=Recorded)
    watched, by = paths(), references()
    assert {path.name: path.by for path in watched} == {
        name: figure.by for name, figure in recorded.paths.items()
    }
    measured = Bench(watched, by).measure(2)
    assert all(figure.of > 0 for figure in measured.values())
