"""Every row of the log has one outcome that it can have, and what could not be read is kept (R30)."""

from collections.abc import Iterator

import numpy as np

from clearing.core.inputs import Bool, Kind
from clearing.core.reasons import FIRST_REJECT, Code
from clearing.verify.facts import Facts
from clearing.verify.report import Check, Findings
from clearing.verify.tables import NO_OUTCOME, LogTable, Rows

Place = tuple[str, int, int, int]  # topic, partition, offset, item


def check_outcomes(facts: Facts) -> Check:
    """Each row of the log has exactly one outcome, and it is one that this row can have (R30)."""
    found, table, rows = Findings(), facts.table, facts.rows
    found.extend(facts.problems.outcomes)

    wrong: dict[str, tuple[int, int]] = {}  # what -> first row, how many
    read_before = 0
    for first, part in rows.parts():
        read_before += int((~part.fresh).sum())
        for what, mask in _wrong_rows(part):
            if count := int(mask.sum()):
                before = wrong.get(what, (first + int(np.argmax(mask)), 0))
                wrong[what] = before[0], before[1] + count
    for what, (row, count) in wrong.items():
        at = table.log_offset(row, rows)
        found.add(f"{what}: first at log offset {at}, code {rows.code[row]}", count)
    return found.check(
        "every row of the log has one outcome",
        "R30",
        table.netting_set,
        f"{len(rows):,} rows in {len(table.offsets):,} log records, "
        f"{read_before:,} of them read before",
    )


def _wrong_rows(rows: Rows) -> Iterator[tuple[str, Bool]]:
    """What may not be said of a row, and the rows it is said of."""
    silent = rows.code == NO_OUTCOME
    dropped = rows.code == Code.ALREADY_READ
    yield "rows dropped as read before that are new", dropped & rows.fresh & ~silent
    yield (
        "rows cleared though their source offset was read before",
        ~dropped & ~rows.fresh & ~silent,
    )
    judged = rows.fresh & ~silent & ~dropped
    yield (
        "rows intake could not read, with another outcome",
        judged & (rows.reject != 0) & (rows.code != rows.reject),
    )
    yield "readable rows that were rejected", judged & (rows.reject == 0) & rows.rejected
    yield "rows with an outcome of another kind of row", judged & ~_possible(rows)
    yield "accepted rows without a window", rows.accepted & (rows.window == 0)


def _possible(rows: Rows) -> Bool:
    """What moves value is accepted or waits; what is about it is carried out, or a cancellation is passed on."""
    code = rows.code
    moves = (code == Code.ACCEPTED) | (code == Code.QUEUED)
    done = (code == Code.DONE) | ((code == Code.REQUESTED) & (rows.kind == Kind.CANCEL))
    known = (code >= FIRST_REJECT) & (code <= max(Code))
    return known | np.where(rows.instructions, done, moves)


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
    count = sum(int(part.rejected.sum()) for _, part in rows.parts())
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
