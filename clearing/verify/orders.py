"""What the banks wrote, decoded anew from the published message types, as columns.

Not intake's decoder: what the two say is held against each other. What one message quotes of another, and what
its link declares, is in clearing.verify.quotes.
"""

from datetime import UTC, date, datetime, timedelta
from typing import TypeGuard

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, UnsetType

from clearing.core.inputs import I32, I64, U8, Bool, Kind
from clearing.intake.arrow import MAGIC
from clearing.log.content import body_hashes
from clearing.log.payments import PRIORITIES
from clearing.log.rows import RowBatch
from clearing.messages import (
    Answer,
    Bulk,
    Cancellation,
    Instruction,
    Item,
    Payment,
    PriorityChange,
    Return,
    TokenTransfer,
)
from clearing.names import PROBE
from clearing.verify.quotes import Quotes, ids_of, linked, quoting
from clearing.verify.streams import payments_in
from clearing.verify.sums import decimal_columns
from clearing.verify.tables import INSTRUCTIONS, PROBES, Rows

Money = Payment | TokenTransfer | Return  # what moves value; the other items are about it
_MONEY = (Payment, TokenTransfer, Return)
_WITHOUT_REASON = {Payment, TokenTransfer, PriorityChange}

KINDS: dict[type[Item], Kind] = {
    Payment: Kind.PAYMENT,
    TokenTransfer: Kind.TOKEN_TRANSFER,
    Return: Kind.RETURN,
    Cancellation: Kind.CANCEL,
    PriorityChange: Kind.PRIORITY,
    Answer: Kind.ANSWER,
}
_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class _RawBulk(msgspec.Struct, tag_field="type", tag="bulk"):
    items: list[msgspec.Raw]


_decode = msgspec.json.Decoder(Instruction).decode
_decode_item = msgspec.json.Decoder(Item).decode
_decode_raw_bulk = msgspec.json.Decoder(_RawBulk).decode


def orders_in(value: bytes | None) -> list[tuple[int, Item]]:
    """(item, order) of everything in a record that can be made out; item -1: the record is one order."""
    if value is not None and value.startswith(MAGIC):
        return list(payments_in(value))
    try:
        message = _decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _readable_items(value or b"")
    if isinstance(message, Bulk):
        return list(enumerate(message.items))
    return [(-1, message)]


