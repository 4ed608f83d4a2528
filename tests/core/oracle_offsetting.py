"""The plain meaning of offsetting, in sets and Python integers: R13–R16 and R20 as they are written.

Nothing of clearing.core but the Queue that goes in. Slow on purpose: subsets are counted out, loops begin anew.
"""

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import NamedTuple

import numpy as np

from clearing.core.offsetting import NONE, Queue

SCALES = (1, 10**9 + 7, 1 << 58)  # 2^58: a handful of amounts is more than an int64 holds


class Item(NamedTuple):
    payer: int
    payee: int
    amount: int
    order: int
    limit: int = NONE
    relief: int = NONE
    group: int = NONE
    held: bool = False


class System(NamedTuple):
    room: list[int]
    items: list[Item]
    bypass: list[bool]
    party: list[int]


def queue_of(items: list[Item]) -> Queue:
    columns = [np.array([item[k] for item in items], np.int64) for k in range(7)]
    return Queue(*columns, held=np.array([item.held for item in items], np.bool_))


def random_system(random: Random, accounts: int = 4, most: int = 8, scale: int = 1) -> System:
    """Some accounts, a bilateral limit for some ordered pairs of them, groups of two and three, holds."""
    limited = random.random() < 0.5
    limits = {
        pair: accounts + k
        for k, pair in enumerate((a, b) for a in range(accounts) for b in range(a))
        if limited and random.random() < 0.6
    }
    limits |= {
        (b, a): c + accounts * accounts for (a, b), c in limits.items() if random.random() < 0.8
    }
    n, grouped = random.randint(most // 4, most), random.choice((0.0, 0.0, 0.3, 0.7))
    held, passing = random.choice((0.0, 0.0, 0.15)), random.choice((0.0, 0.5, 1.0))
    items: list[Item] = []
    for order in random.sample(range(10 * most), n):
        payer, payee = random.sample(range(accounts), 2)
        items.append(
            Item(
                payer,
                payee,
                random.randint(1, 6) * scale,
                order,
                limits.get((payer, payee), NONE),
                limits.get((payee, payer), NONE),
                random.randint(0, n // 2) if random.random() < grouped else NONE,
                random.random() < held,
            )
        )
    low = random.choice((-4, 0))
    room = [random.randint(low, 5) * scale for _ in range(accounts)]
    room += [random.randint(low, 9) * scale for _ in range(2 * accounts * accounts)]
    bypass = [random.random() < passing for _ in items]
    return System(room, items, bypass, [a % ((accounts + 1) // 2) for a in range(accounts)])


def systems(
    seed: int, count: int, scales: tuple[int, ...] = SCALES
) -> Iterator[tuple[Random, System]]:
    for k in range(count):
        random = Random(f"{seed} {k}")
        accounts, scale = random.randint(2, 5), random.choice(scales)
        yield random, random_system(random, accounts=accounts, scale=scale)


def after(system: System, released: list[list[int]]) -> tuple[list[int], list[Item]]:
    rows = {row for rows in released for row in rows}
    assert len(rows) == sum(map(len, released)), "released twice"
    room = ends(system.room, system.items, rows)[:-1]
    return room, [item for i, item in enumerate(system.items) if i not in rows]


# --- sets (R15, R20) ---------------------------------------------------------------------------------------------


def ends(room: list[int], items: list[Item], leaving: set[int]) -> list[int]:
    """Room after all of these have left."""
    after = [*room, 0]
    for i in leaving:
        item = items[i]
        after[item.payer] -= item.amount
        after[item.limit] -= item.amount
        after[item.payee] += item.amount
        after[item.relief] += item.amount
    return after


def covered(room: list[int], items: list[Item], leaving: set[int]) -> bool:
    after = ends(room, items, leaving)
    used = {items[i].payer for i in leaving} | {items[i].limit for i in leaving} - {NONE}
    return all(after[c] >= 0 for c in used)


def legs(items: list[Item], i: int) -> set[int]:
    if items[i].group == NONE:
        return {i}
    return {j for j, item in enumerate(items) if item.group == items[i].group}


def behind(items: list[Item], i: int) -> set[int]:
    """The item and all behind it in its queue."""
    return {
        j
        for j, item in enumerate(items)
        if item.payer == items[i].payer and item.order >= items[i].order
    }


def feasible_sets(room: list[int], items: list[Item]) -> Iterator[set[int]]:
    """Every set that may leave as one: beginnings of the queues, groups whole, nothing held, all covered."""
    queues: dict[int, list[int]] = {}
    for i in sorted(range(len(items)), key=lambda i: items[i].order):
        queues.setdefault(items[i].payer, []).append(i)
    for lengths in product(*(range(len(queue) + 1) for queue in queues.values())):
        chosen = {i for queue, k in zip(queues.values(), lengths, strict=True) for i in queue[:k]}
        if any(items[i].held or not legs(items, i) <= chosen for i in chosen):
            continue
        if covered(room, items, chosen):
            yield chosen


def one_at_a_time(room: list[int], items: list[Item], random: Random | None = None) -> set[int]:
    """The loop of R15, word for word; any account below its floor is a random one."""
    left = set(range(len(items)))

    def remove(i: int) -> None:
        for j in behind(items, i) & left:
            if j in left:
                left.discard(j)
                for leg in legs(items, j) & left:
                    remove(leg)

    for i, item in enumerate(items):
        if item.held:
            remove(i)
    while True:
        after = ends(room, items, left)
        users: dict[int, list[int]] = {}
        for i in sorted(left, key=lambda i: items[i].order):
            users.setdefault(items[i].payer, []).append(i)
            users.setdefault(items[i].limit, []).append(i)
        below = [c for c in users if c != NONE and after[c] < 0]
        if not below:
            return left
        remove(users[random.choice(below) if random else below[0]][-1])


# --- one by one, and pairs (R13, R14) ----------------------------------------------------------------------------


def singles(system: System) -> list[list[int]]:
    """The lowest of all that may leave and fits, again and again; what is left of the room is thrown away."""
    room, items, bypass, _ = system
    left, released = set(range(len(items))), list[list[int]]()
    while True:
        fitting = [
            group
            for group in (legs(items, i) for i in left)
            if not any(items[i].held for i in group)
            and covered(room, items, group)
            and all(
                bypass[j] or j in group
                for i in group
                for j in left
                if items[j].payer == items[i].payer and items[j].order < items[i].order
            )
        ]
        if not fitting:
            return released
        first = min(fitting, key=lambda group: min(items[i].order for i in group))
        room, left = ends(room, items, first)[:-1], left - first
        released.append(sorted(first, key=lambda i: items[i].order))


def bilateral(system: System) -> list[list[int]]:
    """Of all pairs with a set to release, the one with the lowest order; then all pairs anew."""
    room, items, _, party = system
    left, released = set(range(len(items))), list[list[int]]()
    while True:
        found: list[tuple[int, set[int]]] = []
        for one, other in product(set(party), set(party)):
            between = facing(items, left, party, one, other) if one < other else set[int]()
            if {party[items[i].payer] for i in between} == {one, other}:
                small = [
                    items[i] if i in between else items[i]._replace(held=True)
                    for i in range(len(items))
                ]
                chosen = max(feasible_sets(room, [small[i] for i in sorted(left)]), key=len)
                rows = {sorted(left)[k] for k in chosen}
                if rows:
                    found.append((min(items[i].order for i in between), rows))
        if not found:
            return released
        _, rows = min(found, key=lambda pair: pair[0])
        room, left = ends(room, items, rows)[:-1], left - rows
        released.append(sorted(rows, key=lambda i: items[i].order))


def facing(items: list[Item], left: set[int], party: list[int], one: int, other: int) -> set[int]:
    """Items between the two with nothing before them in their queue but such items."""

    def between(i: int) -> bool:
        return {party[items[i].payer], party[items[i].payee]} == {one, other} and not items[i].held

    return {i for i in left if all(between(j) for j in left if i in behind(items, j))}


# --- what would free it (R16) ------------------------------------------------------------------------------------


def cheapest(room: list[int], items: list[Item]) -> tuple[int, int] | None:
    """(account, amount): counted up from one unit, accounts in order."""
    queued = sorted({item.payer for item in items})
    enough = sum(item.amount for item in items) + sum(abs(units) for units in room)
    for amount in range(1, enough + 1):
        for account in queued:
            richer = [units + amount * (c == account) for c, units in enumerate(room)]
            if one_at_a_time(richer, items):
                return account, amount
    return None


def brought(items: list[Item], payee: int) -> dict[int, int]:
    """Payer → what its queued items would bring this account, were they all covered."""
    total: dict[int, int] = {}
    for i in one_at_a_time([1 << 62] * 1000, items):
        if items[i].payee == payee:
            total[items[i].payer] = total.get(items[i].payer, 0) + items[i].amount
    return total


def stuck_legs(room: list[int], items: list[Item], head: int) -> dict[int, int]:
    """Other payers of the head's group → amount of their legs that are held, not in front, or not covered."""
    group, stuck = legs(items, head), dict[int, int]()
    after = ends(room, items, group)
    for i in group if len(group) > 1 else ():
        payer, limit = items[i].payer, items[i].limit
        before = {j for j in range(len(items)) if i in behind(items, j)}
        ready = before <= group and not any(items[j].held for j in before)
        if payer != items[head].payer and not (
            ready and after[payer] >= 0 and (limit == NONE or after[limit] >= 0)
        ):
            stuck[payer] = stuck.get(payer, 0) + items[i].amount
    return stuck


def circles(edges: list[tuple[int, int]]) -> list[list[int]]:
    """Accounts that reach each other: those that stand in the same circles."""
    accounts = sorted({account for edge in edges for account in edge})
    reach = {account: {b for a, b in edges if a == account} for account in accounts}
    for _ in accounts:
        for account in accounts:
            reach[account] = reach[account].union(*(reach[b] for b in reach[account]))
    groups = {tuple(b for b in accounts if b in reach[a] and a in reach[b]) for a in accounts}
    return sorted(list(group) for group in groups if len(group) > 1)
