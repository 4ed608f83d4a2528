"""Linked legs in the oracle (R19-R22): they gather; when all are there, they leave, queue or end together."""

from dataclasses import replace
from itertools import combinations
from math import gcd

from clearing.core.reasons import Code
from tests.core.oracle_books import Books, Link, Payment
from tests.core.oracle_limits import fits, has_room, is_blocked, lack
from tests.core.oracle_release import may_leave, queued
from tests.core.oracle_waiting import (
    accept,
    end_legs,
    end_link,
    is_held,
    release,
    release_part,
    wait,
)

Declared = tuple[int, int, bool]


def arrive(books: Books, leg: Payment, link_id: int, number: int, declared: Declared) -> Code:
    """A leg that nothing but its link can refuse any more."""
    if link_id in books.ended_links:
        return Code.LINK_ENDED
    link = books.links.get(link_id)
    if link is not None and not takes(link, number, declared):
        return Code.LINK_MISMATCH
    if not has_room(books, leg):
        if link is not None:
            end_legs(books, link)
        return Code.POSITION_RANGE
    link = books.links.setdefault(link_id, Link(link_id, declared))
    link.legs[number] = leg
    leg.link, leg.leg = link, number
    if not link.complete:
        wait(books, leg, queued=False)
        return Code.QUEUED
    return _complete(books, link, leg)


def takes(link: Link, number: int, declared: Declared) -> bool:
    return link.declared == declared and number not in link.legs


def refused_leg(books: Books, link_id: int, number: int, declared: Declared) -> None:
    """A leg was refused before its link was looked at: without it the link cannot be."""
    link = books.links.get(link_id)
    if link is not None and takes(link, number, declared):
        end_legs(books, link)


def _complete(books: Books, link: Link, last: Payment) -> Code:
    legs = link.in_order()
    assets = {leg.asset for leg in legs}
    if any(not _paired(books, one, other) for one, other in combinations(assets, 2)):
        end_legs(books, link, Code.LINK_PAIR)
        return Code.LINK_PAIR
    blocked = any(is_held(books, leg) or is_blocked(books, leg) for leg in legs)
    if not blocked and fits(books, legs):
        accept(books, last)
        release(books, [leg for leg in legs if leg is not last], "LINK")
        end_link(books, link)
        return Code.ACCEPTED
    if all(books.assets[leg.asset].spec.queue != "NONE" for leg in legs):
        for leg in legs:
            wait(books, leg, queued=True)
        return Code.QUEUED
    lacking = [(leg, code) for leg in legs if (code := lack(books, leg, legs))]
    first = lacking[0] if lacking else None
    end_legs(books, link, other=first)
    return first[1] if first and first[0] is last else Code.LINK_REFUSED


def _paired(books: Books, one: str, other: str) -> bool:
    return (one, other) in books.pairs or (other, one) in books.pairs


def deliver_parts(books: Books, asset: str) -> None:
    """R22 at a cut-off: of every link that may be delivered in part, the most that fits, less than all. One after
    the other, in the turn of their first legs."""
    for payment in queued(books):
        if payment.link and payment.link.declared[2] and payment is payment.group[0]:
            legs = payment.group
            if any(leg.asset == asset for leg in legs) and may_leave(books, legs):
                _deliver_part(books, legs)


def _deliver_part(books: Books, legs: list[Payment]) -> None:
    """From the smallest part on, as long as it fits: a debt that only a larger part would cover is no reason."""
    whole, part = gcd(*(leg.units for leg in legs)), 0
    while part + 1 < whole and fits(books, [_part(leg, part + 1, whole) for leg in legs]):
        part += 1
    if part:
        for leg in legs:
            release_part(books, leg, leg.units // whole * part)


def _part(leg: Payment, part: int, whole: int) -> Payment:
    return replace(leg, units=leg.units // whole * part)
