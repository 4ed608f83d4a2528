"""What the exact solver would release of one asset's queue, and how much better that is than the queue's order."""

import time

import msgspec
import numpy as np

from clearing.core.ids import id_text
from clearing.core.inputs import Bool
from clearing.core.limits import lacking_of_set
from clearing.core.money import show
from clearing.core.offsetting import greatest_set
from clearing.core.reasons import Code
from clearing.core.release import Columns, greatest_releasable
from clearing.core.state import NettingSet
from clearing.core.waiting import Waiting
from clearing.live import Live
from clearing.optimise import choose


class ChosenPayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    payment: str
    debtor: str
    creditor: str
    amount: str
    link: str = ""


class OptimiseReport(msgspec.Struct, frozen=True, kw_only=True):
    """payments: can leave as one; at least as much as `baseline`, what can leave in the order of the queue (R15).

    left_out: payments linked with legs in other assets, whose amounts cannot be added to these. proven_optimal:
    there is no better set of the others. read_to: log offset (excluded).
    """

    netting_set: str
    asset: str
    read_to: int
    waiting: int
    waiting_value: str
    left_out: int
    baseline_payments: int
    baseline_value: str
    payments: list[ChosenPayment]
    value: str
    better_by: str
    proven_optimal: bool
    seconds: float


def optimise_report(live: Live, asset: str, time_limit_s: float) -> OptimiseReport:
    """Raises Failure where the extra `optim` is not installed."""
    state, started = live.state, time.monotonic()
    a = state.asset_index[asset]
    spec = state.assets[a].spec
    waiting = [item for item in state.waiting.values() if item.asset == a]
    baseline, chosen, proven = _search(state, a, started + time_limit_s)
    value, baseline_value = (sum(item.units for item in items) for items in (chosen, baseline))
    return OptimiseReport(
        netting_set=state.name,
        asset=asset,
        read_to=live.machine.next_offset,
        waiting=len(waiting),
        waiting_value=show(sum(item.units for item in waiting), spec.scale),
        left_out=sum(not _stands_alone(state, item) for item in waiting),
        baseline_payments=len(baseline),
        baseline_value=show(baseline_value, spec.scale),
        payments=[
            ChosenPayment(
                payment=id_text(item.id),
                debtor=state.name_of(item.debtor),
                creditor=state.name_of(item.creditor),
                amount=show(item.units, spec.scale),
                link=id_text(item.link) if item.link else "",
            )
            for item in chosen
        ],
        value=show(value, spec.scale),
        better_by=show(value - baseline_value, spec.scale),
        proven_optimal=proven,
        seconds=round(time.monotonic() - started, 3),
    )


def _stands_alone(state: NettingSet, item: Waiting) -> bool:
    """Queued, with all legs of its link in its own asset."""
    link = state.links.get(item.link)
    return item.is_queued and (
        link is None or all(state.waiting[leg].asset == item.asset for leg in link.present.values())
    )


def _search(state: NettingSet, a: int, ends_at: float) -> tuple[list[Waiting], list[Waiting], bool]:
    """What can leave in the order of the queue, what was chosen, and whether that is proven to be the best.

    The solver knows nothing of the value check (R10): whoever would fail it keeps their last payment back, and the
    solver chooses anew, as the engine's own search does.
    """
    in_order = Columns(state)
    in_order.queue.held = _held(state, in_order, a)
    baseline = greatest_releasable(state, in_order)
    columns, proven = Columns(state), True
    columns.queue.held = _held(state, columns, a)
    while True:
        first = greatest_set(columns.room, columns.queue)
        choice = choose(columns.room, columns.queue, first, max(ends_at - time.monotonic(), 0.0))
        chosen = columns.taken(choice.mask)
        failing = _fails_value_check(state, chosen)
        if failing is None:
            break
        last = max((item for item in chosen if item.debtor == failing), key=lambda i: i.place)
        columns.queue.held = columns.queue.held.copy()
        columns.queue.held[next(i for i, each in enumerate(columns.items) if each is last)] = True
        proven = False
    if _worth(chosen) < _worth(baseline):
        return baseline, baseline, False
    return baseline, chosen, proven and choice.proven_optimal


def _worth(items: list[Waiting]) -> tuple[int, int]:
    return sum(item.units for item in items), len(items)


def _held(state: NettingSet, columns: Columns, a: int) -> Bool:
    """What may not be chosen: what is held, is of other assets, or linked with what is."""
    others = [item.asset != a or not _stands_alone(state, item) for item in columns.items]
    return columns.queue.held | np.array(others, np.bool_)


def _fails_value_check(state: NettingSet, items: list[Waiting]) -> int | None:
    """The first participant that would, as the engine will check it; nothing else can be in the way."""
    rows = [(item.debtor, item.creditor, item.asset, item.units) for item in items]
    lacking = lacking_of_set(state, rows)
    assert set(lacking) <= {Code.ACCEPTED, Code.VALUE_CHECK}, "a set was chosen that does not fit"
    failing = [item.debtor for item, code in zip(items, lacking, strict=True) if code]
    return min(failing, default=None)
