"""How coroutines of a world that is over end: they run their `finally` blocks, complain, and nobody minds."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

MOST_AWAITS_ON_THE_WAY_OUT = 50


@contextmanager
def silence() -> Iterator[None]:
    """No warnings, no logs, nothing from the garbage collector."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    logs = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook
        structlog.configure(**logs)


def end(coroutine: Any) -> None:
    """Close it. Each `await` in a `finally` takes another push."""
    for _ in range(MOST_AWAITS_ON_THE_WAY_OUT):
        try:
            coroutine.close()
        except RuntimeError:  # it "ignored GeneratorExit": it awaits something
            continue
        except BaseException:
            pass
        return


def _drop(*_: object) -> str:
    raise structlog.DropEvent
