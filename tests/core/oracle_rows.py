"""The rows of a log record in the oracle, one by one: checks in their order, payments, returns, instructions."""

from dataclasses import dataclass
from typing import Any

from clearing.core.inputs import Kind, LogRecord
from clearing.core.reasons import Code
from tests.core.oracle_books import Books, Payment, Place, Request, Seen
from tests.core.oracle_limits import has_room, is_blocked, lack
from tests.core.oracle_links import arrive, refused_leg
from tests.core.oracle_waiting import accept, end, wait

ABOUT_ANOTHER = (Kind.CANCEL, Kind.PRIORITY, Kind.ANSWER)


@dataclass
class Line:
    """One row of a log record in plain values. link: (id, number of the leg, what all legs declare)."""

    id: int
    kind: int
    debtor: str
    creditor: str
    asset: str
    amount: int
    decimals: int
    value_date: int
    priority: int
    expires_at_ms: int
    window: int
    body: int
    place: Place
    reject: int
    already_read: bool
    link: tuple[int, int, tuple[int, int, bool]] | None
    # Of what it refers to:
    about: int
    about_body: int
    about_amount: int
    about_decimals: int


def lines(record: LogRecord, marks: list[int]) -> list[Line]:
    rows = record.payments
    assert rows is not None
    return [_line(record, rows, marks, i) for i in range(len(rows))]


def _line(record: LogRecord, rows: Any, marks: list[int], i: int) -> Line:
    source, offset = int(rows.source[i]), int(rows.source_offset[i])
    span, links, about = record.sources[source], rows.links, rows.references
    link = None
    if links is not None and links.legs[i]:
        declared = (_word(links.terms[i]), int(links.legs[i]), bool(links.partial[i]))
        link = (_word(links.link[i]), int(links.leg[i]), declared)
    return Line(
        id=_word(rows.id[i]),
        kind=int(rows.kind[i]),
        debtor=rows.participants[int(rows.debtor[i])],
        creditor=rows.participants[int(rows.creditor[i])],
        asset=rows.assets[int(rows.asset[i])],
        **{
            name: int(getattr(rows, name)[i])
            for name in (
                *("amount", "decimals", "value_date", "priority", "expires_at_ms", "window"),
                "reject",
            )
        },
        body=int(rows.body_hash[i]),
        place=Place(
            record.offset, i, (span.topic, span.partition, offset, int(rows.item[i])), rows.texts(i)
        ),
        already_read=offset < marks[source],
        link=link,
        about=_word(about.id[i]) if about is not None else 0,
        about_body=int(about.body_hash[i]) if about is not None else 0,
        about_amount=int(about.amount[i]) if about is not None else 0,
        about_decimals=int(about.decimals[i]) if about is not None else 0,
    )


def _word(words: Any) -> int:
    return int(words[0]) | int(words[1]) << 64


def clear_rows(books: Books, record: LogRecord, marks: list[int]) -> None:
    _forget(books)
    for line in lines(record, marks):
        code, repeat = _outcome(books, line)
        books.said.outcomes.append((int(code), repeat))
        if code == Code.ACCEPTED and not repeat:
            books.said.open_windows[line.asset] = books.assets[line.asset].window.number


def _forget(books: Books) -> None:
    """Ids, with what was returned of them."""
    oldest = books.oldest_day()
    books.seen = {id_: seen for id_, seen in books.seen.items() if seen.day >= oldest}


def _outcome(books: Books, line: Line) -> tuple[int, bool]:
    """Code of a row, and whether it only says again what was said before (R28)."""
    if line.already_read:
        return Code.ALREADY_READ, False
    if line.reject:
        books.said.rejected += 1
        return line.reject, False
    if line.place.source[0].split(".")[-1] != line.debtor:
        return Code.NOT_OWNER, False
    if line.id in books.seen:
        first = books.seen[line.id]
        same = first.body == line.body
        return (first.code, True) if same else (Code.DUPLICATE_ID, False)
    seen = Seen(line.id, books.date, line.body, code=-1)
    seen.code = int(
        _instruction(books, line) if line.kind in ABOUT_ANOTHER else _pay(books, line, seen)
    )
    books.seen[line.id] = seen
    return seen.code, False


# --- payments ----------------------------------------------------------------------------------------------------


def _pay(books: Books, line: Line, seen: Seen) -> Code:
    refusal = _parties(books, line) or _terms(books, line)
    if refusal:
        if line.link:
            refused_leg(books, *line.link)
        return refusal
    cleared = books.assets[line.asset]
    units = line.amount * 10 ** (cleared.spec.scale - line.decimals)
    payment = Payment(
        id=line.id,
        kind=line.kind,
        debtor=line.debtor,
        creditor=line.creditor,
        asset=line.asset,
        units=units,
        priority=line.priority,
        expires_at_ms=line.expires_at_ms,
        asked_window=line.window,
        value_date=line.value_date,
        sent=(units, line.priority),
        place=line.place,
        seen=seen,
    )
    if line.kind == Kind.RETURN:
        return _return(books, line, payment)
    if line.link:
        return arrive(books, payment, *line.link)
    return _by_limits(books, payment)


