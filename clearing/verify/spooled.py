"""Messages whose lists are long: the lists wait in a temporary file, everything else is in memory.

A gross batch has two lines a payment and a closed window a line a bank, so that together they would be larger than
all columns of the payments.
"""

from typing import TypeVar, cast

import msgspec

from clearing.core.outputs import (
    Entry,
    Resolution,
    Resolutions,
    Settlement,
    SettlementBatch,
    WindowEvent,
)
from clearing.verify.columns import Spool, Spooled

KEPT_ENTRIES = 4  # so few lines stay in memory

_encode = msgspec.json.Encoder().encode
_entries = msgspec.json.Decoder(list[Entry]).decode
_resolutions = msgspec.json.Decoder(list[Resolution]).decode

M = TypeVar("M", SettlementBatch, WindowEvent)


class Shelf:
    """Takes the long lists out of messages."""

    def __init__(self) -> None:
        self._spool = Spool()

    def settlement(self, message: Settlement) -> Settlement:
        return self.lines(message) if isinstance(message, SettlementBatch) else message

    def lines(self, message: M) -> M:
        """The same message; its entries are read when somebody looks at them."""
        if len(message.entries) <= KEPT_ENTRIES:
            return message
        place = self._spool.add(_encode(message.entries))
        kept = Spooled(self._spool, place, len(message.entries), _entries)
        return msgspec.structs.replace(message, entries=cast("list[Entry]", kept))

    def resolutions(self, message: Resolutions) -> Resolutions:
        place = self._spool.add(_encode(message.items))
        kept = Spooled(self._spool, place, len(message.items), _resolutions)
        return msgspec.structs.replace(message, items=cast("list[Resolution]", kept))


def whole(batch: SettlementBatch) -> SettlementBatch:
    """With its entries in memory, to be encoded again."""
    return msgspec.structs.replace(batch, entries=list(batch.entries))
