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
    best, came_by = dict.fromkeys(names, 0), {}
    for _ in names:
        improved = None
        for pair, start, end, gain in steps:
            if best[start] + gain > best[end]:
                best[end] = best[start] + gain
                came_by[end] = (pair, start, gain)
                improved = end
        if improved is None:
            return []
    for _ in names:  # far enough back to be on the cycle
        improved = came_by[improved][1]
    cycle, at = [], improved
    while not cycle or at != improved:
        pair, at, gain = came_by[at]
        cycle.append((pair, gain))
    return cycle
