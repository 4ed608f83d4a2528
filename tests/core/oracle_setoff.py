"""R18 by the letter: as long as a cycle of debts makes the cleared total larger, clear along it.

Debts not yet cleared may be cleared (+1 a unit), cleared ones may be put back (-1 a unit). When no cycle of such
steps gains, nothing clears more: the residual network of a maximum-cost circulation has no gaining cycle.
"""

Debts = dict[tuple[str, str], int]


def most_cleared(owed: Debts) -> Debts:
    """What to take off each debt so that the most is cleared and nobody's net changes."""
    cleared = dict.fromkeys(owed, 0)
    while cycle := gaining_cycle(owed, cleared):
        room = [owed[pair] - cleared[pair] if gain > 0 else cleared[pair] for pair, gain in cycle]
        for pair, gain in cycle:
            cleared[pair] += gain * min(room)
    return {pair: units for pair, units in cleared.items() if units}


def gaining_cycle(owed: Debts, cleared: Debts) -> list[tuple[tuple[str, str], int]]:
    """Steps (pair, +1 clear | -1 put back) around a cycle with a gain above zero, found by Bellman and Ford."""
    steps = [((d, c), d, c, 1) for d, c in owed if cleared[d, c] < owed[d, c]]
    steps += [((d, c), c, d, -1) for d, c in owed if cleared[d, c] > 0]
    names = sorted({name for pair in owed for name in pair})
    best, came_by = dict.fromkeys(names, 0), dict[str, tuple[tuple[str, str], str, int]]()
    found = ""
    for _ in names:
        found = ""
        for pair, start, end, gain in steps:
            if best[start] + gain > best[end]:
                best[end] = best[start] + gain
                came_by[end] = (pair, start, gain)
                found = end
        if not found:
            return []
    for _ in names:  # far enough back to be on the cycle
        found = came_by[found][1]
    cycle, at = [], ""
    while at != found:
        pair, at, gain = came_by[at or found]
        cycle.append((pair, gain))
    return cycle


def behind(owed: Debts, shown: Debts) -> Debts:
    """What must have been cleared where only the difference of the two directions of a pair is shown: the most.

    shown: (debtor, creditor) → by how much more of that direction is cleared, above zero."""
    assert shown.keys() <= owed.keys()
    cleared: Debts = {}
    for debtor, creditor in owed:
        if (creditor, debtor) not in shown:
            more = shown.get((debtor, creditor), 0)
            both = min(owed.get((creditor, debtor), 0), owed[debtor, creditor] - more)
            cleared[debtor, creditor] = both + more
            if (creditor, debtor) in owed:
                cleared[creditor, debtor] = both
    return cleared


def check(owed: Debts, cleared: Debts, most: int) -> None:
    """No debt is new or larger, nobody's net changes, and it is the most there is."""
    assert all(0 <= units <= owed[pair] for pair, units in cleared.items())
    for name in {name for pair in owed for name in pair}:
        given = sum(units for (debtor, _), units in cleared.items() if debtor == name)
        assert given == sum(units for (_, creditor), units in cleared.items() if creditor == name)
    assert sum(cleared.values()) == most
