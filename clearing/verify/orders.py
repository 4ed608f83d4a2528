"""Payment orders as the banks wrote them, decoded anew from the published message types, as columns.

Not intake's decoder: what the two say is held against each other.
"""

from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, UnsetType

from clearing.core.inputs import I32, I64, U8, U64, Bool, Kind
from clearing.log.content import body_hashes
from clearing.log.payments import PRIORITIES
from clearing.log.rows import RowBatch
from clearing.messages import Bulk, Instruction, Payment, TokenTransfer
from clearing.verify.sums import decimal_columns
from clearing.verify.tables import Rows

Order = Payment | TokenTransfer

_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class _RawBulk(msgspec.Struct, tag_field="type", tag="bulk"):
    items: list[msgspec.Raw]


_decode = msgspec.json.Decoder(Instruction).decode
_decode_item = msgspec.json.Decoder(Payment | TokenTransfer).decode
_decode_raw_bulk = msgspec.json.Decoder(_RawBulk).decode


def orders_in(value: bytes | None) -> list[tuple[int, Order]]:
    """(item, order) of everything in a record that can be made out; item -1: the record is one order."""
    try:
        message = _decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _readable_items(value or b"")
    if isinstance(message, Bulk):
        return list(enumerate(message.items))
    return [(-1, message)]


def _readable_items(value: bytes) -> list[tuple[int, Order]]:
    """A bulk in which some item is wrong still has the others."""
    try:
        items = _decode_raw_bulk(value).items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    orders: list[tuple[int, Order]] = []
    for number, item in enumerate(items):
        try:
            orders.append((number, _decode_item(item)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return orders


class OrderColumns:
    """Orders as columns; names as the numbers the log has for them, -2 where it has none."""

    def __init__(
        self,
        orders: list[Order],
        participants: dict[str, int],
        assets: dict[str, int],
    ) -> None:
        self.orders = orders
        self.debtor = np.array([participants.get(o.debtor, -2) for o in orders], np.int64)
        self.creditor = np.array([participants.get(o.creditor, -2) for o in orders], np.int64)
        self.asset = np.array([assets.get(o.asset, -2) for o in orders], np.int64)
        encoded = pa.array([o.asset for o in orders], pa.string()).dictionary_encode()
        self.assets: list[str] = encoded.dictionary.to_pylist()
        self.asset_number: I64 = encoded.indices.to_numpy().astype(np.int64)
        self.amount, self.decimals, self.amount_readable = decimal_columns(
            [o.amount for o in orders]
        )

    def differences(self, rows: Rows, row: I64, kept: Bool) -> list[tuple[str, Bool]]:
        """(what, where it differs) for the kept orders against these rows, in the same order."""
        orders = [order for order, keep in zip(self.orders, kept.tolist(), strict=True) if keep]
        amount, decimals = self.amount[kept], self.decimals[kept]
        content = body_hashes(_row_batch(orders, amount, decimals)) != rows.body_hash[row]
        return [
            ("id", (_ids([order.id for order in orders]) != rows.id[row]).any(axis=1)),
            ("debtor", self.debtor[kept] != rows.debtor[row]),
            ("creditor", self.creditor[kept] != rows.creditor[row]),
            ("asset", self.asset[kept] != rows.asset[row]),
            (
                "amount",
                (amount != rows.amount[row])
                | (decimals != rows.decimals[row])
                | ~self.amount_readable[kept],
            ),
            ("content", content),
        ]


def _row_batch(orders: list[Order], amount: I64, decimals: U8) -> RowBatch:
    """The columns a body hash is made of; those of a row's place are left at 0."""
    n = len(orders)
    references = [o.chain_reference if isinstance(o, TokenTransfer) else "" for o in orders]
    kinds = [Kind.TOKEN_TRANSFER if isinstance(o, TokenTransfer) else Kind.PAYMENT for o in orders]
    return RowBatch(
        id=np.zeros((n, 16), np.uint8),
        debtor=[o.debtor for o in orders],
        creditor=[o.creditor for o in orders],
        asset=[o.asset for o in orders],
        amount=amount,
        decimals=decimals,
        value_date=_dates([o.value_date for o in orders]),
        priority=np.array([PRIORITIES.index(o.priority) for o in orders], np.uint8),
        kind=np.array(kinds, np.uint8),
        end_to_end_id=[o.end_to_end_id for o in orders],
        chain_reference=references if any(references) else None,
        expires_at_ms=np.array([_expiry_ms(o) for o in orders], np.int64),
        window=np.array([0 if o.window is UNSET else o.window for o in orders], np.int64).astype(
            np.int32
        ),
        source=np.zeros(n, np.int32),
        source_offset=np.zeros(n, np.int64),
        item=np.full(n, -1, np.int32),
        reject=np.zeros(n, np.uint8),
    )


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


def _expiry_ms(order: Order) -> int:
    """Epoch milliseconds, 0 without an expiry, -1 where the text is no instant."""
    if isinstance(order.expires_at, UnsetType):
        return 0
    try:
        instant = datetime.fromisoformat(order.expires_at)
    except ValueError:
        return -1
    return -1 if instant.tzinfo is None else (instant - _EPOCH_INSTANT) // _MILLISECOND


def _ids(texts: list[str]) -> U64:
    """(n, 2) words of UUIDs. A text that is none gets the words of no UUID, so that it differs."""
    joined = "".join(texts)
    if joined.isascii() and all(len(text) == 36 for text in texts):
        table = np.frombuffer(joined.encode(), np.uint8).reshape(-1, 36)
        digits = np.delete(table, (8, 13, 18, 23), axis=1).tobytes().decode()
        try:
            return np.frombuffer(bytes.fromhex(digits), "<u8").reshape(-1, 2)
        except ValueError:
            pass  # some text is no UUID: find out which
    words = np.zeros((len(texts), 2), np.uint64)
    for i, text in enumerate(texts):
        digits = text.replace("-", "")
        if len(digits) == 32 and all(c in "0123456789abcdef" for c in digits):
            words[i] = np.frombuffer(bytes.fromhex(digits), "<u8")
    return words
