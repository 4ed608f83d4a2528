"""Puts a payment's story together: its rows in the log, what the engine's outputs say of them, the state now."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from clearing.core.money import parse, show
from clearing.core.outputs import Resolution
from clearing.core.reasons import Code
from clearing.core.state import NettingSet
from clearing.dispatch.wording import wording
from clearing.explain.batches import batches_of
from clearing.explain.evidence import Evidence, Resolved
from clearing.explain.rows import Search, is_unreadable
from clearing.explain.story import (
    DeadlockTold,
    Ended,
    Finality,
    Leg,
    LegTerms,
    Outcome,
    Place,
    Release,
    Row,
    Story,
)
from clearing.explain.waiting import Queues, waiting_now

RECEIVED, FINAL, WAITING = "RCVD", "ACSC", "PDNG"
MONEY = ("payment", "token_transfer", "return")
_ID_NOT_TAKEN = (Code.NOT_OWNER, Code.DUPLICATE_ID)


class Fate(NamedTuple):
    """What became of a payment so far. status: as of now. waits: a part of it still does."""

    status: str
    releases: list[Release]
    ended: Ended | None
    waits: bool


def followed(search: Search) -> set[str]:
    """The payments among the rows that were found: of these it is to be known what became of them."""
    return {row.id for row in search.rows.values() if row.kind in MONEY}


def tell(
    netting_set: str,
    search: Search,
    evidence: Evidence,
    state: NettingSet | None,
    declared: Sequence[LegTerms] = (),
) -> Story | None:
    """The story of the payment that was searched for; None where no row of it is known.

    state: the netting set as it stood at log offset evidence.goal, where it is known. declared: the legs of its
    link in their order, where they are known.
    """
    teller = _Teller(search, evidence)
    own = [row for row in teller.rows if row.id == search.id]
    if not own:
        return None  # a log that has lost its beginning may hold what was read again only
    row = _entered(own)
    fate = teller.fate(row)
    item = state.waiting.get(search.id.replace("-", "")) if state and fate.waits else None
    return Story(
        netting_set=netting_set,
        id=search.id,
        read_to=evidence.goal,
        status=fate.status,
        finality=_finality(row, fate),
        row=row,
        again=[each for each in own if each is not row],
        original=next((each for each in teller.rows if row.reference == each.id), None),
        waiting=waiting_now(Queues(state), item) if state and item else None,
        deadlocks=_deadlocks(search.id, evidence),
        releases=fate.releases,
        ended=fate.ended,
        legs=teller.legs(row, declared),
        about=(about := teller.about(search.id)),
        returned=_returned(about),
    )


def _entered(own: list[Row]) -> Row:
    """The row with which the id was taken; where none took it the first."""
    codes = [Code[row.outcome.code] if row.outcome else None for row in own]
    for row, code in zip(own, codes, strict=True):
        if row.outcome and not row.outcome.repeat and not _is_in_vain(code):
            return row
    return next((row for row in own if row.outcome is None), own[0])


def _is_in_vain(code: Code | None) -> bool:
    return code is None or is_unreadable(code) or code in _ID_NOT_TAKEN


def _finality(row: Row, fate: Fate) -> Finality:
    accepted = [one for one in fate.releases if one.taken_out is None]
    whole = bool(accepted) and not fate.waits and fate.ended is None
    finals = [one.final for one in accepted]
    return Finality(
        entered=row.place,
        irrevocable=accepted[-1].at if whole else None,
        final=max(finals, key=_offset) if whole and None not in finals else None,
    )


def _offset(place: Place | None) -> int:
    assert place is not None, "a final release has its place"
    return place.log_offset


def _deadlocks(payment: str, evidence: Evidence) -> list[DeadlockTold]:
    return [
        DeadlockTold(
            at=Place(event.log_offset, event.time_ms),
            lacks=one.lacks,
            limit=one.limit,
            waits_for=one.waits_for,
        )
        for event in evidence.deadlocks
        for one in event.waits
        if one.payment == payment
    ]


def _returned(about: list[Row]) -> str:
    """Sum of what accepted returns gave back; "" where nothing was."""
    amounts = [
        row.amount
        for row in about
        if row.kind == "return" and row.outcome and row.outcome.code == Code.ACCEPTED.name
    ]
    scale = max((len(amount.partition(".")[2]) for amount in amounts), default=0)
    return show(sum(parse(amount, scale) or 0 for amount in amounts), scale) if amounts else ""


class _Teller:
    """rows: all that were found and not read twice, with their outcomes, in the log's order."""

    def __init__(self, search: Search, evidence: Evidence) -> None:
        self.evidence = evidence
        self.resolved = evidence.resolved()
        told = [_with_outcome(row, search, evidence) for _, row in sorted(search.rows.items())]
        self.rows = [row for row in told if row is not None]

    def fate(self, row: Row) -> Fate:
        if row.outcome is None:
            return Fate(RECEIVED, [], None, waits=False)
        code = Code[row.outcome.code]
        if row.kind not in MONEY or code not in (Code.ACCEPTED, Code.QUEUED):
            return Fate(row.outcome.status, [], None, waits=False)
        releases, ended, waits = self._lived(row, code)
        latest = releases[-1] if releases else None
        if ended:
            status = ended.outcome.status
        elif waits or latest is None:
            status = WAITING
        elif latest.taken_out:
            status = wording(Code.RECAST).status
        else:
            done = all(one.final for one in releases if one.taken_out is None)
            status = FINAL if done else wording(Code.ACCEPTED).status
        return Fate(status, releases, ended, waits)

    def _lived(self, row: Row, code: Code) -> tuple[list[Release], Ended | None, bool]:
        assert row.outcome is not None
        releases: list[Release] = []
        ended: Ended | None = None
        waits = code == Code.QUEUED
        if not waits:
            releases.append(self._at_once(row, row.outcome.window))
        for one in self.resolved.get(row.id, ()):
            resolution = one.resolution
            if resolution.code == Code.ACCEPTED:
                releases.append(self._release(row, one))
                waits = bool(resolution.remaining)
            elif resolution.code == Code.RECAST:
                releases = [_taken_out(each, one) for each in releases]
            else:
                ended, waits = Ended(at=one.at, outcome=_outcome(resolution.code)), False
        return [self._settled(row, each) for each in releases], ended, waits

    def _at_once(self, row: Row, window: int) -> Release:
        return Release(
            how="LINK" if row.link else "AT_ONCE",
            at=row.place,
            amount=row.amount,
            window=window,
            together_with=self._legs_at(row, row.place),
        )

    def _release(self, row: Row, one: Resolved) -> Release:
        resolution = one.resolution
        commands = self.evidence.commands.get(one.at.log_offset, [])
        return Release(
            how=resolution.how,
            at=one.at,
            amount=resolution.amount,
            window=resolution.window,
            remaining=resolution.remaining,
            together_with=self._together(row, one),
            by=", ".join(dict.fromkeys(each.by for each in commands))
            if resolution.how == "OPERATOR"
            else "",
        )

    def _together(self, row: Row, one: Resolved) -> list[str]:
        """What left as one with it."""
        how = one.resolution.how
        if how in ("LINK", "PARTIAL"):
            return self._legs_at(row, one.at)
        return (
            [each.id for each in _neighbours(one) if each.id != row.id] if how != "SINGLE" else []
        )

    def _legs_at(self, row: Row, at: Place) -> list[str]:
        """Other legs of its link that were accepted, wholly or in part, with the same log record."""
        others = [leg for leg in self._legs_of(row) if leg.id != row.id]
        return [leg.id for leg in others if self._is_accepted_at(leg, at.log_offset)]

    def _is_accepted_at(self, leg: Row, offset: int) -> bool:
        at_once = leg.outcome is not None and leg.outcome.code == Code.ACCEPTED.name
        return (at_once and leg.log_offset == offset) or any(
            one.at.log_offset == offset and one.resolution.code == Code.ACCEPTED
            for one in self.resolved.get(leg.id, ())
        )

    def _settled(self, row: Row, release: Release) -> Release:
        key = (row.asset, release.window)
        events = self.evidence.events.get(key, [])
        settled = next((event for event in events if event.state == "SETTLED"), None)
        final = Place(settled.log_offset, settled.time_ms) if settled else None
        return msgspec.structs.replace(
            release,
            batches=batches_of(self.evidence, row, release),
            final=None if release.taken_out else final,
        )

    def _legs_of(self, row: Row) -> list[Row]:
        """A row of its link for each leg that came: the one that was taken, else the first that was refused."""
        if row.link is None:
            return []
        legs: dict[int, Row] = {row.link.leg: row}
        for taken in (True, False):
            for each in self.rows:
                link, outcome = each.link, each.outcome
                if link is None or link.id != row.link.id or outcome is None or outcome.repeat:
                    continue
                if not taken or Code[outcome.code] in (Code.ACCEPTED, Code.QUEUED):
                    legs.setdefault(link.leg, each)
        return [legs[leg] for leg in sorted(legs)]

    def legs(self, row: Row, declared: Sequence[LegTerms]) -> list[Leg]:
        """All legs of its link, those that have not arrived too."""
        if row.link is None:
            return []
        there = {each.link.leg: each for each in self._legs_of(row) if each.link}
        return [
            Leg(leg=n, status=self.fate(there[n]).status, row=there[n])
            if n in there
            else Leg(leg=n, declared=declared[n] if declared else None)
            for n in range(row.link.legs)
        ]

    def about(self, payment: str) -> list[Row]:
        """Returns of it, instructions about it and answers to them, as they stand now."""
        rows = [row for row in self.rows if row.reference == payment]
        asked = {row.id for row in rows if row.kind == "cancel"}
        rows += [row for row in self.rows if row.kind == "answer" and row.reference in asked]
        unique = {(row.log_offset, row.row): row for row in rows}
        return [self._as_of_now(row) for _, row in sorted(unique.items())]

    def _as_of_now(self, row: Row) -> Row:
        if row.outcome is None or row.kind not in MONEY:
            return row
        outcome = row.outcome
        for one in self.resolved.get(row.id, ()):
            if not one.resolution.remaining:
                outcome = _outcome(one.resolution.code, one.resolution.window)
        return msgspec.structs.replace(row, outcome=outcome)


