"""What is read of the same bytes again and again, by engines, recoveries, dispatch and the audit, is read once.

Of pure functions only: the same bytes give the same. Whoever would change what all of them share is refused.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from clearing.dispatch import lane, statuses, written
from clearing.dispatch import worker as dispatch
from clearing.engine import machine, warming
from clearing.engine import worker as engine
from clearing.intake import decode
from clearing.intake import worker as intake
from clearing.log import payments, records
from clearing.verify import collect
from tests.simulation.replacing import replaced


@functools.cache
def warm() -> None:
    """Load the machine code of all services' loops, which each service does when it starts."""
    for each in (decode, warming, written):
        each.warm()


@contextmanager
def remembered() -> Iterator[object]:
    """For as long as the block lasts. Gives what holds all that was read: to let go of it takes its time."""
    read, outcomes = _once(records.read), _once(records.decode_outcomes)
    opened = functools.cache(payments.open_batch)  # Arrow's own buffers cannot be changed
    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (machine, "read", read),
        (collect, "read_record", read),
        (collect, "decode_outcomes", outcomes),
        (lane, "decode_outcomes", outcomes),
        (payments, "open_batch", opened),
        (statuses, "open_batch", opened),
        (intake, "warm", warm),
        (engine, "warm", warm),
        (dispatch, "warm", warm),
    ]
    with replaced(places):
        yield places


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.cache
    def once(*values: object) -> Any:
        found = function(*values)
        _freeze(found)
        return found

    return once


def _freeze(value: object) -> None:
    """No array in it can be written to."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _freeze(getattr(value, field.name))
