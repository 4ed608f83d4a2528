"""What a receipt says of its payment so that a return can quote it (R5): its terms, where they are not the default.

Pure. By column for rows, by themselves for what is told one by one. A plain payment has nothing of it: dated today,
of normal priority, without expiry, window or link; that it costs nothing is what the shape of this is for.
"""

import uuid
from collections.abc import Callable
from datetime import date
from typing import Literal, TypedDict

import msgspec
import numpy as np

from clearing.core.inputs import Bool
from clearing.core.outputs import LinkedLeg, Resolution
from clearing.dispatch.texts import Field, Texts
from clearing.log.payments import PRIORITIES, OpenedBatch

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_MS = 86_400_000
_PRIORITIES = [b"", *(f',"priority":"{name}"'.encode() for name in PRIORITIES[1:])]

_encode = msgspec.json.Encoder().encode


class Terms(TypedDict):
    """Fields of clearing.messages.Receipt."""

    value_date: str
    priority: Literal["NORM", "HIGH", "URGT"]
    expires_at_ms: int
    window_asked: int


def terms(
    value_date: int, priority: int, expires_at_ms: int, window_asked: int, time_ms: int
) -> Terms:
    """Of one payment, from its columns. time_ms: of the record that tells it."""
    return Terms(
        value_date=_day(value_date) if value_date != time_ms // _DAY_MS else "",
        priority=PRIORITIES[priority],
        expires_at_ms=expires_at_ms,
        window_asked=window_asked,
    )


def resolved_terms(one: Resolution, time_ms: int) -> Terms:
    """Of a payment that waited."""
    return terms(one.value_date, one.priority, one.expires_at_ms, one.window_asked, time_ms)


def term_fields(texts: Texts, opened: OpenedBatch, received: Bool, time_ms: int) -> list[Field]:
    """The same as JSON fields of each row, in the order of Receipt, its link included; none where no row has any.

    received: the rows for which it is of use.
    """
    fields: list[Field] = []
    dates, today = opened.numbers("value_date"), time_ms // _DAY_MS
    if ((dates != today) & received).any():
        fields.append(
            texts.by_value(
                dates, lambda d: f',"value_date":"{_day(d)}"'.encode() if d != today else b""
            )
        )
    if opened.has("priority"):
        fields.append(texts.table(_PRIORITIES, texts.index(opened.numbers("priority"))))
    for column, name in (("expires_at_ms", "expires_at_ms"), ("window", "window_asked")):
        if opened.has(column):
            fields.append(texts.by_value(opened.numbers(column), _number(name)))
    if opened.has("legs"):
        fields.append(_links(texts, opened))
    return fields


def _number(name: str) -> Callable[[int], bytes]:
    return lambda number: f',"{name}":{number}'.encode() if number else b""


def _links(texts: Texts, opened: OpenedBatch) -> Field:
    links = opened.links()
    assert links is not None
    rows = np.flatnonzero(links.legs)
    place = np.zeros(len(opened), np.int32)
    place[rows] = np.arange(1, len(rows) + 1)
    ids = links.link[rows].astype("<u8").tobytes()
    digits = links.terms[rows].astype("<u8").tobytes().hex()
    columns = (links.leg[rows], links.legs[rows], links.partial[rows])
    said = [b""]
    for i, (leg, legs, partial) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        link = LinkedLeg(
            id=str(uuid.UUID(bytes=ids[16 * i : 16 * i + 16])),
            terms=digits[32 * i : 32 * i + 32],
            leg=leg,
            legs=legs,
            partial=bool(partial),
        )
        said.append(b',"link":' + _encode(link))
    return texts.table(said, texts.index(place))


def _day(days: int) -> str:
    """YYYY-MM-DD of days since 1970-01-01."""
    return date.fromordinal(_EPOCH_DAY + days).isoformat()
