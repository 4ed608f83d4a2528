"""R14, R15 by the letter: what of the queues can leave, searched anew after every release.

Nothing here is quick. The search for a greatest set is the loop of R15, with what is linked and what stands behind.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from tests.core.oracle_books import Books, Payment
from tests.core.oracle_limits import fits, headroom_after, over_bilateral_limit, value_lacks
from tests.core.oracle_waiting import is_held, release

Set = list[Payment]


def offset(books: Books) -> None:
    """What can leave alone; then what can in pairs, and again alone; only when nothing else can, everybody."""
    while True:
        while singles(books):
            pass
        if pairs(books):
            while pairs(books):
                pass
        elif not everybody(books):
            return


def in_turn(payments: Iterable[Payment]) -> Set:
    """R12."""
    return sorted(payments, key=lambda p: (-p.priority, p.arrival))


def queued(books: Books) -> Set:
    return in_turn(p for p in books.waiting if p.queued)


def singles(books: Books) -> bool:
    """The first in turn that may leave by itself (a leg: with its link), if there is one."""
    for payment in queued(books):
        group = payment.group
        if may_leave(books, group) and fits(books, group):
            release(books, in_turn(group), "LINK" if payment.link else "SINGLE")
            return True
    return False


def may_leave(books: Books, group: Set) -> bool:
    """Nobody is suspended, and under FIFO (R13) nothing is before a leg but other legs of the group."""
    if any(is_held(books, leg) for leg in group):
        return False
    fifo = [leg for leg in group if books.assets[leg.asset].spec.queue == "FIFO"]
    return all(ahead in group for leg in fifo for ahead in before(books, leg))


def before(books: Books, payment: Payment) -> Set:
    queue = books.queue(payment.debtor, payment.asset)
    return queue[: queue.index(payment)]


def pairs(books: Books) -> bool:
    """Of the pairs whose queues begin with payments to each other, and whose greatest set is not empty, the one
    with the first payment in turn releases it. Not under a value check (R10): more than the pair is at stake."""
    if books.short_limits:
        return False
    found = [set_ for pair in facing(books) if (set_ := greatest_by_limits(books, pair, []))]
    if not found:
        return False
    first = min(found, key=lambda set_: (-set_[0].priority, set_[0].arrival))
    release(books, first, "BILATERAL")
    return True


def facing(books: Books) -> Iterator[Set]:
    """What two participants owe each other at the beginnings of their queues, in all assets, both owing."""
    for one, other in combinations(books.status, 2):
        among = beginnings(books, one, other) + beginnings(books, other, one)
        among = whole(books, among, lambda p: is_held(books, p))
        if {p.debtor for p in among} == {one, other}:
            yield among


def beginnings(books: Books, debtor: str, creditor: str) -> Set:
    found: Set = []
    for asset in books.assets:
        for payment in books.queue(debtor, asset):
            if payment.creditor != creditor:
                break
            found.append(payment)
    return found


def everybody(books: Books) -> bool:
    """R15."""
    found = greatest(books, queued(books))
    release(books, found, "MULTILATERAL")
    return bool(found)


def greatest(books: Books, among: Set) -> Set:
    """The greatest set, in turn. Whoever fails the value check (R10), first by registration, keeps their last
    payment back for this search."""
    kept_back: Set = []
    while True:
        found = greatest_by_limits(books, among, kept_back)
        payers = [name for name in books.status if name in {p.debtor for p in found}]
        failing = [name for name in payers if fails_value_check(books, name, found)]
        if not failing:
            return found
        kept_back.append([p for p in found if p.debtor == failing[0]][-1])


def fails_value_check(books: Books, name: str, found: Set) -> bool:
    pays_in = {p.asset for p in found if p.debtor == name}
    return bool(pays_in & books.valuations.keys()) and value_lacks(books, name, found)


def greatest_by_limits(books: Books, among: Set, kept_back: Set) -> Set:
    """The loop of R15; a bilateral limit is one more floor, which only payments to that creditor get below."""
    found = whole(books, among, lambda p: p in kept_back or is_held(books, p))
    while broken := [p for p in found if below_a_floor(books, p, found)]:
        last = broken[-1]
        found = whole(books, found, lambda p, last=last: p is last)
    return found


def below_a_floor(books: Books, payment: Payment, group: Set) -> bool:
    debtor, creditor, asset = payment.debtor, payment.creditor, payment.asset
    return headroom_after(books, debtor, asset, group) < 0 or over_bilateral_limit(
        books, debtor, creditor, asset, group
    )


def whole(books: Books, payments: Set, is_wrong: Callable[[Payment], bool]) -> Set:
    """`payments` without what is wrong, what is linked with that, and what stands behind any of it; in turn."""
    kept = in_turn(p for p in payments if not is_wrong(p))
    while True:
        fine = [
            p
            for p in kept
            if all(leg in kept for leg in p.group) and all(q in kept for q in before(books, p))
        ]
        if len(fine) == len(kept):
            return kept
        kept = fine
