"""Services by their heartbeats, those that are late first; what stands still until a person has looked. Pure."""

from clearing.console.pages import heartbeats
from clearing.console.rows import HeartbeatRow
from clearing.console.scene import Scene
from clearing.messages import HaltRecord
from clearing.runbooks import retry_command
from clearing.top import cells
from clearing.top.sheet import GLYPHS, Cell, Column, Row, Section
from clearing.views.model import Served

_SERVICES = [
    Column("service"),
    Column("state"),
    Column("heartbeat", True),
    Column("up", True),
    Column("serves"),
    Column("process"),
    Column("version"),
]
_HALTS = [
    Column("state"),
    Column("set"),
    Column("service"),
    Column("kind"),
    Column("since", True),
    Column("times", True),
    Column("reason"),
    Column("next"),
]
_BAD = {"bad": 0, "warn": 1}


def services(scene: Scene, _: int) -> list[Section]:
    rows = heartbeats(scene) or []
    told = sorted((_service(row, scene.now_ms) for row in rows), key=_urgency)
    empty = "no service has said that it lives: clearing engine, clearing intake, …"
    return [Section("Services by their heartbeats", _SERVICES, told, empty)]


def _urgency(row: Row) -> tuple[int, str]:
    return _BAD.get(row.cells[1].tone, 2), row.key


def _service(row: HeartbeatRow, now_ms: int) -> Row:
    name = f"{row.service} {row.instance}".strip()
    state = cells.state(row.state)
    if row.late or row.ended:
        said, tone = ("late", "bad") if row.late else ("ended", "dim")
        state = Cell(f"{GLYPHS[tone]} {said}", said, tone)
    served = ", ".join(_served(each, one) for each, one in sorted(row.netting_sets.items()))
    return Row(
        f"{name}|{row.host}|{row.pid}",
        [
            cells.text(name),
            state,
            cells.span(row.age_ms / 1000, "bad" if row.late else ""),
            cells.span(max(0, now_ms - row.started_at_ms) / 1000),
            cells.text(served),
            cells.text(f"{row.host}:{row.pid}"),
            cells.text(row.version),
        ],
        {
            "last said": f"{row.state} at {cells.moment(row.at_ms)}",
            "started": cells.moment(row.started_at_ms),
            "process": f"{row.pid} on {row.host}",
            "serves": served,
        }
        | {
            f"{each} since": cells.moment(one.owned_since_ms)
            for each, one in sorted(row.netting_sets.items())
        }
        | row.details,
    )


def _served(name: str, one: Served) -> str:
    epoch = "" if one.epoch is None else f" epoch {one.epoch}"
    at = "" if one.next_offset is None else f" at {one.next_offset:,}"
    return f"{name}{epoch}{at}"


def halts(scene: Scene, _: int) -> list[Section]:
    known = scene.netting_sets
    rows = [row for row in scene.halts or [] if row.netting_set in known]
    rows.sort(key=lambda row: (row.state != "HALTED", row.netting_set, row.service))
    told = [_halt(row, scene.now_ms) for row in rows]
    return [Section("Halts: a person has to look", _HALTS, told, "nothing stands still")]


def _halt(row: HaltRecord, now_ms: int) -> Row:
    place = f"{row.topic}-{row.partition}" + (f" offset {row.offset}" if row.offset >= 0 else "")
    return Row(
        f"{row.netting_set}|{row.service}|{place}",
        [
            cells.state(row.state),
            cells.text(row.netting_set),
            cells.text(row.service),
            cells.text(row.kind.value),
            cells.span(max(0, now_ms - row.first_at_ms) / 1000),
            cells.number(row.times),
            cells.text(row.reason),
            cells.text(row.next_command),
        ],
        {
            "reason": row.reason,
            "at": place,
            "first": cells.moment(row.first_at_ms),
            "last": f"{cells.moment(row.at_ms)} by {row.owner}",
            "next": row.next_command,
            "then": retry_command(row.netting_set),
            "asked for by": row.retried_by,
            "runbook": row.runbook,
        },
    )
