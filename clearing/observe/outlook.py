"""Will the open window of an asset get in what waits for it? The operator's first question, answered in a sentence.

Pure. A payment is in the window in whose time it enters the log (its time is the log's own), and is netted when the
engine has read it: what waits before the one and before the other, and how fast they drain, is all that counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from clearing.core.outputs import WindowEvent
from clearing.observe import phrases
from clearing.views.model import BankShare, Outlook, StageStatus, Verdict

AT_RISK_SHARE = (
    0.5  # of the time to the cut-off: a drain that takes longer leaves no room for a second fault
)
SEEN_S = 1.5  # a look a second, offsets committed a moment after the log has the records: finer nobody sees
_TOP_BANKS = 3
_TOP_SHARE = 0.8
_TOLD_SHARE = 0.5  # banks that make up less than this together are not worth a word
_STUCK: dict[StageStatus, str] = {
    "STALLED": "is stalled",
    "STOPPED": "is stopped",
    "HUNG_TXN": "is held up by a transaction that does not end",
}
_WORST: dict[Verdict, int] = {
    "WILL_MISS": 0,
    "AT_RISK": 1,
    "UNKNOWN": 2,
    "ON_TIME": 3,
    "NO_CUTOFF": 4,
}


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What waits before one stage (intake: unread payments, engine: the log) of a netting set.

    records: None: not known. money: asset → bank → value; is_estimate: by what the bank sent lately;
    unvalued_records: those of whose value nothing is known. drain_s: as of clearing.observe.behaviour. status: the
    worst of its partitions with something left.
    """

    stage: str
    records: int | None
    money: Mapping[str, Mapping[str, Decimal]]
    is_estimate: bool = False
    unvalued_records: int = 0
    drain_s: float | None
    status: StageStatus


def outlook(window: WindowEvent, before: Sequence[Before], now_ms: int) -> Outlook:
    """now_ms: of the log's clock, as far as it is known. The stages work one after the other: at most so long."""
    asset = window.asset
    waiting = [one for one in before if _concerns(one, asset)]
    backlog = sum((_value(one, asset) for one in waiting), Decimal(0))
    records = _records(before) if waiting else 0
    drain_s = _together(one.drain_s for one in waiting)
    cutoff_in_s = (window.cutoff_ms - now_ms) / 1000 if window.cutoff_ms else None
    stuck = next((one for one in waiting if one.status in _STUCK), None)
    verdict = _verdict(waiting, cutoff_in_s, drain_s, is_stuck=stuck is not None)
    top = _top_banks(waiting, asset, backlog)
    ends = _ends(window, cutoff_in_s)
    if not waiting:
        rest = "nothing waits"
    else:
        rest = f"{_backlog(asset, waiting, backlog, records, top)} {_drains(stuck, drain_s)}"
    return Outlook(
        netting_set=window.netting_set,
        asset=asset,
        window=window.window,
        cutoff_ms=window.cutoff_ms or None,
        cutoff_in_s=cutoff_in_s,
        backlog={asset: f"{backlog:f}"} if backlog else {},
        backlog_records=records,
        top_banks=top,
        drain_s=drain_s,
        verdict=verdict,
        sentence=f"{ends}; {rest}{_conclusion(verdict, cutoff_in_s, drain_s)}.",
    )


def worst(outlooks: Iterable[Outlook]) -> Outlook | None:
    """The one an operator has to see first: what misses, then what is at risk, then the next cut-off; of several at
    the same moment the one behind which most records wait."""
    return min(outlooks, key=_urgency, default=None)


def _urgency(one: Outlook) -> tuple[int, float, int, str, str]:
    left_s = float("inf") if one.cutoff_in_s is None else round(one.cutoff_in_s, 1)
    return _WORST[one.verdict], left_s, -(one.backlog_records or 0), one.netting_set, one.asset


def _concerns(one: Before, asset: str) -> bool:
    """Whether something of this asset may wait there: what nobody knows the value of may be of any."""
    return one.records is None or bool(one.records and (one.unvalued_records or _value(one, asset)))


