"""Orders a bank writes: defaults, exact amounts, and no order that could only be refused."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from clearing.client.following import Request, Status
from clearing.client.orders import (
    amount_text,
    answer,
    bulk,
    cancellation,
    dvp,
    give_back,
    leg,
    link,
    original_of,
    own_legs,
    payment,
    pvp,
    reprioritisation,
)
from clearing.core.inputs import Decision, Kind
from clearing.core.outputs import LinkedLeg
from clearing.intake.decode import decode
from clearing.log.content import body_hashes
from clearing.log.rows import RowBatch, strings
from clearing.messages import Instruction, Leg, Link, Payment, Return, TokenTransfer

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


TRADE = dvp("ALPHA", "BRAVO", delivery=("BOND", 1000), against=("HKD", "99.00"), partial=True)
DAY = date(2026, 3, 1)


def read(*messages: Instruction) -> RowBatch:
    """As intake reads them: every one of them sound."""
    rows, _ = decode([msgspec.json.encode(message) for message in messages])
    assert not rows.rejects
    return rows


def declared(trade: Link) -> list[Leg]:
    assert isinstance(trade.legs, list)
    return trade.legs


def test_a_trade_is_delivery_against_payment() -> None:
    """R19."""
    assert [(leg.debtor, leg.creditor, leg.asset, leg.amount) for leg in declared(TRADE)] == [
        ("ALPHA", "BRAVO", "BOND", "1000"),
        ("BRAVO", "ALPHA", "HKD", "99.00"),
    ]
    assert TRADE.partial
    currencies = pvp("ALPHA", "BRAVO", gives=("HKD", "7.80"), gets=("USD", "1"))
    assert [(leg.debtor, leg.asset) for leg in declared(currencies)] == [
        ("ALPHA", "HKD"),
        ("BRAVO", "USD"),
    ]
    assert not currencies.partial
    assert currencies.id != TRADE.id


def test_each_sender_pays_its_own_legs_and_intake_sees_one_trade() -> None:
    """R19: same link, same terms, each leg once."""
    [delivery] = own_legs(TRADE, "ALPHA", value_date=DAY)
    [against] = own_legs(TRADE, "BRAVO", value_date=DAY, priority="URGT")
    rows = read(
        delivery, against, payment("ALPHA", "BRAVO", "BOND", 1000, link=TRADE, chain_reference="c")
    )
    assert rows.links is not None
    assert rows.links.leg.tolist() == [0, 1, 0]
    assert len(np.unique(rows.links.terms, axis=0)) == len(np.unique(rows.links.link, axis=0)) == 1
    assert (delivery.link, against.priority) == (TRADE, "URGT")


def test_a_bank_may_owe_several_legs_or_none() -> None:
    trade = link(
        leg("ALPHA", "BRAVO", "HKD", 1),
        leg("ALPHA", "CHARL", "HKD", 2),
        leg("BRAVO", "ALPHA", "CNH", 3),
    )
    assert [order.amount for order in own_legs(trade, "ALPHA")] == ["1", "2"]
    with pytest.raises(ValueError, match="one id"):
        own_legs(trade, "ALPHA", id="i")
    with pytest.raises(ValueError, match="pays no leg"):
        own_legs(trade, "CHARL")


@pytest.mark.parametrize("amount", [None, "0.50"])
def test_a_return_goes_the_other_way(amount: str | None) -> None:
    """R5: all of it, or a part."""
    original = payment("ALPHA", "BRAVO", "HKD", "12.50", end_to_end_id="INV 1", value_date=DAY)
    back = give_back(original, amount, reason="AC04", priority="HIGH")
    assert (back.debtor, back.creditor, back.asset, back.amount) == (
        "BRAVO", "ALPHA", "HKD", amount or "12.50",
    )  # fmt: skip
    assert (back.end_to_end_id, back.priority, back.original) == ("INV 1", "HIGH", original)
    rows = read(original, back)
    assert rows.references is not None
    assert rows.references.body_hash[1] == body_hashes(read(original))[0]


def received(original: Payment | TokenTransfer, **changes: object) -> Status:
    """What BRAVO is told of it, everything said."""
    expires_at = original.expires_at
    status = Status(
        id=original.id,
        status="ACSP",
        incoming=True,
        counterparty=original.debtor,
        asset=original.asset,
        amount=original.amount,
        end_to_end_id=original.end_to_end_id,
        window=9,
        value_date=original.value_date,
        priority=original.priority,
        expires_at_ms=0 if expires_at is UNSET else ms(datetime.fromisoformat(expires_at)),
        window_asked=0 if original.window is UNSET else original.window,
        chain_reference=getattr(original, "chain_reference", ""),
        netting_set="hk",
        log_offset=1,
        time_ms=1,
        offset=1,
    )
    return msgspec.structs.replace(status, **changes)


def ms(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


LATER = datetime(2026, 3, 1, 9, 30, 0, 1_000, TEN)


@pytest.mark.parametrize(
    "original",
    [
        payment("ALPHA", "BRAVO", "HKD", "12.50", value_date=DAY, end_to_end_id="INV 1"),
        payment("ALPHA", "BRAVO", "HKD", 1, priority="HIGH", window=3, expires_at=LATER),
        payment("ALPHA", "BRAVO", "HKD", 1, chain_reference="c", expires_at="9999-12-31T23:59:59Z"),
    ],
)
def test_a_receipt_has_all_of_its_original(original: Payment | TokenTransfer) -> None:
    """R5: enough for a return; the same content, in another spelling perhaps."""
    quoted = original_of(received(original), "BRAVO")
    rows = read(original, quoted, give_back(quoted, reason="AC04"))
    assert rows.kind[0] == rows.kind[1]
    first, second = body_hashes(read(original)), body_hashes(read(quoted))
    assert first == second
    assert rows.references is not None
    assert rows.references.body_hash[2] == first[0]


def test_a_part_and_a_leg_are_quoted_whole() -> None:
    """R5, R19, R22: the link as it was told, for nobody tells a receiver all its legs."""
    [delivery] = own_legs(TRADE, "ALPHA", value_date=DAY)
    read_link = read(delivery).links
    assert read_link is not None
    told = LinkedLeg(
        id=TRADE.id,
        terms=read_link.terms.tobytes().hex(),
        leg=int(read_link.leg[0]),
        legs=2,
        partial=TRADE.partial,
    )
    part = received(delivery, amount="300", remaining="700", amount_sent="1000", link=told)
    quoted = original_of(part, "BRAVO")
    back = read(give_back(quoted, "300", reason="CUST"))
    assert back.references is not None
    assert back.references.body_hash[0] == body_hashes(read(delivery))[0]
    assert back.references.amount[0] == 1000
    assert list(decode([msgspec.json.encode(quoted)]).rows.rejects) == [0]  # it declares no legs
    assert isinstance(quoted.link, Link)
    with pytest.raises(ValueError, match="pays no leg"):
        own_legs(quoted.link, "ALPHA")


@pytest.mark.parametrize(
    "changes",
    [{"incoming": False}, {"status": "RJCT", "reason": "XREC"}, {"return_of": "i"}],
    ids=["sent", "taken back", "a return"],
)
def test_what_cannot_be_given_back_is_refused_at_once(changes: dict[str, object]) -> None:
    """R5, R25."""
    status = received(payment("ALPHA", "BRAVO", "HKD", 1), **changes)
    with pytest.raises(ValueError, match="no payment that BRAVO has received"):
        original_of(status, "BRAVO")


@pytest.mark.parametrize(
    "original",
    [
        payment("ALPHA", "BRAVO", "HKD", 1, priority="HIGH", window=3),
        payment("ALPHA", "BRAVO", "HKD", 1, chain_reference="c", expires_at=datetime.now(UTC)),
        own_legs(TRADE, "ALPHA")[0],
        give_back(payment("BRAVO", "ALPHA", "HKD", 1), reason="AC04"),
    ],
    ids=["payment", "transfer", "leg", "return"],
)
def test_a_cancellation_quotes_what_it_takes_back(
    original: Payment | TokenTransfer | Return,
) -> None:
    """R12, R23."""
    rows = read(original, cancellation(original))
    assert rows.references is not None
    assert rows.references.body_hash[1] == body_hashes(read(original))[0]
    assert cancellation(original).reason == "CUST"


def test_priorities_and_answers_are_read_as_meant() -> None:
    """R12, R23."""
    change = reprioritisation("ALPHA", payment("ALPHA", "BRAVO", "HKD", 1).id, "URGT")
    request = Request(
        id=cancellation(payment("BRAVO", "ALPHA", "HKD", 1)).id,
        original=change.payment,
        counterparty="BRAVO",
        asset="HKD",
        amount="1",
        end_to_end_id="E",
        reason="DUPL",
        netting_set="hk",
        log_offset=1,
        time_ms=1,
        offset=1,
    )
    rows = read(
        change,
        answer("ALPHA", request, agreed=True),
        answer("ALPHA", request, agreed=False, reason="LEGL"),
    )
    assert rows.references is not None
    assert rows.kind.tolist() == [Kind.PRIORITY, Kind.ANSWER, Kind.ANSWER]
    assert rows.references.decision.tolist() == [0, Decision.AGREED, Decision.DECLINED]
    assert strings(rows.debtor).to_pylist() == ["ALPHA"] * 3
    assert strings(rows.creditor).to_pylist() == ["", "BRAVO", "BRAVO"]


def test_a_bulk_may_hold_all_of_them() -> None:
    """What moves no money counts as nothing in the control sum."""
    order = payment("ALPHA", "BRAVO", "HKD", "12.50", value_date=DAY)
    back = give_back(payment("BRAVO", "ALPHA", "HKD", "0.001"), reason="AC04", value_date=DAY)
    change = reprioritisation("ALPHA", order.id, "HIGH")
    made = bulk([order, cancellation(order), back, change, *own_legs(TRADE, "ALPHA")])
    assert (made.count, made.control_sum) == (5, "1012.501")
    assert len(read(made)) == 5
