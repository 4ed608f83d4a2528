"""Disposable projections of the topics for those who look: a Faust app that folds, and the values it writes.

`faust -A clearing.views worker` finds the app here; it is built when it is asked for, not when this is imported. No
module here may be called `app`: Faust would find that one.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`app`, from the settings of this process."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clearing.views.standalone import app

    return app()
