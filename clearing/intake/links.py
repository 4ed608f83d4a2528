"""The link of a payment: the legs of its trade, checked exactly, in their one canonical order (R19).

Pure. Senders declare the legs in any order and spelling; who declares the same has the same terms and the same
numbers of legs. What becomes of the legs is the engine's to say.
"""

import hashlib
import re
from typing import cast

import msgspec

from clearing.core.reasons import Code
from clearing.intake import fields
from clearing.intake.fields import Link
from clearing.intake.strict import Number, Unreadable

MIN_LEGS, MAX_LEGS = 2, 16

_LINK = ("id", "legs")  # in the order in which a missing one is named
_LEG = ("debtor", "creditor", "asset", "amount")
_TOLD = ("id", "terms", "leg", "legs")
_TERMS = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,2}", re.ASCII)

Leg = tuple[str, str, str, str]  # asset, debtor, creditor, amount without zeros at its end

_encode = msgspec.json.Encoder().encode


def link_of(document: dict[str, object], payment: dict[str, str]) -> Link | Unreadable:
    """The link as this payment, whose own fields are sound, is part of it.

    Or the first of: FIELD, ID, LEGS (their number); of each leg FIELD, CHARACTER, AMOUNT_…; LEGS (two alike,
    or the payment is none of them).
    """
    if fault := fields.shape_fault(document, _LINK, ("partial",)):
        return fault
    legs, partial = document["legs"], document.get("partial", False)
    if not isinstance(legs, list) or not isinstance(partial, bool):
        return Unreadable(Code.FIELD, "legs is no array or partial no boolean")
    link_id = cast(str, document["id"])
    if fault := fields.id_fault(link_id):
        return fault
    if not MIN_LEGS <= len(legs) <= MAX_LEGS:
        return Unreadable(Code.LEGS, f"not {MIN_LEGS} to {MAX_LEGS} legs")
    canonical: list[Leg] = []
    for number, leg in enumerate(legs):
        read = _leg(leg)
        if isinstance(read, Unreadable):
            return read._replace(detail=f"leg {number}: {read.detail}")
        canonical.append(read)
    canonical.sort()
    if len(set(canonical)) < len(canonical):
        return Unreadable(Code.LEGS, "two legs are alike")
    own = _key(payment)
    if own not in canonical:
        return Unreadable(Code.LEGS, "the payment is none of the legs")
    return Link(
        fields.id_bytes(link_id),
        terms_of(canonical, partial),
        canonical.index(own),
        len(canonical),
        partial,
    )


def told_link_of(document: dict[str, object]) -> Link | Unreadable:
    """The link of a quoted original as a receipt tells it (clearing.core.outputs.LinkedLeg).

    Or the first of: FIELD, ID, CHARACTER, LEGS. Nothing is taken on trust: the id and the terms are in the content
    hash, and the rest follows from them.
    """
    if fault := fields.shape_fault(document, _TOLD, ("partial",)):
        return fault
    leg, legs, partial = document["leg"], document["legs"], document.get("partial", False)
    if not isinstance(leg, Number) or not isinstance(legs, Number) or not isinstance(partial, bool):
        return Unreadable(Code.FIELD, "leg or legs is no number or partial no boolean")
    link_id, terms = cast(str, document["id"]), cast(str, document["terms"])
    if fault := fields.id_fault(link_id):
        return fault
    if _TERMS.fullmatch(terms) is None:
        return Unreadable(Code.CHARACTER, "terms is not 32 of [0-9a-f]")
    if not _is_between(MIN_LEGS, legs, MAX_LEGS) or not _is_between(0, leg, int(legs.text) - 1):
        return Unreadable(Code.LEGS, f"not one of {MIN_LEGS} to {MAX_LEGS} legs")
    return Link(
        fields.id_bytes(link_id), bytes.fromhex(terms), int(leg.text), int(legs.text), partial
    )


def _is_between(low: int, number: Number, high: int) -> bool:
    return _NUMBER.fullmatch(number.text) is not None and low <= int(number.text) <= high


def terms_of(legs: list[Leg], partial: bool) -> bytes:
    """First 16 bytes of the SHA-256 over [[[asset, debtor, creditor, amount], …], partial] as JSON without blanks.

    legs: in canonical, that is ascending order. STORED FORMAT: legs in different log records are told apart by it.
    """
    return hashlib.sha256(_encode([legs, partial])).digest()[:16]


def _leg(document: object) -> Leg | Unreadable:
    if not isinstance(document, dict):
        return Unreadable(Code.FIELD, "no JSON object")
    fault = fields.shape_fault(document, _LEG)
    fault = fault or fields.party_fault(document, "debtor", "creditor")
    fault = fault or fields.asset_fault(document["asset"])
    if fault is not None:
        return fault
    amount = fields.positive_amount_of(document["amount"])
    return amount if isinstance(amount, Unreadable) else _key(document)


def _key(payment: dict[str, str]) -> Leg:
    whole, _, fraction = payment["amount"].partition(".")
    fraction = fraction.rstrip("0")
    amount = f"{whole}.{fraction}" if fraction else whole
    return payment["asset"], payment["debtor"], payment["creditor"], amount
