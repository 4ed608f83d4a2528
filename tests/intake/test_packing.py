"""What goes into which log record: bounded, whole source records, spans that cover exactly what was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing import kafka
from clearing.core.commands import CloseWindow
from clearing.core.inputs import SourceSpan
from clearing.core.reasons import Code
from clearing.intake import packing
from clearing.intake.packing import (
    SourceRecord,
    control_records,
    pack_control,
    pack_payments,
    payment_records,
)
from clearing.log import control, payments
from clearing.records import Records
from tests.intake.build import PAYMENT, bulk, link, payment, raw, transfer

TOPIC = "payments.hk.ALPHHKHH"


def source(
    records: list[tuple[int, bytes | None]], start: int = 0, end: int = -1, topic: str = TOPIC
) -> packing.Source:
    last = records[-1][0] + 1 if end < 0 else end
    return SourceSpan(topic, 0, start, last), [
        Records.of([SourceRecord(*record) for record in records])
    ]


def opened(values: list[bytes]) -> list[payments.OpenedBatch]:
    return [payments.open_batch(value) for value in values]


def test_rows_know_their_source_and_offset() -> None:
    """R30: where every row came from, rejected ones too, across sources with sparse offsets."""
    alpha = source([(3, raw(PAYMENT)), (7, b"x")], start=2, end=9)
    beta = source([(0, raw(bulk([PAYMENT] * 2, "25"))), (1, None)], topic="payments.hk.BETAHKHH")
    [record] = opened(pack_payments([alpha, beta]))
    assert record.sources == [alpha[0], beta[0]]
    assert record.numbers("source").tolist() == [0, 0, 1, 1, 1]
    assert record.numbers("source_offset").tolist() == [3, 7, 0, 0, 1]
    assert record.numbers("item").tolist() == [-1, -1, 0, 1, -1]
    assert record.numbers("reject").tolist() == [0, Code.SYNTAX, 0, 0, Code.EMPTY]
    assert sorted(record.rejects) == [1, 4]


def test_nothing_read_is_nothing_written() -> None:
    assert pack_payments([]) == []
    assert pack_control([]) == []


def test_a_span_of_markers_alone_is_a_record_without_rows() -> None:
    """Offsets that hold no record must still be covered, or the next span would be a gap."""
    [record] = opened(pack_payments([source([], 5, 7)]))
    assert len(record) == 0
    assert record.sources == [SourceSpan(TOPIC, 0, 5, 7)]
    unpacked = payments.unpack(pack_payments([source([], 5, 7)])[0], 0, 0)
    assert unpacked.payments is not None
    assert len(unpacked.payments) == 0


def test_a_source_is_cut_between_records_and_never_within_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, "MAX_ROWS", 4)
    pair = raw(bulk([PAYMENT] * 2, "25"))
    records: list[tuple[int, bytes | None]] = [
        (0, pair), (2, raw(PAYMENT)), (4, pair), (6, raw(bulk([PAYMENT] * 9, "112.5"))), (7, b""),
    ]  # fmt: skip
    parts = opened(pack_payments([source(records, end=10)]))
    assert [part.sources for part in parts] == [
        [SourceSpan(TOPIC, 0, 0, 3)],
        [SourceSpan(TOPIC, 0, 3, 5)],
        [SourceSpan(TOPIC, 0, 5, 7)],
        [SourceSpan(TOPIC, 0, 7, 10)],
    ]
    assert [part.numbers("source_offset").tolist() for part in parts] == [
        [0, 0, 2], [4, 4], [6] * 9, [7],
    ]  # fmt: skip
    assert [sorted(part.rejects) for part in parts] == [[], [], [], [0]]


def _many(value: bytes, count: int) -> packing.Source:
    return source([(n, value) for n in range(count)])


def test_a_log_record_holds_at_most_so_many_rows() -> None:
    parts = list(payment_records([_many(raw(PAYMENT), packing.MAX_ROWS + 1)]))
    assert [part.rows for part in parts] == [packing.MAX_ROWS, 1]
    assert [part.records for part in parts] == [packing.MAX_ROWS, 1]


def test_a_log_record_is_bounded_by_bytes() -> None:
    """Rubbish is large and rejected; what stands in the log of it is small, and no record passes 16 MiB."""
    megabyte = b" " * (1 << 20) + b"x"
    parts = list(payment_records([source([(n, megabyte) for n in range(17)])]))
    assert [part.records for part in parts] == [7, 7, 3]
    assert all(len(part.value) < 16 << 20 for part in parts)
    assert [part.reject_codes for part in parts] == [[Code.SYNTAX] * n for n in (7, 7, 3)]


@pytest.mark.parametrize(
    "value",
    [
        raw(payment(window=0)),
        b"x",
        raw({}),
        raw(payment(end_to_end_id="")),
        raw(link(("A", "B", "HKD", "0"))),
        raw(bulk([{}] * 8, "1")),
        raw(bulk([payment(end_to_end_id="")] * 8, "100")),
    ],
    ids=["window", "no JSON", "no field", "a long reason", "link", "bulk", "bulk, a long reason"],
)
def test_a_full_log_record_of_rejects_stays_below_16_mib(value: bytes) -> None:
    """Of all that a reject row holds, nothing is larger than 250 bytes more than what was read."""
    few, many = (next(payment_records([_many(value, count)])) for count in (100, 300))
    rows = many.rows - few.rows
    assert len(many.reject_codes) == many.rows
    assert len(many.value) - len(few.value) - 200 * len(value) <= 250 * rows
    assert 250 * packing.MAX_ROWS + packing.MAX_SOURCE_BYTES < kafka.MAX_RECORD_BYTES - (64 << 10)


def test_a_column_that_no_row_of_a_part_has_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a log record is does not depend on what was read with it."""
    monkeypatch.setattr(packing, "MAX_ROWS", 1)
    both = pack_payments([source([(0, raw(PAYMENT)), (1, raw(transfer()))])])
    assert both[0] == pack_payments([source([(0, raw(PAYMENT))])])[0]
    assert both[1] == pack_payments([source([(1, raw(transfer()))], start=1)])[0]
    assert "chain_reference" not in opened(both)[0].batch.schema.names


