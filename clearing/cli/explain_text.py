"""A payment's story for people: what happened, in the order in which it did, and what it waits for."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearing.explain.story import Batch, Binding, Place, Release, Row, Story, WaitsOn

IDS_SHOWN = 10

_STATUSES = {
    "RCVD": ("yellow", "in the log, the engine has not come to it yet"),
    "PDNG": ("yellow", "it waits"),
    "ACSP": ("green", "accepted: irrevocable, not final yet"),
    "ACSC": ("bold green", "final: the ledger has confirmed it"),
    "RJCT": ("red", "refused"),
    "CANC": ("yellow", "cancelled by its sender"),
    "CNCL": ("green", "carried out"),
    "PDCR": ("yellow", "accepted before: the creditor is asked to give it back"),
}
_ENTERED, _OUTCOME, _OTHER = range(3)  # what comes first within a log record


class Moment(NamedTuple):
    """Something that happened; sorts as it did."""

    log_offset: int
    rank: int
    time_ms: int
    text: str
    style: str = ""


def told(story: Story) -> RenderableType:
    parts: list[RenderableType] = [_head(story), _moments(story)]
    if story.legs:
        parts.append(_legs(story))
    if story.waiting:
        parts.append(Text("\n".join(("Now", *(f"  {line}" for line in _now(story))))))
    return Group(*parts)


def _head(story: Story) -> Text:
    row, (style, words) = story.row, _STATUSES[story.status]
    outcome = story.ended.outcome if story.ended else row.outcome
    if story.status == "RJCT" and outcome and outcome.reason:
        words = f"refused, {outcome.reason}: {outcome.text}"
    if any(release.taken_out for release in story.releases):
        words = "taken out of its window again"
    said = [f"{row.kind} {story.id}"]
    if row.debtor:
        said.append(f"{row.debtor} → {row.creditor}" if row.creditor else f"of {row.debtor}")
    said += [f"{row.amount} {row.asset}"] if row.amount else []
    said += [row.priority] if row.priority else []
    said += [f"end-to-end id {row.end_to_end_id}"] if row.end_to_end_id else []
    as_of = f"netting set {story.netting_set}, as of log offset {story.read_to}"
    return Text.assemble(
        ("  ".join(said), "bold"), "\n", (f"{story.status} {words}", style), (f"  {as_of}", "dim")
    )


# --- what happened -------------------------------------------------------------------------------------------


def _moments(story: Story) -> Table:
    table = Table("when (UTC)", box=box.SIMPLE, pad_edge=False)
    table.add_column("log", justify="right")
    table.add_column("what", overflow="fold")
    for moment in sorted(_all_moments(story), key=lambda moment: moment[:2]):
        text = Text(moment.text, moment.style)
        table.add_row(_clock(moment.time_ms), f"{moment.log_offset}", text)
    return table


def _all_moments(story: Story) -> Iterator[Moment]:
    if story.original:
        yield _moment(
            story.original, f"the {story.original.kind} that it is about: {_row(story.original)}"
        )
    yield from _entry(story.row, story)
    for row in story.again:
        yield _moment(row, f"the same id again, {_row(row)}")
    for row in story.about:
        yield _moment(row, _row(row))
    for deadlock in story.deadlocks:
        whom = f", waits for {', '.join(deadlock.waits_for)}" if deadlock.waits_for else ""
        text = f"deadlock at the cut-off: it lacks {deadlock.lacks} ({deadlock.limit}){whom}"
        yield _at(deadlock.at, text, "yellow")
    for release in story.releases:
        yield from _release(release, story.row)
    if story.ended:
        outcome = story.ended.outcome
        yield _at(story.ended.at, f"{outcome.status} {outcome.reason}: {outcome.text}", "red")


def _at(place: Place, text: str, style: str = "", rank: int = _OTHER) -> Moment:
    return Moment(place.log_offset, rank, place.time_ms, text, style)


def _moment(row: Row, text: str) -> Moment:
    return _at(row.place, f"{text}, from {_source(row)}")


def _source(row: Row) -> str:
    topic, _, offset, item = row.source
    return f"{topic} offset {offset}" + (f" item {item}" if item >= 0 else "")


def _entry(row: Row, story: Story) -> Iterator[Moment]:
    link = row.link
    leg = f", leg {link.leg + 1} of {link.legs} of the link {link.id}" if link else ""
    yield _at(row.place, f"ENTERED from {_source(row)}, row {row.row}{leg}", "bold", _ENTERED)
    outcome = row.outcome
    if outcome and (outcome.code != "ACCEPTED" or not story.releases):
        text = f"{outcome.status} {outcome.reason}".rstrip()
        detail = f" ({outcome.detail})" if outcome.detail else ""
        style = _STATUSES[outcome.status][0]
        yield _at(row.place, f"{text}: {outcome.text}{detail}", style, _OUTCOME)


def _row(row: Row) -> str:
    """Another row than the payment's own, in a few words."""
    words = [row.kind, row.id] if row.kind != "unreadable" else [row.kind]
    words += [f"{row.amount} {row.asset}"] if row.amount and row.kind != "cancel" else []
    words += [row.decision] if row.decision else []
    words += [f"to {row.priority}"] if row.kind == "priority" else []
    words += [f"reason {row.given_reason}"] if row.given_reason else []
    outcome = row.outcome
    if outcome is None:
        return f"{' '.join(words)}: not come to yet"
    became = f"{outcome.status} {outcome.reason}".rstrip()
    text = f" ({outcome.text})" if outcome.text else ""
    repeat = ", a repeat of no effect" if outcome.repeat else ""
    return f"{' '.join(words)}: {became}{text}{repeat}"


