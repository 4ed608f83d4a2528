"""Money and time as people say them: a table."""

from decimal import Decimal

import pytest

from clearing.observe import phrases


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("12.50", "12.5"),
        ("999", "999"),
        ("1250.50", "1,250"),
        ("812500.00", "812,500"),
        ("1000000", "1 m"),
        ("35400000", "35.4 m"),
        ("1240000000", "1.2 bn"),
        ("999950000", "1 bn"),
        ("123456000000", "123 bn"),
        ("4000000000000", "4 tn"),
        ("4000000000000000", "4,000 tn"),
        ("-1240000000", "−1.2 bn"),
    ],
)
def test_money(amount: str, text: str) -> None:
    assert phrases.short(Decimal(amount)) == text
    assert phrases.money("HKD", Decimal(amount)) == f"HKD {text}"


def test_an_estimate_says_so() -> None:
    assert phrases.money("HKD", Decimal(2_000_000), about=True) == "HKD ≈ 2 m"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.42, "0.4 s"),
        (9.97, "10 s"),
        (38.4, "38 s"),
        (59.7, "1 min"),
        (250, "4 min 10 s"),
        (7_500, "2 h 5 min"),
        (7_200, "2 h"),
        (273_600, "3 d 4 h"),
        (-3, "−3 s"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert phrases.duration(seconds) == text


def test_small_numbers_are_words() -> None:
    assert [phrases.count(n) for n in (1, 2, 5, 6, 1_412)] == ["one", "two", "five", "6", "1,412"]
