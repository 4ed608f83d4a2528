"""What a receipt says of its payment so that a return can quote it (R5): its terms, where they are not the default.

Pure. By column for rows, by themselves for what is told one by one. A plain payment has nothing of it: dated today,
of normal priority, without expiry, window or link; that it costs nothing is what the shape of this is for.
"""

from collections.abc import Callable
from datetime import date
from typing import Literal, TypedDict

import msgspec
import numpy as np
import pyarrow as pa

from clearing.core.inputs import Bool
from clearing.core.outputs import LinkedLeg, Resolution
from clearing.dispatch.texts import named, uuids
from clearing.log.payments import PRIORITIES, OpenedBatch

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_MS = 86_400_000
_PRIORITIES = ["", *(f',"priority":"{name}"' for name in PRIORITIES[1:])]

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


def term_texts(opened: OpenedBatch, received: Bool, time_ms: int) -> list[pa.Array]:
    """The same as JSON fields of each row, in the order of Receipt, its link included; no array where no row
    has any. received: the rows for which it is of use.
    """
    texts: list[pa.Array] = []
    dates, today = opened.numbers("value_date"), time_ms // _DAY_MS
    if ((dates != today) & received).any():
        texts.append(_by_value(dates, lambda d: f',"value_date":"{_day(d)}"' if d != today else ""))
    if opened.has("priority"):
        texts.append(named(_PRIORITIES, opened.numbers("priority")))
    for column, name in (("expires_at_ms", "expires_at_ms"), ("window", "window_asked")):
        if opened.has(column):
            texts.append(_by_value(opened.numbers(column), _number(name)))
    if opened.has("legs"):
        texts.append(_link_texts(opened))
    return texts


def _number(name: str) -> Callable[[int], str]:
    return lambda number: f',"{name}":{number}' if number else ""


def _by_value(numbers: np.ndarray, text: Callable[[int], str]) -> pa.Array:
    """text(number) of each row, computed once per number that occurs."""
    present, place = np.unique(numbers, return_inverse=True)
    return pa.array([text(number) for number in present.tolist()]).take(pa.array(place))


def _link_texts(opened: OpenedBatch) -> pa.Array:
    links = opened.links()
    assert links is not None
    texts = [""] * len(opened)
    rows = np.flatnonzero(links.legs)
    ids = uuids(links.link[rows], "").to_pylist()
    digits = links.terms[rows].astype("<u8").tobytes().hex()
    columns = (rows, links.leg[rows], links.legs[rows], links.partial[rows])
    for i, (row, leg, legs, partial) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        link = LinkedLeg(
            id=ids[i],
            terms=digits[32 * i : 32 * i + 32],
            leg=leg,
            legs=legs,
            partial=bool(partial),
        )
        texts[row] = f',"link":{_encode(link).decode()}'
    return pa.array(texts, pa.string())


def _day(days: int) -> str:
    """YYYY-MM-DD of days since 1970-01-01."""
    return date.fromordinal(_EPOCH_DAY + days).isoformat()
