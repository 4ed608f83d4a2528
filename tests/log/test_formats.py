"""The stored formats of the log: what is packed is what is opened, in the same bytes every time."""

import numpy as np
import pytest

from clearing.core.commands import CloseWindow
from clearing.core.inputs import ControlItem, Kind, LogRecord, Reject, SourceSpan
from clearing.core.reasons import Code
from clearing.log import control, payments, records
from clearing.log.content import body_hashes
from clearing.log.payments import open_batch, pack
from clearing.log.rows import RowBatch, assemble

SPANS = [SourceSpan("payments.hk.ALPHHKHH", 0, 7, 12), SourceSpan("payments.hk.BETAHKHH", 0, 0, 1)]


def rows(**changes: object) -> RowBatch:
    """A payment, a token transfer with everything set, and a row that could not be read."""
    columns: dict[str, object] = {
        "id": np.arange(48, dtype=np.uint8).reshape(3, 16),
        "debtor": ["ALPHHKHH", "BETAHKHH", ""],
        "creditor": ["BETAHKHH", "ALPHHKHH", ""],
        "asset": ["HKD", "USDX", ""],
        "amount": np.array([1250, 5, 0], np.int64),
        "decimals": np.array([2, 18, 0], np.uint8),
        "value_date": np.array([20514, 20515, 0], np.int32),
        "priority": np.array([0, 2, 0], np.uint8),
        "kind": np.array([Kind.PAYMENT, Kind.TOKEN_TRANSFER, 0], np.uint8),
        "end_to_end_id": ["INV 1", "INV 2", ""],
        "chain_reference": ["", "eip155:1:0xab:0", ""],
        "expires_at_ms": np.array([0, 1_772_438_400_000, 0], np.int64),
        "window": np.array([0, 9, 0], np.int32),
        "source": np.array([0, 0, 1], np.int32),
        "source_offset": np.array([7, 11, 0], np.int64),
        "item": np.array([-1, 3, -1], np.int32),
        "reject": np.array([0, 0, Code.SYNTAX], np.uint8),
        "rejects": {2: Reject(code=Code.SYNTAX, hash="ab" * 16, detail="not JSON")},
    }
    return RowBatch(**{**columns, **changes})  # type: ignore[arg-type]


def part(batch: RowBatch, first: int, stop: int) -> RowBatch:
    """Some of the rows, as arrays that may be changed."""
    return assemble([batch], [(0, first, stop)])


def test_a_packed_batch_opens_as_what_it_was() -> None:
    value = pack(rows(), SPANS)
    read = records.read(payments.KEY, value, offset=4, time_ms=5)
    found, wanted = read.payments, rows()
    assert found is not None
    assert (read.offset, read.time_ms, read.sources, read.control) == (4, 5, SPANS, [])
    assert found.id.view(np.uint8).reshape(-1, 16).tolist() == wanted.id.tolist()
    for name in ("debtor", "creditor"):
        assert [found.participants[index] for index in getattr(found, name)] == getattr(
            wanted, name
        )
    assert [found.assets[index] for index in found.asset] == wanted.asset
    for name in ("amount", "decimals", "value_date", "priority", "kind", "expires_at_ms", "window",
                 "source", "source_offset", "item", "reject"):  # fmt: skip
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist(), name
        assert getattr(found, name).dtype == getattr(wanted, name).dtype, name
    assert found.body_hash.tolist() == body_hashes(wanted).tolist()
    assert found.rejects == wanted.rejects


def test_texts_are_kept_for_those_who_want_them() -> None:
    opened = open_batch(pack(rows(), SPANS))
    assert opened.texts("end_to_end_id") == ["INV 1", "INV 2", ""]
    assert opened.texts("chain_reference") == ["", "eip155:1:0xab:0", ""]


