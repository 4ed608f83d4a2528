"""What is compiled stays compiled, until something it is made of is another."""

import importlib
import sys
from pathlib import Path

import pytest

LIMITS = """
from enum import IntEnum

MOST = 3

class Step(IntEnum):
    MORE = 0
"""
WHOLE = """
from numba.extending import overload

def whole(number):
    raise NotImplementedError

@overload(whole)
def _whole(number):
    return lambda number: number - 0
"""
STEPS = """
from clearing.core.compiled import compiled
import limits
from limits import Step

@compiled
def step(number):
    return number + limits.MOST if Step.MORE == 0 else 0
"""
LOOPS = """
from clearing.core.compiled import compiled
import numpy as np
import steps
from whole import whole

@compiled
def total(n):
    found = 0
    for number in range(np.maximum(n, 2)):
        found += steps.step(whole(number))
    return end(found)

@compiled
def end(number):
    return number + NOTHING

NOTHING = np.uint8(0)
"""
TEXTS = {"limits": LIMITS, "whole": WHOLE, "steps": STEPS, "loops": LOOPS}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    # Python itself keeps what it compiled by the second in which a file was written.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in TEXTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def _total() -> tuple[int, bool]:
    """What the function says of 4, and whether it had been compiled before."""
    for name in TEXTS:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    loops = importlib.import_module("loops")
    found = loops.total(4)
    return found, bool(loops.total.stats.cache_hits)


def test_a_function_is_compiled_once(folder: Path) -> None:
    assert _total() == (6 + 12, False)
    assert _total() == (6 + 12, True)


@pytest.mark.parametrize(
    ("file", "before", "after", "found"),
    [
        ("limits", "3", "5", 6 + 20),
        ("limits", "MORE = 0", "MORE = 1", 0),
        ("steps", "number + ", "number - ", 6 - 12),
        ("loops", "found = 0", "found = 7", 6 + 12 + 7),
        ("loops", "np.maximum", "np.minimum", 1 + 6),
        ("loops", "number + NOTHING", "number - 1 + NOTHING", 6 + 12 - 1),
        ("loops", "np.uint8(0)", "np.uint8(1)", 6 + 12 + 1),
        ("whole", "number - 0", "number - 1", 2 + 12),
    ],
)
def test_it_is_compiled_again_when_what_it_is_made_of_changes(
    folder: Path, file: str, before: str, after: str, found: int
) -> None:
    """The constant of another module, the number of an enumeration, a function there, its own text, another
    function of the same module, those below it and their constants, how a function is compiled that is none."""
    assert _total() == (6 + 12, False)
    path = folder / f"{file}.py"
    path.write_text(path.read_text().replace(before, after))
    assert _total() == (found, False)
    path.write_text(path.read_text().replace(after, before))
    assert _total() == (6 + 12, True)


def test_where_no_folder_may_be_written_to_every_process_compiles(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for blocked in ("__pycache__", "cache"):
        (folder / blocked).write_text("a file where a folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    assert _total() == (6 + 12, False)
    assert _total() == (6 + 12, False)
