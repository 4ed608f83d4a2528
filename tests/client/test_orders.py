"""Orders a bank writes: defaults, exact amounts, and no order that could only be refused."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest

from clearing.client.orders import amount_text, bulk, payment
from clearing.messages import Instruction, Payment, TokenTransfer

TEN = timezone(timedelta(hours=10))


def test_defaults_are_those_of_the_field() -> None:
    """A new UUIDv4 (R40), today in UTC, no reference."""
    before = datetime.now(UTC).date()
    order = payment("ALPHA", "BRAVO", "HKD", "12.50")
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", order.id
    )
    assert before <= date.fromisoformat(order.value_date) <= datetime.now(UTC).date()
    assert order.end_to_end_id == "NOTPROVIDED"
    assert payment("ALPHA", "BRAVO", "HKD", "12.50").id != order.id
    assert msgspec.json.decode(msgspec.json.encode(order), type=Instruction) == order


def test_every_field_is_written_as_it_travels() -> None:
    order = payment(
        "ALPHA",
        "BRAVO",
        "HKD",
        Decimal("1E+3"),
        id="i",
        end_to_end_id="E-1",
        value_date=date(2026, 3, 1),
        priority="URGT",
        expires_at=datetime(2026, 3, 1, 9, 30, 0, 1_500, TEN),
        window=7,
    )
    assert order == Payment(
        id="i",
        debtor="ALPHA",
        creditor="BRAVO",
        asset="HKD",
        amount="1000",
        value_date="2026-03-01",
        end_to_end_id="E-1",
        priority="URGT",
        expires_at="2026-03-01T09:30:00.001+10:00",
        window=7,
    )
    transfer = payment(
        "ALPHA", "BRAVO", "USDX", 5, id="i", value_date="2026-03-01", chain_reference="c"
    )
    assert isinstance(transfer, TokenTransfer)
    assert (transfer.amount, transfer.chain_reference) == ("5", "c")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("12.50", "12.50"), (3, "3"), (Decimal("0.10"), "0.10"), ("0.000000001", "0.000000001")],
)
def test_amounts_keep_their_digits(amount: str | int | Decimal, text: str) -> None:
    assert amount_text(amount) == text


@pytest.mark.parametrize("amount", [1.5, True, None, b"1"])
def test_floats_are_no_amounts(amount: object) -> None:
    with pytest.raises(TypeError, match="str, int or Decimal"):
        amount_text(amount)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "amount",
    ["", "0", "0.00", "-1", "1e2", " 1", "1_0", "01", "NaN", Decimal("NaN"), Decimal(-1), "١"],
)
def test_what_is_no_positive_decimal_is_not_sent(amount: str | Decimal) -> None:
    with pytest.raises(ValueError, match="positive decimal"):
        amount_text(amount)


def test_times_need_a_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        payment("ALPHA", "BRAVO", "HKD", 1, expires_at=datetime(2026, 3, 1))  # noqa: DTZ001
    with pytest.raises(TypeError, match="date"):
        payment("ALPHA", "BRAVO", "HKD", 1, value_date=datetime(2026, 3, 1, tzinfo=UTC))


def test_bulk_counts_and_sums_exactly() -> None:
    """The control sum is the sum of the amounts to the last digit, where doubles have long given up."""
    amounts = ["999999999999999.999", "0.001", "0.1", "0.2", "7"]
    order = bulk([payment("ALPHA", "BRAVO", "HKD", amount) for amount in amounts])
    assert (order.count, order.control_sum) == (5, "1000000000000007.300")
    assert bulk([]).control_sum == "0"
    assert msgspec.json.decode(msgspec.json.encode(order), type=Instruction) == order
