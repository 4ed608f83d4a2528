"""Once only: repeats of a payment (R28), what was read before, gaps and overlaps of sources (DESIGN.md §2)."""

from dataclasses import replace

import numpy as np
import pytest

from clearing.core.commands import RegisterAsset, SetCalendar, SetCap, SetStatus
from clearing.core.faults import Halt, HaltKind
from clearing.core.inputs import ControlItem, LogRecord, Reject, SourceSpan
from clearing.core.reasons import Code
from clearing.core.registry import BusinessDay
from clearing.core.state import DAY_MS
from clearing.core.step import step
from tests.core.build import ALPHA, BETA, DAY, GAMMA, NOON_MS, Bench, Row, batches, hkd

OF_ALPHA = f"payments.hk.{ALPHA}"


def outcomes(bench: Bench, *rows: Row) -> list[tuple[Code, bool]]:
    """(code, repeat) of each row of one record."""
    out = bench.apply(bench.log.payments(*rows)).outcomes
    assert out is not None
    return [(Code(c), r) for c, r in zip(out.codes.tolist(), out.repeat.tolist(), strict=True)]


FIRST = Row(1, ALPHA, BETA, 100)
OTHER_BODY = replace(FIRST, amount=200)
TOO_MUCH = Row(1, ALPHA, BETA, 10_001)

# The row that comes first, its code; the row after it with the same id, its code, whether it is a repeat.
REPEATS = [
    (FIRST, Code.ACCEPTED, FIRST, Code.ACCEPTED, True),
    (FIRST, Code.ACCEPTED, OTHER_BODY, Code.DUPLICATE_ID, False),
    (FIRST, Code.ACCEPTED, replace(FIRST, body=1), Code.DUPLICATE_ID, False),
    (FIRST, Code.ACCEPTED, replace(FIRST, debtor=BETA, creditor=ALPHA), Code.DUPLICATE_ID, False),
    # A refused id is burnt, whatever it was refused for.
    (TOO_MUCH, Code.NET_DEBIT_CAP, TOO_MUCH, Code.NET_DEBIT_CAP, True),
    (TOO_MUCH, Code.NET_DEBIT_CAP, FIRST, Code.DUPLICATE_ID, False),
    (replace(FIRST, creditor="NOBODY"), Code.UNKNOWN_CREDITOR, FIRST, Code.DUPLICATE_ID, False),
    (replace(FIRST, value_date=DAY - 9), Code.VALUE_DATE, FIRST, Code.DUPLICATE_ID, False),
    # Nobody burns another's ids, and what could not be read burns nothing.
    (replace(FIRST, topic=f"payments.hk.{GAMMA}"), Code.NOT_OWNER, FIRST, Code.ACCEPTED, False),
    (
        replace(OTHER_BODY, topic=f"payments.hk.{GAMMA}"),
        Code.NOT_OWNER,
        FIRST,
        Code.ACCEPTED,
        False,
    ),
    (replace(FIRST, reject=int(Code.FIELD)), Code.FIELD, FIRST, Code.ACCEPTED, False),
]


@pytest.mark.parametrize("together", [True, False], ids=["in one record", "in two"])
@pytest.mark.parametrize(("first", "code", "second", "then", "repeat"), REPEATS)
def test_a_second_row_with_the_same_id(
    first: Row, code: Code, second: Row, then: Code, *, repeat: bool, together: bool
) -> None:
    bench = Bench()
    found = (
        outcomes(bench, first, second)
        if together
        else outcomes(bench, first) + outcomes(bench, second)
    )
    assert found == [(code, False), (then, repeat)]  # R28
    accepted = first if code is Code.ACCEPTED else second
    moved = accepted.amount if Code.ACCEPTED in (code, then) else 0
    assert bench.account(ALPHA).position == -moved  # no effect twice
    assert bench.state.assets[0].window.payments == (1 if moved else 0)