_RECORDS = st.sampled_from(
    [raw(PAYMENT), raw(transfer()), raw(bulk([PAYMENT] * 3, "37.5")), b"x", b"", None]
)


@st.composite
def _sources(draw: st.DrawFn) -> list[packing.Source]:
    """Sources with sparse offsets; some have moved without a record."""
    made: list[packing.Source] = []
    for number in range(draw(st.integers(1, 4))):
        start = offset = draw(st.integers(0, 3))
        records: list[SourceRecord] = []
        for value in draw(st.lists(_RECORDS, max_size=6)):
            offset += draw(st.integers(0, 2))
            records.append(SourceRecord(offset, value))
            offset += 1
        end = offset + draw(st.integers(0 if records else 1, 2))
        cut = draw(st.integers(0, len(records)))  # they came in two parts, or in one
        parts = [Records.of(part) for part in (records[:cut], records[cut:]) if part]
        made.append((SourceSpan(f"payments.hk.B{number}", 0, start, end), parts))
    return made


@given(_sources(), st.integers(1, 6))
def test_spans_cover_what_was_read_exactly(sources: list[packing.Source], most: int) -> None:
    """R30: in order, no overlap, no gap; every record's rows stand in one log record, inside its span."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packing, "MAX_ROWS", most)
        parts = opened(pack_payments(sources))
    reached = {span.topic: span.start for span, _ in sources}
    found: list[tuple[str, int]] = []
    for part in parts:
        for span in part.sources:
            assert span.start == reached[span.topic]
            assert span.end > span.start
            reached[span.topic] = span.end
        offsets = part.numbers("source_offset").tolist()
        rows = [
            (part.sources[index].topic, offset)
            for index, offset in zip(part.numbers("source").tolist(), offsets, strict=True)
        ]
        for index, offset in zip(part.numbers("source").tolist(), offsets, strict=True):
            assert part.sources[index].start <= offset < part.sources[index].end
        assert not set(rows) & set(found)
        found += rows
    assert reached == {span.topic: span.end for span, _ in sources}
    assert list(dict.fromkeys(found)) == [
        (span.topic, offset)
        for span, parts in sources
        for part in parts
        for offset in part.offset.tolist()
    ]


def test_control_records_carry_items_in_order() -> None:
    """Commands and refusals of them, each with its source and offset."""
    command = b'{"type":"close_window","id":"c","by":"ops"}'
    commands = source([(4, command), (6, b"x")], start=4, topic="commands")
    other = source([(0, command)], topic="confirmations")
    [packed] = control_records([commands, other])
    assert (packed.key, packed.records, packed.reject_codes) == (control.KEY, 2 + 1, [Code.SYNTAX])
    record = control.unpack(packed.value, 0, 0)
    assert record.sources == [commands[0], other[0]]
    assert [(item.source, item.offset) for item in record.control] == [(0, 4), (0, 6), (1, 0)]
    assert record.control[0].message == CloseWindow(id="c", by="ops")
    assert record.control[1].reject is not None
