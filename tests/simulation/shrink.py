"""The shortest list of faults that still fails: delta debugging over the entries of a plan (ddmin)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

Entry = TypeVar("Entry")


def shrink(entries: Sequence[Entry], fails: Callable[[list[Entry]], bool]) -> list[Entry]:
    """A list that fails and of which no entry can be left out. `entries` fails; `fails` is deterministic."""
    left, parts = list(entries), 2
    if fails([]):
        return []
    while len(left) >= 2:
        shorter = next((rest for rest in _without_one_part(left, parts) if fails(rest)), None)
        if shorter is not None:
            left, parts = shorter, max(parts - 1, 2)
        elif parts >= len(left):
            break
        else:
            parts = min(2 * parts, len(left))
    return left


def _without_one_part(entries: list[Entry], parts: int) -> list[list[Entry]]:
    """The list without each of its parts of nearly equal length."""
    cuts = [len(entries) * number // parts for number in range(parts + 1)]
    return [entries[:a] + entries[b:] for a, b in pairwise(cuts) if a < b]