def test_after_a_refused_reuse_the_original_is_still_known() -> None:
    bench = Bench()
    rows = (FIRST, OTHER_BODY, FIRST, replace(FIRST, body=7), FIRST)
    assert outcomes(bench, *rows) == [
        (Code.ACCEPTED, False),
        (Code.DUPLICATE_ID, False),
        (Code.ACCEPTED, True),
        (Code.DUPLICATE_ID, False),
        (Code.ACCEPTED, True),
    ]


def test_a_repeat_gives_the_original_outcome_though_it_would_be_another_today() -> None:
    bench = Bench()
    outcomes(bench, FIRST, replace(TOO_MUCH, id=2))
    bench.control(
        SetCap(id="cap", by="op", participant=ALPHA, asset="HKD", net_debit_cap="900"),
        SetStatus(id="s", by="op", participant=BETA, status="SUSPENDED"),
    )
    assert outcomes(bench, FIRST, replace(TOO_MUCH, id=2)) == [
        (Code.ACCEPTED, True),
        (Code.NET_DEBIT_CAP, True),
    ]


def test_a_repeat_in_a_later_window_is_in_no_window() -> None:
    bench = Bench(assets=(hkd(every_s=60),))
    outcomes(bench, FIRST)
    closed = bench.tick(NOON_MS + 60_000)
    assert [batch.payments for batch in batches(closed)] == [1]
    out = bench.apply(bench.log.payments(FIRST))
    assert out.outcomes is not None
    assert out.outcomes.windows == {}
    assert bench.state.assets[0].window.payments == 0


def test_a_reported_window_is_the_one_of_the_accepted_rows() -> None:
    bench = Bench(assets=(hkd(), hkd(id="CNH", code="CNH"), hkd(id="EUR", code="EUR")))
    bench.state.assets[1].window.number = 4
    out = bench.apply(
        bench.log.payments(
            Row(1, ALPHA, BETA, 1, "CNH"), Row(2, ALPHA, BETA, 1), Row(3, ALPHA, BETA, 0, "EUR", 9)
        )
    )
    assert out.outcomes is not None
    assert out.outcomes.windows == {"HKD": 1, "CNH": 4}


# --- sources ---------------------------------------------------------------------------------------------------


def rows_at(*offsets: int, base: int = 100) -> list[Row]:
    return [Row(base + at, ALPHA, BETA, 1, offset=at) for at in offsets]


def test_a_record_read_again_has_no_effect_and_nobody_is_told() -> None:
    bench = Bench()
    assert bench.pay(*rows_at(0, 1, 2)) == [Code.ACCEPTED] * 3
    assert bench.pay(*rows_at(0, 1, 2)) == [Code.ALREADY_READ] * 3
    assert bench.account(ALPHA).position == -3


def test_overlapping_records_of_two_intake_workers() -> None:
    bench = Bench()
    codes = [bench.pay(*rows_at(*span)) for span in [(0, 1, 2), (1, 2, 3, 4), (0,), (4, 5), (2,)]]
    new, old = Code.ACCEPTED, Code.ALREADY_READ
    assert codes == [[new] * 3, [old, old, new, new], [old], [old, new], [old]]
    assert bench.account(ALPHA).position == -6
    assert bench.state.sources[OF_ALPHA, 0] == 6


def test_all_rows_of_one_source_record_are_new_together() -> None:
    bench = Bench()
    bulk = [replace(Row(i, ALPHA, BETA, 1), offset=0, item=i) for i in range(5)]
    assert bench.pay(*bulk) == [Code.ACCEPTED] * 5
    assert bench.pay(*bulk, *rows_at(1)) == [Code.ALREADY_READ] * 5 + [Code.ACCEPTED]


def test_read_again_with_other_rows_is_dropped_before_it_burns_an_id() -> None:
    bench = Bench()
    bench.pay(*rows_at(0))
    assert bench.pay(Row(7, ALPHA, BETA, 5, offset=0)) == [Code.ALREADY_READ]
    assert bench.pay(Row(7, ALPHA, BETA, 9)) == [Code.ACCEPTED]


