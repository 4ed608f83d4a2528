"""Payments that a decoder has read one by one, as the columns' fields: what stands between bytes and columns.

Pure. Nothing is checked here but the shape; the columns check the rest.
"""

from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, Raw, UnsetType

from clearing.core.inputs import I32, I64, Bool
from clearing.intake import fields
from clearing.intake.columns import Fields, Given

_QUOTES_REQUIRED = 4 * 8  # four to a field whose value is a string


class Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A payment or token transfer without a link, as decoded: nothing but the shape is checked.

    Numbers stay Raw: a decoder for int would take 1.0 for 1.
    """

    type: str
    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    value_date: str
    end_to_end_id: str
    chain_reference: str | UnsetType = UNSET
    priority: str | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    window: Raw | UnsetType = UNSET
    version: Raw | UnsetType = UNSET


decode_line = msgspec.json.Decoder(Line).decode


def fields_of(lines: list[Line]) -> Fields:
    return Fields(
        type=_texts([line.type for line in lines]),
        id=_texts([line.id for line in lines]),
        debtor=_texts([line.debtor for line in lines]),
        creditor=_texts([line.creditor for line in lines]),
        asset=_texts([line.asset for line in lines]),
        amount=_texts([line.amount for line in lines]),
        value_date=_texts([line.value_date for line in lines]),
        end_to_end_id=_texts([line.end_to_end_id for line in lines]),
        chain_reference=_given([line.chain_reference for line in lines]),
        priority=_given([line.priority for line in lines]),
        expires_at=_given([line.expires_at for line in lines]),
    )


def numbers_of(lines: list[Line], sound: Bool) -> I32:
    """The window that each line names, 0 where it names none. Unsound where that or the version is none."""
    _numbers([line.version for line in lines], version_of, sound)
    return _numbers([line.window for line in lines], window_of, sound).astype(np.int32)


def quotes_of(lines: list[Line], given: Fields) -> I64:
    """How many `"` each line, if it is sound, has at least; more, only if a key stands in it twice."""
    quotes = np.full(len(lines), _QUOTES_REQUIRED, np.int64)
    for optional in (given.chain_reference, given.priority, given.expires_at):
        if optional is not None:
            quotes += 4 * optional.present
    for numbers in ([line.window for line in lines], [line.version for line in lines]):
        quotes += 2 * _present(numbers)
    return quotes


def text_of(value: Raw) -> str:
    """JSON text as it was written. The decoder has passed over it: it may be no UTF-8, and then no number."""
    return bytes(value).decode("ascii", "replace")


def window_of(value: Raw) -> int | None:
    return fields.window_of(text_of(value))


def version_of(value: Raw) -> int | None:
    return 0 if bytes(value) == fields.VERSION.encode() else None


def _texts(values: list[str]) -> pa.StringArray:
    return pa.array(values, pa.string())


def _given(values: list[str | UnsetType]) -> Given | None:
    present = _present(values)
    if not present.any():
        return None
    return Given(_texts(["" if value is UNSET else value for value in values]), present)


def _present(values: list) -> Bool:
    absent = values.count(UNSET)
    if absent in (0, len(values)):
        return np.full(len(values), not absent, np.bool_)
    return np.fromiter((value is not UNSET for value in values), np.bool_, len(values))


def _numbers(values: list, read: Callable[[Raw], int | None], sound: Bool) -> I64:
    """read(value) where there is a value, else 0; unsound where it gives None."""
    if not _present(values).any():
        return np.zeros(len(values), np.int64)
    numbers = [0 if value is UNSET else read(value) for value in values]
    sound &= np.fromiter((number is not None for number in numbers), np.bool_, len(values))
    return np.array([number or 0 for number in numbers], np.int64)
