"""What the engine reads from the clearing log: payment rows in columns, control items, source spans.

Built by clearing.log.unpack from bytes; consumed by clearing.core.step. Nothing here touches bytes or Kafka.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from clearing.core.commands import ControlMessage

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]

_Column = TypeVar("_Column", I64, I32, U8, U64)


def read_only(column: _Column) -> _Column:
    """The same column, not to be written through: as it comes from bytes, and from anywhere else. What is compiled
    to read it (clearing.core.compiled) is compiled for that alone."""
    view = column.view()
    view.flags.writeable = False
    return view


def fixed(values: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The same as one column in memory of this type, not to be written through (see read_only)."""
    if values.dtype != dtype or not (values.flags.aligned and values.flags.c_contiguous):
        values = np.array(values, dtype)
    return read_only(values) if values.flags.writeable else values


class Kind(IntEnum):
    """Column `kind`. STORED FORMAT. Up to RETURN a row moves money; above it is about a payment."""

    PAYMENT = 1
    TOKEN_TRANSFER = 2
    RETURN = 3  # a payment of its own that gives back what another one brought (R5)
    CANCEL = 4
    PRIORITY = 5
    ANSWER = 6  # of a creditor that was asked to give an accepted payment back (R23)


class Decision(IntEnum):
    """Column `decision` of an ANSWER. STORED FORMAT."""

    NONE = 0
    AGREED = 1
    DECLINED = 2


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
class Links:
    """Linked legs (R19): the link's id, a hash of all its declared legs, which of how many this row is.

    link, terms: (n, 2). legs is 0 on rows that are not linked. partial: 1 if a part may be delivered (R22).
    """

    link: U64
    terms: U64
    leg: U8
    legs: U8
    partial: U8


@dataclass(slots=True)
class References:
    """What a row says about another one: `id` (n, 2) of the payment it returns, cancels or re-prioritises, or
    of the cancellation it answers.

    body_hash, amount, decimals: of the quoted original (RETURN, CANCEL), as its own row has them. decision: ANSWER.
    """

    id: U64
    body_hash: U64
    amount: I64
    decimals: U8
    decision: U8


def _no_texts(row: int) -> tuple[str, str]:
    return "", ""


@dataclass(slots=True)
class PaymentRows:
    """n payments of one log record, in log order. `source` and `source_offset` never decrease per source.

    reject: 0, or a Code below 40 when intake could not read the row; its text is in `rejects[row]`.
    debtor, creditor index `participants`, asset indexes `assets`; undefined on rejected rows.
    amount with `decimals`: "12.5" is (125, 1). value_date: days since epoch. expires_at_ms, window: 0 = none.
    kind: see Kind. A CANCEL has the parties, asset and amount of the payment it quotes; PRIORITY has the
    new one in `priority`, and neither it nor an ANSWER has an asset or amount; ANSWER: its creditor is who asked.
    links, references: None where no row has any. texts(row): its end-to-end id and chain reference.
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
    links: Links | None = None
    references: References | None = None
    texts: Callable[[int], tuple[str, str]] = _no_texts

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
