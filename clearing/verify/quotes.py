"""What a message says of other ones, decoded anew: the legs its link declares, the original it quotes (R5, R19).

Pure. Two mentions of one payment are the same if their columns are: clearing.verify.orders makes those.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from clearing.core.inputs import I64, U8, U64, Decision, Links, References
from clearing.core.outputs import LinkedLeg
from clearing.messages import (
    Answer,
    Cancellation,
    Item,
    Leg,
    Link,
    Payment,
    PriorityChange,
    Return,
    TokenTransfer,
)

_LEGS = (Payment, TokenTransfer)
_NO_LEG = 255  # of a payment that is none of the legs it declares: no row has it
_encode = msgspec.json.Encoder().encode


class Quotes(NamedTuple):
    """n originals as their own rows would have them."""

    body_hash: U64
    amount: I64
    decimals: U8


def linked(orders: list[Item]) -> Links | None:
    """Links of the orders that have one; legs is 0 on the others. None: no order has one."""
    at = [i for i, order in enumerate(orders) if _link_of(order) is not None]
    if not at:
        return None
    n = len(orders)
    links = Links(
        link=np.zeros((n, 2), np.uint64),
        terms=np.zeros((n, 2), np.uint64),
        leg=np.zeros(n, np.uint8),
        legs=np.zeros(n, np.uint8),
        partial=np.zeros(n, np.uint8),
    )
    for i in at:
        order = orders[i]
        link = _link_of(order)
        assert isinstance(order, _LEGS), "only payments are legs"
        assert link is not None, "as found above"
        leg = _leg(order, link)
        links.link[i], links.terms[i] = ids_of([link.id])[0], ids_of([leg.terms])[0]
        links.leg[i], links.legs[i], links.partial[i] = leg.leg, leg.legs, link.partial
    return links


def _leg(order: Payment | TokenTransfer, link: Link) -> LinkedLeg:
    """Which leg of its link an order is: worked out from the legs it declares, or as a receipt has told it."""
    if isinstance(link.legs, int):
        terms = "" if link.terms is UNSET else link.terms
        leg = _NO_LEG if link.leg is UNSET else link.leg
        return LinkedLeg(id=link.id, terms=terms, leg=leg, legs=link.legs, partial=link.partial)
    legs = sorted(_key(leg) for leg in link.legs)
    own = _key(order)
    return LinkedLeg(
        id=link.id,
        terms=hashlib.sha256(_encode([legs, link.partial])).hexdigest()[:32],
        leg=legs.index(own) if own in legs else _NO_LEG,
        legs=min(len(legs), _NO_LEG),
        partial=link.partial,
    )


def _link_of(order: Item) -> Link | None:
    if isinstance(order, _LEGS) and order.link is not UNSET:
        return order.link
    return None


def _key(leg: Leg | Payment | TokenTransfer) -> tuple[str, str, str, str]:
    """What makes a leg the same in every spelling: its amount without zeros at the end."""
    whole, _, fraction = leg.amount.partition(".")
    fraction = fraction.rstrip("0")
    return leg.asset, leg.debtor, leg.creditor, f"{whole}.{fraction}" if fraction else whole


def quoting(
    orders: list[Item], quotes: Callable[[list[Payment | TokenTransfer | Return]], Quotes]
) -> References | None:
    """References of the orders that are about another one; id is 0 on the others. None: no order is."""
    if set(map(type, orders)) <= {Payment, TokenTransfer}:
        return None
    about = {i: text for i, order in enumerate(orders) if (text := _about(order))}
    n, at = len(orders), [*about]
    found = References(
        id=np.zeros((n, 2), np.uint64),
        body_hash=np.zeros(n, np.uint64),
        amount=np.zeros(n, np.int64),
        decimals=np.zeros(n, np.uint8),
        decision=np.zeros(n, np.uint8),
    )
    found.id[at] = ids_of([*about.values()])
    originals = {
        i: order.original for i in at if isinstance(order := orders[i], Return | Cancellation)
    }
    if originals:
        quoted = [*originals]
        columns = quotes([*originals.values()])
        found.body_hash[quoted], found.amount[quoted] = columns.body_hash, columns.amount
        found.decimals[quoted] = columns.decimals
    for i in at:
        order = orders[i]
        if isinstance(order, Answer):
            found.decision[i] = Decision[order.decision]
    return found


def _about(order: Item) -> str:
    """Id of the message it is about, "" if it stands for itself."""
    match order:
        case Return() | Cancellation():
            return order.original.id
        case PriorityChange():
            return order.payment
        case Answer():
            return order.request
    return ""


def ids_of(texts: list[str]) -> U64:
    """(n, 2) words of UUIDs. A text that is none gets the words of no UUID, so that it differs."""
    joined = "".join(texts)
    if joined.isascii() and all(len(text) == 36 for text in texts):
        table = np.frombuffer(joined.encode(), np.uint8).reshape(-1, 36)
        digits = np.delete(table, (8, 13, 18, 23), axis=1).tobytes().decode()
        try:
            return np.frombuffer(bytes.fromhex(digits), "<u8").reshape(-1, 2)
        except ValueError:
            pass  # some text is no UUID: find out which
    words = np.zeros((len(texts), 2), np.uint64)
    for i, text in enumerate(texts):
        digits = text.replace("-", "")
        if len(digits) == 32 and all(c in "0123456789abcdef" for c in digits):
            words[i] = np.frombuffer(bytes.fromhex(digits), "<u8")
    return words
