"""What one log record meant to each participant: log columns and outcomes in, JSON status records out.

Pure: bytes and values in, bytes out. The JSON is put together by column, not by payment: string kernels join
the texts of all rows at once, a stable sort brings a participant's rows together, its record is one slice of
them. The bytes are those msgspec gives for clearing.messages.StatusRecord: a property test holds both equal.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from clearing.core.inputs import I64, U8, Bool, Reject
from clearing.core.outputs import Entry, Outcomes, WindowEvent
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, REASONS, Code, status_of
from clearing.dispatch.texts import amounts, digits, escaped, join, look_up, named, replace, uuids
from clearing.log.payments import OpenedBatch, open_batch
from clearing.messages import FinalRecord, PaymentStatus
from clearing.names import owner_of

# What a log record means to one participant is cut into several records above this size, so that they pass
# brokers and readers with default limits (1 MiB). STORED FORMAT: where it cuts decides each part's index.
MAX_ROWS_BYTES = 900_000

_CODES = 256
_STATUS = pa.array(
    [
        f'","status":"{status_of(code)}","end_to_end_id":"'
        if code in (Code.ACCEPTED, Code.QUEUED) or code >= FIRST_REJECT
        else ""  # ALREADY_READ: nobody is told
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
    it came from, with its status (R41); an accepted row that is no repeat also to its creditor. A repeat
    carries its original outcome (R28), but no window: that one may be closed long ago.
    Raises ValueError on bytes that are no payments record and on a code of a newer version.
    """
    codes, fresh = outcomes.codes, ~outcomes.repeat
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
    statuses = _grouped(_status_rows(opened, columns, outcomes), owner, len(names), told)
    accepted = np.flatnonzero((codes == Code.ACCEPTED) & fresh)
    receipts = _grouped(_receipt_rows(opened, columns), creditor, len(names), accepted)
    head = (
        f'{{"type":"status","netting_set":{_json(netting_set)},"log_offset":{outcomes.log_offset}'
    )
    time = f',"time_ms":{outcomes.time_ms},"statuses":['
    records: list[tuple[str, bytes]] = []
    for i, name in enumerate(names):
        for index, (sent, got) in enumerate(_parts(statuses, receipts, i)):
            start = f'{head},"index":{index}{time}'.encode()
            records.append((name, b"".join((start, sent, b'],"receipts":[', got, b"]}"))))
    return records


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


def _status_rows(opened: OpenedBatch, columns: _Columns, outcomes: Outcomes) -> pa.Array:
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
    rejected = (codes >= FIRST_REJECT) & (codes < FIRST_REFUSAL)
    if rejected.any():
        rows = replace(rows, rejected, _reject_rows(opened, codes, rejected))
    return rows


def _receipt_rows(opened: OpenedBatch, columns: _Columns) -> pa.Array:
    """Receipt of each row as JSON, with a comma behind it; of use where the row is accepted."""
    debtors, debtor = opened.names("debtor")
    chain_reference: list[pa.Array] = []
    if "chain_reference" in opened.batch.schema.names:
        texts = opened.texts("chain_reference")
        chain_reference.append(pa.array([_field("chain_reference", text) for text in texts]))
    return join(
        columns.head,
        named([f'","debtor":{_json(name)[:-1]}' for name in debtors], debtor),
        columns.asset,
        columns.amount,
        '","end_to_end_id":"',
        columns.end_to_end_id,
        named(['"' + _field("window", window) for window in columns.windows], columns.asset_index),
        *chain_reference,
        "},",
    )


def _reject_rows(opened: OpenedBatch, codes: U8, rejected: Bool) -> pa.Array:
    """The rows intake could not read: of these only the source is sure, and what intake says of them."""
    source, offset = opened.numbers("source"), opened.numbers("source_offset")
    item = opened.numbers("item")
    rows: list[bytes] = []
    for row in np.flatnonzero(rejected).tolist():
        code, span = Code(int(codes[row])), opened.sources[int(source[row])]
        reject = opened.rejects.get(row, Reject(code=code, hash="", detail=""))
        text = REASONS[code].text
        status = PaymentStatus(
            id=reject.id,
            status="RJCT",
            reason=REASONS[code].iso,
            text=f"{text}: {reject.detail}" if reject.detail else text,
            source=(span.topic, span.partition, int(offset[row]), int(item[row])),
        )
        rows.append(_encode(status) + b",")
    return pa.array(rows, pa.binary()).cast(pa.string())


class _Groups(NamedTuple):
    """Rows of JSON by participant: those of participant i are data[at[first[i]] : at[first[i + 1]]]."""

    data: memoryview
    at: np.ndarray
    first: list[int]


def _grouped(rows: pa.Array, participant: I64, participants: int, chosen: I64) -> _Groups:
    """The chosen rows by participant (0 .. participants - 1), within one in log order."""
    of = participant[chosen]
    in_order = not (of[1:] < of[:-1]).any()
    order = chosen if in_order else chosen[np.argsort(of, kind="stable")]
    untouched = in_order and len(chosen) == len(rows)
    taken = rows if untouched else rows.take(pa.array(order))
    assert taken.null_count == 0
    assert taken.offset == 0
    _, at, data = taken.buffers()
    first = np.searchsorted(participant[order], np.arange(participants + 1)).tolist()
    return _Groups(memoryview(data or b""), np.frombuffer(at, np.int32, len(order) + 1), first)


def _parts(statuses: _Groups, receipts: _Groups, i: int) -> Iterator[tuple[memoryview, memoryview]]:
    """Statuses and receipts of participant i: in one record if they fit, otherwise each in their own."""
    sent, received = list(_cuts(statuses, i)), list(_cuts(receipts, i))
    nothing = memoryview(b"")
    if sum(map(len, sent + received)) <= MAX_ROWS_BYTES:
        if sent or received:
            yield next(iter(sent), nothing), next(iter(received), nothing)
        return
    yield from ((part, nothing) for part in sent)
    yield from ((nothing, part) for part in received)


def _cuts(groups: _Groups, i: int) -> Iterator[memoryview]:
    """Rows of participant i in pieces of at most MAX_ROWS_BYTES (a row is never cut), comma-separated."""
    row, end = groups.first[i], groups.first[i + 1]
    while row < end:
        stop = end
        if groups.at[end] - groups.at[row] > MAX_ROWS_BYTES:
            fitting = bisect_right(groups.at, groups.at[row] + MAX_ROWS_BYTES, row, end) - 1
            stop = max(fitting, row + 1)
        yield groups.data[groups.at[row] : groups.at[stop] - 1]
        row = stop


def _positions(names: list[str], ordered: list[str]) -> I64:
    index = {name: i for i, name in enumerate(ordered)}
    return np.array([index[name] for name in names] or [0], np.int64)


def _items(item: np.ndarray) -> list[pa.Array | str]:
    """What stands behind the source offset: the index in a bulk, -1 for a payment of its own."""
    return [",-1"] if (item == -1).all() else [",", digits(item)]


def _reason(code: int) -> str:
    if Code(code) < FIRST_REFUSAL:
        return ""  # accepted, queued; what intake rejected is written by _reject_rows
    reason = REASONS[Code(code)]
    return _field("reason", reason.iso) + _field("text", reason.text)


def _field(name: str, value: str | int | bool) -> str:
    ""","name":value as msgspec writes an optional field: not at all where it is empty."""
    return f',"{name}":{_json(value)}' if value else ""


def _json(value: str | int | bool) -> str:
    return _encode(value).decode()
