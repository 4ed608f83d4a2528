"""Every event that entered became exactly one thing, once: log × outcomes, by count and value (R28, R30)."""

from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from clearing.core.outputs import Rejected
from clearing.core.reasons import FIRST_REJECT, Code
from clearing.verify.report import Check, Findings, Flow
from clearing.verify.sums import show_value, values_by_asset
from clearing.verify.tables import NO_OUTCOME, LogTable, Rows

OUTCOMES = ("accepted", "queued", "refused", "rejected", "repeated")
Place = tuple[str, int, int, int]  # topic, partition, offset, item
Values = dict[str, tuple[int, int]]  # asset -> count, value at VALUE_SCALE; asset "": unknown


def check_outcomes(table: LogTable, rows: Rows, problems: list[str]) -> Check:
    """Each row of the log has exactly one outcome, and it is one that this row can have (R30)."""
    found = Findings()
    found.extend(problems)

    def differ(mask: np.ndarray, what: str) -> None:
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
    differ(rows.accepted & (rows.window == 0), "accepted rows without a window")
    return found.check(
        "every row of the log has one outcome",
        "R30",
        table.netting_set,
        f"{len(rows):,} rows in {len(table.offsets):,} log records, "
        f"{int((~rows.fresh).sum()):,} of them read before",
    )


def check_ids(table: LogTable, rows: Rows) -> Check:
    """No id is accepted twice, and a repeat is answered with the outcome of its original (R28)."""
    found = Findings()
    accepted = np.flatnonzero(rows.accepted)
    view = np.ascontiguousarray(rows.id).view("V16").reshape(-1)
    distinct, counts = np.unique(view[accepted], return_counts=True)
    for doubled in np.flatnonzero(counts > 1):
        found.add(f"id {bytes(distinct[doubled]).hex()} was accepted {counts[doubled]} times")
    repeats = np.flatnonzero(rows.fresh & rows.repeat)
    if len(repeats):
        _check_repeats(table, rows, view, repeats, found)
    return found.check(
        "no id counts twice",
        "R28",
        table.netting_set,
        f"{len(accepted):,} accepted ids, {len(repeats):,} repeats against their originals",
    )


def _check_repeats(
    table: LogTable, rows: Rows, view: np.ndarray, repeats: np.ndarray, found: Findings
) -> None:
    originals = np.flatnonzero(
        rows.fresh
        & ~rows.repeat
        & (rows.reject == 0)
        & (rows.code != Code.DUPLICATE_ID)
        & (rows.code != Code.NOT_OWNER)
    )
    order = np.argsort(view[originals], kind="stable")
    sorted_ids = view[originals][order]
    at = np.searchsorted(sorted_ids, view[repeats])
    for row, place in zip(repeats.tolist(), at.tolist(), strict=True):
        known = place < len(sorted_ids) and sorted_ids[place] == view[row]
        original = int(originals[order[place]]) if known else row
        if original >= row:
            found.add(
                f"repeat at log offset {table.log_offset(row, rows)} has no original before it"
            )
        elif rows.code[original] != rows.code[row]:
            found.add(
                f"repeat at log offset {table.log_offset(row, rows)} was told {rows.code[row]}, "
                f"its original {rows.code[original]}"
            )


def check_rejected(
    table: LogTable, rows: Rows, rejected: list[Rejected], *, aged: bool = False
) -> Check:
    """The topic `rejected` names exactly what could not be read, from payments and from control (R30).

    aged: the topic has let its first records go; only what is younger than the first it keeps is required.
    """
    found = Findings()
    unread = _unread(table)
    said = [((r.topic, r.partition, r.offset, r.item), r.hash) for r in rejected]
    optional: dict[Place, str] = {}
    if aged:
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


def flows(table: LogTable, rows: Rows, readable: Values, unread: Values) -> list[Flow]:
    """R30 as numbers per asset. readable, unread: what the sources hold that intake could read, and the rest."""
    names = table.assets.names
    outcomes = {
        "accepted": rows.accepted,
        "queued": rows.queued,
        "refused": rows.refused,
        "repeated": rows.fresh & rows.repeat,
    }
    by_asset: dict[str, dict[str, tuple[int, int]]] = {}
    for outcome, mask in outcomes.items():
        found = values_by_asset(rows.asset[mask], rows.amount[mask], rows.decimals[mask])
        for number, total in found.items():
            by_asset.setdefault(names[number], {})[outcome] = total
    nothing = (0, 0)
    result: list[Flow] = []
    for asset in sorted({*by_asset, *readable, *unread}):
        read, rest = readable.get(asset, nothing), unread.get(asset, nothing)
        became = by_asset.get(asset, {}) | {"rejected": rest}
        counts: dict[str, Any] = {name: became.get(name, nothing)[0] for name in OUTCOMES}
        values: dict[str, Any] = {
            f"{name}_value": show_value(became.get(name, nothing)[1]) for name in OUTCOMES
        }
        result.append(
            Flow(
                netting_set=table.netting_set,
                asset=asset,
                entered=read[0] + rest[0],
                entered_value=show_value(read[1] + rest[1]),
                **counts,
                **values,
            )
        )
    return result


def check_flows(netting_set: str, flows_found: list[Flow], sources: int) -> Check:
    """Entered = accepted + queued + refused + rejected + repeated, per asset, by count and value (R30).

    Entered is decoded from the banks' own topics, the rest from log × outcomes.
    """
    found = Findings()
    with localcontext() as context:
        context.prec = 60  # exact: counts and sums of 18-digit amounts have far fewer digits
        for flow in flows_found:
            asset = flow.asset or "(unknown asset)"
            out = sum(getattr(flow, name) for name in OUTCOMES)
            if flow.entered != out:
                found.add(f"{asset}: {flow.entered} entered, {out} came out")
            value = sum(Decimal(getattr(flow, f"{name}_value")) for name in OUTCOMES)
            if Decimal(flow.entered_value) != value:
                found.add(f"{asset}: {flow.entered_value} entered, {value} came out")
    total = sum(flow.entered for flow in flows_found)
    accepted = sum(flow.accepted for flow in flows_found)
    refused, rejected = (sum(getattr(f, n) for f in flows_found) for n in ("refused", "rejected"))
    repeated, queued = (sum(getattr(f, n) for f in flows_found) for n in ("repeated", "queued"))
    return found.check(
        "in = accepted + refused + rejected + repeated",
        "R30",
        netting_set,
        f"{total:,} entered by {sources:,} sources = {accepted:,} accepted + {queued:,} queued + "
        f"{refused:,} refused + {rejected:,} rejected + {repeated:,} repeated; "
        f"values of {len(flows_found):,} assets",
    )