def test_sources_are_kept_apart() -> None:
    bench = Bench()
    bench.pay(*rows_at(0, 1))
    codes = bench.pay(
        *rows_at(1),
        Row(1, BETA, ALPHA, 1, offset=0),
        *rows_at(2),
        Row(2, BETA, ALPHA, 1, offset=1),
    )
    assert codes == [Code.ALREADY_READ, Code.ACCEPTED, Code.ACCEPTED, Code.ACCEPTED]


def test_a_span_may_be_wider_than_its_rows() -> None:
    """Kafka offsets are sparse: markers and compaction leave holes, the span covers them."""
    bench = Bench()
    assert bench.pay(*rows_at(5), spans={OF_ALPHA: (0, 9)}) == [Code.ACCEPTED]
    assert bench.pay(*rows_at(8, 9), spans={OF_ALPHA: (8, 12)}) == [
        Code.ALREADY_READ,
        Code.ACCEPTED,
    ]
    assert bench.pay(*rows_at(12), spans={OF_ALPHA: (12, 13)}) == [Code.ACCEPTED]


def test_a_span_without_rows_moves_the_mark() -> None:
    bench = Bench()
    bench.pay(spans={OF_ALPHA: (0, 4)})
    assert bench.pay(*rows_at(3, 4)) == [Code.ALREADY_READ, Code.ACCEPTED]


@pytest.mark.parametrize(
    ("read", "next_"), [([], (1, 2)), ([0, 1, 2], (4, 5)), ([0], (10**12, 10**12 + 1))]
)
def test_a_gap_halts(read: list[int], next_: tuple[int, int]) -> None:
    bench = Bench()
    if read:
        bench.pay(*rows_at(*read))
    with pytest.raises(Halt, match=rf"gap in source {OF_ALPHA}-0: .* offset {next_[0]}"):
        bench.pay(*rows_at(next_[0]), spans={OF_ALPHA: next_})  # F14


def test_a_gap_in_the_commands_halts() -> None:
    bench = Bench()
    commands = bench.state.sources["commands", 0]
    with pytest.raises(Halt, match="gap in source commands-0"):
        bench.apply(bench.log.control(start=commands + 1))


@pytest.mark.parametrize(
    "topic", ["payments.eu.ALPHHKHH", "x.payments.eu.ALPHHKHH", "status.ALPHHKHH", "hk", ""]
)
def test_what_is_no_source_of_the_netting_set_halts(topic: str) -> None:
    """A record that intake did not write, or wrote to another netting set's partition."""
    bench = Bench()
    with pytest.raises(Halt, match="no source of netting set hk") as halted:
        bench.apply(LogRecord(1, NOON_MS, [SourceSpan(topic, 0, 0, 1)]))
    assert halted.value.kind is HaltKind.FOREIGN_WRITER
    assert ("x." + topic, 0) not in bench.state.sources


@pytest.mark.parametrize("prefix", ["", "x-", "x.", "a.b."])
def test_a_source_may_have_any_prefix(prefix: str) -> None:
    bench = Bench()
    for name in ("commands", "confirmations", "payments.hk.NEWBANK1"):
        bench.apply(LogRecord(bench.log.offset, NOON_MS, [SourceSpan(prefix + name, 9, 0, 1)]))
        assert bench.state.sources[prefix + name, 9] == 1


def test_partitions_of_one_topic_are_sources_of_their_own() -> None:
    bench = Bench()
    bench.apply(LogRecord(1, NOON_MS, [SourceSpan("commands", 1, 0, 3)]))
    assert bench.state.sources["commands", 1] == 3
    with pytest.raises(Halt, match="gap in source commands-2"):
        bench.apply(LogRecord(2, NOON_MS, [SourceSpan("commands", 2, 1, 3)]))


def test_commands_read_again_are_dropped() -> None:
    bench = Bench()
    raise_cap = SetCap(id="c", by="op", participant=ALPHA, asset="HKD", net_debit_cap="7")
    at = bench.log.sources["commands"]
    assert len(bench.apply(bench.log.control(raise_cap, start=at)).events) == 1
    assert bench.apply(bench.log.control(raise_cap, start=at)).events == []
    assert len(bench.apply(bench.log.control(raise_cap, raise_cap, start=at)).events) == 1


