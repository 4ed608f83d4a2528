"""The page of what could not be read: filtered, grouped by reason, and whether it may be redriven. Pure."""

from collections.abc import Iterable

from msgspec import json

from clearing.console.pages import LIMIT
from clearing.console.rows import RedriveState, RejectGroup, RejectRow, Rejects
from clearing.console.scene import Scene
from clearing.core.commands import Redrive, redrive_id
from clearing.names import owner_of
from clearing.views.model import AuditView, RejectView

OPERATORS_TOPICS = ("commands", "confirmations")


def rejects(
    scene: Scene,
    *,
    reason: str = "",
    participant: str = "",
    text: str = "",
    before: int | None = None,
    limit: int = LIMIT,
) -> Rejects:
    """Newest first. before: an offset in `rejected`. The groups are of all but `reason` and `before`."""
    passing = [
        row
        for row in scene.rejects
        if participant in ("", participant_of(row) or "") and _has(row, text)
    ]
    chosen = [
        row
        for row in passing
        if reason in ("", row.rejected.reason) and (before is None or row.offset < before)
    ]
    chosen.sort(key=lambda row: (row.rejected.time_ms, row.offset), reverse=True)
    proposed = proposed_redrives(scene.proposals)
    rows = [reject_row(row, proposed, scene.decided) for row in chosen[:limit]]
    return Rejects(rows, _groups(passing), len(chosen) > limit)


def participant_of(row: RejectView) -> str | None:
    """Whose topic it came in; None: an operator's, or a ledger's."""
    topic = row.rejected.topic
    return None if topic.endswith(OPERATORS_TOPICS) else owner_of(topic)


def _has(row: RejectView, text: str) -> bool:
    said = row.rejected
    wanted = text.lower()
    return not text or any(
        wanted in each.lower() for each in (said.detail, said.text, said.id, said.hash, said.topic)
    )


def proposed_redrives(proposals: Iterable[AuditView]) -> dict[tuple[str, str], AuditView]:
    """Open proposals of redrives, by netting set and the command's id."""
    found: dict[tuple[str, str], AuditView] = {}
    for row in proposals:
        if '"redrive"' in row.command:
            command = json.decode(row.command, type=Redrive)
            found[row.netting_set, command.id] = row
    return found


def reject_row(
    row: RejectView,
    proposed: dict[tuple[str, str], AuditView],
    decided: dict[tuple[str, str], AuditView],
) -> RejectRow:
    said, participant = row.rejected, participant_of(row)
    state: RedriveState | None = None
    why_not = "" if participant else "a command or confirmation is given again by whoever gave it"
    if participant:
        key = row.netting_set, redrive_id(participant, said.offset)
        if key in decided:
            state = RedriveState(proposal="", state="APPROVED", by=decided[key].by)
            why_not = "it was redriven before: at most once"
        elif key in proposed:
            state = RedriveState(proposal=proposed[key].id, state="PROPOSED", by=proposed[key].by)
            why_not = "it is proposed already"
    return RejectRow(
        netting_set=row.netting_set,
        offset=row.offset,
        log_offset=said.log_offset,
        row=said.row,
        topic=said.topic,
        partition=said.partition,
        source_offset=said.offset,
        item=said.item,
        reason=said.reason,
        text=said.text,
        detail=said.detail,
        hash=said.hash,
        id=said.id,
        time_ms=said.time_ms,
        participant=participant,
        redrivable=not why_not,
        why_not=why_not,
        redrive=state,
    )


def _groups(rows: list[RejectView]) -> list[RejectGroup]:
    """By reason and text, the most frequent first."""
    groups: dict[tuple[str, str], list[RejectView]] = {}
    for row in rows:
        groups.setdefault((row.rejected.reason, row.rejected.text), []).append(row)
    found: list[RejectGroup] = []
    for (reason, text), members in groups.items():
        participants: dict[str, int] = {}
        for row in members:
            name = participant_of(row) or ""
            participants[name] = participants.get(name, 0) + 1
        times = [row.rejected.time_ms for row in members]
        found.append(
            RejectGroup(
                reason=reason,
                text=text,
                count=len(members),
                participants=dict(sorted(participants.items(), key=lambda item: -item[1])),
                first_ms=min(times),
                last_ms=max(times),
            )
        )
    return sorted(found, key=lambda group: (-group.count, group.reason, group.text))
