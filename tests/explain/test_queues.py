"""What is told of queues, held against brute force."""

from hypothesis import given
from hypothesis import strategies as st

from clearing.engine.machine import Machine
from clearing.explain.queues import queue_report
from clearing.live import Live
from tests.core.scenes import BANKS, FIFO, Scene, asset, row

banks = st.sampled_from(BANKS)
payments = st.lists(
    st.tuples(banks, banks, st.integers(1, 6)).filter(lambda p: p[0] != p[1]), max_size=7
)


@given(payments, st.integers(0, 4))
def test_the_least_that_frees_something_is_the_least(
    orders: list[tuple[str, str, int]], held: int
) -> None:
    """R16: over all subsets that respect FIFO and every single account that could get more."""
    scene = Scene(asset(queue=FIFO), held=str(held))
    for number, (debtor, creditor, amount) in enumerate(orders, start=1):
        scene.pay(row(number, debtor, creditor, amount))
    machine = Machine("hk")
    machine.state = scene.state
    report = queue_report(Live(machine))
    queued = [
        [(q.participant, p.creditor, int(p.amount)) for p in q.payments] for q in report.queues
    ]
    sets = [s for s in _beginnings(queued) if s]
    assert (report.deadlock is None) == (not sets or report.can_leave)
    if report.deadlock is None:
        return
    needs = [_lacks(s, scene.left()) for s in sets]
    alone = [need for need in needs if len(need) == 1]
    assert all(needs), "what can leave is no deadlock"
    found = report.deadlock.free_any
    assert (found is None) == (not alone)
    if found is not None:
        least = min(amount for need in alone for amount in need.values())
        assert (int(found.amount), report.deadlock.is_least) == (least, True)
        assert {found.participant: least} in alone


def _beginnings(queues: list[list[tuple[str, str, int]]]) -> list[list[tuple[str, str, int]]]:
    """Every set that is a beginning of each queue."""
    sets: list[list[tuple[str, str, int]]] = [[]]
    for queue in queues:
        sets = [[*one, *queue[:n]] for one in sets for n in range(len(queue) + 1)]
    return sets


def _lacks(items: list[tuple[str, str, int]], left: dict[str, int]) -> dict[str, int]:
    """What each payer would be short of if these left as one."""
    after = dict(left)
    for debtor, creditor, amount in items:
        after[debtor] -= amount
        after[creditor] += amount
    return {bank: -after[bank] for bank in {one[0] for one in items} if after[bank] < 0}