def test_rejects_are_reported_once_with_their_place() -> None:
    bench = Bench()
    bad = Row(0, "", "", 0, topic=OF_ALPHA, reject=int(Code.SYNTAX), item=3)
    record = bench.log.payments(Row(1, ALPHA, BETA, 1), bad)
    (told,) = bench.apply(record).rejected
    assert (told.reason, told.row, told.offset, told.item) == ("XSYN", 1, 1, 3)
    assert (told.topic, told.partition, told.hash) == (OF_ALPHA, 0, "00")
    assert (told.log_offset, told.time_ms) == (record.offset, NOON_MS)
    assert bench.apply(replace_offset(record, record.offset + 1)).rejected == []


def test_a_command_that_could_not_be_read_is_reported_once() -> None:
    bench = Bench()
    at = bench.log.sources["commands"]
    item = ControlItem(
        source=0, offset=at, reject=Reject(code=int(Code.FIELD), hash="ab", detail="no id")
    )
    record = LogRecord(9, NOON_MS, [SourceSpan("commands", 0, at, at + 1)], control=[item])
    (told,) = bench.apply(record).rejected
    assert (told.reason, told.offset, told.row, told.detail) == ("XFLD", at, 0, "no id")
    assert bench.apply(replace_offset(record, 10)).rejected == []


def replace_offset(record: LogRecord, offset: int) -> LogRecord:
    return LogRecord(offset, record.time_ms, record.sources, record.payments, record.control)


# --- value dates and retention -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "date", "code"),
    [
        (0, DAY - 1, Code.VALUE_DATE),
        (0, DAY, Code.ACCEPTED),
        (0, DAY + 1, Code.VALUE_DATE),
        (2, DAY - 1, Code.VALUE_DATE),
        (2, DAY + 2, Code.ACCEPTED),
        (2, DAY + 3, Code.VALUE_DATE),
        (2, -(2**31), Code.VALUE_DATE),
        (2, 2**31 - 1, Code.VALUE_DATE),
    ],
)
def test_value_dates_without_a_calendar(ahead: int, date: int, code: Code) -> None:
    bench = Bench(assets=(hkd(value_days_ahead=ahead),))
    assert bench.pay(Row(1, ALPHA, BETA, 1, value_date=date)) == [code]


def test_assets_differ_in_how_far_ahead_a_value_date_may_be() -> None:
    bench = Bench(assets=(hkd(), hkd(id="CNH", code="CNH", value_days_ahead=1)))
    tomorrow = [Row(i, ALPHA, BETA, 1, a, value_date=DAY + 1) for i, a in enumerate(("HKD", "CNH"))]
    assert bench.pay(*tomorrow) == [Code.VALUE_DATE, Code.ACCEPTED]


CALENDAR = SetCalendar(
    id="calendar",
    by="op",
    days=[BusinessDay(d, NOON_MS + (d - DAY) * DAY_MS) for d in (DAY, DAY + 3, DAY + 4)],
)


@pytest.mark.parametrize(
    ("hours", "allowed"),
    [
        (-1, [0, 3]),  # before the first business day opens it is that day already
        (0, [0, 3]),
        (71, [0, 3]),  # the days between are none
        (72, [3, 4]),
        (96, [4]),
        (24 * 300, [4]),  # past its end a calendar stays at its last day
    ],
)
def test_value_dates_by_calendar(hours: int, allowed: list[int]) -> None:
    bench = Bench(assets=(hkd(value_days_ahead=3),))
    bench.log.time_ms = NOON_MS - 2 * 3_600_000
    bench.control(CALENDAR)
    bench.tick(NOON_MS + hours * 3_600_000)
    rows = [Row(i, ALPHA, BETA, 1, value_date=DAY + i) for i in range(9)]
    codes = bench.pay(*rows)
    assert [i for i, code in enumerate(codes) if code is Code.ACCEPTED] == allowed
    assert set(codes) == {Code.ACCEPTED, Code.VALUE_DATE}


