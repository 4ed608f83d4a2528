"""The first page: each window's outlook, each netting set in a line, each stage with what waits before it. Pure."""

from decimal import Decimal

from msgspec.structs import replace

from clearing.console.overview import overview as overview_of
from clearing.console.rows import NettingSetRow
from clearing.console.scene import Scene
from clearing.top import cells
from clearing.top.cells import decimal_of
from clearing.top.sheet import Cell, Column, Row, Section, Tone
from clearing.views.model import Outlook, StageLag

_OUTLOOKS = [
    Column("cut-off"),
    Column("set"),
    Column("asset"),
    Column("window", True),
    Column("closes in", True),
    Column("backlog", True),
    Column("drains in", True),
]
_SETS = [
    Column("set"),
    Column("accepted/min", True),
    Column("refused", True),
    Column("waiting", True),
    Column("value", True),
    Column("near cap", True),
    Column("rejected/h", True),
    Column("proposals", True),
]
_STAGES = [
    Column("stage"),
    Column("set"),
    Column("status"),
    Column("records", True),
    Column("oldest", True),
    Column("money", True),
    Column("per s", True),
    Column("drains in", True),
]


def views_tell(scene: Scene) -> bool:
    """Whether there are, or were, views: if not, that they tell nothing means nothing."""
    return bool(scene.lag or scene.windows or scene.activity)


def overview(scene: Scene, _: int) -> list[Section]:
    seen = overview_of(scene)
    unsampled = "nothing samples the lag: clearing views"
    are_told = views_tell(scene)
    return [
        Section(
            "Will we make the cut-off?",
            _OUTLOOKS,
            [_outlook(each) for each in seen.outlooks],
            "no open window is known" if scene.lag else unsampled,
        ),
        Section(
            "Netting sets",
            _SETS,
            [_netting_set(each, are_told) for each in seen.netting_sets],
            "no netting set yet: clearing scheme load SCHEME",
        ),
        Section("Stages", _STAGES, [_stage(each) for each in seen.stages], unsampled),
    ]


def _outlook(one: Outlook) -> Row:
    waiting = {one.asset: one.backlog[one.asset]} if one.asset in one.backlog else one.backlog
    nothing = not waiting and one.backlog_records == 0
    backlog = cells.moneys(waiting, most=1)
    banks = ", ".join(f"{each.bank} {each.share:.0%}" for each in one.top_banks)
    return Row(
        f"{one.netting_set}|{one.asset}|{one.window}",
        [
            cells.state(one.verdict),
            cells.text(one.netting_set),
            cells.text(one.asset),
            cells.number(one.window),
            cells.due(one.cutoff_in_s) if one.window is not None else cells.span(None),
            cells.amount("0") if nothing else backlog,
            cells.span(one.drain_s),
        ],
        {
            "outlook": one.sentence,
            "cut-off": cells.moment(one.cutoff_ms),
            "backlog": ", ".join(f"{asset} {value}" for asset, value in one.backlog.items()),
            "records": cells.number(one.backlog_records).text,
            "most of it": banks,
        },
    )


def _rejected(row: NettingSetRow) -> Cell:
    """As many as are kept, or more."""
    cell = cells.number(row.rejected_last_hour, "warn")
    return replace(cell, text=f"≥ {cell.text}") if row.rejected_cut else cell


def _netting_set(row: NettingSetRow, are_told: bool) -> Row:
    """are_told: by views. What they would count is unknown without them, and not none."""
    return Row(
        row.netting_set,
        [
            cells.text(row.netting_set),
            cells.number(row.accepted_last_minute),
            cells.number(row.refused_last_minute, "warn"),
            cells.number(row.queued_payments, "warn"),
            cells.moneys(row.queued, most=1) if row.queued_payments else cells.amount(None),
            cells.number(row.near_cap, "warn"),
            _rejected(row) if are_told else cells.number(None),
            cells.number(row.proposals if are_told else None, "warn"),
        ],
        {
            "log": f"{row.log_offset:,}" if row.log_offset is not None else "",
            "as of": cells.moment(row.time_ms),
            "queued": ", ".join(f"{asset} {value}" for asset, value in row.queued.items()),
        },
    )


def _stage(one: StageLag) -> Row:
    tone: Tone = "warn" if one.status != "OK" else ""
    retention = "" if one.retention_used is None else f"{one.retention_used:.0%}"
    has_money = any(decimal_of(value) for value in one.money.values())
    return Row(
        f"{one.stage}|{one.netting_set}|{one.bank}",
        [
            cells.text(one.stage),
            cells.text(one.netting_set),
            cells.state(one.status),
            cells.number(one.records, tone),
            cells.span(one.seconds),
            cells.moneys(one.money, about=one.money_is_estimate, most=1)
            if has_money or one.records != 0
            else cells.amount(str(Decimal())),
            cells.rate(one.velocity_per_s),
            cells.span(one.drain_s),
        ],
        {
            "group": one.group,
            "worst": f"{one.topic}-{one.partition}",
            "bank": one.bank,
            "money": ", ".join(f"{asset} {value}" for asset, value in one.money.items()),
            "retention used": retention,
            "held up by": one.culprit,
        },
    )
