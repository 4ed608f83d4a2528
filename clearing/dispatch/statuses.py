"""What one log record meant to each participant: log columns and outcomes in, JSON status records out.

Pure: bytes and values in, bytes out. Here stands what a row says, field by field; clearing.dispatch.texts gathers
the fields of all rows, clearing.dispatch.kernel writes them, every participant's behind one another.
The bytes are those msgspec gives for clearing.messages.StatusRecord: a property test holds both equal.
What is rare is written row by row beside it: what could not be read, and what is about another payment.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

import msgspec
import numpy as np

from clearing.core.inputs import I32, U8, Bool, Kind, Reject
from clearing.core.outputs import Entry, Outcomes, WindowEvent
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.dispatch.frames import BankRecord, Frame, Rows
from clearing.dispatch.referring import Referring, referring
from clearing.dispatch.terms import term_fields
from clearing.dispatch.texts import Field, Texts, distinct
from clearing.dispatch.wording import wording
from clearing.dispatch.written import Lines, Written
from clearing.log.payments import OpenedBatch, open_batch
from clearing.messages import FinalRecord, PaymentStatus
from clearing.names import owner_of

_CODES = 256
_REMEMBERED = 4_096  # texts of each kind

_encode = msgspec.json.Encoder().encode


def status_records(netting_set: str, log_value: bytes, outcomes: Outcomes) -> list[BankRecord]:
    """(participant, JSON of a StatusRecord) for everybody the log record concerns; parts of one in order.

    Row by row, the plain meaning is: a row read before is told to nobody; any other to the owner of the topic
    it came from, with its status (R41); an accepted row that is no repeat also to its creditor; the creditor of a
    cancellation that has become a request hears of it, and who asked hears the answer (R23). A repeat carries its
    original outcome (R28), but no window: that one may be closed long ago.
    Raises ValueError on bytes that are no payments record and on a code of a newer version.
    """
    told = outcomes.codes != Code.ALREADY_READ
    if not told.any():
        return []
    opened = open_batch(log_value)
    assert len(told) == len(opened), (
        f"{len(told)} outcomes for {len(opened)} rows at log offset {outcomes.log_offset}"
    )
    few = referring(opened, outcomes)
    names, owner, creditor = _participants(opened)
    received = (outcomes.codes == Code.ACCEPTED) & ~outcomes.repeat
    received[[one.row for one in few if one.kind > Kind.RETURN]] = False
    fields = _Fields(opened, outcomes)
    frame = Frame(_encode(netting_set).decode(), outcomes.log_offset, outcomes.time_ms)
    written = Written(
        frame.head(0),
        fields.texts,
        len(names),
        Lines("statuses", fields.status(), _where(told, owner), _statuses(opened, outcomes, few)),
        Lines("receipts", fields.receipt(received), _where(received, creditor), _receipts(few)),
    )
    asked = _requests_and_answers(few)
    records: list[BankRecord] = []
    for i, name in enumerate(names):
        if name not in asked and (record := written.record(i)) is not None:
            records.append((name, record))
            continue
        pieces = written.pieces(i) + (asked[name].pieces() if name in asked else [])
        records.extend((name, record) for record in frame.records(pieces, 0))
    return records


def final_records(event: WindowEvent, indexes: Mapping[str, int]) -> list[BankRecord]:
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


class _Fields:
    """What stands in the rows of a log record: JSON field by field, in the order of clearing.messages.

    A field begins with the quote that ends the one before where that is always a text.
    """

    def __init__(self, opened: OpenedBatch, outcomes: Outcomes) -> None:
        self._opened, self._outcomes = opened, outcomes
        self.texts = texts = Texts(len(opened))
        assets, asset = opened.names("asset")
        self._windows = [outcomes.windows.get(asset, 0) for asset in assets]
        self._asset = asset
        # Those that statuses and receipts share:
        self._id = texts.ids(opened.ids(), b'{"id":"')
        self._amount = texts.amounts(
            [_asset_text(name) for name in assets],
            asset,
            opened.numbers("amount"),
            opened.numbers("decimals"),
        )
        self._end_to_end_id = texts.strings(opened.columns["end_to_end_id"], b'","end_to_end_id":"')

    def status(self) -> list[Field]:
        """PaymentStatus."""
        opened, texts = self._opened, self.texts
        creditors, creditor = opened.names("creditor")
        keys, outcome = self._outcome_keys()
        sources = [_source_text(source.topic, source.partition) for source in opened.sources]
        offset, item = opened.numbers("source_offset"), opened.numbers("item")
        return [
            self._id,
            texts.table([_status_text(code) for _, code, _ in keys], outcome),
            self._end_to_end_id,
            self._amount,
            texts.table([_creditor_text(name) for name in creditors], texts.index(creditor)),
            texts.table([_outcome_text(*key) for key in keys], outcome),
            texts.table(sources, texts.index(opened.numbers("source"))),
            texts.places(offset, item, b"]"),
        ]

    def receipt(self, received: Bool) -> list[Field]:
        """Receipt; of use for the rows that are received."""
        opened, texts = self._opened, self.texts
        debtors, debtor = opened.names("debtor")
        windows = [b'"' + _field("window", window) for window in self._windows]
        fields = [
            self._id,
            texts.table([_debtor_text(name) for name in debtors], texts.index(debtor)),
            self._amount,
            self._end_to_end_id,
            texts.table(windows, texts.index(self._asset)),
        ]
        if opened.has("chain_reference"):
            reference = opened.columns["chain_reference"]
            fields.append(texts.strings(reference, b',"chain_reference":"', b'"', keep=False))
        return fields + term_fields(texts, opened, received, self._outcomes.time_ms)

    def _outcome_keys(self) -> tuple[list[tuple[int, int, bool]], int]:
        """What becomes of rows, each (window, code, repeat) that occurs, and which of these each row has."""
        codes, repeat = self._outcomes.codes, self._outcomes.repeat
        if not codes.any() and not repeat.any():
            accepted = [(window, int(Code.ACCEPTED), False) for window in self._windows]
            return accepted, self.texts.index(self._asset)
        key = (self._asset.astype(np.int64) * _CODES + codes) * 2 + repeat
        present, place = distinct(key)
        keys: list[tuple[int, int, bool]] = []
        for number in present.tolist():
            code, again = number // 2 % _CODES, bool(number % 2)
            of_window = code == Code.ACCEPTED and not again
            keys.append((self._windows[number // 2 // _CODES] if of_window else 0, code, again))
        return keys, self.texts.index(place)


def _participants(opened: OpenedBatch) -> tuple[list[str], I32, I32]:
    """Names of all, and of each row who owns the topic it came from and who its creditor is."""
    owners = [owner_of(source.topic) for source in opened.sources]
    creditors, creditor = opened.names("creditor")
    names = list(dict.fromkeys((*owners, *creditors)))
    owner = _positions(owners, names).take(opened.numbers("source"))
    return names, owner, _positions(creditors, names).take(creditor)


def _statuses(opened: OpenedBatch, outcomes: Outcomes, few: list[Referring]) -> dict[int, bytes]:
    """Statuses that are written one by one, by row."""
    others = {one.row: one.status() for one in few} | _rejects(opened, outcomes.codes)
    return {row: _encode(status) for row, status in others.items()}


def _receipts(few: list[Referring]) -> dict[int, bytes]:
    """Receipts that are written one by one, by row: those of returns."""
    receipts = ((one.row, one.receipt()) for one in few)
    return {row: _encode(receipt) for row, receipt in receipts if receipt is not None}


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


def _positions(names: list[str], ordered: list[str]) -> I32:
    index = {name: i for i, name in enumerate(ordered)}
    return np.array([index[name] for name in names] or [0], np.int32)


def _where(told: Bool, to: I32) -> I32:
    return np.where(told, to, np.int32(-1))


# Texts of rows that vary by what seldom changes.


@lru_cache(_REMEMBERED)
def _status_text(code: int) -> bytes:
    """Nothing for a row that was read before, as it is told to nobody."""
    if code == Code.ALREADY_READ:
        return b""
    return f'","status":"{wording(code).status}'.encode()


@lru_cache(_REMEMBERED)
def _outcome_text(window: int, code: int, repeat: bool) -> bytes:
    if code == Code.ALREADY_READ:
        return b""
    _, reason, text = wording(code)
    return b"".join(
        (
            _field("window", window),
            _field("reason", reason),
            _field("text", text),
            _field("repeat", repeat),
        )
    )


@lru_cache(_REMEMBERED)
def _asset_text(asset: str) -> bytes:
    return b'","asset":' + _encode(asset) + b',"amount":"'


@lru_cache(_REMEMBERED)
def _creditor_text(creditor: str) -> bytes:
    return b'"' + _field("creditor", creditor)


@lru_cache(_REMEMBERED)
def _debtor_text(debtor: str) -> bytes:
    return b'","debtor":' + _encode(debtor)[:-1]


@lru_cache(_REMEMBERED)
def _source_text(topic: str, partition: int) -> bytes:
    return b',"source":[' + _encode(topic) + f",{partition},".encode()


def _field(name: str, value: str | int | bool) -> bytes:
    ""","name":value as msgspec writes an optional field: not at all where it is empty."""
    return f',"{name}":'.encode() + _encode(value) if value else b""