def test_columns_of_defaults_are_left_out_and_read_as_such() -> None:
    plain = part(rows(), 0, 1)
    plain.chain_reference = None
    opened = open_batch(pack(plain, SPANS))
    left_out = {"priority", "kind", "expires_at_ms", "window", "item", "reject", "chain_reference"}
    assert not left_out & set(opened.batch.schema.names)
    assert opened.texts("chain_reference") == [""]
    assert opened.numbers("kind").tolist() == [Kind.PAYMENT]
    assert opened.numbers("item").tolist() == [-1]


def test_the_same_rows_give_the_same_bytes() -> None:
    """R29: lists or Arrow strings, packed now or later."""
    first = pack(rows(), SPANS)
    arrow = open_batch(first).batch
    texts = {name: arrow.column(name).cast("string") for name in ("debtor", "creditor", "asset")}
    again = rows(**texts, end_to_end_id=arrow.column("end_to_end_id"))
    assert pack(again, SPANS) == first


def test_content_hashes_are_a_stored_format() -> None:
    """R28: an id that comes again years later is compared with these. A change is a new version of the format."""
    assert [f"{h:016x}" for h in body_hashes(part(rows(), 0, 2)).tolist()] == GOLDEN


GOLDEN = ["c0e86a56b130e9ed", "b10595a068be6b99"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("debtor", ["X1"]),
        ("creditor", ["X1"]),
        ("asset", ["CNH"]),
        ("amount", np.array([1251], np.int64)),
        ("decimals", np.array([3], np.uint8)),
        ("value_date", np.array([20515], np.int32)),
        ("priority", np.array([1], np.uint8)),
        ("kind", np.array([Kind.TOKEN_TRANSFER], np.uint8)),
        ("end_to_end_id", ["INV 2"]),
        ("chain_reference", ["x"]),
        ("expires_at_ms", np.array([1], np.int64)),
        ("window", np.array([1], np.int32)),
    ],
)
def test_every_part_of_the_content_counts_in_its_hash(name: str, value: object) -> None:
    """R28: same id, other payload must be told from a repeat."""
    plain = part(rows(), 0, 1)
    before = body_hashes(plain)
    setattr(plain, name, value)
    assert body_hashes(plain) != before


@pytest.mark.parametrize("name", ["id", "source", "source_offset", "item"])
def test_the_place_of_a_payment_does_not_count_in_its_hash(name: str) -> None:
    """R28: the same payment again, from elsewhere."""
    plain = part(rows(), 0, 1)
    before = body_hashes(plain)
    setattr(plain, name, getattr(plain, name) + 1)
    assert body_hashes(plain) == before


def test_debtor_and_creditor_do_not_cancel_out() -> None:
    there = part(rows(), 0, 1)
    back = part(rows(debtor=["BETAHKHH"] * 3, creditor=["ALPHHKHH"] * 3), 0, 1)
    assert body_hashes(there) != body_hashes(back)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (payments.KEY, b""),
        (payments.KEY, b"{}"),
        (payments.KEY, pack(rows(), SPANS)[:100]),
        (control.KEY, b""),
        (control.KEY, b'{"sources":1}'),
        (b"payments/2", pack(rows(), SPANS)),
        (None, pack(rows(), SPANS)),
    ],
)
def test_foreign_records_are_no_log_records(key: bytes | None, value: bytes) -> None:
    """A netting set halts on them rather than skip them (F14)."""
    with pytest.raises(records.UnreadableLog, match="log offset 3"):
        records.read(key, value, 3, 0)


def test_control_items_and_ticks_open_as_what_they_were() -> None:
    items = [
        ControlItem(source=0, offset=3, message=CloseWindow(id="c", by="ops", asset="HKD")),
        ControlItem(source=1, offset=0, reject=Reject(code=12, hash="00", detail="x")),
    ]
    value = control.pack(items, SPANS)
    assert records.read(control.KEY, value, 1, 2) == LogRecord(1, 2, SPANS, control=items)
    assert records.read(control.KEY, control.TICK, 1, 2) == LogRecord(1, 2, [])
