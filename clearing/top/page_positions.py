"""Positions against caps as heat bars, the fullest first; what waits for liquidity, account by account. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from clearing.console.pages import used
from clearing.console.scene import Scene
from clearing.core.outputs import Position
from clearing.top import cells
from clearing.top.cells import decimal_of
from clearing.top.sheet import Column, Row, Section

_POSITIONS = [
    Column("participant"),
    Column("asset"),
    Column("set"),
    Column("used of cap"),
    Column("position", True),
    Column("headroom", True),
    Column("waiting", True),
]
_TOTALS = [
    Column("asset"),
    Column("set"),
    Column("payments", True),
    Column("value", True),
    Column("accounts", True),
]
_QUEUES = [
    Column("participant"),
    Column("asset"),
    Column("set"),
    Column("payments", True),
    Column("value", True),
    Column("of the asset's"),
    Column("headroom", True),
    Column("lacks", True),
]
_PARTICIPANTS = [
    Column("participant"),
    Column("set"),
    Column("accounts", True),
    Column("fullest"),
    Column("in"),
    Column("waiting", True),
    Column("value that waits"),
]
_NO_POSITIONS = "no position is known yet"


def positions(scene: Scene, most: int) -> list[Section]:
    rows = [(used(row), row) for row in scene.positions]
    rows.sort(key=lambda each: (-(each[0] if each[0] is not None else -1.0), _place(each[1])))
    told = [_position(share, row) for share, row in rows[:most]]
    more = max(0, len(rows) - most)
    return [Section("Positions against caps", _POSITIONS, told, _NO_POSITIONS, more)]


def _place(row: Position) -> tuple[str, str, str]:
    return row.netting_set, row.asset, row.participant


def _position(share: float | None, row: Position) -> Row:
    return Row(
        "|".join(_place(row)),
        [
            cells.text(row.participant),
            cells.text(row.asset),
            cells.text(row.netting_set),
            cells.used(share),
            cells.amount(row.position),
            cells.amount(row.headroom),
            cells.number(row.queued_payments, "warn"),
        ],
        _account(row),
    )


def _account(row: Position) -> dict[str, str]:
    return {
        "prefunded": row.prefunded,
        "net debit cap": row.net_debit_cap,
        "position": row.position,
        "reserved": row.reserved,
        "headroom": row.headroom,
        "waiting": f"{row.queued} in {row.queued_payments:,} payments",
        "window": f"{row.window:,}",
        "as of": f"{cells.moment(row.time_ms)}, log offset {row.log_offset:,}",
    }


def queues(scene: Scene, most: int) -> list[Section]:
    waiting = [row for row in scene.positions if row.queued_payments]
    totals: defaultdict[tuple[str, str], list[Position]] = defaultdict(list)
    for row in waiting:
        totals[row.netting_set, row.asset].append(row)
    sums = {place: _sum(rows) for place, rows in totals.items()}
    waiting.sort(key=lambda row: (-row.queued_payments, _place(row)))
    empty = "nothing waits for liquidity" if scene.positions else _NO_POSITIONS
    return [
        Section(
            "Waiting for liquidity, by asset",
            _TOTALS,
            [_total(*place, rows, sums[place]) for place, rows in sorted(totals.items())],
            empty,
        ),
        Section(
            "By account (who waits for whom: clearing queue)",
            _QUEUES,
            [_queue(row, sums[row.netting_set, row.asset]) for row in waiting[:most]],
            empty,
            more=max(0, len(waiting) - most),
        ),
    ]


def _sum(rows: Iterable[Position]) -> Decimal:
    return sum((decimal_of(row.queued) or Decimal() for row in rows), Decimal())


def _total(netting_set: str, asset: str, rows: list[Position], value: Decimal) -> Row:
    return Row(
        f"{netting_set}|{asset}",
        [
            cells.text(asset),
            cells.text(netting_set),
            cells.number(sum(row.queued_payments for row in rows)),
            cells.amount(f"{value:f}"),
            cells.number(len(rows)),
        ],
    )


def _queue(row: Position, of_all: Decimal) -> Row:
    """lacks: what has to come in for everything of it to leave."""
    value, headroom = decimal_of(row.queued), decimal_of(row.headroom)
    lacks = None
    if value is not None and headroom is not None:
        lacks = max(Decimal(), value - headroom)
    return Row(
        "|".join(_place(row)),
        [
            cells.text(row.participant),
            cells.text(row.asset),
            cells.text(row.netting_set),
            cells.number(row.queued_payments),
            cells.amount(row.queued),
            cells.share_of(float(value / of_all) if value is not None and of_all else None),
            cells.amount(row.headroom),
            cells.amount(None if lacks is None else f"{lacks:f}", "warn" if lacks else ""),
        ],
        _account(row) | {"lacks": "" if lacks is None else f"{lacks:f}"},
    )


def participants(scene: Scene, most: int) -> list[Section]:
    """Each with its fullest account and what it has waiting; whoever is nearest to a cap first.

    Who is suspended stands in the audit log and in the console: it takes a copy of the state to know.
    """
    accounts: defaultdict[tuple[str, str], list[Position]] = defaultdict(list)
    for row in scene.positions:
        accounts[row.participant, row.netting_set].append(row)
    told = [(max(rows, key=_fullness), rows) for rows in accounts.values()]
    told.sort(key=lambda each: (-_fullness(each[0]), each[0].participant, each[0].netting_set))
    more = max(0, len(told) - most)
    made = [_participant(fullest, rows) for fullest, rows in told[:most]]
    return [Section("Participants", _PARTICIPANTS, made, _NO_POSITIONS, more)]


def _fullness(row: Position) -> float:
    share = used(row)
    return -1.0 if share is None else share


def _participant(fullest: Position, rows: list[Position]) -> Row:
    waiting = {row.asset: row.queued for row in rows if row.queued_payments}
    return Row(
        f"{fullest.participant}|{fullest.netting_set}",
        [
            cells.text(fullest.participant),
            cells.text(fullest.netting_set),
            cells.number(len(rows)),
            cells.used(used(fullest)),
            cells.text(fullest.asset),
            cells.number(sum(row.queued_payments for row in rows), "warn"),
            cells.moneys(waiting) if waiting else cells.text("nothing"),
        ],
        {
            row.asset: f"position {row.position}, headroom {row.headroom}, cap {row.net_debit_cap}, "
            f"prefunded {row.prefunded}, waiting {row.queued}"
            for row in sorted(rows, key=lambda row: row.asset)
        },
    )
