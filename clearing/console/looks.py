"""What is told of a copy of the state: participants with their accounts and limits, and its queues. Pure."""

import msgspec
from msgspec.structs import replace

from clearing.console.past import positions_of, statuses_of
from clearing.core.bilateral import NO_LIMIT
from clearing.core.money import show
from clearing.core.outputs import Position
from clearing.core.value import UNIT_SCALE
from clearing.explain.queues import AccountQueue, QueueReport, queue_report
from clearing.live import Live

QUEUED_SHOWN = 500  # payments of one account


class CutQueue(AccountQueue, frozen=True, kw_only=True):
    """cut: more payments wait than are told; `value` is of all."""

    cut: bool


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """left: what may still be paid today (R10)."""

    counterparty: str
    asset: str
    limit: str
    left: str


class ParticipantLook(msgspec.Struct, frozen=True, kw_only=True):
    """accounts: as the engine writes them. collateral: by asset (R25). short_limit: None without a value check."""

    netting_set: str
    participant: str
    name: str
    status: str
    queued_payments: int
    accounts: list[Position]
    collateral: dict[str, str]
    short_limit: str | None
    limits: list[Limit]


class StateLook(msgspec.Struct, frozen=True, kw_only=True):
    """read_to: log offset (excluded)."""

    netting_set: str
    read_to: int
    time_ms: int
    approval_required: bool
    participants: list[ParticipantLook]


def state_look(live: Live) -> StateLook:
    """Everybody in a netting set."""
    state = live.state
    accounts: dict[str, list[Position]] = {}
    for row in positions_of(state):
        accounts.setdefault(row.participant, []).append(row)
    statuses = statuses_of(state)
    limits = _limits(live)
    return StateLook(
        netting_set=state.name,
        read_to=live.machine.next_offset,
        time_ms=state.counters.time_ms,
        approval_required=state.counters.approval_required,
        participants=[
            ParticipantLook(
                netting_set=state.name,
                participant=each.id,
                name=each.name,
                status=statuses[each.id],
                queued_payments=sum(row.queued_payments for row in accounts.get(each.id, [])),
                accounts=accounts.get(each.id, []),
                collateral=_collateral(live, p),
                short_limit=_worth(state.short_limits.get(p)),
                limits=limits.get(each.id, []),
            )
            for p, each in enumerate(state.participants)
        ],
    )


def _collateral(live: Live, p: int) -> dict[str, str]:
    state = live.state
    return {
        asset.spec.id: show(int(state.accounts.collateral[p, a]), asset.spec.scale)
        for a, asset in enumerate(state.assets)
        if state.accounts.collateral[p, a]
    }


def _worth(units: int | None) -> str | None:
    return None if units is None else show(units, UNIT_SCALE)


def _limits(live: Live) -> dict[str, list[Limit]]:
    state = live.state
    found: dict[str, list[Limit]] = {}
    for (p, q, a), limit, _ in state.bilateral.tracked():
        if limit == NO_LIMIT:
            continue  # of the pair only the other direction is limited
        spec = state.assets[a].spec
        found.setdefault(state.name_of(p), []).append(
            Limit(
                counterparty=state.name_of(q),
                asset=spec.id,
                limit=show(limit, spec.scale),
                left=show(state.bilateral.left((p, q, a)), spec.scale),
            )
        )
    return found


def queues_look(live: Live, asset: str = "") -> QueueReport:
    """Who waits, and for whom (R16); of a very long queue its beginning."""
    report = queue_report(live, asset)
    return replace(
        report, queues=[*map(_cut, report.queues)], incomplete=[*map(_cut, report.incomplete)]
    )


def _cut(queue: AccountQueue) -> CutQueue:
    fields = msgspec.structs.asdict(queue)
    fields["payments"] = queue.payments[:QUEUED_SHOWN]
    return CutQueue(**fields, cut=len(queue.payments) > QUEUED_SHOWN)
