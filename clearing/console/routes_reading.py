"""Everything that is only looked at, live or as of a time: JSON in the envelope of its scene."""

from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec.structs import asdict

from clearing.console import pages
from clearing.console.actions import ACTIONS, Action
from clearing.console.answers import Asked, desk_of, page, who_asks
from clearing.console.looks import Limit, queues_look
from clearing.console.overview import overview as overview_of
from clearing.console.pages import bounded
from clearing.console.rejects import rejects
from clearing.console.rows import PositionRow, Services
from clearing.core.outputs import Position
from clearing.explain.queues import QueueReport

READ = {"right": "read"}
Reply = Response[bytes]
Some = FromQuery[str | None]
Text = FromQuery[str]
Time = Annotated[int | None, QueryParameter(name="at", ge=0, le=1 << 53)]
Count = Annotated[int | None, QueryParameter(ge=0, le=1 << 53)]


class Queues(msgspec.Struct, frozen=True):
    queues: list[QueueReport]


class ParticipantRow(msgspec.Struct, frozen=True, kw_only=True):
    netting_set: str
    participant: str
    name: str
    status: str
    queued_payments: int
    accounts: list[PositionRow]
    collateral: dict[str, str]
    short_limit: str | None
    limits: list[Limit]


class Participants(msgspec.Struct, frozen=True):
    participants: list[ParticipantRow]
    approval_required: dict[str, bool]


class Actions(msgspec.Struct, frozen=True):
    actions: list[Action]


class TimeRange(msgspec.Struct, frozen=True):
    first_ms: int
    last_ms: int


@get("/api/overview", opt=READ)
async def overview(request: Asked, netting_set: Some = None, at_ms: Time = None) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, overview_of(scene))


@get("/api/windows", opt=READ)
async def windows(
    request: Asked,
    netting_set: Some = None,
    at_ms: Time = None,
    asset: Text = "",
    of_state: Annotated[str, QueryParameter(name="state")] = "",
    limit: Count = None,
) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, pages.windows(scene, asset, of_state, bounded(limit)))


@get("/api/positions", opt=READ)
async def positions(
    request: Asked,
    netting_set: Some = None,
    at_ms: Time = None,
    asset: Text = "",
    participant: Text = "",
) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, pages.positions(scene, asset, participant))


@get("/api/queues", opt=READ)
async def queues(
    request: Asked, netting_set: Some = None, at_ms: Time = None, asset: Text = ""
) -> Reply:
    """Asks a copy of the state: seconds the first time, where there is much of it."""
    desk = desk_of(request)
    scene = await desk.scene(netting_set, at_ms)
    found: list[QueueReport] = []
    for name in scene.netting_sets:
        partition = desk.partition(name)
        if scene.as_of_ms is None:
            look = await desk.copies.live(
                name, partition, lambda live: queues_look(live, asset), entered=True
            )
        else:
            look = await desk.copies.past(
                name, partition, scene.as_of_ms, lambda live: queues_look(live, asset)
            )
        found.append(look)
    return page(request, scene, Queues(found))


@get("/api/batches", opt=READ)
async def batches(
    request: Asked,
    netting_set: Some = None,
    at_ms: Time = None,
    asset: Text = "",
    before: Count = None,
    limit: Count = None,
) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, pages.batches(scene, asset, before, bounded(limit)))


@get("/api/rejected", opt=READ)
async def rejected(
    request: Asked,
    netting_set: Some = None,
    at_ms: Time = None,
    reason: Text = "",
    participant: Text = "",
    text: Text = "",
    before: Count = None,
    limit: Count = None,
) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    found = rejects(
        scene,
        reason=reason,
        participant=participant,
        text=text,
        before=before,
        limit=bounded(limit),
    )
    return page(request, scene, found)


@get("/api/participants", opt=READ)
async def participants(request: Asked, netting_set: Some = None, at_ms: Time = None) -> Reply:
    """Asks a copy of the state: who is suspended stands in no topic."""
    return await _participants(request, netting_set, at_ms, "")


@get("/api/participants/{participant:str}", opt=READ)
async def participant(
    request: Asked, participant: FromPath[str], netting_set: Some = None, at_ms: Time = None
) -> Reply:
    return await _participants(request, netting_set, at_ms, participant)


async def _participants(
    request: Asked, netting_set: str | None, at_ms: int | None, wanted: str
) -> Reply:
    desk = desk_of(request)
    scene = await desk.scene(netting_set, at_ms)
    looks = [await desk.look(name, scene.as_of_ms) for name in scene.netting_sets]
    rows = [
        ParticipantRow(
            **{**asdict(each), "accounts": [_account(row, each.status) for row in each.accounts]}
        )
        for look in looks
        for each in look.participants
        if wanted in ("", each.participant)
    ]
    required = {look.netting_set: look.approval_required for look in looks}
    return page(request, scene, Participants(rows, required))


def _account(row: Position, status: str) -> PositionRow:
    return PositionRow(**asdict(row), used=pages.used(row), status=status)


@get("/api/services", opt=READ)
async def services(request: Asked, netting_set: Some = None, at_ms: Time = None) -> Reply:
    """Heartbeats from the topic; groups and transactions are asked of Kafka, if it answers."""
    desk = desk_of(request)
    scene = await desk.scene(netting_set, at_ms)
    asked = await desk.cluster.now() if scene.as_of_ms is None else None
    found = Services(
        services=pages.heartbeats(scene),
        groups=asked.groups if asked else None,
        transactions=asked.transactions if asked else None,
        halts=scene.halts,
        unreadable=list(desk.board.unreadable),
    )
    return page(request, scene, found)


@get("/api/proposals", opt=READ)
async def proposals(request: Asked, netting_set: Some = None, at_ms: Time = None) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, pages.proposals(scene, who_asks(request).name))


@get("/api/activity", opt=READ)
async def activity(
    request: Asked, netting_set: Some = None, at_ms: Time = None, minutes: Count = None
) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, pages.activity(scene, 120 if minutes is None else minutes))


@get("/api/lag", opt=READ)
async def lag(
    request: Asked, netting_set: Some = None, at_ms: Time = None, minutes: Count = None
) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, pages.lag(scene, 15 if minutes is None else minutes))


@get("/api/audit", opt=READ)
async def audit(
    request: Asked,
    netting_set: Some = None,
    at_ms: Time = None,
    by: Text = "",
    text: Text = "",
    before: Count = None,
    limit: Count = None,
) -> Reply:
    scene = await desk_of(request).scene(netting_set, at_ms)
    return page(request, scene, pages.audit(scene, before, by, text, bounded(limit)))


@get("/api/actions", opt=READ)
async def actions(request: Asked) -> Reply:
    return page(request, await desk_of(request).scene(), Actions(list(ACTIONS)))


@get("/api/asof", opt=READ)
async def asof(request: Asked, netting_set: Some = None) -> Reply:
    """From when to when there is something to be seen."""
    desk = desk_of(request)
    found: dict[str, TimeRange | None] = {}
    for name in desk.names(netting_set):
        bounds = await desk.copies.bounds_ms(name, desk.partition(name))
        found[name] = TimeRange(*bounds) if bounds else None
    return page(request, await desk.scene(netting_set), found)


ROUTES = [
    overview,
    windows,
    positions,
    queues,
    batches,
    rejected,
    participants,
    participant,
    services,
    proposals,
    activity,
    lag,
    audit,
    actions,
    asof,
]
