"""Redrive of what could not be read: tried by today's intake, decided by two people, published byte for byte."""

from typing import Annotated

import msgspec
import structlog
from aiokafka.errors import KafkaError
from litestar import post

from clearing import kafka
from clearing.console.actions import command_line
from clearing.console.answers import Asked, answer, decoded, desk_of, who_asks
from clearing.console.desk import Desk
from clearing.console.redrive import (
    TEXT_SHOWN,
    Gone,
    Original,
    Redriven,
    RedrivenRow,
    original,
    publish,
    redriven,
)
from clearing.console.refusals import Refusal
from clearing.console.rejects import proposed_redrives, reject_row
from clearing.console.routes_reading import Reply
from clearing.console.rows import RejectRow
from clearing.console.trial import AccountChange, Breach
from clearing.core.approvals import content_hash
from clearing.core.commands import Redrive, redrive_id

AT_ONCE_MOST = 50

_log = structlog.get_logger()


class Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offsets in `rejected`."""

    netting_set: str
    offsets: Annotated[list[int], msgspec.Meta(min_length=1, max_length=AT_ONCE_MOST)]


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A redrive that two people have decided."""

    netting_set: str
    participant: str
    offset: int
    hash: str


class RedrivePreview(msgspec.Struct, frozen=True, kw_only=True):
    """text: the record's beginning as its sender wrote it. command, hash: to be proposed; None where it may not be.

    rows, accounts, breaches: what it would come to now.
    """

    offset: int
    source_offset: int
    participant: str | None
    redrivable: bool
    why_not: str
    bytes: int | None = None
    text: str = ""
    command: Redrive | None = None
    hash: str = ""
    cli: str = ""
    rows: list[RedrivenRow] = []
    accounts: list[AccountChange] = []
    breaches: list[Breach] = []
    cut: bool = False


class RedrivePreviews(msgspec.Struct, frozen=True, kw_only=True):
    """readable: how many of them intake can read now, whole."""

    previews: list[RedrivePreview]
    readable: int
    still_unreadable: int


class Published(msgspec.Struct, frozen=True):
    note: str


@post("/api/rejected/preview", opt={"right": "preview"}, status_code=200)
async def preview_redrive(request: Asked) -> Reply:
    desk, who = desk_of(request), who_asks(request)
    chosen: Chosen = decoded(await request.body(), Chosen)
    scene = await desk.scene(chosen.netting_set)
    proposed = proposed_redrives(scene.proposals)
    known = {row.offset: row for row in scene.rejects}
    previews: list[RedrivePreview] = []
    for offset in dict.fromkeys(chosen.offsets):
        if offset not in known:
            raise Refusal.missing(f"the views do not hold offset {offset} of `rejected` (any more)")
        row = reject_row(known[offset], proposed, scene.decided)
        previews.append(await _tried(desk, row, who.name))
    unreadable = sum(_is_unreadable(each) for each in previews)
    found = RedrivePreviews(
        previews=previews, readable=len(previews) - unreadable, still_unreadable=unreadable
    )
    return answer(found)


def _is_unreadable(tried: RedrivePreview) -> bool:
    return not tried.rows or not all(row.readable for row in tried.rows)


async def _tried(desk: Desk, row: RejectRow, by: str) -> RedrivePreview:
    told = RedrivePreview(
        offset=row.offset,
        source_offset=row.source_offset,
        participant=row.participant,
        redrivable=row.redrivable,
        why_not=row.why_not,
    )
    if row.participant is None:
        return told
    try:
        source = await desk.copies.read(
            lambda reader: original(reader, row.topic, row.source_offset, row.hash)
        )
    except Gone as error:
        return msgspec.structs.replace(told, redrivable=False, why_not=str(error))
    trial = await _trial(desk, row.netting_set, source)
    command = Redrive(
        id=redrive_id(row.participant, row.source_offset),
        by=by,
        participant=row.participant,
        offset=row.source_offset,
        hash=row.hash,
    )
    why_not = row.why_not
    if source.origin:
        why_not = f"it was redriven from {source.origin} itself: once is enough"
    return msgspec.structs.replace(
        told,
        redrivable=not why_not,
        why_not=why_not,
        bytes=len(source.value),
        text=source.value[: 4 * TEXT_SHOWN].decode("utf-8", "replace")[:TEXT_SHOWN],
        command=None if why_not else command,
        hash="" if why_not else content_hash(command),
        cli="" if why_not else command_line(row.netting_set, command),
        rows=trial.rows,
        accounts=trial.accounts,
        breaches=trial.breaches,
        cut=trial.cut,
    )


async def _trial(desk: Desk, netting_set: str, source: Original) -> Redriven:
    partition = desk.partition(netting_set)
    return await desk.copies.live(
        netting_set, partition, lambda live: redriven(live, source.topic, source.value)
    )


@post("/api/rejected/publish", opt={"right": "act"}, status_code=200)
async def publish_redrive(request: Asked) -> Reply:
    """What was decided and could not be published then. Twice does no harm: ids are paid once."""
    desk = desk_of(request)
    given: Decided = decoded(await request.body(), Decided)
    identity = redrive_id(given.participant, given.offset)
    desk.partition(given.netting_set)
    decided = desk.board.decided.get((given.netting_set, identity))
    if decided is None:
        raise Refusal.conflict(
            f"nobody has decided {identity[:64]}: propose it, and have it approved"
        )
    command = Redrive(
        id=identity,
        by=decided.by,
        participant=given.participant,
        offset=given.offset,
        hash=given.hash,
    )
    return answer(Published(await published_again(desk, given.netting_set, command)))


async def published_again(desk: Desk, netting_set: str, command: Redrive) -> str:
    """Publish what two people have decided to redrive. What keeps it from that is told: the decision stands."""
    topic = desk.settings.topics.payments(netting_set, command.participant)
    try:
        source = await desk.copies.read(
            lambda reader: original(reader, topic, command.offset, command.hash)
        )
        if source.origin:
            return f"not published: it was redriven from {source.origin} before"
        async with kafka.started(kafka.producer(desk.settings.bootstrap)) as producer:
            offset = await publish(producer, source)
    except (Gone, KafkaError, TimeoutError, Refusal) as error:
        _log.error("redrive_not_published", topic=topic, offset=command.offset, error=repr(error))
        place = f"{command.participant} {command.offset} --netting-set {netting_set}"
        again = f"clearing command redrive {place} --publish"
        return f"not published: {error}; to try again: {again}"
    _log.info("redriven", topic=topic, offset=command.offset, again_offset=offset)
    return f"published again as {topic} offset {offset}"


ROUTES = [preview_redrive, publish_redrive]
