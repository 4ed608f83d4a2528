"""What the engine reads from the clearing log: payment rows in columns, control items, source spans.

Built by clearing.log.unpack from bytes; consumed by clearing.core.step. Nothing here touches bytes or Kafka.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from clearing.core.commands import ControlMessage

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]


class SourceSpan(msgspec.Struct, frozen=True, array_like=True):
    """Offsets [start, end) of a source partition that a log record covers. STORED FORMAT."""

    topic: str
    partition: int
    start: int
    end: int


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """What intake could not read. `hash`: xxh3-128 of the record's bytes, hex. STORED FORMAT."""

    code: int
    hash: str
    detail: str
    id: str = ""  # the payment's id where it could be read
    item: int = -1  # index in a bulk, -1: the record itself


@dataclass(slots=True)
class PaymentRows:
    """n payments of one log record, in log order. `source` and `source_offset` never decrease per source.

    reject: 0, or a Code below 40 when intake could not read the row; its text is in `rejects[row]`.
    debtor, creditor index `participants`, asset indexes `assets`; undefined on rejected rows.
    amount with `decimals`: "12.5" is (125, 1). value_date: days since epoch. expires_at_ms, window: 0 = none.
    """

    participants: list[str]
    assets: list[str]
    id: U64  # (n, 2)
    debtor: I32
    creditor: I32
    asset: I32
    amount: I64
    decimals: U8
    value_date: I32
    priority: U8
    kind: U8
    expires_at_ms: I64
    window: I32
    body_hash: U64
    source: I32
    source_offset: I64
    item: I32
    reject: U8
    rejects: dict[int, Reject] = field(default_factory=dict[int, Reject])

    def __len__(self) -> int:
        return len(self.amount)


class ControlItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One command or confirmation, or why it could not be read. `source` indexes the record's sources."""

    source: int
    offset: int
    message: ControlMessage | None = None
    reject: Reject | None = None


@dataclass(slots=True)
class LogRecord:
    """One record of the clearing log. Exactly one of payments / control carries something;
    a record with neither is a tick: it only says that time has passed."""

    offset: int
    time_ms: int  # LogAppendTime
    sources: list[SourceSpan]
    payments: PaymentRows | None = None
    control: list[ControlItem] = field(default_factory=list[ControlItem])
