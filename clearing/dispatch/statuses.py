"""What one log record meant to each participant: log columns and outcomes in, JSON status records out.

Pure: bytes and values in, bytes out. The JSON is put together by column, not by payment: string kernels join
the texts of all rows at once, a stable sort brings a participant's rows together, its record is one slice of
them. The bytes are those msgspec gives for clearing.messages.StatusRecord: a property test holds both equal.
What is rare is written row by row beside it: what could not be read, and what is about another payment.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from clearing.core.inputs import I64, U8, Kind, Reject
from clearing.core.outputs import Entry, Outcomes, WindowEvent
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.dispatch.frames import Frame, Rows, grouped
from clearing.dispatch.referring import Referring, referring
from clearing.dispatch.terms import term_texts
from clearing.dispatch.texts import (
    amounts,
    digits,
    escaped,
    join,
    look_up,
    named,
    optional,
    replace,
    uuids,
)
from clearing.dispatch.wording import wording
from clearing.log.payments import OpenedBatch, open_batch
from clearing.messages import FinalRecord, PaymentStatus, Receipt
from clearing.names import owner_of

_CODES = 256
_TOLD = frozenset(Code) - {Code.ALREADY_READ}
_STATUS = pa.array(
    [
        f'","status":"{wording(code).status}","end_to_end_id":"' if code in _TOLD else ""
        for code in range(_CODES)
    ],
    pa.string(),
)

_encode = msgspec.json.Encoder().encode


def status_records(
    netting_set: str, log_value: bytes, outcomes: Outcomes
) -> list[tuple[str, bytes]]:
    """(participant, JSON of a StatusRecord) for everybody the log record concerns; parts of one in order.

    Row by row, the plain meaning is: a row read before is told to nobody; any other to the owner of the topic
    it came from, with its status (R41); an accepted row that is no repeat also to its creditor; the creditor of a
    cancellation that has become a request hears of it, and who asked hears the answer (R23). A repeat carries its
    original outcome (R28), but no window: that one may be closed long ago.
    Raises ValueError on bytes that are no payments record and on a code of a newer version.
    """
    codes, fresh, time_ms = outcomes.codes, ~outcomes.repeat, outcomes.time_ms
    told = np.flatnonzero(codes != Code.ALREADY_READ)
    if not len(told):
        return []
    opened = open_batch(log_value)
    assert len(codes) == len(opened), (
        f"{len(codes)} outcomes for {len(opened)} rows at log offset {outcomes.log_offset}"
    )
    owners = [owner_of(source.topic) for source in opened.sources]
    creditors, creditor = opened.names("creditor")
    names = list(dict.fromkeys((*owners, *creditors)))
    owner = _positions(owners, names)[opened.numbers("source")]
    creditor = _positions(creditors, names)[creditor]

    columns = _columns(opened, outcomes)
    few = referring(opened, outcomes)
    statuses = grouped(_status_rows(opened, columns, outcomes, few), owner, len(names), told)
    received = (codes == Code.ACCEPTED) & fresh
    received[[one.row for one in few if one.kind > Kind.RETURN]] = False
    receipt_rows = _receipt_rows(opened, columns, few, term_texts(opened, received, time_ms))
    receipts = grouped(receipt_rows, creditor, len(names), np.flatnonzero(received))
    asked = _requests_and_answers(few)
    frame = Frame(_json(netting_set), outcomes.log_offset, time_ms)
    records: list[tuple[str, bytes]] = []
    for i, name in enumerate(names):
        pieces = statuses.pieces("statuses", i) + receipts.pieces("receipts", i)
        if name in asked:
            pieces += asked[name].pieces()
        records.extend((name, record) for record in frame.records(pieces, 0))
    return records


def final_records(event: WindowEvent, indexes: Mapping[str, int]) -> list[tuple[str, bytes]]:
    """(participant, JSON of a FinalRecord) for everybody with an entry; what is entered for the scheme itself
    ($POOL, $COLLATERAL) is told to nobody. indexes: as of clearing.dispatch.resolutions.
    """
    entries = [entry for entry in event.entries if not entry.participant.startswith("$")]
    return [
        (entry.participant, final_record(event, entry, indexes.get(entry.participant, 0)))
        for entry in entries
    ]


def final_record(event: WindowEvent, entry: Entry, index: int) -> bytes:
    """JSON of the FinalRecord that tells one participant how its window ended (R23)."""
    return _encode(
        FinalRecord(
            netting_set=event.netting_set,
            log_offset=event.log_offset,
            index=index,
            time_ms=event.time_ms,
            asset=event.asset,
            window=event.window,
            version=event.version,
            status="ACSC" if event.state == "SETTLED" else "RJCT",
            reason=event.reason,
            batch=event.batch,
            hash=event.hash,
            net=entry.net,
            debits=entry.debits,
            credits=entry.credits,
            sent=entry.sent,
            received=entry.received,
        )
    )


class _Columns(NamedTuple):
    """Texts that statuses and receipts share, one per row, and the window told with a row (0: none)."""

    head: pa.Array  # {"id":"…
    asset: pa.Array  # ","asset":"…","amount":"
    amount: pa.Array
    end_to_end_id: pa.Array  # escaped, without quotes
    asset_index: I64
    windows: list[int]  # by asset


def _columns(opened: OpenedBatch, outcomes: Outcomes) -> _Columns:
    assets, index = opened.names("asset")
    return _Columns(
        head=uuids(opened.ids(), '{"id":"'),
        asset=named([f'","asset":{_json(asset)},"amount":"' for asset in assets], index),
        amount=amounts(opened.numbers("amount"), opened.numbers("decimals")),
        end_to_end_id=escaped(opened.batch.column("end_to_end_id")),
        asset_index=index.astype(np.int64),
        windows=[outcomes.windows.get(asset, 0) for asset in assets],
    )


def _status_rows(
    opened: OpenedBatch, columns: _Columns, outcomes: Outcomes, few: list[Referring]
) -> pa.Array:
    """PaymentStatus of each row as JSON, with a comma behind it."""
    codes, repeat = outcomes.codes, outcomes.repeat
    creditors, creditor = opened.names("creditor")
    source = opened.numbers("source")
    key = (columns.asset_index * _CODES + codes) * 2 + repeat

    def outcome(key: int) -> str:
        asset, code, again = key // 2 // _CODES, key // 2 % _CODES, bool(key % 2)
        window = columns.windows[asset] if code == Code.ACCEPTED and not again else 0
        return _field("window", window) + _reason(code) + _field("repeat", again)

    rows = join(
        columns.head,
        _STATUS.take(pa.array(codes)),
        columns.end_to_end_id,
        columns.asset,
        columns.amount,
        named([f'"{_field("creditor", name)}' for name in creditors], creditor),
        look_up(key, len(columns.windows) * _CODES * 2, outcome),
        named([f',"source":[{_json(s.topic)},{s.partition},' for s in opened.sources], source),
        digits(opened.numbers("source_offset")),
        *_items(opened.numbers("item")),
        "]},",
    )
    one_by_one = {one.row: one.status() for one in few} | _rejects(opened, codes)
    return _replaced(rows, one_by_one)


def _receipt_rows(
    opened: OpenedBatch, columns: _Columns, few: list[Referring], terms: list[pa.Array]
) -> pa.Array:
    """Receipt of each row as JSON, with a comma behind it; of use where the row is accepted."""
    debtors, debtor = opened.names("debtor")
    chain_reference: list[pa.Array] = []
    if opened.has("chain_reference"):
        texts = escaped(opened.batch.column("chain_reference"))
        chain_reference = optional(',"chain_reference":"', texts, '"')
    rows = join(
        columns.head,
        named([f'","debtor":{_json(name)[:-1]}' for name in debtors], debtor),
        columns.asset,
        columns.amount,
        '","end_to_end_id":"',
        columns.end_to_end_id,
        named(['"' + _field("window", window) for window in columns.windows], columns.asset_index),
        *chain_reference,
        *terms,
        "},",
    )
    returns = {one.row: receipt for one in few if (receipt := one.receipt()) is not None}
    return _replaced(rows, returns)


def _requests_and_answers(few: list[Referring]) -> dict[str, Rows]:
    """By participant, what others ask of it and answer to it."""
    asked: defaultdict[str, Rows] = defaultdict(Rows)
    for one in few:
        if (request := one.request()) is not None:
            asked[one.creditor].add("requests", _encode(request))
        elif (answer := one.answer()) is not None:
            asked[one.creditor].add("answers", _encode(answer))
    return asked


def _rejects(opened: OpenedBatch, codes: U8) -> dict[int, PaymentStatus]:
    """The rows intake could not read: of these only the source is sure, and what intake says of them."""
    rows = np.flatnonzero((codes >= FIRST_REJECT) & (codes < FIRST_REFUSAL)).tolist()
    if not rows:
        return {}
    source, offset = opened.numbers("source"), opened.numbers("source_offset")
    item = opened.numbers("item")
    statuses: dict[int, PaymentStatus] = {}
    for row in rows:
        span = opened.sources[int(source[row])]
        reject = opened.rejects.get(row, Reject(code=int(codes[row]), hash="", detail=""))
        status, reason, text = wording(int(codes[row]))
        statuses[row] = PaymentStatus(
            id=reject.id,
            status=status,
            reason=reason,
            text=f"{text}: {reject.detail}" if reject.detail else text,
            source=(span.topic, span.partition, int(offset[row]), int(item[row])),
        )
    return statuses


def _replaced(rows: pa.Array, others: Mapping[int, PaymentStatus | Receipt]) -> pa.Array:
    """The rows with those of `others`, by index, written by themselves."""
    if not others:
        return rows
    places = sorted(others)
    return replace(rows, places, [_encode(others[row]) + b"," for row in places])


def _positions(names: list[str], ordered: list[str]) -> I64:
    index = {name: i for i, name in enumerate(ordered)}
    return np.array([index[name] for name in names] or [0], np.int64)


def _items(item: np.ndarray) -> list[pa.Array | str]:
    """What stands behind the source offset: the index in a bulk, -1 for a payment of its own."""
    return [",-1"] if (item == -1).all() else [",", digits(item)]


def _reason(code: int) -> str:
    """Reason and text of a row; of one that was read before nothing, as it is told to nobody."""
    if code == Code.ALREADY_READ:
        return ""
    _, reason, text = wording(code)
    return _field("reason", reason) + _field("text", text)


def _field(name: str, value: str | int | bool) -> str:
    ""","name":value as msgspec writes an optional field: not at all where it is empty."""
    return f',"{name}":{_json(value)}' if value else ""


def _json(value: str | int | bool) -> str:
    return _encode(value).decode()
