"""Deadlocks explain themselves: against counting up, and against their plain meaning (R16)."""

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from clearing.core.deadlock import Deadlock, Edge, Wait, explain
from clearing.core.offsetting import NONE
from tests.core import oracle_offsetting as oracle
from tests.core.oracle_offsetting import Item, after, queue_of, random_system, systems


def why(room: list[int], items: list[Item]) -> Deadlock:
    deadlock = explain(np.array(room, np.int64), queue_of(items))
    assert deadlock is not None
    return deadlock


def test_no_deadlock_while_something_can_leave() -> None:  # R16
    for _, system in systems(11, 300):
        deadlock = explain(np.array(system.room, np.int64), queue_of(system.items))
        assert (deadlock is None) == bool(oracle.one_at_a_time(system.room, system.items))


def deadlocks(
    seed: int, count: int, accounts: int = 4, most: int = 8
) -> Iterator[tuple[list[int], list[Item]]]:
    random = Random(seed)
    while count:
        system = random_system(random, random.randint(2, accounts), most)
        room, items = after(system, [sorted(oracle.one_at_a_time(system.room, system.items))])
        if items:
            count -= 1
            yield room, items


@pytest.mark.parametrize("seed", range(4))
def test_the_smallest_extra_liquidity_for_one_account(seed: int) -> None:  # R16
    found: list[tuple[int, int] | None] = []
    for room, items in deadlocks(seed, 100):
        deadlock = why(room, items)
        assert deadlock.searched
        assert deadlock.to_free_any == oracle.cheapest(room, items)
        found.append(deadlock.to_free_any)
    assert None in found
    assert len(set(found)) > 10


def test_with_the_extra_liquidity_for_all_everything_leaves() -> None:  # R16
    for room, items in deadlocks(21, 300):
        free = [item for item in items if not item.held]
        enough = list(room)
        for constraint, amount in why(room, items).to_free_all:
            assert amount > 0
            enough[constraint] += amount
        everything = oracle.one_at_a_time([1 << 40] * len(room), items)
        assert oracle.one_at_a_time(enough, items) == everything
        assert len(everything) <= len(free)
        for constraint, _ in why(room, items).to_free_all:
            enough[constraint] -= 1
            assert oracle.one_at_a_time(enough, items) != everything
            enough[constraint] += 1


@pytest.mark.parametrize("most", [8, 24])
def test_edges_and_cycles_are_their_plain_meaning(most: int) -> None:  # R16, R20
    circles = linked = 0
    for room, items in deadlocks(most, 300, accounts=most // 2, most=most):
        deadlock = why(room, items)
        assert [wait.account for wait in deadlock.waits] == sorted({item.payer for item in items})
        for wait in deadlock.waits:
            head = min(
                (item for item in items if item.payer == wait.account), key=lambda i: i.order
            )
            assert (items[wait.row], wait.held, wait.limit) == (head, head.held, head.limit)
            if head.group == NONE and not head.held:
                assert wait.lacks == max(0, head.amount - room[head.payer])
                assert wait.lacks or wait.limit_lacks
            found = {
                why: {
                    edge.waits_for: edge.amount
                    for edge in deadlock.edges
                    if (edge.account, edge.why) == (wait.account, why)
                }
                for why in ("money", "limit", "group")
            }
            assert found["money"] == (oracle.brought(items, wait.account) if wait.lacks else {})
            assert bool(found["limit"]) <= bool(wait.limit_lacks)
            legs = {} if head.held else oracle.stuck_legs(room, items, wait.row)
            assert found["group"] == legs
            linked += len(legs)
        assert deadlock.cycles == oracle.circles([(e.account, e.waits_for) for e in deadlock.edges])
        circles += len(deadlock.cycles)
    assert circles > 50
    assert linked > 50


def test_a_search_that_is_cut_short_says_so() -> None:  # R16
    """A ring in which only the last account lacks something: others are tried before it."""
    room = np.array([0] * 49 + [-5], np.int64)
    queue = queue_of([Item(i % 50, (i + 1) % 50, 100, i) for i in range(500)])
    whole, cut = explain(room, queue), explain(room, queue, effort_items=1000)
    assert whole is not None
    assert cut is not None
    assert (whole.to_free_any, whole.searched) == ((49, 5), True)
    assert (cut.to_free_any, cut.searched) == ((0, 100), False)  # enough, if not the least


def test_who_waits_for_whom() -> None:  # R16
    """The ring of Ubin 7.1: each waits for the one before it, and 1 is the cheapest to help."""
    items = [
        Item(0, 1, 8, 0),
        Item(1, 2, 10, 1),
        Item(2, 3, 20, 2),
        Item(3, 4, 30, 3),
        Item(4, 0, 40, 4),
    ]
    deadlock = why([3, 4, 5, 4, 3], items)
    assert deadlock.waits == [
        Wait(account=a, row=a, held=False, lacks=lacks, limit=NONE, limit_lacks=0)
        for a, lacks in enumerate((5, 6, 15, 26, 37))
    ]
    assert deadlock.edges == [
        Edge(0, 4, 40, "money"),
        Edge(1, 0, 8, "money"),
        Edge(2, 1, 10, "money"),
        Edge(3, 2, 20, "money"),
        Edge(4, 3, 30, "money"),
    ]
    assert deadlock.cycles == [[0, 1, 2, 3, 4]]
    assert deadlock.to_free_all == [(2, 5), (3, 6), (4, 7)]
    assert deadlock.to_free_any == (0, 5)


def test_waiting_for_a_limit_a_leg_and_a_hold() -> None:  # R16, R20
    items = [
        Item(0, 1, 5, 0, limit=4, relief=5),
        Item(1, 0, 9, 1, limit=5, relief=4),
        Item(2, 1, 1, 2, group=7),
        Item(0, 2, 1, 3, group=7),
        Item(3, 2, 1, 4, held=True),
    ]
    deadlock = why([9, 0, 9, 9, 2, 99], items)
    assert deadlock.waits == [
        Wait(account=0, row=0, held=False, lacks=0, limit=4, limit_lacks=3),
        Wait(account=1, row=1, held=False, lacks=9, limit=5, limit_lacks=0),
        Wait(account=2, row=2, held=False, lacks=0, limit=NONE, limit_lacks=0),
        Wait(account=3, row=4, held=True, lacks=0, limit=NONE, limit_lacks=0),
    ]
    assert deadlock.edges == [
        Edge(0, 1, 9, "limit"),
        Edge(1, 0, 5, "money"),
        Edge(1, 2, 1, "money"),
        Edge(2, 0, 1, "group"),
    ]
    assert deadlock.cycles == [[0, 1, 2]]
