"""Down to the ground: a batch with its proof, a payment's life, search by any id, drills, the audit log."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from aiokafka import TopicPartition
from litestar import get
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from clearing.console.answers import Asked, desk_of, page
from clearing.console.desk import Desk
from clearing.console.lives import Looking
from clearing.console.proving import batch_look, read_batch
from clearing.console.refusals import Refusal
from clearing.console.routes_reading import READ, Count, Reply, Some, Text, Time
from clearing.console.search import QUERY_MOST, Hits, as_uuid, found, payment_hit
from clearing.core.outputs import SettlementBatch
from clearing.core.registry import QueuePolicy
from clearing.explain.drill import DrillReport, drill_report
from clearing.explain.optimum import optimise_report
from clearing.explain.story import Story
from clearing.live import Live
from clearing.reading import Partitions
from clearing.views.fold_audit import broken_link
from clearing.views.model import AUDIT_START, AuditView, decode_audit

SOLVER_S = 10.0


class Told(msgspec.Struct, frozen=True):
    """story: None while it is looked for; looking: how far that is."""

    story: Story | None
    looking: str = ""


class Drills(msgspec.Struct, frozen=True):
    drills: list[DrillReport]


class AuditEnd(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="end"):
    """Last line of an export. verified: every entry is what its hash says and follows the one before."""

    entries: int
    last: str
    verified: bool
    detail: str


@get("/api/batches/{netting_set:str}/{sequence:int}", opt=READ)
async def batch(
    request: Asked, netting_set: FromPath[str], sequence: FromPath[int], entry: Count = None
) -> Reply:
    desk = desk_of(request)
    scene = await desk.scene(netting_set)
    views = {row.sequence: row for row in scene.batches}
    view = views.get(sequence)
    if view is None:
        raise Refusal.missing(f"the views do not hold batch {sequence} of {netting_set} (any more)")
    earlier = views.get(sequence - 1)

    async def work(reader: Partitions) -> tuple[SettlementBatch | None, SettlementBatch | None]:
        before = await read_batch(reader, earlier) if earlier else None
        return await read_batch(reader, view), before

    this, before = await desk.copies.read(work)
    if this is None:
        raise Refusal.missing(f"{view.topic} does not hold batch {sequence} any more")
    return page(request, scene, batch_look(this, view, before, entry or 0))


@get("/api/payments/{payment:str}", opt=READ)
async def payment(
    request: Asked, payment: FromPath[str], netting_set: Some = None, again: Count = None
) -> Reply:
    """again: any number; what was told a moment ago will not do."""
    desk = desk_of(request)
    identity = as_uuid(payment)
    if identity is None:
        raise Refusal.bad(f"{payment[:64]!r} is no UUID")
    found = await desk.lives.of(identity, _names(desk, netting_set), anew=again is not None)
    if isinstance(found, Looking):
        return page(request, await desk.scene(netting_set), Told(None, found.said))
    if found is None:
        raise Refusal.missing(f"no payment and no instruction has the id {payment}")
    return page(request, await desk.scene(found.netting_set), Told(found))


def _names(desk: Desk, likely: str | None) -> list[str]:
    """All netting sets, the likely one first. Raises Refusal."""
    first = desk.names(likely)
    return first + [name for name in desk.names(None) if name not in first]


@get("/api/search", opt=READ)
async def search(
    request: Asked, q: Annotated[str, QueryParameter(max_length=QUERY_MOST)], at_ms: Time = None
) -> Reply:
    """What the views know at once; for a payment asked again until nothing is looked for any more."""
    desk = desk_of(request)
    scene = await desk.scene(None, at_ms)
    hits, searched, looking = found(scene, q), "what the views keep", ""
    identity = as_uuid(q)
    if identity is not None:
        searched += f", and the logs of {', '.join(scene.netting_sets) or 'no netting set'}"
        life = await desk.lives.of(identity, _names(desk, None))
        if isinstance(life, Looking):
            looking = life.said
        elif life is not None:
            hits.insert(0, payment_hit(life))
    return page(request, scene, Hits(hits, searched, looking))


@get("/api/drill", opt=READ)
async def drill(
    request: Asked,
    netting_set: Some = None,
    at_ms: Time = None,
    participant: Some = None,
    asset: Text = "",
) -> Reply:
    """Cover-1 (R26), on a copy: who would pay what."""
    desk = desk_of(request)
    scene = await desk.scene(netting_set, at_ms)

    def look(live: Live) -> DrillReport | None:
        state = live.state
        if participant not in (None, *state.participant_index):
            return None
        if asset and asset not in state.asset_index:
            return None
        return drill_report(state, live.machine.next_offset, participant, asset)

    reports: list[DrillReport] = []
    for name in scene.netting_sets:
        partition, then_ms = desk.partition(name), scene.as_of_ms
        if then_ms is None:
            report = await desk.copies.live(name, partition, look)
        else:
            report = await desk.copies.past(name, partition, then_ms, look)
        reports += [report] if report else []
    return page(request, scene, Drills(reports))


@get("/api/optimise", opt={"right": "preview"})
async def optimise(request: Asked, netting_set: Text, asset: Text) -> Reply:
    """What the exact solver would release of a queue without FIFO (R15); it is released by `release_queued`."""
    desk = desk_of(request)

    def look(live: Live) -> object:
        a = live.state.asset_index.get(asset)
        if a is None:
            raise Refusal.missing(f"netting set {netting_set} does not clear {asset!r}")
        policy = live.state.assets[a].spec.queue
        if policy is not QueuePolicy.BYPASS_FIFO:
            raise Refusal.bad(
                f"the queue of {asset} is {policy}: only under BYPASS_FIFO is a choice"
            )
        return optimise_report(live, asset, SOLVER_S)

    report = await desk.copies.live(netting_set, desk.partition(netting_set), look)
    return page(request, await desk.scene(netting_set), report)


@get("/api/audit/export", opt={"right": "export"})
async def export(request: Asked, netting_set: Text) -> Stream:
    """Every entry, a JSON line each, as it stands in the topic now; the last line says whether the chain holds."""
    desk = desk_of(request)
    partition = desk.partition(netting_set)
    place = TopicPartition(desk.settings.topics.view("audit"), partition)

    async def work(reader: Partitions) -> dict[int, AuditView]:
        entries: dict[int, AuditView] = {}
        if place.topic not in await reader.topics():
            return entries
        async for records in reader.chunks(place):
            for record in records:
                if record.value:
                    entry = decode_audit(record.value)
                    entries[entry.number] = entry
        return entries

    entries = await desk.copies.read(work)
    stamp = datetime.fromtimestamp(desk.clock(), UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"audit-{netting_set}-{stamp}.jsonl"
    return Stream(
        _lines([entries[number] for number in sorted(entries)]),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _lines(entries: list[AuditView]) -> Iterator[bytes]:
    for entry in entries:
        yield msgspec.json.encode(entry) + b"\n"
    detail = broken_link(entries)
    yield (
        msgspec.json.encode(
            AuditEnd(
                entries=len(entries),
                last=entries[-1].hash if entries else AUDIT_START,
                verified=not detail,
                detail=detail,
            )
        )
        + b"\n"
    )


ROUTES = [batch, payment, search, drill, optimise, export]
