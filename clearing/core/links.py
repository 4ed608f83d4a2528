"""Linked legs: delivery- and payment-versus-payment (R19-R22). All legs are accepted in one step, or none.

A link collects its legs from their own senders. Complete, it is accepted, waits in its legs' queues as one, or is
refused as one. Its legs' windows close together and are final together, so that nobody ever has one leg only.
"""

from math import gcd

from clearing.core.ids import id_hex
from clearing.core.inputs import Links
from clearing.core.limits import lacking_of_set, room
from clearing.core.outputs import Outputs
from clearing.core.queueing import LINK, deliver_part, enqueue, hold, resolution, resolve
from clearing.core.reasons import Code
from clearing.core.registry import BisModel, Granularity
from clearing.core.release import close_links, end_link, is_at_turn, is_fifo, is_held, join_windows
from clearing.core.state import NettingSet
from clearing.core.transfers import of_rows, post
from clearing.core.waiting import Link, Waiting

PARTIAL = "PARTIAL"


def add_leg(
    state: NettingSet,
    row: int,
    leg: Waiting,
    links: Links,
    refusal: Code,
    offset: int,
    out: Outputs,
) -> Code:
    """What becomes of a leg that arrives as `row`; refusal: what other checks say of it (ACCEPTED: nothing)."""
    terms = id_hex(links.terms[row])
    number, legs, partial = int(links.leg[row]), int(links.legs[row]), bool(links.partial[row])
    link = state.links.get(leg.link)
    fits = link is None or (
        (link.terms, link.legs, link.partial) == (terms, legs, partial)
        and number not in link.present
        and not link.is_complete
    )
    if refusal != Code.ACCEPTED:
        if link is not None and fits:
            refuse_link(state, link, Code.LINK_REFUSED, out)
        return refusal
    if leg.link in state.ended_links:
        return Code.LINK_ENDED
    if not fits:
        return Code.LINK_MISMATCH
    if room(state, leg.asset) < leg.units:
        if link is not None:
            refuse_link(state, link, Code.LINK_REFUSED, out)
        return Code.POSITION_RANGE
    if link is None:
        link = state.links[leg.link] = Link(leg.link, terms, legs, partial)
    hold(state, leg)
    link.present[number] = leg.id
    return _complete(state, link, leg, offset, out) if link.is_complete else Code.QUEUED


def legs_of(state: NettingSet, link: Link) -> list[Waiting]:
    """The legs that are there, in the order of their numbers."""
    return [state.waiting[link.present[leg]] for leg in sorted(link.present)]


def refuse_link(
    state: NettingSet, link: Link, code: Code, out: Outputs, own: dict[str, Code] | None = None
) -> None:
    """The link has ended: its legs end with `code`, those in `own` (by id) with their own."""
    for leg in legs_of(state, link):
        resolve(state, [leg], (own or {}).get(leg.id, code), out)
    end_link(state, link.id)


def _complete(state: NettingSet, link: Link, last: Waiting, offset: int, out: Outputs) -> Code:
    """All legs are there: accept them as one, queue them, or refuse them."""
    legs = legs_of(state, link)
    for leg in legs:
        leg.arrival = last.arrival
    if not _has_model(state, {leg.asset for leg in legs}):
        return _refuse_complete(
            state, link, last, dict.fromkeys(link.present.values(), Code.LINK_PAIR), out
        )
    lacking = lacking_of_set(
        state, [(leg.debtor, leg.creditor, leg.asset, leg.units) for leg in legs]
    )
    waits = any(is_held(state, leg) or _is_blocked(state, leg) for leg in legs)
    if not waits and not any(lacking):
        return _accept(state, legs, last, offset, out)
    if all(state.assets[leg.asset].queues for leg in legs):
        for leg in legs:
            enqueue(state, leg)
        return Code.QUEUED
    short = next((i for i, code in enumerate(lacking) if code), None)
    own = {} if short is None else {legs[short].id: lacking[short]}
    return _refuse_complete(state, link, last, own, out)


def _accept(
    state: NettingSet, legs: list[Waiting], last: Waiting, offset: int, out: Outputs
) -> Code:
    """Those that waited are told so; the one that completes them is a row like any other."""
    earlier = [leg for leg in legs if leg is not last]
    resolve(state, earlier, Code.ACCEPTED, out, LINK)
    _post_legs(state, earlier, offset, released=True)
    _forget_quietly(state, last)
    _post_legs(state, [last], offset, released=False)
    close_links(state, legs)
    return Code.ACCEPTED


