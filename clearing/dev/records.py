"""The records simulated banks send, as bytes: payments by template, as there are many; all others from documents.

Nothing of clearing.client or clearing.messages: what a bank writes is what the contract in topics/ says.
"""

from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pyarrow as pa

Document = dict[str, Any]


class Fields(NamedTuple):
    """A payment's fields as text; with a chain reference it is a token transfer."""

    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    value_date: str
    end_to_end_id: str
    priority: str
    chain_reference: str = ""


_PAYMENT = (
    b'{"type":"payment","id":"%b","debtor":"%b","creditor":"%b","asset":"%b","amount":"%b",'
    b'"value_date":"%b","end_to_end_id":"%b","priority":"%b"}'
)
_TOKEN_TRANSFER = (
    _PAYMENT.replace(b'"payment"', b'"token_transfer"')[:-1] + b',"chain_reference":"%b"}'
)


_NAMES = ("type", "debtor", "creditor", "asset")
_TEXTS = (*_NAMES, "end_to_end_id", "chain_reference", "priority")


def line_of(fields: Fields) -> bytes:
    """A payment or token transfer."""
    if fields.chain_reference:
        return _TOKEN_TRANSFER % tuple(map(str.encode, fields))
    return _PAYMENT % tuple(map(str.encode, fields[:-1]))


def document(fields: Fields) -> Document:
    """The same to be put into another message, which quotes it."""
    values = fields._asdict()
    if fields.chain_reference:
        return {"type": "token_transfer", **values}
    del values["chain_reference"]
    return {"type": "payment", **values}


def leg_of(fields: Fields, link: Document) -> bytes:
    """A payment that is a leg of a trade."""
    return msgspec.json.encode(document(fields) | {"link": link})


def link_of(id_: str, *legs: Fields) -> Document:
    """A trade of these payments."""
    names = ("debtor", "creditor", "asset", "amount")
    return {"id": id_, "legs": [{name: getattr(leg, name) for name in names} for leg in legs]}


def return_of(fields: Fields, original: Fields) -> bytes:
    """Gives back what `original` brought; fields: of the return itself."""
    back = document(fields._replace(chain_reference=""))
    quoted = {"original": document(original), "reason": "AC04"}
    return msgspec.json.encode(back | {"type": "return"} | quoted)


def cancel_of(id_: str, original: Fields) -> bytes:
    quoted = {"original": document(original), "reason": "DUPL"}
    return msgspec.json.encode({"type": "cancel", "id": id_} | quoted)


def priority_of(id_: str, debtor: str, payment: str, priority: str) -> bytes:
    fields = {"id": id_, "debtor": debtor, "payment": payment, "priority": priority}
    return msgspec.json.encode({"type": "priority"} | fields)


def stream_of(envelope: bytes, payments: list[bytes]) -> bytes:
    """A bulk as columns: an Arrow stream of the payments that these records are."""
    documents = [msgspec.json.decode(payment, type=Document) for payment in payments]
    amounts = [document["amount"].partition(".") for document in documents]
    days = [date.fromisoformat(document["value_date"]) for document in documents]
    columns = {
        "id": pa.array([UUID(document["id"]).bytes for document in documents], pa.binary(16)),
        "amount": pa.array([int(whole + part) for whole, _, part in amounts], pa.int64()),
        "decimals": pa.array([len(part) for _, _, part in amounts], pa.uint8()),
        "value_date": pa.array(days, pa.date32()),
    }
    for name in _TEXTS:
        texts = pa.array([document.get(name) for document in documents], pa.string())
        columns[name] = texts.dictionary_encode() if name in _NAMES else texts
    batch = pa.record_batch(columns).replace_schema_metadata({"clearing": envelope})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def answer_of(id_: str, debtor: str, creditor: str, request: str, *, agreed: bool) -> bytes:
    parties = {"debtor": debtor, "creditor": creditor, "request": request}
    said = {"decision": "AGREED"} if agreed else {"decision": "DECLINED", "reason": "LEGL"}
    return msgspec.json.encode({"type": "answer", "id": id_} | parties | said)


def other_id(id_: str, number: int = 0) -> str:
    """An id that follows from a payment's own: those have an `a` where this has none. number: 0, 1 or 2."""
    return f"{id_[:19]}{'89b'[number]}{id_[20:]}"
