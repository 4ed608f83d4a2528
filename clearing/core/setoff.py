"""Obligation set-off: how much of each obligation in a closed group clears without money (R18). Exact integers.

Columns of obligations in, a column of what is cleared out; who the parties are and what is done about it is the
caller's: a step of a window, `clearing setoff`.

What is not cleared has to carry every party's net balance along obligations that exist, each unit on as few of
them as possible: a minimum-cost flow from net debtors to net creditors at cost 1 a unit and obligation. So the
most value clears when the flow is the cheapest, and potentials prove that it is.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np

from clearing.core.inputs import I64


def set_off(debtor: I64, creditor: I64, amount: I64, order: I64 | None = None) -> I64:
    """Minor units cleared of each of n obligations, 0 <= cleared <= amount: the greatest total there is (R18).

    The cleared amounts form a circulation: nobody's net balance changes, and no obligation is new or larger.
    Several obligations between the same two parties are one to the search; what it clears of them goes to the
    lowest `order` first (default: the smallest amount first), so that at most one is cleared in part. What a
    party owes itself is cleared whole.

    debtor, creditor: any party numbers; amount: 0 or more. Where several circulations clear the most, the party
    numbers decide between them: the order of the rows never does. Amounts of a pair may sum up to anything.
    """
    if len(amount) == 0:
        return np.zeros(0, np.int64)
    assert int(amount.min()) >= 0, "an obligation below zero is one of the creditor"
    parties, ends = np.unique(np.concatenate((debtor, creditor)), return_inverse=True)
    debtors, creditors = ends[: len(amount)], ends[len(amount) :]
    rows = np.lexsort((amount if order is None else order, creditors, debtors))
    pair = debtors[rows] * len(parties) + creditors[rows]
    starts = np.flatnonzero(np.diff(pair, prepend=-1)).tolist()
    units: list[int] = amount[rows].tolist()
    owed = [sum(units[start:end]) for start, end in pairwise((*starts, len(units)))]
    first = rows[starts]
    kept = least_flow(len(parties), debtors[first].tolist(), creditors[first].tolist(), owed)

    cleared: list[int] = []
    for start, end, total, left in zip(starts, (*starts[1:], len(units)), owed, kept, strict=True):
        rest = total - left
        for one in units[start:end]:
            taken = min(rest, one)
            cleared.append(taken)
            rest -= taken
    result = np.zeros(len(amount), np.int64)
    result[rows] = cleared
    return result


def least_flow(parties: int, debtor: list[int], creditor: list[int], owed: list[int]) -> list[int]:
    """What has to stay of each pair's debt, 0 <= kept <= owed: the least total that keeps all net balances.

    Pairs of party numbers below `parties`, each at most once; the order of the pairs decides between equals.
    """
    flow = _Flow.of(parties, debtor, creditor, owed)
    while flow.find_layers():
        flow.fill_layers()
    assert not any(flow.excess), "obligations always carry their own net balances"
    kept = flow.residual[1::2]
    assert _is_least(debtor, creditor, owed, kept, flow.potential)
    return kept


def _is_least(
    debtor: list[int], creditor: list[int], owed: list[int], kept: list[int], potential: list[int]
) -> bool:
    """Complementary slackness: no pair that may carry more saves by it, none that carries some is too dear.

    Along any cycle of the residual network the reduced costs sum to its cost, which is below zero nowhere then.
    """
    for d, c, most, now in zip(debtor, creditor, owed, kept, strict=True):
        reduced = 1 + potential[d] - potential[c]
        if not 0 <= now <= most or (now < most and reduced < 0) or (now > 0 and reduced > 0):
            return False
    return True


@dataclass(slots=True)
class _Flow:
    """A flow that is the cheapest for what it has moved so far, by successive shortest paths (primal-dual).

    Arc 2k is pair k from debtor to creditor at cost 1, arc 2k + 1 takes it back at cost -1. Arcs with residual
    units never have reduced cost `cost + potential[tail] - potential[head]` below zero.
    """

    head: list[int]
    residual: list[int]
    leaving: list[list[int]]  # arcs out of each party
    excess: list[int]  # of net debtors: what is still to be moved away
    wanted: list[int]  # of net creditors: what is still to arrive
    potential: list[int]  # distance from the net debtors
    layer: list[int]  # arcs on a shortest path from them

    @classmethod
    def of(cls, parties: int, debtor: list[int], creditor: list[int], owed: list[int]) -> "_Flow":
        head: list[int] = []
        residual: list[int] = []
        leaving: list[list[int]] = [[] for _ in range(parties)]
        net = [0] * parties
        for d, c, units in zip(debtor, creditor, owed, strict=True):
            leaving[d].append(len(head))
            leaving[c].append(len(head) + 1)
            head += (c, d)
            residual += (units, 0)
            net[d] += units
            net[c] -= units
        excess, wanted = [max(n, 0) for n in net], [max(-n, 0) for n in net]
        return cls(head, residual, leaving, excess, wanted, [0] * parties, [0] * parties)

    def find_layers(self) -> bool:
        """Shortest paths to the nearest net creditors, in layers by number of arcs. False: all is moved.

        Dijkstra by cost, then arcs, as one number: cost * hop + arcs. Net debtors with excess have potential 0,
        so that no distance exceeds a simple path's cost, which is below `hop` as its arcs are.
        """
        parties, potential = len(self.excess), self.potential
        residual, head = self.residual, self.head
        hop = parties + 1
        far = hop * hop
        bound = far  # costs beyond the nearest net creditor's are not known and not needed
        distance = [0 if units else far for units in self.excess]
        heap = [party for party, units in enumerate(self.excess) if units]
        while heap:
            here, tail = divmod(heappop(heap), parties)
            if here >= bound:
                break
            if here > distance[tail]:
                continue
            if bound == far and self.wanted[tail]:
                bound = here - here % hop + hop
            base = here + potential[tail] * hop + 1
            for arc in self.leaving[tail]:
                if residual[arc]:
                    to = head[arc]
                    there = base + (-hop if arc & 1 else hop) - potential[to] * hop
                    if there < distance[to]:
                        distance[to] = there
                        heappush(heap, there * parties + to)
        if bound == far:
            return False
        self.layer = [d % hop for d in distance]
        nearest = bound // hop - 1
        for party, d in enumerate(distance):
            potential[party] += min(d // hop, nearest)
        return True

    def fill_layers(self) -> None:
        """Move units along the layers until every shortest path has an arc that is full (blocking flow)."""
        tried = [0] * len(self.excess)  # arcs of each party that lead nowhere any more
        for source in range(len(self.excess)):
            while self.excess[source] and (path := self._path(source, tried)):
                end = self.head[path[-1]]
                units = min(
                    self.excess[source], self.wanted[end], min(self.residual[a] for a in path)
                )
                for arc in path:
                    self.residual[arc] -= units
                    self.residual[arc ^ 1] += units
                self.excess[source] -= units
                self.wanted[end] -= units

    def _path(self, source: int, tried: list[int]) -> list[int]:
        """Arcs from `source` to a net creditor, layer by layer; [] where there is no path left.

        Beyond the nearest net creditors layers mean nothing; no arc of reduced cost 0 leads there.
        """
        head, residual, layer, potential = self.head, self.residual, self.layer, self.potential
        path: list[int] = []
        tail = source
        while not self.wanted[tail]:
            arcs = self.leaving[tail]
            for at in range(tried[tail], len(arcs)):
                arc = arcs[at]
                to = head[arc]
                cost = -1 if arc & 1 else 1
                if (
                    residual[arc]
                    and layer[to] == layer[tail] + 1
                    and cost + potential[tail] == potential[to]
                ):
                    tried[tail] = at
                    path.append(arc)
                    tail = to
                    break
            else:
                tried[tail] = len(arcs)
                if not path:
                    return path
                tail = head[path.pop() ^ 1]
                tried[tail] += 1
        return path