def _post_legs(state: NettingSet, legs: list[Waiting], offset: int, *, released: bool) -> None:
    rows = [(leg.debtor, leg.creditor, leg.asset, leg.units) for leg in legs]
    post(state, of_rows(state, [leg.id for leg in legs], rows), offset, released=released)


def _refuse_complete(
    state: NettingSet, link: Link, last: Waiting, own: dict[str, Code], out: Outputs
) -> Code:
    """The last leg's refusal is its row's outcome; it has not waited."""
    del link.present[last.leg]
    _forget_quietly(state, last)
    refuse_link(state, link, Code.LINK_REFUSED, out, own)
    return own.get(last.id, Code.LINK_REFUSED)


def _forget_quietly(state: NettingSet, leg: Waiting) -> None:
    del state.waiting[leg.id]
    state.assets[leg.asset].waiting -= leg.units


def _is_blocked(state: NettingSet, leg: Waiting) -> bool:
    """R13: under FIFO somebody is before it."""
    queue = state.queues.get(leg.account)
    return bool(queue) and is_fifo(state, leg) and queue[0].priority >= leg.priority


def _has_model(state: NettingSet, assets: set[int]) -> bool:
    """R21: every two assets of a link are declared as a pair."""
    return all(
        (a, b) in state.pairs or (b, a) in state.pairs for a in assets for b in assets if a < b
    )


def model_fault(state: NettingSet, delivery: int, payment: int, model: BisModel) -> str | None:
    """Why two assets cannot be settled against each other by a model, None if they can (R21)."""
    first, second = state.assets[delivery].spec.model, state.assets[payment].spec.model
    gross = (first.granularity is Granularity.GROSS, second.granularity is Granularity.GROSS)
    wanted = {
        BisModel.GROSS_GROSS: (True, True),
        BisModel.GROSS_NET: (True, False),
        BisModel.NET_NET: (False, False),
    }[model]
    if gross != wanted:
        return (
            f"model {model.value} does not go with {first.granularity} against {second.granularity}"
        )
    if first.delay is not second.delay:
        return "both assets of a pair are settled with the same delay, for their windows close together"
    return None


# --- partial delivery (R22) ----------------------------------------------------------------------------------


def deliver_parts(state: NettingSet, a: int, offset: int, out: Outputs) -> None:
    """At a cut-off of asset `a`: links that allow it and wait in queues deliver what they can, in proportion."""
    links = [
        link
        for link in state.links.values()
        if link.partial and link.is_complete and any(leg.asset == a for leg in legs_of(state, link))
    ]
    for link in sorted(links, key=lambda link: legs_of(state, link)[0].place):
        legs = legs_of(state, link)
        if all(is_at_turn(state, leg, legs) for leg in legs):
            _deliver(state, legs, offset, out)


def _deliver(state: NettingSet, legs: list[Waiting], offset: int, out: Outputs) -> None:
    """The largest part k / g of every leg that fits, g the greatest common divisor of their open amounts."""
    g = gcd(*(leg.units for leg in legs))
    rows = [(leg.debtor, leg.creditor, leg.asset, leg.units // g) for leg in legs]
    k = _largest_share(state, rows, g)
    if not k:
        return
    parts = [leg.units // g * k for leg in legs]
    for leg, part in zip(legs, parts, strict=True):
        rest = leg.units - part
        out.resolutions.append(resolution(state, leg, Code.ACCEPTED, part, PARTIAL, rest))
        deliver_part(state, leg, part)
    moved = [
        (leg.debtor, leg.creditor, leg.asset, part) for leg, part in zip(legs, parts, strict=True)
    ]
    post(state, of_rows(state, [leg.id for leg in legs], moved), offset, released=True)
    join_windows(state, {leg.asset for leg in legs})


def _largest_share(state: NettingSet, rows: list[tuple[int, int, int, int]], g: int) -> int:
    """The largest k < g such that k shares of every leg fit; 0 if a single share does not.

    Every limit is concave in k, so that what fits is one interval: bisection finds its end.
    """

    def fits(k: int) -> bool:
        return not any(lacking_of_set(state, [(d, c, a, units * k) for d, c, a, units in rows]))

    if g == 1 or not fits(1):
        return 0
    low, high = 1, g - 1
    while low < high:
        k = (low + high + 1) // 2
        low, high = (k, high) if fits(k) else (low, k - 1)
    return low


def drops_at_cutoff(state: NettingSet, item: Waiting) -> bool:
    """Whether a cut-off ends it (R17): not what has been delivered in part."""
    return not item.is_fail and not any(
        leg.is_fail for leg in (legs_of(state, state.links[item.link]) if item.link else ())
    )