def _with_outcome(row: Row, search: Search, evidence: Evidence) -> Row | None:
    """None: a row that was read before from the same place, of no effect."""
    outcomes = evidence.outcomes.get(row.log_offset)
    if outcomes is None:
        return row
    code = int(outcomes.codes[row.row])
    if code == Code.ALREADY_READ:
        return None
    reject = search.rejects.get((row.log_offset, row.row))
    outcome = _outcome(
        code,
        outcomes.windows.get(row.asset, 0) if code == Code.ACCEPTED else 0,
        repeat=bool(outcomes.repeat[row.row]),
        detail=reject.detail if reject else "",
    )
    return msgspec.structs.replace(row, time_ms=outcomes.time_ms, outcome=outcome)


def _outcome(code: int, window: int = 0, *, repeat: bool = False, detail: str = "") -> Outcome:
    said = wording(code)
    return Outcome(
        code=Code(code).name,
        status=said.status,
        reason=said.reason,
        text=said.text,
        detail=detail,
        repeat=repeat,
        window=0 if repeat else window,
    )


def _taken_out(release: Release, one: Resolved) -> Release:
    if release.window != one.resolution.window:
        return release
    return msgspec.structs.replace(release, taken_out=one.at)


def _neighbours(one: Resolved) -> list[Resolution]:
    """Those next to it of the same kind; between two participants only: of these two."""

    def belongs(other: Resolution) -> bool:
        parties = {other.debtor, other.creditor}
        return (other.code, other.how) == (one.resolution.code, one.resolution.how) and (
            one.resolution.how != "BILATERAL"
            or parties == {one.resolution.debtor, one.resolution.creditor}
        )

    at = next(i for i, each in enumerate(one.together) if each is one.resolution)
    first = at
    while first > 0 and belongs(one.together[first - 1]):
        first -= 1
    end = at
    while end < len(one.together) and belongs(one.together[end]):
        end += 1
    return one.together[first:end]
