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
    """The same to be encoded again, and for nothing else: its entries are in it as they were put away."""
    if not isinstance(batch.entries, Spooled):
        return batch
    return msgspec.structs.replace(
        batch, entries=cast("list[Entry]", msgspec.Raw(batch.entries.encoded))
    )


def has_lines(batch: SettlementBatch, lines: list[Entry]) -> bool:
    """Whether its entries are these, in this order."""
    if isinstance(batch.entries, Spooled):
        return batch.entries.encoded == _encode(lines)
    return batch.entries == lines