def _by_limits(books: Books, payment: Payment) -> Code:
    """R8-R10, R13: at once, or it waits where its asset has a queue, or it is refused."""
    if not has_room(books, payment):
        return Code.POSITION_RANGE
    blocked = is_blocked(books, payment)
    lacks = lack(books, payment, [payment])
    if lacks is None and not blocked:
        accept(books, payment)
        return Code.ACCEPTED
    if books.assets[payment.asset].spec.queue != "NONE":
        wait(books, payment, queued=True)
        return Code.QUEUED
    assert lacks is not None, "nothing stands in a queue that there is not"
    return lacks


def _return(books: Books, line: Line, payment: Payment) -> Code:
    """R5: a payment of its own; all that is returned of an original, or waits to be, is at most what it was."""
    original = books.seen.get(line.about)
    if original is None or (original.body, original.code) != (line.about_body, Code.ACCEPTED):
        return Code.NO_ORIGINAL
    brought = line.about_amount * 10 ** (books.assets[line.asset].spec.scale - line.about_decimals)
    if payment.units + original.returned > brought:
        return Code.RETURN_EXCEEDS
    payment.original = original
    code = _by_limits(books, payment)
    if code in (Code.ACCEPTED, Code.QUEUED):
        original.returned += payment.units
    return code


def _parties(books: Books, line: Line) -> Code | None:
    """The first that applies; of the two sides the debtor first."""
    sides = (("DEBTOR", line.debtor), ("CREDITOR", line.creditor))
    for side, name in sides:
        if name not in books.status:
            return Code[f"UNKNOWN_{side}"]
    if line.debtor == line.creditor:
        return Code.SAME_PARTY
    if line.asset not in books.assets:
        return Code.UNKNOWN_ASSET
    for word in ("CLOSED", "DEFAULTED", "SUSPENDED"):
        for side, name in sides:
            if books.status[name] == word:
                return Code[f"{side}_{word}"]
    for side, name in sides:
        if (name, line.asset) not in books.accounts:
            return Code[f"{side}_NO_ACCOUNT"]
    return None


def _terms(books: Books, line: Line) -> Code | None:
    cleared = books.assets[line.asset]
    scale = cleared.spec.scale
    if line.decimals > scale:
        return Code.SCALE
    if line.amount * 10 ** (scale - line.decimals) > cleared.maximum:
        return Code.OVER_MAXIMUM
    business = not books.calendar or line.value_date in [date for date, _ in books.calendar]
    ahead = line.value_date - books.date
    if not business or not 0 <= ahead <= cleared.spec.value_days_ahead:
        return Code.VALUE_DATE
    if line.window not in (0, cleared.window.number):
        return Code.WINDOW_CLOSED
    if 0 != line.expires_at_ms <= books.time_ms:
        return Code.EXPIRED
    return None


# --- about other payments ----------------------------------------------------------------------------------------


def _instruction(books: Books, line: Line) -> Code:
    waiting = next((p for p in books.waiting if p.id == line.about), None)
    if line.kind == Kind.CANCEL:
        return _cancel(books, line, waiting)
    if line.kind == Kind.PRIORITY:
        return _prioritise(books, line, waiting)
    return _answer(books, line)


def _cancel(books: Books, line: Line, waiting: Payment | None) -> Code:
    original = books.seen.get(line.about)
    if original is None or original.body != line.about_body:
        return Code.NO_ORIGINAL
    if not {line.debtor, line.creditor} <= books.status.keys():
        return Code.NO_ORIGINAL  # refused as well: nobody could be asked
    if waiting is not None:
        end(books, waiting, Code.CANCELLED)
        return Code.DONE
    asked = any(request.original == line.about for request in books.requests.values())
    if original.code != Code.ACCEPTED or asked:
        return Code.NOT_WAITING
    books.requests[line.id] = Request(books.date, line.about, line.debtor, line.creditor)
    return Code.REQUESTED


def _prioritise(books: Books, line: Line, waiting: Payment | None) -> Code:
    if waiting is not None:
        if waiting.debtor != line.debtor:
            return Code.NO_ORIGINAL
        waiting.priority = line.priority
        return Code.DONE
    return Code.NOT_WAITING if line.about in books.seen else Code.NO_ORIGINAL


def _answer(books: Books, line: Line) -> Code:
    request = books.requests.get(line.about)
    if request is None or (request.creditor, request.debtor) != (line.debtor, line.creditor):
        return Code.NO_REQUEST
    del books.requests[line.about]
    return Code.DONE
