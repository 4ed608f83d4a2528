"""The audit log of one netting set: what people did, numbered and chained by hash. Pure, from the journal alone.

So anybody with the journal can compute it again, and anybody with the entries can check the chain (`broken_link`):
nothing can be left out, changed or put in between without every later hash being another.
"""

import hashlib
from collections.abc import Iterable

from msgspec.structs import replace

from clearing.core.outputs import CommandEvent, Event, ProposalEvent
from clearing.messages_views import AUDIT_START, AuditView, audit_key, encode
from clearing.views.fold import Change


def entry_hash(entry: AuditView) -> str:
    """SHA-256, hexadecimal, of the entry's JSON with `hash` "" and `offset` 0; `previous` is part of it."""
    return hashlib.sha256(encode(replace(entry, hash="", offset=0))).hexdigest()


def broken_link(entries: Iterable[AuditView], last: AuditView | None = None) -> str:
    """What is wrong with a chain of entries, by number, after `last`: a sentence; "" if nothing is.

    last None: the entries begin with the first of all.
    """
    for entry in entries:
        number, previous = (last.number + 1, last.hash) if last else (1, AUDIT_START)
        if entry.number != number:
            return f"entry {entry.number} stands where {number} should be"
        if entry.previous != previous:
            return (
                f"entry {number} does not follow entry {number - 1}: its `previous` is another hash"
            )
        if entry.hash != entry_hash(entry):
            return f"entry {number} was changed: its hash is not that of its content"
        last = entry
    return ""


class Audit:
    """last: the latest entry that is known, None if there is none."""

    def __init__(self, netting_set: str, last: AuditView | None = None) -> None:
        self.netting_set = netting_set
        self.last = last

    def take_event(self, event: Event, offset: int) -> list[Change]:
        """An event of the journal at this offset: the entry it makes, if it is something a person did."""
        if self.last is not None and offset <= self.last.offset:
            return []
        if isinstance(event, CommandEvent):
            entry = self._next(event, offset, event.id, event.status, event.reason, "")
        elif isinstance(event, ProposalEvent):
            entry = self._next(event, offset, event.proposal, event.state, "", event.hash)
        else:
            return []
        self.last = replace(entry, hash=entry_hash(entry))
        return [Change("audit", audit_key(self.netting_set, self.last.number), self.last)]

    def _next(
        self,
        event: CommandEvent | ProposalEvent,
        offset: int,
        id_: str,
        status: str,
        reason: str,
        content_hash: str,
    ) -> AuditView:
        """The next entry, without its hash."""
        return AuditView(
            netting_set=self.netting_set,
            number=self.last.number + 1 if self.last else 1,
            time_ms=event.time_ms,
            log_offset=event.log_offset,
            kind="command" if isinstance(event, CommandEvent) else "proposal",
            id=id_,
            by=event.by,
            command=event.command,
            status=status,
            reason=reason,
            content_hash=content_hash,
            previous=self.last.hash if self.last else AUDIT_START,
            hash="",
            offset=offset,
        )