def _readable_items(value: bytes) -> list[tuple[int, Item]]:
    """A bulk in which some item is wrong still has the others."""
    try:
        items = _decode_raw_bulk(value).items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    orders: list[tuple[int, Item]] = []
    for number, item in enumerate(items):
        try:
            orders.append((number, _decode_item(item)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return orders


def _views(orders: list[Item]) -> list[Money]:
    """Each order as a payment that says what its row says: of what moves value, the order itself."""
    if _only_money(orders):
        return orders
    return [order if isinstance(order, _MONEY) else _view(order) for order in orders]


def _only_money(orders: list[Item]) -> TypeGuard[list[Money]]:
    return set(map(type, orders)) <= {*_MONEY}


def _view(order: Cancellation | PriorityChange | Answer) -> Payment:
    """A cancellation has the terms of what it quotes; the others have neither asset nor amount nor date."""
    if isinstance(order, Cancellation):
        names = ("debtor", "creditor", "asset", "amount", "value_date", "end_to_end_id")
        return Payment(id=order.id, **{name: getattr(order.original, name) for name in names})
    return Payment(
        id=order.id,
        debtor=order.debtor,
        creditor=order.creditor if isinstance(order, Answer) else "",
        asset="",
        amount="0",
        value_date="1970-01-01",
        end_to_end_id="",
        priority=order.priority if isinstance(order, PriorityChange) else "NORM",
    )


class OrderColumns:
    """Orders as columns; names as the numbers the log has for them, -2 where it has none.

    label: index into `labels`, the assets whose value they move; that of instructions is INSTRUCTIONS or PROBES.
    """

    def __init__(
        self,
        orders: list[Item],
        participants: dict[str, int],
        assets: dict[str, int],
    ) -> None:
        self.orders = orders
        views = _views(orders)
        self.kind = np.array([KINDS[type(order)] for order in orders], np.uint8)
        self.debtor = np.array([participants.get(o.debtor, -2) for o in views], np.int64)
        self.creditor = np.array([participants.get(o.creditor, -2) for o in views], np.int64)
        self.asset = np.array([assets.get(o.asset, -2) for o in views], np.int64)
        labels = [
            o.asset if isinstance(order, _MONEY) else PROBES if o.debtor == PROBE else INSTRUCTIONS
            for o, order in zip(views, orders, strict=True)
        ]
        encoded = pa.array(labels, pa.string()).dictionary_encode()
        self.labels: list[str] = encoded.dictionary.to_pylist()
        self.label: I64 = encoded.indices.to_numpy().astype(np.int64)
        self.amount, self.decimals, self.amount_readable = decimal_columns(
            [o.amount for o in views]
        )

    @property
    def value(self) -> I64:
        """What each order moves, with `decimals`."""
        return np.where(self.kind > Kind.RETURN, 0, self.amount)

    def differences(self, rows: Rows, row: I64, kept: Bool) -> list[tuple[str, Bool]]:
        """(what, where it differs) for the kept orders against these rows, in the same order."""
        orders = [order for order, keep in zip(self.orders, kept.tolist(), strict=True) if keep]
        amount, decimals = self.amount[kept], self.decimals[kept]
        batch = _row_batch(orders, amount, decimals)
        return [
            ("id", (ids_of([order.id for order in orders]) != rows.id[row]).any(axis=1)),
            ("kind", self.kind[kept] != rows.kind[row]),
            ("debtor", self.debtor[kept] != rows.debtor[row]),
            ("creditor", self.creditor[kept] != rows.creditor[row]),
            ("asset", self.asset[kept] != rows.asset[row]),
            (
                "amount",
                (amount != rows.amount[row])
                | (decimals != rows.decimals[row])
                | ~self.amount_readable[kept],
            ),
            ("link", _other_link(batch, rows, row)),
            ("reference", _other_reference(batch, rows, row)),
            ("content", body_hashes(batch) != rows.body_hash[row]),
        ]


def _other_link(batch: RowBatch, rows: Rows, row: I64) -> Bool:
    """Which leg of which link it is, by the legs that the order itself declares."""
    at, differs = _where(rows.linked, row)
    if batch.links is None:
        return differs
    differs ^= batch.links.legs > 0
    both = np.flatnonzero((at >= 0) & (batch.links.legs > 0))
    theirs = rows.links
    for name in ("link", "terms", "leg", "legs", "partial"):
        wrong = getattr(batch.links, name)[both] != getattr(theirs, name)[at[both]]
        differs[both] |= wrong.reshape(len(both), -1).any(axis=1)
    return differs


def _other_reference(batch: RowBatch, rows: Rows, row: I64) -> Bool:
    """Which other message it is about, and the content that it quotes of it."""
    at, differs = _where(rows.referring, row)
    if batch.references is None:
        return differs
    about = batch.references.id.any(axis=1)
    differs ^= about
    both = np.flatnonzero((at >= 0) & about)
    theirs = rows.references
    for name in ("id", "body_hash", "amount", "decimals", "decision"):
        wrong = getattr(batch.references, name)[both] != getattr(theirs, name)[at[both]]
        differs[both] |= wrong.reshape(len(both), -1).any(axis=1)
    return differs


def _where(sparse: I64, row: I64) -> tuple[I64, Bool]:
    """Place of each row among the sparse ones, -1 where it is none of them; and whether it is one."""
    if not len(sparse):
        return np.full(len(row), -1, np.int64), np.zeros(len(row), np.bool_)
    at = np.minimum(np.searchsorted(sparse, row), len(sparse) - 1)
    there = sparse[at] == row
    return np.where(there, at, -1), there


def _row_batch(orders: list[Item], amount: I64, decimals: U8) -> RowBatch:
    """The columns a body hash is made of; those of a row's place are left at 0."""
    n, views = len(orders), _views(orders)
    references = [o.chain_reference if isinstance(o, TokenTransfer) else "" for o in views]
    reasons = None if set(map(type, orders)) <= _WITHOUT_REASON else list(map(_reason, orders))
    windows = [0 if o.window is UNSET else o.window for o in views]
    return RowBatch(
        id=np.zeros((n, 16), np.uint8),
        debtor=[o.debtor for o in views],
        creditor=[o.creditor for o in views],
        asset=[o.asset for o in views],
        amount=amount,
        decimals=decimals,
        value_date=_dates([o.value_date for o in views]),
        priority=np.array([PRIORITIES.index(o.priority) for o in views], np.uint8),
        kind=np.array([KINDS[type(order)] for order in orders], np.uint8),
        end_to_end_id=[o.end_to_end_id for o in views],
        chain_reference=references if any(references) else None,
        expires_at_ms=np.array([_expiry_ms(o.expires_at) for o in views], np.int64),
        window=np.array(windows, np.int64).astype(np.int32),
        source=np.zeros(n, np.int32),
        source_offset=np.zeros(n, np.int64),
        item=np.full(n, -1, np.int32),
        reject=np.zeros(n, np.uint8),
        links=linked(orders),
        references=quoting(orders, _quotes),
        reason=reasons if reasons and any(reasons) else None,
    )


def _quotes(originals: list[Money]) -> Quotes:
    """What a quoted original's own row would have: that is how two mentions of one payment are the same."""
    amount, decimals, _ = decimal_columns([original.amount for original in originals])
    orders: list[Item] = [*originals]
    return Quotes(body_hashes(_row_batch(orders, amount, decimals)), amount, decimals)


def _reason(order: Item) -> str:
    if isinstance(order, Return | Cancellation):
        return order.reason
    return order.reason if isinstance(order, Answer) and order.reason is not UNSET else ""


def _dates(texts: list[str]) -> I32:
    """Days since the epoch; a text that is no date gets one no payment can have, so that it differs."""
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    days = [_days(text) for text in encoded.dictionary.to_pylist()]
    return np.array(days or [0], np.int32)[encoded.indices.to_numpy()]


def _days(text: str) -> int:
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        return -1_000_000


def _expiry_ms(text: str | UnsetType) -> int:
    """Epoch milliseconds, 0 without an expiry, -1 where the text is no instant."""
    if isinstance(text, UnsetType):
        return 0
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return -1
    return -1 if instant.tzinfo is None else (instant - _EPOCH_INSTANT) // _MILLISECOND
