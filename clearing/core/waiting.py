"""What waits, and what is remembered of it: payments in queues, links, requests, returns, proposals. Data only."""

import msgspec

from clearing.core.commands import Proposable


class Waiting(msgspec.Struct, eq=False):
    """A payment that waits: in the queue of its debtor's account, or (is_queued False) for its link's other legs.

    id: 32 hex digits. units: what is still open. day: business date on which it entered. arrival: number
    in the order of arrival (R12). source: topic, partition, offset, item. original: id of what a return gives back.
    units_sent, priority_sent: as its content says, whatever was delivered and changed since; value_date: days
    since 1970-01-01. Its creditor is told them, to quote them in a return (R5).
    """

    id: str
    day: int
    debtor: int
    creditor: int
    asset: int
    units: int
    priority: int
    arrival: int
    kind: int
    expires_at_ms: int
    window: int
    log_offset: int
    row: int
    source: tuple[str, int, int, int]
    end_to_end_id: str
    chain_reference: str
    value_date: int
    units_sent: int
    priority_sent: int
    link: str = ""
    leg: int = 0
    original: str = ""
    is_queued: bool = False
    is_fail: bool = False  # the rest of a partial delivery (R22)

    @property
    def place(self) -> tuple[int, int, int]:
        """R12: sorts as the queue does."""
        return -self.priority, self.arrival, self.leg

    @property
    def account(self) -> tuple[int, int]:
        return self.debtor, self.asset


class Link(msgspec.Struct):
    """Legs that are accepted in one step or not at all (R19). present: leg → id of the payment that waits."""

    id: str
    terms: str
    legs: int
    partial: bool
    present: dict[int, str] = {}

    @property
    def is_complete(self) -> bool:
        return len(self.present) == self.legs


class Request(msgspec.Struct, frozen=True):
    """A cancellation of an accepted payment that its creditor has not answered (R23)."""

    original: str
    requester: int
    responder: int
    day: int


class Returned(msgspec.Struct):
    """What was given back of a payment, or is about to be (R5). returns: id → units of each return."""

    day: int
    returns: dict[str, int] = {}


class Proposal(msgspec.Struct, frozen=True):
    """A command before a second pair of eyes (R33). content: its JSON."""

    command: Proposable
    hash: str
    by: str
