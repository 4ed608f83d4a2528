"""Find anything by its id: batches, windows, participants, assets, commands, rejected inputs, payments.

Pure but for payments, which are looked for in the log by whoever calls.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote
from uuid import UUID

import msgspec

from clearing.console.scene import Scene
from clearing.explain.story import Story

HITS_MOST = 50
QUERY_MOST = 200
_WINDOW = re.compile(r"(\S+)[ #]+([0-9]{1,12})")
_HEX = re.compile(r"[0-9a-f]{8,64}")


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """api: where it is told."""

    kind: str
    netting_set: str
    id: str
    label: str
    api: str


class Hits(msgspec.Struct, frozen=True):
    """searched: what was looked at. looking: how far the search in the logs is, "" when it is over."""

    hits: list[Hit]
    searched: str
    looking: str = ""


def found(scene: Scene, query: str) -> list[Hit]:
    """Everything the scene knows by this id, whole or from its beginning; the closest first."""
    wanted = query.strip()
    if not wanted:
        return []
    hits: dict[tuple[str, str, str], Hit] = {}
    for hit in _hits(scene, wanted):
        hits.setdefault((hit.kind, hit.netting_set, hit.id), hit)
        if len(hits) >= HITS_MOST:
            break
    return sorted(hits.values(), key=lambda hit: hit.id.lower() != wanted.lower())


def as_uuid(query: str) -> UUID | None:
    try:
        return UUID(query.strip())
    except ValueError:
        return None


def payment_hit(story: Story) -> Hit:
    row = story.row
    what = f"{row.kind.replace('_', ' ')} {story.id}"
    if row.debtor:
        what += f" of {row.debtor} to {row.creditor}, {row.asset} {row.amount}"
    return Hit(
        kind="payment",
        netting_set=story.netting_set,
        id=story.id,
        label=f"{what}, {story.status}",
        api=f"/api/payments/{story.id}",
    )


def _hits(scene: Scene, query: str) -> Iterator[Hit]:
    yield from _names(scene, query)
    yield from _windows(scene, query)
    if _HEX.fullmatch(query.lower()):
        yield from _batches(scene, query.lower())
    yield from _commands(scene, query)
    yield from _rejects(scene, query.lower())


def _names(scene: Scene, query: str) -> Iterator[Hit]:
    """Participants, assets, netting sets, by the beginning of their names."""
    wanted = query.upper()
    for name in scene.netting_sets:
        if name.startswith(query.lower()):
            yield _hit("netting_set", name, name, f"netting set {name}", "/api/overview")
    for row in scene.positions:
        if row.participant.upper().startswith(wanted):
            label = f"participant {row.participant} in {row.netting_set}"
            path = f"/api/participants/{quote(row.participant)}"
            yield _hit("participant", row.netting_set, row.participant, label, path)
        if row.asset.upper().startswith(wanted):
            label = f"asset {row.asset} in {row.netting_set}"
            yield _hit(
                "asset", row.netting_set, row.asset, label, "/api/positions", asset=row.asset
            )


def _windows(scene: Scene, query: str) -> Iterator[Hit]:
    match = _WINDOW.fullmatch(query)
    if match is None:
        return
    for row in scene.windows:
        if row.asset.upper() == match[1].upper() and row.window == int(match[2]):
            label = f"{row.asset} window {row.window:,}, {row.state}"
            identity = f"{row.asset} {row.window}"
            yield _hit("window", row.netting_set, identity, label, "/api/windows", asset=row.asset)


def _batches(scene: Scene, query: str) -> Iterator[Hit]:
    for row in scene.batches:
        if row.id.startswith(query) or row.hash.startswith(query):
            label = (
                f"batch {row.sequence:,} of {row.netting_set}: {row.asset} {row.gross}, {row.state}"
            )
            path = f"/api/batches/{row.netting_set}/{row.sequence}"
            yield _hit("batch", row.netting_set, row.id, label, path)


def _commands(scene: Scene, query: str) -> Iterator[Hit]:
    for row in scene.audit:
        if row.id.startswith(query) or row.content_hash.startswith(query.lower()):
            label = f"{row.kind} {row.id} by {row.by}, {row.status}"
            yield _hit(row.kind, row.netting_set, row.id, label, "/api/audit", text=row.id)


def _rejects(scene: Scene, query: str) -> Iterator[Hit]:
    for row in scene.rejects:
        said = row.rejected
        if query == said.id or (len(query) >= 8 and said.hash.startswith(query)):
            label = f"rejected from {said.topic} offset {said.offset}: {said.text}"
            identity = said.id or said.hash
            yield _hit("rejected", row.netting_set, identity, label, "/api/rejected", text=identity)


def _hit(kind: str, netting_set: str, id_: str, label: str, path: str, **query: str) -> Hit:
    given = {"netting_set": netting_set} | query if path.count("/") == 2 else query
    ending = "&".join(f"{name}={quote(value)}" for name, value in given.items())
    return Hit(
        kind=kind,
        netting_set=netting_set,
        id=id_,
        label=label,
        api=f"{path}?{ending}" if ending else path,
    )
