"""The legs that a link's sender declares, from its message as it was published: the log keeps only their hash."""

import msgspec

from clearing.explain.story import LegTerms


class _Link(msgspec.Struct):
    legs: list[LegTerms]


class _Message(msgspec.Struct):
    link: _Link | None = None
    items: list["_Message"] = []


_decode = msgspec.json.Decoder(_Message).decode


def declared_legs(value: bytes, item: int) -> list[LegTerms]:
    """In their canonical order (clearing.intake.links). item: place in a bulk, -1 of a message of its own.

    Empty where the message is not the one that intake has read: topics can be made anew.
    """
    try:
        message = _decode(value)
    except msgspec.MsgspecError:
        return []
    if item >= 0:
        message = message.items[item] if item < len(message.items) else _Message()
    legs = message.link.legs if message.link else []
    return sorted(legs, key=_key)


def _key(leg: LegTerms) -> tuple[str, str, str, str]:
    whole, _, fraction = leg.amount.partition(".")
    fraction = fraction.rstrip("0")
    return leg.asset, leg.debtor, leg.creditor, f"{whole}.{fraction}" if fraction else whole
