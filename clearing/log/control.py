"""Control records of the log: operators' commands, ledgers' confirmations, ticks. STORED FORMAT control/1."""

import msgspec

from clearing.core.inputs import ControlItem, LogRecord, SourceSpan

KEY = b"control/1"


class ControlRecord(msgspec.Struct, frozen=True):
    """JSON value. Without items it is a tick: it only carries the broker's time into the log."""

    sources: list[SourceSpan] = []
    items: list[ControlItem] = []


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ControlRecord)

TICK = _encoder.encode(ControlRecord())


def pack(items: list[ControlItem], sources: list[SourceSpan]) -> bytes:
    """Value of one log record of control items, in source order."""
    return _encoder.encode(ControlRecord(sources, items))


def unpack(value: bytes, offset: int, time_ms: int) -> LogRecord:
    """What the engine reads of it. Raises msgspec.DecodeError on foreign bytes."""
    record = _decoder.decode(value)
    return LogRecord(offset, time_ms, record.sources, control=record.items)