def _value(one: Before, asset: str) -> Decimal:
    return sum(one.money.get(asset, {}).values(), Decimal(0))


def _records(before: Sequence[Before]) -> int | None:
    """None where those of one stage are not known."""
    known = [one.records for one in before if one.records is not None]
    return sum(known) if len(known) == len(before) else None


def _together(drains_s: Iterable[float | None]) -> float | None:
    """None where one of them is not known."""
    result = 0.0
    for one in drains_s:
        if one is None:
            return None
        result += one
    return result


def _verdict(
    waiting: Sequence[Before], left_s: float | None, drain_s: float | None, *, is_stuck: bool
) -> Verdict:
    if left_s is None:
        return "NO_CUTOFF"
    if not waiting:
        return "ON_TIME"
    if is_stuck:
        return "WILL_MISS"
    if drain_s is None:
        return "UNKNOWN"
    if all((one.drain_s or 0.0) <= SEEN_S for one in waiting):
        return "ON_TIME"  # on its way: each window would end with an alarm else
    if drain_s > left_s:
        return "WILL_MISS"
    growing = any(one.status == "SLOW" for one in waiting)
    return "AT_RISK" if growing or drain_s > left_s * AT_RISK_SHARE else "ON_TIME"


def _top_banks(waiting: Sequence[Before], asset: str, backlog: Decimal) -> list[BankShare]:
    """The few with the most, as many as make up most of it."""
    if not backlog:
        return []
    by_bank: dict[str, Decimal] = {}
    for one in waiting:
        for bank, value in one.money.get(asset, {}).items():
            by_bank[bank] = by_bank.get(bank, Decimal(0)) + value
    top: list[BankShare] = []
    for bank, value in sorted(by_bank.items(), key=lambda item: (-item[1], item[0]))[:_TOP_BANKS]:
        if value and sum(one.share for one in top) < _TOP_SHARE:
            top.append(BankShare(bank=bank, share=round(float(value / backlog), 4)))
    return top


def _ends(window: WindowEvent, left_s: float | None) -> str:
    name = f"{window.asset} window {window.window:,}"
    if left_s is None:
        return f"{name} is closed by command only"
    return f"{name} closes in {phrases.duration(left_s)}" if left_s > 0 else f"{name} is due"


def _backlog(
    asset: str,
    waiting: Sequence[Before],
    backlog: Decimal,
    records: int | None,
    top: Sequence[BankShare],
) -> str:
    if not backlog:
        what = "records" if records is None else f"{records:,} record{'s' if records != 1 else ''}"
        return f"the backlog ({what} of unknown value)"
    about = any(one.is_estimate or one.unvalued_records for one in waiting)
    share = sum(one.share for one in top)
    said = ""
    if share >= _TOLD_SHARE:
        who = top[0].bank if len(top) == 1 else f"{phrases.count(len(top))} banks"
        said = f", {'all' if share > 0.995 else f'{share:.0%}'.replace('%', ' %')} from {who}"
    return f"the backlog ({phrases.money(asset, backlog, about=about)}{said})"


def _drains(stuck: Before | None, drain_s: float | None) -> str:
    if stuck is not None:
        return f"does not drain, {stuck.stage} {_STUCK[stuck.status]}"
    if drain_s is None:
        return "drains at a pace that is not known yet"
    return f"drains in {phrases.duration(drain_s)}"


def _conclusion(verdict: Verdict, left_s: float | None, drain_s: float | None) -> str:
    match verdict:
        case "ON_TIME":
            return ": on time"
        case "AT_RISK":
            return ": at risk"
        case "WILL_MISS" if drain_s is not None and left_s is not None and drain_s > left_s:
            return f": {phrases.duration(drain_s - max(0.0, left_s))} too late"
        case "WILL_MISS":
            return ": it will miss the cut-off"
        case _:
            return ""
