"""Every row of the log has one outcome, what waits ends once, and what could not be read is kept (R17, R30)."""

import numpy as np

from clearing.core.inputs import Bool, Kind
from clearing.core.reasons import FIRST_REJECT, Code
from clearing.verify.facts import Facts
from clearing.verify.report import Check, Findings
from clearing.verify.states import State
from clearing.verify.sums import minor_units
from clearing.verify.tables import NO_OUTCOME, LogTable, Rows

Place = tuple[str, int, int, int]  # topic, partition, offset, item


def check_outcomes(facts: Facts) -> Check:
    """Each row of the log has exactly one outcome, and it is one that this row can have (R30)."""
    found, table, rows = Findings(), facts.table, facts.rows
    found.extend(facts.problems.outcomes)

    def differ(mask: Bool, what: str) -> None:
        wrong = np.flatnonzero(mask)
        if len(wrong):
            row = int(wrong[0])
            at = table.log_offset(row, rows)
            found.add(f"{what}: first at log offset {at}, code {rows.code[row]}", len(wrong))

    silent = rows.code == NO_OUTCOME
    dropped = rows.code == Code.ALREADY_READ
    differ(dropped & rows.fresh & ~silent, "rows dropped as read before that are new")
    differ(
        ~dropped & ~rows.fresh & ~silent, "rows cleared though their source offset was read before"
    )
    judged = rows.fresh & ~silent & ~dropped
    differ(
        judged & (rows.reject != 0) & (rows.code != rows.reject),
        "rows intake could not read, with another outcome",
    )
    differ(judged & (rows.reject == 0) & rows.rejected, "readable rows that were rejected")
    differ(judged & ~_possible(rows), "rows with an outcome of another kind of row")
    differ(rows.accepted & (rows.window == 0), "accepted rows without a window")
    return found.check(
        "every row of the log has one outcome",
        "R30",
        table.netting_set,
        f"{len(rows):,} rows in {len(table.offsets):,} log records, "
        f"{int((~rows.fresh).sum()):,} of them read before",
    )


def _possible(rows: Rows) -> Bool:
    """What moves value is accepted or waits; what is about it is carried out, or a cancellation is passed on."""
    code = rows.code
    moves = (code == Code.ACCEPTED) | (code == Code.QUEUED)
    done = (code == Code.DONE) | ((code == Code.REQUESTED) & (rows.kind == Kind.CANCEL))
    known = (code >= FIRST_REJECT) & (code <= max(Code))
    return known | np.where(rows.instructions, done, moves)


def check_resolutions(facts: Facts) -> Check:
    """What waits ends once, with all of its value: released, whole or in parts, or ended (R17, R30)."""
    found, rows, resolved = facts.problems.resolutions, facts.rows, facts.resolved
    own = np.flatnonzero(~resolved.recast & (resolved.row >= 0))
    own = own[np.argsort(resolved.row[own], kind="stable")]
    row, scale = resolved.row[own], facts.scale_of[rows.asset[resolved.row[own]]]
    whole, _ = minor_units(rows.amount[row], rows.decimals[row], scale)
    part, bad = minor_units(resolved.amount[own], resolved.decimals[own], scale)
    rest, worse = minor_units(resolved.remaining[own], resolved.remaining_decimals[own], scale)
    sent, worst = minor_units(resolved.sent[own], resolved.sent_decimals[own], scale)
    begins = np.diff(row, prepend=-1) != 0
    ends = np.append(begins[1:], True)[: len(row)]
    running = np.cumsum(part)
    # Per row what its resolutions so far come to: the running sum without what is of rows before.
    before = (running - part)[begins][np.cumsum(begins) - 1]

    def differ(wrong: Bool, what: str) -> None:
        places = np.flatnonzero(wrong)
        if len(places):
            at = int(resolved.at[own[places]].min())
            found.add(f"resolutions {what}, first at log offset {at}", len(places))

    differ(bad | worse | (whole != running - before + rest), "that do not add up to what waited")
    differ(~ends & (rest == 0), "of what had ended before")
    differ(worst | (sent != whole), "that tell another amount than was sent")
    counts = np.bincount(facts.states[rows.code == Code.QUEUED], minlength=len(State))
    return found.check(
        "what waits ends once",
        "R17 R30",
        facts.netting_set,
        f"{len(resolved):,} resolutions: {int(resolved.released.sum()):,} releases, "
        f"{int(counts[State.CANCELLED : State.RECAST].sum()):,} ended otherwise, "
        f"{int(resolved.recast.sum()):,} taken out again; {int(counts[State.QUEUED]):,} payments wait",
    )


def check_rejected(facts: Facts) -> Check:
    """The topic `rejected` names exactly what could not be read, from payments and from control (R30).

    Where the topic has let its first records go, only what is younger than the first it keeps is required.
    """
    table, rows, rejected = facts.table, facts.rows, facts.said.rejected
    found = Findings()
    unread = _unread(table)
    said = [((r.topic, r.partition, r.offset, r.item), r.hash) for r in rejected]
    optional: dict[Place, str] = {}
    if "rejected" in facts.said.digests.aged:
        places = [place for place, _ in unread]
        first = places.index(said[0][0]) if said and said[0][0] in places else len(unread)
        optional = dict(unread[:first])
        del unread[:first]
    expected = dict(unread)
    for place, payload_hash in said:
        wanted = expected.pop(place, None) or optional.pop(place, None)
        if wanted is None:
            found.add(f"rejected {place} was readable, or stands there twice")
        elif wanted != payload_hash:
            found.add(f"rejected {place} has hash {payload_hash}, the log says {wanted}")
    for place in expected:
        found.add(f"{place} could not be read and is not in the topic")
    count = int((rows.fresh & (rows.code >= FIRST_REJECT) & rows.rejected).sum())
    return found.check(
        "what could not be read is kept",
        "R30",
        table.netting_set,
        f"{len(rejected):,} rejected records, {count:,} of them payments",
    )


def _unread(table: LogTable) -> list[tuple[Place, str]]:
    """What could not be read, with its hash, in log order."""
    sources = {number: source for source, number in table.sources.items()}
    unread = [
        (log_offset, ((*sources[source], offset, item), payload_hash))
        for (source, offset, item), (payload_hash, log_offset) in table.reject_hashes.items()
    ]
    unread += [
        (row.log_offset, ((*row.source, row.item.offset, reject.item), reject.hash))
        for row in table.control
        if (reject := row.item.reject) is not None
    ]
    return [one for _, one in sorted(unread, key=lambda pair: pair[0])]
