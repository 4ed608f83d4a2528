"""Seeds, each a run of the whole product with faults: nothing lost, doubled, torn, late or stuck.

A few here; 2,000, among which every kind of fault has to be, are a command of their own, which CI runs: make seeds.

A seed that fails here is looked at with `python -m tests.simulation SEED --trace`, or `--shrink`.
"""

import os
import subprocess
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.simulation.__main__ import ENOUGH_SEEDS, is_good, missing, show
from tests.simulation.faults import KINDS, Fault, draw_plan
from tests.simulation.many import Summary, decode
from tests.simulation.run import Outcome
from tests.simulation.shrink import shrink

# Others than those of `make seeds`.
FIRST, SEEDS = 500_001, 60
AGAIN = 8
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1_200


def _simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def _many(*arguments: str) -> Summary:
    ended = _simulate(*arguments, "--json")
    assert ended.returncode in (0, 1), ended.stderr
    return decode(ended.stdout)


@pytest.fixture(scope="module")
def summary() -> Summary:
    """Of all seeds."""
    jobs = str(os.cpu_count() or 1)
    return _many("--from", str(FIRST), "--seeds", str(SEEDS), "--jobs", jobs)


def test_every_run_ends_as_the_banks_have_planned(summary: Summary) -> None:
    """R1, R2, R28-R31; F1-F5, F7-F9, F12, F13, F15: topics, ledger, statuses and a replay agree with the plan."""
    assert summary.runs == SEEDS
    failed = {outcome.seed: outcome.problems[0] for outcome in summary.failed}
    assert not failed
    assert summary.hits.total() > 2 * SEEDS


def test_the_runs_have_met_what_they_are_about(summary: Summary) -> None:
    """Windows were settled while services died, were fenced, doubted, and recovered from snapshots good and bad."""
    for what in (
        "windows settled",
        "restarts",
        "doubts",
        "fenced",
        "snapshots loaded",
        "snapshots refused",
    ):
        assert summary.counts[what] > SEEDS / 20, what
    assert summary.counts["rows"] > 15 * SEEDS


def test_a_seed_gives_the_same_history_in_any_process(summary: Summary) -> None:
    again = _many("--from", str(FIRST), "--seeds", str(AGAIN), "--jobs", "1")
    assert again.hashes == {seed: summary.hashes[seed] for seed in again.hashes}
    assert len(set(again.hashes.values())) == len(again.hashes) == AGAIN


def test_the_last_line_says_what_was_run_and_how_it_ended() -> None:
    ended = _simulate("--seeds", "3", "--within", "600")
    assert ended.returncode == 0, ended.stdout
    last = ended.stdout.splitlines()[-1]
    assert last.startswith("ok: 3 seeds, 0 failed, in ")
    assert f"of {len(KINDS)} kinds" in last
    ended = _simulate("--seeds", "9", "--within", "0.001", "--jobs", "1")
    assert ended.returncode == 1
    assert "only 1 of 9 seeds were run" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("FAILED: 1 seeds, 0 failed, in ")


def test_a_seed_that_fails_says_how_to_look_at_it() -> None:
    summary = Summary()
    for seed, problems in ((17, ["something is lost"]), (18, [])):
        summary.add(
            Outcome(
                seed=seed,
                problems=problems,
                faults=[],
                hits={"kill": 2},
                hash="",
                virtual_s=1.0,
                cpu_s=0.1,
                counts={},
            )
        )
    assert not is_good(summary, 2)
    console = Console(file=StringIO(), width=100)
    show(console, summary, 2, 1.0)
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "seed 17 FAILED: something is lost" in shown
    assert "python -m tests.simulation 17 --trace" in shown
    assert "python -m tests.simulation 17 --shrink" in shown
    assert shown.splitlines()[-1].startswith("FAILED: 2 seeds, 1 failed, in ")
    assert "4 faults of 1 of" in shown


def test_seeds_that_lack_a_kind_of_fault_are_no_proof() -> None:
    summary = Summary(runs=ENOUGH_SEEDS, hits=Counter(dict.fromkeys(KINDS, 1)))
    assert is_good(summary, ENOUGH_SEEDS)
    del summary.hits["end_delayed"]
    assert missing(summary) == ["end_delayed"]
    assert not is_good(summary, ENOUGH_SEEDS)


def test_one_seed_can_be_looked_at() -> None:
    shown = _simulate("2", "--trace")
    assert shown.returncode == 0, shown.stdout
    for said in (
        "⚡",
        "faults have stopped",
        "engine-1",
        "closes all windows",
        "seed 2: ok",
        "hash",
    ):
        assert said in shown.stdout
    assert _simulate("2", "--shrink").stdout.startswith("seed 2 does not fail")


def test_a_plan_follows_from_its_seed() -> None:
    names = ("intake-1", "engine-1", "dispatch-1", "sink-1")
    assert draw_plan(5, names) == draw_plan(5, names)
    assert draw_plan(5, names) != draw_plan(6, names)
    told = draw_plan(5, names, ["kill target=engine-1 for_s=2.5"])
    assert {(fault.kind, fault.target, fault.for_s) for fault in told} == {
        ("kill", "engine-1", 2.5)
    }


@pytest.mark.parametrize(
    ("guilty", "of"), [((3,), 8), ((0, 7), 8), ((1, 2, 6), 7), ((), 5), ((0,), 1)]
)
def test_a_failure_is_shrunk_to_the_faults_it_takes(guilty: tuple[int, ...], of: int) -> None:
    plan = [Fault(kind="kill", at_s=float(number)) for number in range(of)]
    needed = [plan[number] for number in guilty]
    assert shrink(plan, lambda faults: all(fault in faults for fault in needed)) == needed
