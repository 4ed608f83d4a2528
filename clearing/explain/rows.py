"""Finds the rows of a log that are about one payment, by its 16 bytes in records that are not opened otherwise.

Fed record by record. What is found names more to look for: the other legs of its link, cancellations and their
answers, the payment that a return gives back. What of that may lie earlier in the log asks for another pass.
"""

from collections.abc import Iterator
from datetime import date
from uuid import UUID

from clearing.core.ids import id_hex, id_text
from clearing.core.inputs import Decision, Kind, Reject
from clearing.core.money import show
from clearing.core.reasons import Code
from clearing.explain.story import LinkTerms, Row
from clearing.log import payments
from clearing.log.payments import PRIORITIES, OpenedBatch, open_batch

_EPOCH = date(1970, 1, 1).toordinal()

Key = tuple[int, int]  # log offset, row


class Search:
    """rows: what was found so far, by its place. rejects: of those, what intake could not read."""

    def __init__(self, payment: UUID) -> None:
        self.id = str(payment)
        self.rows: dict[Key, Row] = {}
        self.rejects: dict[Key, Reject] = {}
        self._ids = {payment.bytes}  # rows of these ids,
        self._references = {payment.bytes}  # about these,
        self._links = set[bytes]()  # or legs of these
        self._needles = (payment.bytes, self.id.encode())  # the text is that of the unreadable
        self._earlier = 0
        self._first: int | None = None

    def take(self, key: bytes | None, value: bytes | None, offset: int, time_ms: int) -> None:
        """Look at a record of the log. Raises ValueError if it is none of ours."""
        if self._first is None:
            self._first = offset
        if key != payments.KEY or not value or not self._mentions(value):
            return
        opened, known = open_batch(value), 0
        while known != len(self._needles):  # what one row names may stand in the same record
            known = len(self._needles)
            for row in self._rows(opened):
                if (offset, row) not in self.rows:
                    self._found(opened, row, offset, time_ms)

    def another_pass(self) -> int:
        """Offset below which the log has to be looked at once more, 0: all is found."""
        below, self._earlier = self._earlier, 0
        return below

    def own(self) -> list[Row]:
        """The rows of the id itself, in the log's order."""
        return [row for _, row in sorted(self.rows.items()) if row.id == self.id]

    def _mentions(self, value: bytes) -> bool:
        return any(value.find(needle) >= 0 for needle in self._needles)

    def _rows(self, opened: OpenedBatch) -> list[int]:
        """Rows that match, from the ids' columns and the rejects of the header."""
        found = {row for row, reject in opened.rejects.items() if reject.id == self.id}
        for column, wanted in (
            ("id", self._ids),
            ("reference", self._references),
            ("link", self._links),
        ):
            if wanted and opened.has(column):
                found |= set(_places(opened, column, wanted))
        return sorted(found)

    def _found(self, opened: OpenedBatch, row: int, offset: int, time_ms: int) -> None:
        reject = opened.rejects.get(row)
        if reject is not None:
            self.rejects[offset, row] = reject
        told = row_of(opened, row, offset, time_ms, reject)
        self.rows[offset, row] = told
        id_, reference = _bytes(told.id), _bytes(told.reference)
        if told.link is not None and told.id == self.id:
            self._look_for(self._links, _bytes(told.link.id), offset)
        if told.reference and id_ in self._ids:  # what it is about, and what that one is about
            self._look_for(self._ids, reference, offset)
        if told.kind == "cancel" and reference == _bytes(self.id):
            self._look_for(self._references, id_, offset)  # its answer

    def _look_for(self, wanted: set[bytes], id_: bytes, offset: int) -> None:
        if id_ not in wanted:
            wanted.add(id_)
            self._needles = (*dict.fromkeys((*self._needles, id_)),)
            if self._first is not None and offset > self._first:
                self._earlier = max(self._earlier, offset)


def _places(opened: OpenedBatch, column: str, wanted: set[bytes]) -> Iterator[int]:
    """Rows of an id column that hold one of these."""
    whole = opened.ids(column).astype("<u8").tobytes()
    for needle in wanted:
        at = whole.find(needle)
        while at >= 0:
            if at % 16 == 0:
                yield at // 16
            at = whole.find(needle, at + 1)


def _bytes(id_: str) -> bytes:
    return UUID(id_).bytes if id_ else b""


def row_of(opened: OpenedBatch, row: int, offset: int, time_ms: int, reject: Reject | None) -> Row:
    """One row of a log record. Of what could not be read: the id where there was one, and where it came from."""
    span = opened.sources[int(opened.numbers("source")[row])]
    source = (
        span.topic,
        span.partition,
        int(opened.numbers("source_offset")[row]),
        int(opened.numbers("item")[row]),
    )
    if reject is not None:
        return Row(
            kind="unreadable",
            id=reject.id,
            log_offset=offset,
            row=row,
            time_ms=time_ms,
            source=source,
        )
    kind = Kind(int(opened.numbers("kind")[row]))
    moves_money = kind <= Kind.RETURN
    end_to_end_id, chain_reference = opened.row_texts(row)
    decision = Decision(int(opened.numbers("decision")[row]))
    return Row(
        kind=kind.name.lower(),
        id=_id(opened, "id", row),
        log_offset=offset,
        row=row,
        time_ms=time_ms,
        source=source,
        debtor=_name(opened, "debtor", row),
        creditor=_name(opened, "creditor", row),
        asset=_name(opened, "asset", row),
        amount=_amount(opened, row) if kind <= Kind.CANCEL else "",
        value_date=_date(int(opened.numbers("value_date")[row])) if moves_money else "",
        priority=PRIORITIES[int(opened.numbers("priority")[row])]
        if moves_money or kind == Kind.PRIORITY
        else "",
        end_to_end_id=end_to_end_id,
        chain_reference=chain_reference,
        expires_at_ms=int(opened.numbers("expires_at_ms")[row]),
        window=int(opened.numbers("window")[row]),
        reference=_id(opened, "reference", row) if kind >= Kind.RETURN else "",
        decision="" if decision is Decision.NONE else decision.name,
        given_reason=opened.text("reason", row),
        link=_link(opened, row),
    )


def _id(opened: OpenedBatch, column: str, row: int) -> str:
    return id_text(id_hex(opened.ids(column)[row]))


def _name(opened: OpenedBatch, column: str, row: int) -> str:
    names, index = opened.names(column)
    return names[int(index[row])]


def _amount(opened: OpenedBatch, row: int) -> str:
    return show(int(opened.numbers("amount")[row]), int(opened.numbers("decimals")[row]))


def _date(days: int) -> str:
    return date.fromordinal(_EPOCH + days).isoformat()


def _link(opened: OpenedBatch, row: int) -> LinkTerms | None:
    links = opened.links()
    if links is None or not links.legs[row]:
        return None
    return LinkTerms(
        id=_id(opened, "link", row),
        leg=int(links.leg[row]),
        legs=int(links.legs[row]),
        partial=bool(links.partial[row]),
    )


def is_unreadable(code: int) -> bool:
    """Refused at the door: its id was not taken."""
    return Code.EMPTY <= code < Code.NOT_OWNER