def test_the_business_date_never_goes_back() -> None:
    """Ids of an earlier date may be forgotten: a new calendar must not make it valid again (R28)."""
    bench = Bench()
    assert bench.pay(FIRST) == [Code.ACCEPTED]
    far = [BusinessDay(DAY + 30, NOON_MS)]
    bench.control(SetCalendar(id="mistake", by="op", days=far))
    assert bench.pay(Row(2, ALPHA, BETA, 1, value_date=DAY + 30)) == [Code.ACCEPTED]
    bench.control(SetCalendar(id="mended", by="op", days=[BusinessDay(DAY, NOON_MS)]))
    assert bench.pay(FIRST) == [Code.VALUE_DATE]
    assert bench.account(ALPHA).position == -101


@pytest.mark.parametrize("ahead", [0, 2, 3, 4, 30])
def test_no_day_on_which_a_payment_is_booked_twice(ahead: int) -> None:
    """Forgotten is what can only be refused by its value date: there is no hole between (R28)."""
    bench = Bench(assets=(hkd(value_days_ahead=ahead),))
    last = replace(FIRST, value_date=DAY + ahead)
    assert bench.pay(last) == [Code.ACCEPTED]
    for day in range(1, ahead + 6):
        bench.log.time_ms = NOON_MS + day * DAY_MS
        ((code, repeat),) = outcomes(bench, last)
        assert repeat or code in (Code.VALUE_DATE, Code.DUPLICATE_ID)
        assert bench.account(ALPHA).position == -100


def test_an_id_is_remembered_as_long_as_it_was_promised_when_it_came() -> None:
    bench = Bench(assets=(hkd(value_days_ahead=10),))
    late = replace(FIRST, value_date=DAY + 10)
    bench.pay(late)
    bench.control(RegisterAsset(id="less", by="op", asset=hkd(value_days_ahead=0)))
    bench.log.time_ms = NOON_MS + 10 * DAY_MS
    assert outcomes(bench, late) == [(Code.ACCEPTED, True)]


def test_retention_ends_after_days_not_after_records() -> None:
    """The same row has the same outcome, whatever record it comes in after a long silence."""
    found: list[list[Code]] = []
    other = Row(9, ALPHA, BETA, 1, value_date=DAY + 5)
    for split in (False, True):
        bench = Bench()
        bench.pay(FIRST)
        bench.log.time_ms = NOON_MS + 5 * DAY_MS
        codes = [*bench.pay(other), *bench.pay(FIRST)] if split else bench.pay(other, FIRST)
        found.append(codes)
    assert found[0] == found[1] == [Code.ACCEPTED, Code.VALUE_DATE]


def test_many_repeats_and_reuses_in_one_large_record() -> None:
    """First row wins, everywhere in a record of thousands."""
    bench = Bench(cap="1000000")
    rng = np.random.default_rng(5)
    ids, bodies = rng.integers(0, 500, 6000).tolist(), rng.integers(0, 2, 6000).tolist()
    rows = [Row(i, ALPHA, BETA, 1, body=b) for i, b in zip(ids, bodies, strict=True)]
    first: dict[int, int] = {}
    expected = []
    for i, b in zip(ids, bodies, strict=True):
        new = i not in first
        same = first.setdefault(i, b) == b
        expected.append((Code.ACCEPTED if same else Code.DUPLICATE_ID, same and not new))
    assert outcomes(bench, *rows) == expected
    assert bench.account(ALPHA).position == -500


def test_a_tick_changes_nothing_but_time() -> None:
    bench = Bench()
    out = step(bench.state, bench.log.tick(NOON_MS + 1))
    assert bench.state.counters.time_ms == NOON_MS + 1
    assert (out.outcomes, out.settlements, out.rejected, out.events) == (None, [], [], [])
