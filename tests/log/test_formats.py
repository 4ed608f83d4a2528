"""The stored formats of the log: what is packed is what is opened, in the same bytes every time."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from clearing.core.commands import CloseWindow
from clearing.core.inputs import (
    ControlItem,
    Decision,
    Kind,
    Links,
    LogRecord,
    References,
    Reject,
    SourceSpan,
)
from clearing.core.reasons import Code
from clearing.log import control, payments, records
from clearing.log.content import body_hashes
from clearing.log.payments import open_batch, pack, unpack
from clearing.log.rows import RowBatch, assemble, strings

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


def about(**changes: object) -> RowBatch:
    """A leg that is not linked, a linked one, a return, an answer."""
    words = np.arange(8, dtype=np.uint64).reshape(4, 2)
    nothing = np.zeros(4, np.uint8)
    linked, referring = np.array([0, 1, 0, 0], np.uint8), np.array([0, 0, 1, 1], np.uint8)
    links = Links(
        link=words * linked[:, None],
        terms=(words + np.uint64(9)) * linked[:, None],
        leg=linked * np.uint8(2),
        legs=linked * np.uint8(16),
        partial=linked,
    )
    references = References(
        id=words * referring[:, None],
        body_hash=np.array([0, 0, 2**63, 0], np.uint64),
        amount=np.array([0, 0, 10**17, 0], np.int64),
        decimals=np.array([0, 0, 18, 0], np.uint8),
        decision=np.array([0, 0, 0, Decision.AGREED], np.uint8),
    )
    columns: dict[str, object] = {
        "id": np.arange(64, dtype=np.uint8).reshape(4, 16),
        "debtor": ["ALPHHKHH"] * 4,
        "creditor": ["BETAHKHH"] * 4,
        "asset": ["HKD", "HKD", "HKD", ""],
        "amount": np.array([1, 1, 1, 0], np.int64),
        "decimals": nothing,
        "value_date": np.full(4, 20514, np.int32),
        "priority": nothing,
        "kind": np.array([Kind.PAYMENT, Kind.PAYMENT, Kind.RETURN, Kind.ANSWER], np.uint8),
        "end_to_end_id": ["A", "B", "C", ""],
        "chain_reference": None,
        "expires_at_ms": np.zeros(4, np.int64),
        "window": np.zeros(4, np.int32),
        "source": np.zeros(4, np.int32),
        "source_offset": np.arange(4),
        "item": np.full(4, -1, np.int32),
        "reject": nothing,
        "links": links,
        "references": references,
        "reason": ["", "", "AC04", ""],
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


def test_links_and_references_open_as_what_they_were() -> None:
    """R19, R5, R23."""
    found = unpack(pack(about(), SPANS), 4, 5).payments
    assert found is not None
    for kind, name in ((Links, "links"), (References, "references")):
        wanted, got = getattr(about(), name), getattr(found, name)
        assert isinstance(got, kind)
        for column in fields(kind):
            values = getattr(got, column.name)
            assert values.tolist() == getattr(wanted, column.name).tolist(), column.name
            assert values.dtype == getattr(wanted, column.name).dtype, column.name
    assert open_batch(pack(about(), SPANS)).texts("reason") == ["", "", "AC04", ""]


def test_rows_without_links_and_references_have_none() -> None:
    found = unpack(pack(rows(), SPANS), 4, 5).payments
    assert found is not None
    assert (found.links, found.references) == (None, None)


@pytest.mark.parametrize("kept", [(0, 1), (0, 2), (2, 4), (0, 4)])
def test_columns_that_no_row_needs_are_left_out(kept: tuple[int, int]) -> None:
    """What a log record is does not depend on what was read with it."""
    names = set(open_batch(pack(part(about(), *kept), SPANS)).batch.schema.names)
    links = {"link", "terms", "leg", "legs", "partial"}
    references = {
        "reference",
        "reference_hash",
        "reference_amount",
        "reference_decimals",
        "decision",
        "reason",
    }
    assert names & links == (links if kept in ((0, 2), (0, 4)) else set())
    assert names & references == (references if kept in ((2, 4), (0, 4)) else set())


@pytest.mark.parametrize("name", ["link", "terms", "legs", "reference"])
def test_half_of_what_belongs_together_is_no_log_record(name: str) -> None:
    batch = open_batch(pack(about(), SPANS)).batch
    sink = pa.BufferOutputStream()
    without = batch.drop_columns([name])
    with pa.ipc.new_stream(sink, without.schema) as writer:
        writer.write_batch(without)
    with pytest.raises(ValueError, match="not the columns of a log record"):
        open_batch(sink.getvalue().to_pybytes())


def test_texts_of_a_row_are_read_when_asked_for() -> None:
    found = unpack(pack(rows(), SPANS), 4, 5).payments
    assert found is not None
    assert [found.texts(row) for row in range(3)] == [
        ("INV 1", ""), ("INV 2", "eip155:1:0xab:0"), ("", ""),
    ]  # fmt: skip
    plain = unpack(pack(part(rows(), 0, 1), SPANS), 4, 5).payments
    assert plain is not None
    assert plain.texts(0) == ("INV 1", "")


def test_batches_are_put_together_by_runs() -> None:
    """Plain meaning: the rows one after the other, each with its reject, whatever columns its batch has."""
    whole = assemble([rows(), about()], [(1, 3, 4), (0, 1, 3), (1, 1, 3), (0, 0, 1)])
    one_by_one = [(about(), 3), (rows(), 1), (rows(), 2), (about(), 1), (about(), 2), (rows(), 0)]
    assert len(whole) == 6
    assert whole.rejects == {2: rows().rejects[2]}
    hashes = [body_hashes(part(batch, row, row + 1))[0] for batch, row in one_by_one]
    assert body_hashes(whole).tolist() == hashes
    assert strings(whole.end_to_end_id).to_pylist() == ["", "INV 2", "", "B", "C", "INV 1"]
    assert [bytes(one) for one in whole.id] == [bytes(batch.id[row]) for batch, row in one_by_one]
    assert whole.links is not None
    assert whole.links.legs.tolist() == [0, 0, 0, 16, 0, 0]
    assert whole.references is not None
    assert whole.references.decision.tolist() == [Decision.AGREED, 0, 0, 0, 0, 0]


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
    assert [f"{h:016x}" for h in body_hashes(about()).tolist()] == GOLDEN_ABOUT


GOLDEN_ABOUT = ["225d2dd7cc8184b3", "832b2f6230f5c7d5", "bd19f15d3545706f", "b2cb7d4ba47ac995"]
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


LINKED, RETURNED, ANSWERED = 1, 2, 3


@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        (LINKED, "links.link", [8, 9]),
        (LINKED, "links.terms", [8, 9]),
        (RETURNED, "references.id", [8, 9]),
        (RETURNED, "references.body_hash", 8),
        (RETURNED, "reason", ["AC01"]),
        (RETURNED, "reason", None),
        (ANSWERED, "references.id", [8, 9]),
        (ANSWERED, "references.decision", Decision.DECLINED),
        (ANSWERED, "reason", ["AC01"]),
    ],
)
def test_every_part_of_what_a_row_is_about_counts_in_its_hash(
    row: int, name: str, value: object
) -> None:
    """R28."""
    batch = part(about(), row, row + 1)
    before = body_hashes(batch)
    group, _, column = name.partition(".")
    if column:
        getattr(getattr(batch, group), column)[0] = value
    else:
        setattr(batch, group, value)
    assert body_hashes(batch) != before


def test_a_link_and_a_reference_of_the_same_words_are_not_the_same() -> None:
    """R28: nor is a row that has neither."""
    linked, plain = part(about(), LINKED, 2), part(about(), LINKED, 2)
    plain.links = None
    assert linked.links is not None
    referring = part(about(), LINKED, 2)
    referring.links = None
    nothing = np.zeros(1, np.uint8)
    referring.references = References(
        linked.links.link, linked.links.terms[:, 0], np.zeros(1, np.int64), nothing, nothing
    )
    assert len({int(body_hashes(batch)[0]) for batch in (linked, plain, referring)}) == 3


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
