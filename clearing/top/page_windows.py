"""Windows: those that are open with their countdown, then those not final, then the last that ended. Pure."""

from collections.abc import Mapping

from clearing.console.pages import window_row
from clearing.console.rows import WindowRow
from clearing.console.scene import Scene
from clearing.top import cells
from clearing.top.sheet import GLYPHS, UNKNOWN, Cell, Column, Row, Section, Tone
from clearing.views.model import LedgerFinality

_COLUMNS = [
    Column("state"),
    Column("set"),
    Column("asset"),
    Column("window", True),
    Column("closes in", True),
    Column("payments", True),
    Column("gross", True),
    Column("finality by ledger"),
]
_OVER = ("SETTLED", "ABORTED")
_WORST: tuple[Tone, ...] = ("bad", "warn", "", "good", "dim")
_SHORT = {"PENDING_SETTLEMENT": "PENDING"}


def windows(scene: Scene, most: int) -> list[Section]:
    rows = sorted((window_row(each, scene.at_ms) for each in scene.windows), key=_urgency)
    empty = "no window is known: the views tell them (clearing views)"
    return [
        Section(
            "Windows",
            _COLUMNS,
            [_row(each) for each in rows[:most]],
            empty,
            max(0, len(rows) - most),
        )
    ]


def _urgency(row: WindowRow) -> tuple[int, float, str]:
    """Open by cut-off, then in progress oldest first, then ended newest first."""
    if row.state == "OPEN":
        left_s = float("inf") if row.cutoff_in_s is None else row.cutoff_in_s
        return 0, left_s, row.asset
    since_ms = row.settled_at_ms or row.closed_at_ms or row.opened_at_ms or 0
    return (2, -since_ms, row.asset) if row.state in _OVER else (1, since_ms, row.asset)


def _row(row: WindowRow) -> Row:
    is_open = row.state == "OPEN"
    return Row(
        f"{row.netting_set}|{row.asset}|{row.window}",
        [
            cells.state(row.state, _SHORT.get(row.state, "")),
            cells.text(row.netting_set),
            cells.text(row.asset),
            cells.number(row.window),
            cells.due(row.cutoff_in_s) if is_open else Cell(UNKNOWN),
            cells.number(row.payments),
            cells.amount(row.gross),
            _finality(row.finality),
        ],
        {
            "state": f"{row.state}, version {row.version}",
            "reason": row.reason,
            "opened": cells.moment(row.opened_at_ms),
            "cut-off": cells.moment(row.cutoff_ms),
            "closed": cells.moment(row.closed_at_ms),
            "settled": cells.moment(row.settled_at_ms),
            "gross": row.gross or UNKNOWN,
            "batch": row.batch,
            "sequence": cells.number(row.sequence).text,
            "hash": row.hash,
        }
        | {f"ledger {name}": _told(each) for name, each in sorted(row.finality.items())},
    )


def _finality(ledgers: Mapping[str, LedgerFinality]) -> Cell:
    if not ledgers:
        return Cell(UNKNOWN)
    told = [
        f"{GLYPHS[cells.tone_of(each.state)]} {name} {each.state}{_parts(each)}"
        for name, each in sorted(ledgers.items())
    ]
    worst = min(_WORST.index(cells.tone_of(each.state)) for each in ledgers.values())
    return Cell(", ".join(told), float(worst), _WORST[worst])


def _parts(one: LedgerFinality) -> str:
    return f" {one.posted}/{one.batches}" if one.batches > 1 else ""


def _told(one: LedgerFinality) -> str:
    why = f": {one.reason}" if one.reason else ""
    return f"{one.state}{_parts(one)} since {cells.moment(one.at_ms)}{why}"
