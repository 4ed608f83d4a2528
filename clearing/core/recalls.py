"""Rows about other payments: returns, cancellations, changes of priority, answers (R5, R12, R23).

What was accepted stands: cancelling it becomes a request to its creditor, and only a return moves money back.
The original's terms are the sender's to quote; its remembered content hash proves them.
"""

from typing import NamedTuple

from clearing.core.ids import id_hex
from clearing.core.inputs import References
from clearing.core.links import refuse_link
from clearing.core.outputs import Outputs
from clearing.core.queueing import dequeue, enqueue, resolve
from clearing.core.reasons import Code
from clearing.core.state import NettingSet
from clearing.core.waiting import Request, Returned, Waiting


class Original(NamedTuple):
    """What a row says of another one: its id, as 32 hex digits, and the content hash it quotes."""

    id: str
    body: int

    @classmethod
    def of(cls, references: References, row: int) -> "Original":
        return cls(id_hex(references.id[row]), int(references.body_hash[row]))


def take_return(state: NettingSet, id_: str, original: Original, whole: int, units: int) -> Code:
    """Count return `id_` against its original, whose amount was `whole` (R5)."""
    if _code_of(state, original) != Code.ACCEPTED:
        return Code.NO_ORIGINAL
    returned = state.returned.get(original.id)
    if units + (sum(returned.returns.values()) if returned else 0) > whole:
        return Code.RETURN_EXCEEDS
    if returned is None:
        returned = state.returned[original.id] = Returned(state.counters.business_date)
    returned.returns[id_] = units
    return Code.ACCEPTED


def cancel(
    state: NettingSet, id_: str, original: Original, debtor: int, creditor: int, out: Outputs
) -> Code:
    """Cancel a payment that waits, or ask its creditor for one that is accepted. id_: of the cancellation."""
    code = _code_of(state, original)
    if code is None or debtor < 0 or creditor < 0:
        return Code.NO_ORIGINAL
    item = state.waiting.get(original.id)
    if item is not None:
        end(state, item, Code.CANCELLED, out)
        return Code.DONE
    if code != Code.ACCEPTED or original.id in state.asked:
        return Code.NOT_WAITING
    day = state.counters.business_date
    state.requests[id_] = Request(original.id, debtor, creditor, day)
    state.asked.add(original.id)
    return Code.REQUESTED


def _code_of(state: NettingSet, original: Original) -> int | None:
    """What became of a payment that has exactly the quoted content, None if there is none.

    ALREADY_READ stands with ids of rows of this record that come later: nobody has heard of them.
    """
    found = state.ids.look_up(bytes.fromhex(original.id))
    if found is None or found[0] != original.body or found[1] == Code.ALREADY_READ:
        return None
    return found[1]


def end(state: NettingSet, item: Waiting, code: Code, out: Outputs) -> None:
    """A payment ends without having been accepted; its link's other legs with it (R20)."""
    link = state.links.get(item.link)
    if link is None:
        resolve(state, [item], code, out)
    else:
        refuse_link(state, link, Code.LINK_REFUSED, out, {item.id: code})


def expire(state: NettingSet, out: Outputs) -> None:
    """R17: payments that waited longer than their sender allows end, in the order in which they came."""
    counters = state.counters
    now, next_ms = counters.time_ms, counters.next_expiry_ms
    if not next_ms or next_ms > now:
        return
    for item in list(state.waiting.values()):
        if item.id in state.waiting and 0 < item.expires_at_ms <= now:
            end(state, item, Code.EXPIRED, out)
    later = (item.expires_at_ms for item in state.waiting.values() if item.expires_at_ms)
    counters.next_expiry_ms = min(later, default=0)


def set_priority(state: NettingSet, payment: str, debtor: int, priority: int) -> Code:
    """R12: only the sender, and only what is not accepted."""
    item = state.waiting.get(payment)
    if item is None:
        known = state.ids.look_up(bytes.fromhex(payment))
        is_known = known is not None and known[1] != Code.ALREADY_READ
        return Code.NOT_WAITING if is_known else Code.NO_ORIGINAL
    if item.debtor != debtor:
        return Code.NO_ORIGINAL
    queued = item.is_queued
    if queued:
        dequeue(state, item)
    item.priority = priority
    if queued:
        enqueue(state, item)
    return Code.DONE


def answer(state: NettingSet, request: str, responder: int, requester: int) -> Code:
    """The creditor has said yes or no: the request is closed; a return follows, or nothing does."""
    found = state.requests.get(request)
    if found is None or (found.responder, found.requester) != (responder, requester):
        return Code.NO_REQUEST
    del state.requests[request]
    state.asked.discard(found.original)
    return Code.DONE
