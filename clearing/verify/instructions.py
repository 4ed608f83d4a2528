"""Returns, cancellations, requests and answers against the payments they are about (R5, R12, R23)."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from clearing.core.inputs import I64, Kind
from clearing.core.reasons import Code
from clearing.verify.facts import Facts
from clearing.verify.report import Check, Findings
from clearing.verify.resolved import endings
from clearing.verify.states import State
from clearing.verify.sums import minor_units


@dataclass(slots=True)
class _About:
    """The rows of one kind that took effect, and the id of what each is about."""

    row: I64
    id: list[bytes]
    body_hash: list[int]

    @classmethod
    def of(cls, facts: Facts, kind: Kind, *codes: Code) -> "_About":
        rows = facts.rows
        row = rows.referring
        wanted = rows.fresh[row] & ~rows.repeat[row] & (rows.kind[row] == kind)
        wanted &= np.isin(rows.code[row], codes)
        ids = [words.tobytes() for words in rows.references.id[wanted]]
        return cls(row[wanted], ids, rows.references.body_hash[wanted].tolist())


def check_instructions(facts: Facts) -> Check:
    """Returns stay within their originals, only the sender cancels, and only what waits; each request has at most
    one answer, of who was asked (R5, R12, R23).
    """
    found = Findings()
    returns = _About.of(facts, Kind.RETURN, Code.ACCEPTED, Code.QUEUED)
    cancelled = _About.of(facts, Kind.CANCEL, Code.DONE)
    requested = _About.of(facts, Kind.CANCEL, Code.REQUESTED)
    answered = _About.of(facts, Kind.ANSWER, Code.DONE)
    originals = _Originals.of(facts, [*returns.id, *cancelled.id, *requested.id, *answered.id])
    _check_returns(facts, returns, originals, found)
    _check_cancelled(facts, cancelled, found)
    _check_requested(facts, requested, originals, found)
    _check_answered(facts, answered, originals, found)
    return found.check(
        "returns and recalls fit their originals",
        "R5 R12 R23",
        facts.netting_set,
        f"{len(returns.row):,} returns, {len(cancelled.row):,} cancellations, "
        f"{len(requested.row):,} requests, {len(answered.row):,} answers",
    )


@dataclass(slots=True)
class _Originals:
    """What the rows are about. rows: by id, in log order, those that were not turned away as somebody else's or as
    another content; ended: see clearing.verify.resolved.endings."""

    facts: Facts
    rows: dict[bytes, list[int]]
    ended: dict[int, list[tuple[int, int]]]

    @classmethod
    def of(cls, facts: Facts, ids: list[bytes]) -> "_Originals":
        rows, wanted = facts.rows, set(ids)
        words = np.frombuffer(b"".join(wanted), "<u8").reshape(-1, 2)[:, 0]
        found: dict[bytes, list[int]] = {}
        for first, part in rows.parts() if wanted else ():
            turned_away = np.isin(part.code, (Code.NOT_OWNER, Code.DUPLICATE_ID))
            known = part.fresh & ~part.repeat & (part.reject == 0) & ~turned_away
            for row in np.flatnonzero(np.isin(part.id[:, 0], words) & known).tolist():
                name = part.id[row].tobytes()
                if name in wanted:
                    found.setdefault(name, []).append(first + row)
        every = np.array([row for of in found.values() for row in of], np.int64)
        return cls(facts, found, endings(facts.resolved, every))

    def before(self, name: bytes, row: int) -> list[int]:
        """Rows of this id before another one, the latest first; an id may come again when it is forgotten."""
        return [n for n in reversed(self.rows.get(name, [])) if n < row]

    def accepted_before(self, name: bytes, row: int) -> int | None:
        """The last of them that was accepted, whole, by the time of the other row, and not taken out before."""
        at = self.facts.table.log_offset(row, self.facts.rows)
        return next((n for n in self.before(name, row) if self._is_accepted(n, at)), None)

    def _is_accepted(self, row: int, at: int) -> bool:
        """A code of the same log record may have come before or after."""
        known = {int(self.facts.rows.code[row])}
        for ended_at, code in self.ended.get(row, ()):
            known = {code} if ended_at < at else known | {code} if ended_at == at else known
        return Code.ACCEPTED in known


def _check_returns(facts: Facts, returns: _About, originals: _Originals, found: Findings) -> None:
    rows, table = facts.rows, facts.table
    # What has ended without being accepted has given its amount back.
    states = facts.states[returns.row]
    counts = np.isin(states, (State.ACCEPTED, State.QUEUED, State.RECAST))
    units, _ = minor_units(
        rows.amount[returns.row],
        rows.decimals[returns.row],
        facts.scale_of[rows.asset[returns.row]],
    )
    given_back: Counter[int] = Counter()
    for n, row in enumerate(returns.row.tolist()):
        at = table.log_offset(row, rows)
        original = originals.accepted_before(returns.id[n], row)
        if original is None:
            found.add(f"the return at log offset {at} gives back what had not been accepted")
            continue
        parties = (rows.debtor[row], rows.creditor[row], rows.asset[row])
        if parties != (rows.creditor[original], rows.debtor[original], rows.asset[original]):
            found.add(f"the return at log offset {at} is not between its original's parties")
        if rows.body_hash[original] != returns.body_hash[n]:
            found.add(f"the return at log offset {at} quotes another original than there was")
        if counts[n]:
            given_back[original] += int(units[n])
    whole_of = [*given_back]
    whole, _ = minor_units(
        rows.amount[whole_of], rows.decimals[whole_of], facts.scale_of[rows.asset[whole_of]]
    )
    for original, most in zip(whole_of, whole.tolist(), strict=True):
        if given_back[original] > most:
            at = table.log_offset(original, rows)
            found.add(f"more is returned of the payment at log offset {at} than it was")


def _check_cancelled(facts: Facts, cancelled: _About, found: Findings) -> None:
    """What was cancelled is what its sender asked to cancel, in the same log record."""
    rows, resolved, table = facts.rows, facts.resolved, facts.table
    asked = {
        (table.log_offset(row, rows), name): int(rows.debtor[row])
        for row, name in zip(cancelled.row.tolist(), cancelled.id, strict=True)
    }
    for place in np.flatnonzero(resolved.code == Code.CANCELLED).tolist():
        key = int(resolved.at[place]), resolved.id[place].tobytes()
        if asked.pop(key, None) != resolved.debtor[place]:
            found.add(
                f"a payment was cancelled at log offset {key[0]} that its sender did not cancel"
            )
    for at, _ in asked:
        found.add(f"a cancellation at log offset {at} was carried out and cancelled nothing")


def _check_requested(
    facts: Facts, requested: _About, originals: _Originals, found: Findings
) -> None:
    """R23: only what was accepted becomes a request to its creditor."""
    rows, table = facts.rows, facts.table
    for row, name in zip(requested.row.tolist(), requested.id, strict=True):
        at = table.log_offset(row, rows)
        original = originals.accepted_before(name, row)
        if original is None:
            found.add(f"a request at log offset {at} is for what had not been accepted")
        elif rows.creditor[original] != rows.creditor[row]:
            found.add(f"a request at log offset {at} went to another one than was paid")


def _check_answered(facts: Facts, answered: _About, originals: _Originals, found: Findings) -> None:
    rows, table = facts.rows, facts.table
    once: set[int] = set()
    for row, name in zip(answered.row.tolist(), answered.id, strict=True):
        at = table.log_offset(row, rows)
        earlier = originals.before(name, row)
        request = next((n for n in earlier if rows.code[n] == Code.REQUESTED), None)
        if request is None:
            found.add(f"an answer at log offset {at} is to no request")
            continue
        if (rows.debtor[row], rows.creditor[row]) != (rows.creditor[request], rows.debtor[request]):
            found.add(f"an answer at log offset {at} is of somebody who was not asked")
        if request in once:
            found.add(f"an answer at log offset {at} is the second one to its request")
        once.add(request)
