"""An engine that is warm compiles nothing more, whatever it reads."""

from collections.abc import Iterator

import pytest
from numba.core.registry import CPUDispatcher

from clearing.core import checks, id_slots, ids, limits, transfers
from clearing.engine.warming import warm
from loadtests import regression_paths


def kernels() -> Iterator[CPUDispatcher]:
    for module in (checks, ids, id_slots, limits, transfers):
        yield from (each for each in vars(module).values() if isinstance(each, CPUDispatcher))


@pytest.fixture(scope="module")
def warmed() -> dict[str, list[object]]:
    warm()
    return {each.__name__: list(each.signatures) for each in kernels()}


def test_every_kernel_is_called(warmed: dict[str, list[object]]) -> None:
    assert len(warmed) >= 9
    assert all(warmed.values())


def test_nothing_is_compiled_after(warmed: dict[str, list[object]]) -> None:
    """Plain payments, ids of two days, accounts at risk, queues: from records as they are packed."""
    for path in regression_paths.paths():
        path.prepare()()
    assert {each.__name__: list(each.signatures) for each in kernels()} == warmed
