"""What every fold of a view is: pure functions over values, of one netting set each, that name what has changed.

A fold may see a record twice, after a restart, but never one before another of the same topic: values carry the
offset they have seen. Between topics there is no order: what two of them say of one thing comes out the same
whichever is read first.
"""

from typing import NamedTuple

import msgspec

from clearing.names import ViewName


class Change(NamedTuple):
    """A new value of one key of a view; None: it is forgotten."""

    view: ViewName
    key: bytes
    value: msgspec.Struct | None
