"""Refusals: one row = one payment, the expected code last; and which of two wins where both apply.

Precedence is the order of REASONS (clearing.core.reasons), so that every replay gives the same reason.
"""

from collections.abc import Iterator
from itertools import combinations, count
from typing import Any

import numpy as np
import pytest

from clearing.core.commands import (
    RegisterParticipant,
    SetBilateralLimit,
    SetShortLimit,
    SetStatus,
    SetValuation,
)
from clearing.core.inputs import Kind
from clearing.core.money import MAX_UNSETTLED
from clearing.core.reasons import FIRST_REFUSAL, REASONS, Code, Status, status_of
from clearing.core.registry import AssetSpec
from tests.core.build import ALPHA, BETA, DAY, NOON_MS, Bench, Row, hkd, opening

CLOSED, DEFAULTED = ("CLS", "CLT"), ("DEF", "DEG")
SUSPENDED, STRANGER = ("SUS", "SUT"), ("STR", "STS")
POOR, SHORT = "POOR", "SHORT"  # has nothing; may owe nothing by the value check
LIMITED = "LIMITED"  # nobody may pay it more than it got
GIANTS = ("GIANTA", "GIANTB")
ENDED_LINK, OPEN_LINK, TERMS = 1, 2, 77
ACCEPTED = Row(901, BETA, ALPHA, 50)
REFUSED = Row(902, ALPHA, BETA, 20_000)
UNKNOWN = Row(903, BETA, ALPHA, 50)
FULL = "BIG"  # an asset in which no more can be unsettled


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Everything a payment can be refused for, side by side. Refused rows leave it as it is."""
    assets = hkd(max_amount="500"), hkd(id=FULL, code=FULL, scale=0)
    banks = (ALPHA, BETA, SHORT, LIMITED, *CLOSED, *DEFAULTED, *SUSPENDED)
    bench = Bench(*opening(banks, assets))
    bench.control(
        *opening((POOR,), assets, cap="0")[2:],
        *(RegisterParticipant(id=name, by="op", participant=name) for name in STRANGER),
    )
    _fill(bench, FULL, assets[1])
    assert bench.pay(ACCEPTED, REFUSED) == [Code.ACCEPTED, Code.NET_DEBIT_CAP]
    legs = [Row(910 + link, ALPHA, BETA, 1, **leg(link)) for link in (ENDED_LINK, OPEN_LINK)]
    assert bench.pay(*legs, legs[0].cancel(920)) == [Code.QUEUED, Code.QUEUED, Code.DONE]
    bench.control(*_statuses(), *_limits())
    return bench


def leg(link: int, number: int = 0, terms: int = TERMS) -> dict[str, Any]:
    return {"link": link, "leg": number, "legs": 2, "terms": terms}


def _statuses() -> Iterator[SetStatus]:
    for name in CLOSED:
        yield SetStatus(id=f"c-{name}", by="op", participant=name, status="CLOSED")
    for name in DEFAULTED:
        yield SetStatus(id=f"d-{name}", by="op", participant=name, status="DEFAULTED")
    for name in SUSPENDED:
        yield SetStatus(id=f"s-{name}", by="op", participant=name, status="SUSPENDED")


def _limits() -> Iterator[SetBilateralLimit | SetValuation | SetShortLimit]:
    for name in (ALPHA, POOR, SHORT):
        parties = {"participant": name, "counterparty": LIMITED}
        yield SetBilateralLimit(id=f"l-{name}", by="op", asset="HKD", limit="0", **parties)
    yield SetValuation(id="v", by="op", asset="HKD", price="1", haircut_bp=0)
    yield SetShortLimit(id="v-short", by="op", participant=SHORT, limit="0")


def _fill(bench: Bench, asset: str, spec: AssetSpec) -> None:
    """Two giants pay each other, until not one more unit of the asset can be unsettled."""
    most = MAX_UNSETTLED // 5
    bench.control(*opening(GIANTS, (spec,), cap=str(most))[1:])
    left, (debtor, creditor) = MAX_UNSETTLED, GIANTS
    while left:
        units = min(left, most)
        row = Row(left, debtor, creditor, units, asset, decimals=0)
        assert bench.pay(row) == [Code.ACCEPTED]
        left, debtor, creditor = left - units, creditor, debtor


@pytest.fixture(scope="module")
def ids() -> Iterator[int]:
    return count(1000)


# What can be wrong with a payment of 1.00 from ALPHA to BETA, in the order of precedence.
FLAWS: dict[Code, dict[str, Any]] = {
    Code.NOT_OWNER: {"topic": f"payments.hk.{POOR}", "debtor": ALPHA},
    Code.DUPLICATE_ID: {"id": ACCEPTED.id},
    Code.UNKNOWN_DEBTOR: {"debtor": "NOBODYHH"},
    Code.UNKNOWN_CREDITOR: {"creditor": "NOBODYHH"},
    Code.SAME_PARTY: {"debtor": ALPHA, "creditor": ALPHA},
    Code.UNKNOWN_ASSET: {"asset": "XYZ"},
    Code.DEBTOR_CLOSED: {"debtor": CLOSED[0]},
    Code.CREDITOR_CLOSED: {"creditor": CLOSED[1]},
    Code.DEBTOR_DEFAULTED: {"debtor": DEFAULTED[0]},
    Code.CREDITOR_DEFAULTED: {"creditor": DEFAULTED[1]},
    Code.DEBTOR_SUSPENDED: {"debtor": SUSPENDED[0]},
    Code.CREDITOR_SUSPENDED: {"creditor": SUSPENDED[1]},
    Code.DEBTOR_NO_ACCOUNT: {"debtor": STRANGER[0]},
    Code.CREDITOR_NO_ACCOUNT: {"creditor": STRANGER[1]},
    Code.SCALE: {"decimals": 3},
    Code.OVER_MAXIMUM: {"amount": 50_001, "asset": "HKD"},
    Code.VALUE_DATE: {"value_date": DAY - 1},
    Code.WINDOW_CLOSED: {"window": 7},
    Code.EXPIRED: {"expires_at_ms": NOON_MS},
    Code.NO_ORIGINAL: {"kind": Kind.RETURN, "about": UNKNOWN},
    Code.NOT_WAITING: {"kind": Kind.CANCEL, "about": REFUSED},
    Code.RETURN_EXCEEDS: {"kind": Kind.RETURN, "about": ACCEPTED},
    Code.NO_REQUEST: {"kind": Kind.ANSWER, "about": UNKNOWN},
    Code.LINK_ENDED: leg(ENDED_LINK),
    Code.LINK_MISMATCH: leg(OPEN_LINK, 1, TERMS + 1),
    Code.POSITION_RANGE: {"asset": FULL, "decimals": 0},
    Code.BILATERAL_LIMIT: {"creditor": LIMITED},
    Code.LIQUIDITY: {"debtor": POOR},
    Code.NET_DEBIT_CAP: {"amount": 20_000},
    Code.VALUE_CHECK: {"debtor": SHORT},
}
# Outcomes of a row only where other legs are there, see test_links.py; and never outcomes of a row.
OF_LINKS = {Code.LINK_PAIR, Code.LINK_REFUSED}
LATER = {Code.CANCELLED, Code.CUTOFF, Code.RECAST}
GOOD: dict[str, Any] = {"id": 0, "debtor": ALPHA, "creditor": BETA, "amount": 100}


def flawed(id_: int, *flaws: dict[str, Any]) -> Row:
    fields: dict[str, Any] = GOOD | {"id": id_}
    for flaw in flaws:
        fields |= flaw
    return Row(**fields)


def pairs() -> Iterator[tuple[Code, Code]]:
    """Flaws that one row can have at once: no field has to say two things, and a leg is about no other payment.

    A cancellation and an answer have no amount, date or party to be refused for.
    """
    for first, second in combinations(FLAWS, 2):
        one, other = FLAWS[first], FLAWS[second]
        both = one | other
        if any(one[key] != other[key] for key in one.keys() & other.keys()):
            continue
        if {"link", "kind"} <= both.keys():
            continue
        if both.get("kind", 0) > Kind.RETURN and first > Code.DUPLICATE_ID:
            continue
        yield first, second


def test_flaws_stand_in_the_order_of_reasons_and_none_is_missing() -> None:
    refusals = [code for code in REASONS if code >= FIRST_REFUSAL]
    assert list(FLAWS) == [code for code in refusals if code not in OF_LINKS | LATER]
    assert set(REASONS) == {code for code in Code if code > Code.REQUESTED}


@pytest.mark.parametrize("code", FLAWS, ids=lambda code: code.name)
def test_refused_for_one_reason_and_nothing_changes(
    bench: Bench, ids: Iterator[int], code: Code
) -> None:
    before = [column.copy() for column in bench.state.accounts.columns()]
    waits = bench.state.waiting.copy(), bench.state.requests.copy(), bench.state.returned.copy()
    row = flawed(next(ids), FLAWS[code])
    assert bench.pay(row) == [code]
    after = bench.state.accounts.columns()
    assert all((old == new).all() for old, new in zip(before, after, strict=True))
    assert (bench.state.waiting, bench.state.requests, bench.state.returned) == waits
    assert status_of(code) is Status.RJCT
    assert code in REASONS


@pytest.mark.parametrize(("first", "second"), list(pairs()), ids=lambda code: code.name)
def test_the_first_reason_wins(bench: Bench, ids: Iterator[int], first: Code, second: Code) -> None:
    row = flawed(next(ids), FLAWS[first], FLAWS[second])
    assert bench.pay(row) == [first]


@pytest.mark.parametrize("code", FLAWS, ids=lambda code: code.name)
def test_what_intake_could_not_read_stays_rejected(
    bench: Bench, ids: Iterator[int], code: Code
) -> None:
    row = flawed(next(ids), FLAWS[code], {"reject": int(Code.SYNTAX)})
    assert bench.pay(row) == [Code.SYNTAX]


@pytest.mark.parametrize("code", FLAWS, ids=lambda code: code.name)
def test_a_row_that_was_read_before_is_dropped_before_any_check(bench: Bench, code: Code) -> None:
    row = flawed(0, FLAWS[code], {"offset": 0})
    topic = bench.log.topic(row)
    if topic not in bench.log.sources:
        bench.pay(flawed(2**100, {"topic": topic}))
    assert bench.pay(row) == [Code.ALREADY_READ]


# Amounts as written → outcome, on an asset of scale 2 whose maximum is 500.00, then on one of scale 0.
AMOUNTS = [
    (1, 2, "HKD", Code.ACCEPTED),
    (1, 0, "HKD", Code.ACCEPTED),
    (15, 1, "HKD", Code.ACCEPTED),
    (150, 3, "HKD", Code.SCALE),  # 0.150: more decimals than the asset, even if the last is zero
    (50_000, 2, "HKD", Code.NET_DEBIT_CAP),
    (500, 0, "HKD", Code.NET_DEBIT_CAP),
    (501, 0, "HKD", Code.OVER_MAXIMUM),
    (50_001, 2, "HKD", Code.OVER_MAXIMUM),
    (10**18 - 1, 0, "HKD", Code.OVER_MAXIMUM),  # times 100 would wrap an int64
    (10**18 - 1, 2, "HKD", Code.OVER_MAXIMUM),
    (184_467_440_737_095_517, 0, "HKD", Code.OVER_MAXIMUM),  # times 100 = 84 after a wrap
    (2**63 - 1, 0, "HKD", Code.OVER_MAXIMUM),
    (2**63 - 1, 255, "HKD", Code.SCALE),
    (1, 1, FULL, Code.SCALE),
    (10**18 - 1, 0, FULL, Code.POSITION_RANGE),
    (10**18, 0, FULL, Code.OVER_MAXIMUM),
]


@pytest.mark.parametrize(("amount", "decimals", "asset", "code"), AMOUNTS)
def test_amounts(
    bench: Bench, ids: Iterator[int], amount: int, decimals: int, asset: str, code: Code
) -> None:
    row = Row(next(ids), ALPHA, BETA, amount, asset, decimals)
    assert bench.pay(row) == [code]


@pytest.mark.parametrize("amount", [0, -1, -(2**63)])
def test_an_amount_intake_must_never_let_through_stops_the_engine(amount: int) -> None:
    bench = Bench()
    with pytest.raises(AssertionError, match="not positive"):
        bench.pay(Row(1, ALPHA, BETA, amount))


@pytest.mark.parametrize(
    ("window", "expires_at_ms", "code"),
    [
        (0, 0, Code.ACCEPTED),
        (1, 0, Code.ACCEPTED),
        (2, 0, Code.WINDOW_CLOSED),
        (-1, 0, Code.WINDOW_CLOSED),
        (0, NOON_MS + 1, Code.ACCEPTED),
        (0, NOON_MS, Code.EXPIRED),
        (0, NOON_MS - 1, Code.EXPIRED),
        (0, 1, Code.EXPIRED),
        (2, 1, Code.WINDOW_CLOSED),
    ],
)
def test_window_and_expiry(window: int, expires_at_ms: int, code: Code) -> None:
    row = Row(1, ALPHA, BETA, 100, window=window, expires_at_ms=expires_at_ms)
    assert Bench().pay(row) == [code]


def test_each_asset_has_its_own_windows() -> None:
    bench = Bench(assets=(hkd(), hkd(id="CNH", code="CNH")))
    bench.state.assets[1].window.number = 5
    codes = bench.pay(
        Row(1, ALPHA, BETA, 1, "HKD", window=5),
        Row(2, ALPHA, BETA, 1, "CNH", window=5),
        Row(3, ALPHA, BETA, 1, "XYZ", window=5),
    )
    assert codes == [Code.WINDOW_CLOSED, Code.ACCEPTED, Code.UNKNOWN_ASSET]


def test_the_owner_of_a_topic_is_its_last_name_whatever_the_prefix() -> None:
    bench = Bench()
    codes = bench.pay(
        Row(1, ALPHA, BETA, 1, topic=f"test.payments.hk.{ALPHA}"),
        Row(2, BETA, ALPHA, 1, topic=f"test.payments.hk.{ALPHA}"),
        Row(3, BETA, ALPHA, 1, topic="payments.hk."),
        Row(4, BETA, ALPHA, 1, topic="payments.hk.NOBODYHH"),
    )
    assert codes == [Code.ACCEPTED, Code.NOT_OWNER, Code.NOT_OWNER, Code.NOT_OWNER]


def test_payments_before_anything_is_registered_are_refused() -> None:
    bench = Bench(SetStatus(id="c", by="op", participant=ALPHA, status="CLOSED"))
    assert bench.pay(Row(1, ALPHA, BETA, 1)) == [Code.UNKNOWN_DEBTOR]


def test_a_record_without_rows_has_no_outcomes_and_changes_nothing() -> None:
    bench = Bench()
    assert bench.pay() == []
    assert len(bench.state.ids) == 0


def test_participants_and_assets_beyond_the_first_room_keep_their_numbers() -> None:
    banks = tuple(f"BANK{i:02d}HH" for i in range(70))
    assets = tuple(hkd(id=f"A{i}", code=f"A{i}") for i in range(9))
    bench = Bench(banks=banks, assets=assets)
    rows = [Row(i, banks[i], banks[(i + 1) % 70], i + 1, f"A{i % 9}") for i in range(70)]
    assert set(bench.pay(*rows)) == {Code.ACCEPTED}
    for i, bank in enumerate(banks):
        assert bench.account(bank, f"A{i % 9}").position == -(i + 1)
    assert np.flatnonzero(bench.state.accounts.open).size == 70 * 9


@pytest.mark.parametrize("n", [1, 3, 4, 7, 8, 9])
def test_nobody_stands_where_unknown_names_point_to(n: int) -> None:
    """-1 is the last row and column: always closed, however many names there are."""
    banks, assets = (
        [f"BANK{i}" for i in range(n)],
        [hkd(id=f"A{i}", code=f"A{i}") for i in range(n)],
    )
    bench = Bench(banks=tuple(banks), assets=tuple(assets))
    assert bench.state.accounts.open.sum() == n * n
    assert not bench.state.accounts.open[-1].any()
    assert not bench.state.accounts.open[:, -1].any()
    assert bench.state.status[-1] == bench.state.scale[-1] == bench.state.maximum[-1] == 0


# R8, R9: what a debtor with these means may spend → outcome of a payment of 1.00.
MEANS = [
    ("0", "0", Code.LIQUIDITY),
    ("0.99", "0", Code.LIQUIDITY),
    ("1", "0", Code.ACCEPTED),
    ("0", "0.99", Code.NET_DEBIT_CAP),
    ("0.01", "0.98", Code.NET_DEBIT_CAP),
    ("0.01", "0.99", Code.ACCEPTED),
    ("0", "1", Code.ACCEPTED),
]


@pytest.mark.parametrize(("held", "cap", "code"), MEANS)
def test_limits_have_two_reasons(held: str, cap: str, code: Code) -> None:
    assert Bench(held=held, cap=cap).pay(Row(1, ALPHA, BETA, 100)) == [code]  # R9