_HOW = {
    "AT_ONCE": "accepted at once",
    "SINGLE": "released by itself",
    "BILATERAL": "released against what its creditor owes in return",
    "MULTILATERAL": "released in one set of payments that cover each other",
    "LINK": "accepted with the other legs of its link",
    "PARTIAL": "delivered in part at a cut-off",
    "OPERATOR": "released by an operator",
}


def _release(release: Release, row: Row) -> Iterator[Moment]:
    rest = f", {release.remaining} still wait" if release.remaining else ""
    by = f" ({release.by})" if release.by else ""
    text = f"IRREVOCABLE: {release.amount} {row.asset} {_HOW[release.how]}{by}, in window {release.window}"
    yield _at(release.at, f"{text}{rest}{_with(release.together_with)}", "green", _OUTCOME)
    for batch in release.batches:
        yield from _batch(batch)
    if release.taken_out:
        text = f"taken out of window {release.window} again: a party could not pay (RJCT XREC)"
        yield _at(release.taken_out, text, "red")
    if release.final:
        yield _at(release.final, f"FINAL: window {release.window} is settled", "bold green")


def _with(ids: list[str]) -> str:
    more = len(ids) - IDS_SHOWN
    shown = ", ".join(ids[:IDS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f", together with {shown}" if ids else ""


def _batch(batch: Batch) -> Iterator[Moment]:
    part = f" part {batch.part} of {batch.parts}" if batch.parts > 1 else ""
    lines = ", ".join(
        f"{line.participant}{f' to {line.counterparty}' if line.counterparty else ''} {line.net}"
        for line in batch.lines
    )
    linked = f", bound to {', '.join(batch.linked)}" if batch.linked else ""
    yield _at(
        batch.sent,
        f"batch {batch.id} ({batch.kind} v{batch.version}{part}, sequence {batch.sequence}) to {batch.ledger}: "
        f"{batch.payments:,} payments, {lines}{linked}",
    )
    if batch.answered:
        failed = batch.state in ("FAILED", "ABORTED")
        reason = f" ({batch.reason})" if batch.reason else ""
        said = f"has refused it{reason}: {batch.state}" if failed else "has posted it"
        yield _at(batch.answered, f"ledger {batch.ledger} {said}", "red" if failed else "")


def _clock(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _legs(story: Story) -> Table:
    table = Table("leg", "payment", "from", "to", box=box.SIMPLE, pad_edge=False)
    table.add_column("amount", justify="right")
    table.add_column("status")
    for leg in story.legs:
        known = leg.row or leg.declared
        parties = (
            (known.debtor, known.creditor, f"{known.amount} {known.asset}") if known else ("",) * 3
        )
        payment = leg.row.id if leg.row else ""
        table.add_row(str(leg.leg + 1), payment, *parties, leg.status or "has not arrived")
    return table


# --- what it waits for ---------------------------------------------------------------------------------------


def _now(story: Story) -> Iterator[str]:
    now, row = story.waiting, story.row
    assert now is not None
    if not now.position:
        numbers = ", ".join(str(leg + 1) for leg in now.missing_legs)
        yield f"it waits for its link: of the legs 1 to {len(story.legs)} there is none yet for {numbers}"
        return
    yield (
        f"number {now.position} of {now.queued} in the queue of {row.debtor} in {row.asset} ({now.policy}), "
        f"{now.remaining} {row.asset}; the account has {now.headroom} left"
    )
    for bound in now.binds:
        yield _binding(bound, story.id)
    if now.frees and now.frees.strip("0."):
        yield f"{now.frees} {row.asset} more on the account of {row.debtor} would free it at once"
    elif now.frees:
        yield "it can leave now: the engine's next search will find it"
    else:
        yield f"no liquidity of {row.debtor} in {row.asset} alone would free it"
    for one in now.waits_for:
        yield waits_text(one)
    if now.circle:
        yield f"in a circle that waits for itself: {', '.join(now.circle)}"


def _binding(bound: Binding, payment: str) -> str:
    of = "" if bound.payment == payment else f" for {bound.payment}"
    if bound.limit == "SUSPENDED":
        return f"{bound.participant} is suspended"
    if bound.limit == "FIFO":
        return f"{bound.lacks} {bound.asset} of {bound.participant} come first; right before it {bound.payment}"
    if not bound.lacks:
        return f"{bound.limit} of {bound.participant}{of}: no amount of {bound.asset} would do"
    against = f" against {bound.counterparty}" if bound.counterparty else ""
    return (
        f"{bound.limit} of {bound.participant}{against}: {bound.lacks} {bound.asset} too little{of}"
    )


def waits_text(one: WaitsOn) -> str:
    """Who waits for whom, and why."""
    who = f"{one.participant} waits for {one.waits_for} in {one.in_asset}"
    if one.why == "money":
        return f"{who}, whose payments would bring it {one.amount} {one.asset}"
    if one.why == "limit":
        return f"{who}, whose payments would give its limit {one.amount} {one.asset} back"
    return f"{who}, where legs of the same link over {one.amount} {one.in_asset} wait"
