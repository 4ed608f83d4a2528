"""What was settled, batch by batch; and what people did: open proposals, and the audit log, newest first. Pure."""

import shlex

from clearing.console.pages import proposals
from clearing.console.scene import Scene
from clearing.top import cells
from clearing.top.page_overview import views_tell
from clearing.top.sheet import Column, Row, Section
from clearing.views.model import AuditView, BatchView

_BATCHES = [
    Column("state"),
    Column("set"),
    Column("batch", True),
    Column("asset"),
    Column("window", True),
    Column("payments", True),
    Column("gross", True),
    Column("closed"),
    Column("answer", True),
    Column("ledger"),
]
_PROPOSALS = [Column("since"), Column("set"), Column("by"), Column("proposal"), Column("what")]
_AUDIT = [
    Column("at"),
    Column("set"),
    Column("#", True),
    Column("by"),
    Column("what"),
    Column("became"),
    Column("why"),
]
_APPROVE = ("clearing", "command", "approve")
_OVER = ("FINAL", "ABORTED")
_NOT_KNOWN = "not known: the views tell it (clearing views)"


def batches(scene: Scene, most: int) -> list[Section]:
    """Those that are not final first, the oldest of them on top; then the last that are."""
    rows = sorted(scene.batches, key=_urgency)
    empty = "none yet" if views_tell(scene) else _NOT_KNOWN
    more = max(0, len(rows) - most)
    return [Section("Settlement batches", _BATCHES, [*map(_batch, rows[:most])], empty, more)]


def _urgency(row: BatchView) -> tuple[bool, int, str]:
    is_over = row.state in _OVER
    return is_over, -row.closed_at_ms if is_over else row.closed_at_ms, f"{row.sequence:>20}"


def _batch(row: BatchView) -> Row:
    took_s = None if row.answered_ms is None else (row.answered_ms - row.closed_at_ms) / 1000
    part = f", part {row.part} of {row.parts}" if row.parts > 1 else ""
    return Row(
        f"{row.netting_set}|{row.sequence}",
        [
            cells.state(row.state),
            cells.text(row.netting_set),
            cells.number(row.sequence),
            cells.text(row.asset),
            cells.number(row.window or None),
            cells.number(row.payments),
            cells.amount(row.gross),
            cells.clock(row.closed_at_ms),
            cells.span(took_s),
            cells.text(row.ledger),
        ],
        {
            "kind": f"{row.kind}, version {row.version}{part}",
            "reason": row.reason,
            "gross": row.gross,
            "entries": f"{row.entries:,}",
            "closed": cells.moment(row.closed_at_ms),
            "answered": cells.moment(row.answered_ms),
            "id": row.id,
            "hash": row.hash,
            "previous": row.previous,
            "final with": ", ".join(row.linked),
            "stands in": f"{row.topic}-{row.partition} offset {row.offset:,}",
        },
    )


def audit(scene: Scene, most: int) -> list[Section]:
    rows = sorted(scene.audit, key=lambda row: (-row.time_ms, row.netting_set, -row.number))
    known = views_tell(scene)
    proposed = [
        Row(
            f"{one.netting_set}|{one.proposal}",
            [
                cells.clock(one.time_ms),
                cells.text(one.netting_set),
                cells.text(one.by),
                cells.text(one.proposal),
                cells.text(one.described),
            ],
            {
                "hash": one.hash,
                "approve": shlex.join(
                    [*_APPROVE, one.proposal, "--hash", one.hash, "--netting-set", one.netting_set]
                ),
            },
        )
        for one in proposals(scene, reader="").proposals
    ]
    return [
        Section(
            "Proposals that wait for a second person",
            _PROPOSALS,
            proposed,
            "none" if known else _NOT_KNOWN,
        ),
        Section(
            "Audit log, newest first",
            _AUDIT,
            [*map(_entry, rows[:most])],
            "nothing was done by anybody yet" if known else _NOT_KNOWN,
            max(0, len(rows) - most),
        ),
    ]


def _entry(row: AuditView) -> Row:
    is_proposal = row.kind == "proposal"
    return Row(
        f"{row.netting_set}|{row.number}",
        [
            cells.clock(row.time_ms),
            cells.text(row.netting_set),
            cells.number(row.number),
            cells.text(row.by),
            cells.text("proposal" if is_proposal else row.command.replace("_", " ")),
            cells.text(row.status, "bad" if row.status == "REFUSED" else ""),
            cells.text(row.reason),
        ],
        {
            "at": cells.moment(row.time_ms),
            "id": row.id,
            "content": row.command if is_proposal else "",
            "content hash": row.content_hash,
            "hash": row.hash,
            "previous": row.previous,
            "log": f"offset {row.log_offset:,}",
        },
    )
