"""What takes banks more than one message: payments that wait and are taken back, gridlocks, trades, returns.

Planned in the same breath as the rest of a workload: how each ends is known, in which order is not. Some messages
answer others: they are made when their bank has heard what they answer, and on nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from clearing.core.money import MAX_UNSETTLED, show
from clearing.dev.lines import Line
from clearing.dev.records import (
    Fields,
    answer_of,
    cancel_of,
    leg_of,
    line_of,
    link_of,
    other_id,
    priority_of,
    return_of,
)
from clearing.messages import StatusRecord
from clearing.scheme.model import Pair

if TYPE_CHECKING:
    from clearing.dev.workload import Stream

_ROOM = MAX_UNSETTLED // 16  # of an asset that gridlocks of a run may take together
_RING = (2, 3, 3, 4)  # banks of a gridlock


class Stuck(NamedTuple):
    """A payment that nobody can cover, until its bank has sent so many more rows."""

    fields: Fields
    until_rows: int


class Reaction(NamedTuple):
    """What a bank sends when it has heard what it waits for; `make` gets the id of what it heard."""

    stream: "Stream"
    messages: int
    make: Callable[[str], list[bytes]]


class Dealings:
    """Of all banks of one netting set. apart: assets in which nothing of the kind happens."""

    def __init__(self, pairs: Sequence[Pair], apart: frozenset[str] = frozenset()) -> None:
        self.streams: dict[str, Stream] = {}
        self._pairs = {frozenset((pair.delivery, pair.payment)) for pair in pairs}
        self._apart = apart
        self._room: dict[str, int] = {}
        self._accepted: dict[str, Reaction] = {}  # by payment
        self._received: dict[str, Reaction] = {}  # by payment
        self._asked: dict[str, Reaction] = {}  # by payment
        self._makers: Mapping[str, Callable[[Stream, Line, Fields, int], bytes | None]] = {
            "stuck": self._stick,
            "ring": self._ring,
            "trade": self._trade,
            "returned": self._return,
            "recalled": self._recall,
        }

    def make(
        self, kind: str, stream: "Stream", line: Line, fields: Fields, units: int
    ) -> bytes | None:
        """The record `stream` sends now; what others have to send is put before them. None: it cannot be.

        fields, units: of the ordinary payment that is drawn.
        """
        if line.asset.spec.id in self._apart or fields.creditor not in self.streams:
            return None
        return self._makers[kind](stream, line, fields, units)

    def heard(self, message: StatusRecord) -> None:
        """What a bank was told: whatever it has to say to that is put before it."""
        if self._accepted:
            for status in message.statuses:
                if status.status == "ACSP" and not status.repeat:
                    self._react(self._accepted, status.id, status.id)
        if self._received:
            for receipt in message.receipts:
                self._react(self._received, receipt.id, receipt.id)
        for request in message.requests:
            self._react(self._asked, request.original, request.id)

    @staticmethod
    def _react(awaited: dict[str, Reaction], payment: str, id_: str) -> None:
        reaction = awaited.pop(payment, None)
        if reaction is not None:
            reaction.stream.due -= reaction.messages
            reaction.stream.owe(*reaction.make(id_))

    def _await(self, awaited: dict[str, Reaction], payment: str, reaction: Reaction) -> None:
        awaited[payment] = reaction
        reaction.stream.due += reaction.messages

    # --- each kind -------------------------------------------------------------------------------------------

    def _stick(self, stream: "Stream", line: Line, fields: Fields, units: int) -> bytes | None:
        """R12, R13, R17: it waits until it is taken back or dropped at a cut-off by hand; under FIFO, all behind it
        does. Where gridlocks are, one of them could carry it off: there is nothing of the kind then."""
        asset = line.asset.spec.id
        if not (line.rolls or line.is_dropped_by_hand) or asset in stream.stuck:
            return None
        names = list(self.streams)
        if names.index(fields.creditor) > names.index(stream.bank):
            return None  # nor do they run in a circle among themselves
        if line.is_fifo and stream.mix.ring:
            return None
        amount = show(line.beyond, line.asset.spec.scale)
        fields = fields._replace(amount=amount, priority="NORM")
        if line.rolls:
            stream.tally.end("cancelled", "CUST")
            stream.stuck[asset] = Stuck(fields, stream.taken + 20 + units % 200)
        else:
            stream.tally.end("dropped", "AB03")
        return line_of(fields)

    @staticmethod
    def unstick(stream: "Stream", fields: Fields) -> list[bytes]:
        """It is hastened, and taken back."""
        id_ = fields.id
        stream.tally.end("done")
        stream.tally.end("done")
        return [
            priority_of(other_id(id_, 1), stream.bank, id_, "HIGH"),
            cancel_of(other_id(id_), fields),
        ]

    def _ring(self, stream: "Stream", line: Line, fields: Fields, units: int) -> bytes | None:
        """R14, R15: everybody pays the next one more than anybody has; together they need nothing."""
        asset, scale = line.asset.spec.id, line.asset.spec.scale
        banks = self._ring_of(stream, asset, units)
        room = self._room.setdefault(asset, _ROOM)
        if not (line.rolls and line.is_fifo) or banks is None or room < len(banks) * line.beyond:
            return None
        self._room[asset] = room - len(banks) * line.beyond
        made = [
            fields._replace(
                id=fields.id if debtor == stream.bank else stream.new_id(),
                debtor=debtor,
                creditor=creditor,
                amount=show(line.beyond, scale),
                priority="NORM",
                chain_reference="",
            )
            for debtor, creditor in pairwise([*banks, banks[0]])
        ]
        for one in made:
            self.streams[one.debtor].tally.accept(one.debtor, one.creditor, asset, line.beyond)
        for one in made[1:]:
            self.streams[one.debtor].owe(line_of(one))
        return line_of(made[0])

    def _ring_of(self, stream: "Stream", asset: str, units: int) -> list[str] | None:
        """The banks of a ring, `stream`'s first: those after it that have the asset and no limit to the next."""
        names = list(self.streams)
        at = names.index(stream.bank)
        step = 1 + units % max(1, len(names) - 1)
        others = [names[(at + k * step) % len(names)] for k in range(1, len(names))]
        having = dict.fromkeys(n for n in others if n != stream.bank and self.line(n, asset))
        banks = [stream.bank, *list(having)[: _RING[units % len(_RING)] - 1]]
        for debtor, creditor in pairwise([*banks, banks[0]]):
            line = self.line(debtor, asset)
            if debtor == creditor or line is None or creditor in line.limits:
                return None
        return banks

    def _trade(self, stream: "Stream", line: Line, fields: Fields, units: int) -> bytes | None:
        """R19-R21: two legs from two banks; in assets that are no pair none of them is accepted."""
        asset, other = line.asset.spec.id, fields.creditor
        theirs = [
            each
            for each in self.streams[other].lines
            if each.asset.spec.id not in (asset, *self._apart)
            and stream.bank in each.creditors
            and each.queues == line.queues  # else it is refused where it should wait
        ]
        if not theirs:
            return None
        line_back = theirs[units % len(theirs)]
        spec = line_back.asset.spec
        units_back = line_back.afford(stream.bank, 1 + units % line_back.largest)
        if units_back < 1:
            return None
        back = Fields(
            id=stream.new_id(),
            debtor=other,
            creditor=stream.bank,
            asset=spec.id,
            amount=show(units_back, spec.scale),
            value_date=line_back.value_date,
            end_to_end_id=fields.end_to_end_id,
            priority=fields.priority,
        )
        link = link_of(other_id(fields.id), back, fields)
        self.streams[other].owe(leg_of(back, link))
        if frozenset((asset, spec.id)) in self._pairs:
            line.spend(other, units)
            line_back.spend(stream.bank, units_back)
            stream.tally.accept(stream.bank, other, asset, units)
            self.streams[other].tally.accept(other, stream.bank, spec.id, units_back)
        else:  # whoever comes first waits for the other one
            stream.tally.end("link_refused", "XLNK")
            self.streams[other].tally.end("refused", "XLNK")
        return leg_of(fields, link)

    def _return(self, stream: "Stream", line: Line, fields: Fields, units: int) -> bytes | None:
        """R5: its creditor gives half of it back when it has it; first it tries to give back too much."""
        back = self._give_back(stream, line, fields, units, max(1, units // 2))
        if back is None:
            return None
        more = show(units + 1, line.asset.spec.scale)
        excess = back._replace(id=other_id(back.id, 1), amount=more)
        creditor = self.streams[fields.creditor]
        creditor.tally.end("refused", "AM09")

        def react(_: str) -> list[bytes]:
            return [return_of(excess, fields), return_of(back, fields)]

        self._await(self._received, fields.id, Reaction(creditor, 2, react))
        stream.pay(line, fields, units)
        return line_of(fields)

    def _recall(self, stream: "Stream", line: Line, fields: Fields, units: int) -> bytes | None:
        """R23: accepted, it is asked for again; its creditor gives it back, or does not."""
        creditor, agreed = self.streams[fields.creditor], units % 2 == 0
        back = self._give_back(stream, line, fields, units, units) if agreed else None
        if agreed and back is None:
            return None
        cancel, answer = other_id(fields.id), stream.new_id()
        stream.tally.end("requested")
        creditor.tally.end("done")

        def react(request: str) -> list[bytes]:
            said = answer_of(answer, creditor.bank, stream.bank, request, agreed=agreed)
            return [said] if back is None else [said, return_of(back, fields)]

        asks = Reaction(stream, 1, lambda _: [cancel_of(cancel, fields)])
        self._await(self._accepted, fields.id, asks)
        self._await(self._asked, fields.id, Reaction(creditor, 1 + agreed, react))
        stream.pay(line, fields, units)
        return line_of(fields)

    def _give_back(
        self, stream: "Stream", line: Line, fields: Fields, paid: int, units: int
    ) -> Fields | None:
        """A return of `units` that its sender can afford: planned, and its bank's budget is less by it."""
        creditor, asset = self.streams[fields.creditor], line.asset.spec
        theirs = self.line(creditor.bank, asset.id)
        if theirs is None or theirs.afford(stream.bank, units) < units or paid + 1 > theirs.maximum:
            return None
        theirs.spend(stream.bank, units)
        creditor.tally.accept(creditor.bank, stream.bank, asset.id, units)
        return fields._replace(
            id=stream.new_id(),
            debtor=creditor.bank,
            creditor=stream.bank,
            amount=show(units, asset.scale),
            priority="NORM",
            chain_reference="",
        )

    def line(self, bank: str, asset: str) -> Line | None:
        """What a bank may send of an asset, None if nothing."""
        stream = self.streams.get(bank)
        found = (line for line in stream.lines if line.asset.spec.id == asset) if stream else ()
        return next(iter(found), None)
