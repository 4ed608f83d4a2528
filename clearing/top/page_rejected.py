"""What came to nothing: payments refused by reason, and inputs that could not be read, with why. Pure."""

import shlex

from clearing.console.pages import activity
from clearing.console.rejects import rejects
from clearing.console.rows import RejectGroup, RejectRow
from clearing.console.scene import Scene
from clearing.top import cells
from clearing.top.page_overview import views_tell
from clearing.top.sheet import Column, Row, Section

MINUTES = 120
_ROWS_MOST = 1_000
_REFUSED = [Column("reason"), Column("payments", True), Column("share")]
_GROUPS = [
    Column("reason"),
    Column("inputs", True),
    Column("why"),
    Column("from"),
    Column("last at"),
]
_REJECTS = [
    Column("at"),
    Column("set"),
    Column("from"),
    Column("reason"),
    Column("why"),
    Column("detail"),
]


def rejected(scene: Scene, _: int) -> list[Section]:
    page = rejects(scene, limit=_ROWS_MOST)
    reasons = activity(scene, MINUTES).reasons
    refused = sum(reasons.values())
    empty = "none" if views_tell(scene) else "not known: the views tell it (clearing views)"
    return [
        Section(
            f"Payments refused or ended in the last {MINUTES // 60} h, by reason",
            _REFUSED,
            [
                Row(reason, [cells.text(reason), cells.number(n), cells.share_of(n / refused)])
                for reason, n in reasons.items()
                if n
            ],
            empty,
        ),
        Section(
            "Inputs that could not be read, by reason", _GROUPS, [*map(_group, page.groups)], empty
        ),
        Section(
            "The latest of them (once more: clearing command redrive)",
            _REJECTS,
            [*map(_reject, page.rejected)],
            empty,
            more=max(0, len(scene.rejects) - _ROWS_MOST),
        ),
    ]


def _group(one: RejectGroup) -> Row:
    names = ", ".join(name or "operators" for name in one.participants)
    return Row(
        f"{one.reason}|{one.text}",
        [
            cells.text(one.reason),
            cells.number(one.count),
            cells.text(one.text),
            cells.text(names),
            cells.clock(one.last_ms),
        ],
    )


def _reject(row: RejectRow) -> Row:
    place = f"{row.topic}-{row.partition} offset {row.source_offset}"
    return Row(
        f"{row.netting_set}|{row.offset}",
        [
            cells.clock(row.time_ms),
            cells.text(row.netting_set),
            cells.text(row.participant or row.topic),
            cells.text(row.reason),
            cells.text(row.text),
            cells.text(row.detail),
        ],
        {
            "at": cells.moment(row.time_ms),
            "why": f"{row.reason} {row.text}",
            "detail": row.detail,
            "record": place + (f" item {row.item}" if row.item >= 0 else ""),
            "id": row.id,
            "hash": row.hash,
            "log": f"offset {row.log_offset:,} row {row.row}",
            "redrive": row.why_not or _redrive(row),
        },
    )


def _redrive(row: RejectRow) -> str:
    """The command that proposes it."""
    where = [row.participant or "", str(row.source_offset), "--netting-set", row.netting_set]
    return shlex.join(["clearing", "command", "redrive", *where, "--propose"])
