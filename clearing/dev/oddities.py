"""Wrong, repeated and refused inputs that simulated banks send on purpose, each with what must become of it.

A table, because that is what it is: name, outcome, ISO reason, and how the record is made from a good one.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

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

Outcome = Literal["refused", "rejected", "repeated"]


class Oddity(NamedTuple):
    """in_bulk: the record is still a good item of a bulk. of_earlier: made from a payment sent before.

    oversized, past: an amount refused for its size, a value date long gone; both come from the scheme.
    """

    name: str
    outcome: Outcome
    reason: str
    make: Callable[[Fields], bytes] = line_of
    in_bulk: bool = False
    of_earlier: bool = False
    oversized: bool = False
    past: bool = False


def _put(**changed: str) -> Callable[[Fields], bytes]:
    return lambda fields: line_of(fields._replace(**changed))


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Fields], bytes]:
    return lambda fields: change(line_of(fields))


def _turned(fields: Fields) -> bytes:
    """Sent by its creditor: a debit of somebody else's account."""
    return line_of(fields._replace(debtor=fields.creditor, creditor=fields.debtor))


def _bulk(fields: Fields, count: int, control_sum: str) -> bytes:
    head = f'{{"type":"bulk","id":"{fields.id}","count":{count},"control_sum":"{control_sum}","items":['
    return head.encode() + line_of(fields) + b"]}"


def _unsent(fields: Fields) -> Fields:
    """A payment nobody has sent."""
    return fields._replace(id=other_id(fields.id))


def _received(fields: Fields) -> Fields:
    return _unsent(fields)._replace(debtor=fields.creditor, creditor=fields.debtor)


def _answer(fields: Fields) -> bytes:
    return answer_of(fields.id, fields.debtor, fields.creditor, other_id(fields.id), agreed=True)


ODDITIES: tuple[Oddity, ...] = (
    Oddity("empty record", "rejected", "XEMP", lambda fields: b""),
    Oddity("cut off", "rejected", "XSYN", _bytes(lambda line: line[:-9])),
    Oddity("second document", "rejected", "XSYN", _bytes(lambda line: line + b"{}")),
    Oddity("not JSON", "rejected", "XSYN", lambda fields: b"<Document/>"),
    Oddity("bad UTF-8", "rejected", "XENC", _bytes(lambda line: line[:-9] + b"\xff" + line[-9:])),
    Oddity("key twice", "rejected", "XDUP", _bytes(lambda line: line[:-1] + b',"amount":"1"}')),
    Oddity("unknown field", "rejected", "XFLD", _bytes(lambda line: line[:-1] + b',"note":"1"}')),
    Oddity("unknown type", "rejected", "XVER", _bytes(lambda line: b'{"type":"loan"' + line[line.index(b",") :])),
    Oddity("id in capitals", "rejected", "XUID", lambda f: line_of(f._replace(id="A" + f.id[1:].upper()))),
    Oddity("Cyrillic letter", "rejected", "XCHR", lambda f: line_of(f._replace(creditor=f.creditor + "А"))),
    Oddity("exponent", "rejected", "AM12", _put(amount="1e2")),
    Oddity("negative", "rejected", "AM12", _put(amount="-5")),
    Oddity("zero", "rejected", "AM01", _put(amount="0")),
    Oddity("19 digits", "rejected", "AM02", _put(amount="1000000000000000000")),
    Oddity("30 February", "rejected", "DT01", _put(value_date="2027-02-30")),
    Oddity("bulk, wrong sum", "rejected", "AM10", lambda f: _bulk(f, 1, "99999999999")),
    Oddity("bulk, wrong count", "rejected", "XCNT", lambda f: _bulk(f, 2, f.amount)),
    Oddity("another's money", "refused", "XSND", _turned),
    Oddity("id used before", "refused", "AM05", _put(end_to_end_id="OTHER"), of_earlier=True),
    Oddity("unknown creditor", "refused", "CNOR", _put(creditor="NOSUCHXX"), in_bulk=True),
    Oddity("to itself", "refused", "AG01", lambda f: line_of(f._replace(creditor=f.debtor)), in_bulk=True),
    Oddity("unknown asset", "refused", "AM03", _put(asset="XAU"), in_bulk=True),
    Oddity("too many decimals", "refused", "AM12", _put(amount="1.0000000001")),
    Oddity("value date gone", "refused", "DT01", in_bulk=True, past=True),
    Oddity("over the limit", "refused", "AM23", in_bulk=True, oversized=True),
    Oddity("link of one leg", "rejected", "XLNK", lambda f: leg_of(f, link_of(other_id(f.id), f))),
    Oddity("returned to another", "rejected", "XORG", lambda f: return_of(f, _unsent(f))),
    Oddity("returns nothing", "refused", "NOOR", lambda f: return_of(f, _received(f))),
    Oddity("cancels nothing", "refused", "NOOR", lambda f: cancel_of(f.id, _unsent(f))),
    Oddity("hastens nothing", "refused", "NOOR", lambda f: priority_of(f.id, f.debtor, other_id(f.id), "URGT")),
    Oddity("answers nobody", "refused", "NOOR", _answer),
    Oddity("sent again", "repeated", "", of_earlier=True),
)  # fmt: skip
