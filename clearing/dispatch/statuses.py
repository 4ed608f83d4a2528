"""What one log record meant to each participant: log columns and outcomes in, JSON status records out.

Pure: bytes and values in, bytes out. The JSON is put together by column, not by payment: string kernels join
the texts of all rows at once, a stable sort brings a participant's rows together, its record is one slice of
them. The bytes are those msgspec gives for clearing.messages.StatusRecord: a property test holds both equal.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clearing.core.inputs import I64, U8, Bool, Reject
from clearing.core.money import show
from clearing.core.outputs import Entry, Outcomes, WindowEvent
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, REASONS, Code, status_of
from clearing.log.payments import OpenedBatch, open_batch
from clearing.messages import FinalRecord, PaymentStatus
from clearing.names import owner_of

# What a log record means to one participant is cut into several records above this size, so that they pass
# brokers and readers with default limits (1 MiB). STORED FORMAT: where it cuts decides each part's index.
MAX_ROWS_BYTES = 900_000

_CODES = 256
_POWERS_OF_TEN = np.array([10**i for i in range(19)], np.uint64)
# Four hex digits of each pair of bytes, as one number.
_HEX = np.frombuffer(
    "".join(f"{low:02x}{high:02x}" for high in range(256) for low in range(256)).encode(), "<u4"
)
_HEAD = np.frombuffer(b'{"id":"________-____-____-____-____________', np.uint8)
_ID_GROUPS = (8, 4, 4, 4, 12)
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
    """(participant, JSON of a StatusRecord) for everybody the log record concerns, by name; parts in order.

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
    return [
        (
            name,
            b"".join(
                (f'{head},"index":{index}{time}'.encode(), sent, b'],"receipts":[', got, b"]}")
            ),
        )
        for i, name in enumerate(names)
        for index, (sent, got) in enumerate(_parts(statuses, receipts, i))
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
    asset: pa.Array  # "asset":"…
    amount: pa.Array
    end_to_end_id: pa.Array  # escaped, without quotes
    asset_index: I64
    windows: list[int]  # by asset


def _columns(opened: OpenedBatch, outcomes: Outcomes) -> _Columns:
    assets, index = opened.names("asset")
    return _Columns(
        head=_heads(opened),
        asset=_texts([f'","asset":{_json(asset)},"amount":"' for asset in assets], index),
        amount=_amounts(opened.numbers("amount"), opened.numbers("decimals")),
        end_to_end_id=_escaped(opened.batch.column("end_to_end_id")),
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

    rows = _join(
        columns.head,
        _STATUS.take(pa.array(codes)),
        columns.end_to_end_id,
        columns.asset,
        columns.amount,
        _texts([f'"{_field("creditor", name)}' for name in creditors], creditor),
        _lookup(key, len(columns.windows) * _CODES * 2, outcome),
        _texts([f',"source":[{_json(s.topic)},{s.partition},' for s in opened.sources], source),
        _digits(opened.numbers("source_offset")),
        *_items(opened.numbers("item")),
        "]},",
    )
    rejected = (codes >= FIRST_REJECT) & (codes < FIRST_REFUSAL)
    if rejected.any():
        rows = pc.replace_with_mask(rows, pa.array(rejected), _reject_rows(opened, codes, rejected))
    return rows


def _receipt_rows(opened: OpenedBatch, columns: _Columns) -> pa.Array:
    """Receipt of each row as JSON, with a comma behind it; of use where the row is accepted."""
    debtors, debtor = opened.names("debtor")
    chain_reference: list[pa.Array] = []
    if "chain_reference" in opened.batch.schema.names:
        texts = _escaped(opened.batch.column("chain_reference"))
        named = pc.binary_join_element_wise(',"chain_reference":"', texts, '"', "")
        chain_reference.append(pc.if_else(pc.equal(texts, ""), "", named))
    return _join(
        columns.head,
        _texts([f'","debtor":{_json(name)[:-1]}' for name in debtors], debtor),
        columns.asset,
        columns.amount,
        '","end_to_end_id":"',
        columns.end_to_end_id,
        _texts(['"' + _field("window", window) for window in columns.windows], columns.asset_index),
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


def _heads(opened: OpenedBatch) -> pa.Array:
    """{"id":"UUID of each row, without the closing quote."""
    n, width = len(opened), len(_HEAD)
    digits = _HEX.take(opened.ids().view("<u2")).view(np.uint8)
    texts = np.empty((n, width), np.uint8)
    texts[:] = _HEAD
    at, digit = 7, 0
    for length in _ID_GROUPS:
        texts[:, at : at + length] = digits[:, digit : digit + length]
        at, digit = at + length + 1, digit + length
    ends = np.arange(0, (n + 1) * width, width, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(ends), pa.py_buffer(texts)])


def _amounts(amount: I64, decimals: U8) -> pa.Array:
    """Decimal text of amount / 10**decimals, row by row: clearing.core.money.show.

    All digits are written as one number with a 0 where the point belongs, which is then put over it.
    """
    fractional = decimals > 0
    if not fractional.any():
        return _digits(amount)
    power = _POWERS_OF_TEN[decimals]
    whole, fraction = np.divmod(amount.astype(np.uint64), power)
    texts = _digits(np.where(fractional, whole * power * np.uint64(10) + fraction, whole))
    _, ends, digits = texts.buffers()
    points = np.frombuffer(ends, np.int32)[1 : len(amount) + 1] - decimals - 1
    data = np.frombuffer(digits, np.uint8).copy()
    below_one = fractional & (whole == 0)  # their text begins with the 0 that was to be the point
    data[points[fractional & ~below_one]] = ord(".")
    texts = pa.Array.from_buffers(pa.string(), len(amount), [None, ends, pa.py_buffer(data)])
    if below_one.any():
        small = zip(amount[below_one].tolist(), decimals[below_one].tolist(), strict=True)
        small_texts = pa.array([show(units, scale) for units, scale in small], pa.string())
        texts = pc.replace_with_mask(texts, pa.array(below_one), small_texts)
    return texts


def _digits(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _escaped(texts: pa.Array) -> pa.Array:
    """Texts as they stand between quotes in JSON. Intake lets nothing in that needs it: looked at as one."""
    texts = texts.cast(pa.string())
    assert texts.null_count == 0
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    if ((data >= 0x20) & (data != ord('"')) & (data != ord("\\"))).all():
        return texts
    return pa.array([_json(text)[1:-1] for text in texts.to_pylist()], pa.string())


def _texts(table: list[str], index: np.ndarray) -> pa.Array:
    """table[index] of each row."""
    return pa.array(table, pa.string()).take(pa.array(index))


def _lookup(keys: np.ndarray, size: int, text: Callable[[int], str]) -> pa.Array:
    """text(key) of each row; computed once per key that occurs (0 <= key < size)."""
    present = np.flatnonzero(np.bincount(keys, minlength=size))
    place = np.zeros(max(size, 1), np.int32)
    place[present] = np.arange(len(present), dtype=np.int32)
    return _texts([text(key) for key in present.tolist()], place[keys])


def _join(*texts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*texts, "")


def _positions(names: list[str], ordered: list[str]) -> I64:
    index = {name: i for i, name in enumerate(ordered)}
    return np.array([index[name] for name in names] or [0], np.int64)


def _items(item: np.ndarray) -> list[pa.Array | str]:
    """What stands behind the source offset: the index in a bulk, -1 for a payment of its own."""
    return [",-1"] if (item == -1).all() else [",", _digits(item)]


def _reason(code: int) -> str:
    if code < FIRST_REFUSAL:
        return ""  # accepted, queued; what intake rejected is written by _reject_rows
    reason = REASONS[Code(code)]
    return _field("reason", reason.iso) + _field("text", reason.text)


def _field(name: str, value: str | int | bool) -> str:
    ""","name":value as msgspec writes an optional field: not at all where it is empty."""
    return f',"{name}":{_json(value)}' if value else ""


def _json(value: str | int | bool) -> str:
    return _encode(value).decode()
