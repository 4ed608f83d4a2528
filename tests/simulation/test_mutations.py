"""The simulation can fail: the product broken in one place at a time is caught within a few seeds.

Here one mutant is; all of them are a command of their own, which CI runs: make mutants.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.simulation.mutant import Mutant
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutations import changed

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300
ONE = "no status topic has acknowledged"


def _mutations(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutations", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 15
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_mutant_is_caught() -> None:
    """… and the product as it is passes the very run that caught the mutant. All of them: make mutants."""
    ended = _mutations(ONE, "--jobs", "1")
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert "1 seeds" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("1 mutants in ")


def test_a_mutant_that_survives_is_an_error() -> None:
    ended = _mutations(ONE, "--jobs", "1", "--seeds", "0")
    assert ended.returncode == 1
    assert "SURVIVED" in ended.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_what_stands_there(mutant: Mutant) -> None:
    spec = find_spec(mutant.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text("utf-8")
    assert compile(changed(mutant, source), spec.origin, "exec")
    assert changed(mutant, source) != source


def test_a_mutant_of_code_that_is_no_more_is_an_error() -> None:
    gone = Mutant("x", "clearing.kafka", (("no such line", ""),), ())
    with pytest.raises(LookupError, match="0 times"):
        changed(gone, "another line")
    with pytest.raises(LookupError, match="2 times"):
        changed(gone, "no such line\nno such line")
