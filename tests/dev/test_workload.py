"""The workload's plan against the pure engine: what the generator says must become of its payments, does."""

from collections import Counter
from datetime import date

import msgspec
import pytest

from clearing.core.registry import AssetKind, AssetSpec
from clearing.dev.banks import split
from clearing.dev.oddities import ODDITIES
from clearing.dev.workload import PLAIN, Mix, Stream, Tally, streams
from clearing.messages import Bulk, Payment, TokenTransfer
from clearing.scheme.model import Account, Asset, NettingSet, Participant, Scheme

BANKS = ["ALPHHKHH", "BETAHKHH", "GAMMHKHH"]


def scheme(cap: str = "1000.00", max_amount: str = "") -> Scheme:
    def asset(name: str, kind: AssetKind) -> Asset:
        spec = AssetSpec(
            id=name, code=name, issuer="X", ledger="pg", scale=2, kind=kind, max_amount=max_amount
        )
        return Asset(spec, "hk", None)

    assets = {"HKD": asset("HKD", AssetKind.CASH), "USDX": asset("USDX", AssetKind.STABLECOIN)}
    return Scheme(
        "test",
        {"hk": NettingSet("hk", None)},
        assets,
        {bank: Participant(bank, bank, ("hk",)) for bank in BANKS},
        tuple(Account(bank, a, "500000.00", cap, None) for bank in BANKS for a in assets),
    )


def plan(of: list[Stream]) -> Tally:
    whole = Tally()
    for stream in of:
        whole.add(stream.tally)
    return whole


def test_same_seed_same_bytes() -> None:
    def made(seed: int) -> list[bytes]:
        return [v for s in streams(scheme(), payments=900, seed=seed) for v in s.take(300)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_the_bytes_do_not_depend_on_how_many_are_taken_at_once_for_what_is_counted() -> None:
    made = streams(scheme(), payments=900, seed=3)
    for stream in made:
        for _ in range(3):
            stream.take(100)
    whole = plan(made)
    assert whole.rows == 900
    assert whole.outcomes.total() == 900
    assert whole.reasons.total() == whole.outcomes["refused"] + whole.outcomes["rejected"]


def test_plain_payments_are_messages_of_the_contract_and_all_accepted() -> None:
    made = streams(scheme(), payments=3_000, seed=1, mix=PLAIN, today=date(2026, 3, 2))
    decode = msgspec.json.Decoder(Payment | TokenTransfer).decode
    nets: Counter[tuple[str, str]] = Counter()
    for stream in made:
        for value in stream.take(1_000):
            order = decode(value)
            assert order.debtor == stream.bank != order.creditor
            assert order.value_date == "2026-03-02"
            units = int(order.amount.replace(".", ""))
            nets[order.debtor, order.asset] -= units
            nets[order.creditor, order.asset] += units
    whole = plan(made)
    assert whole.outcomes == {"accepted": 3_000}
    assert whole.nets == nets
    assert whole.records == 3_000
    assert sum(whole.nets.values()) == 0


def test_bulks_say_their_own_count_and_sum() -> None:
    made = streams(scheme(), payments=3_000, seed=1, mix=Mix(odd=0.05, bulk=1.0, bulk_items=50))
    decode = msgspec.json.Decoder(Bulk).decode
    for stream in made:
        values = stream.take(1_000)
        assert len(values) == 20
        for value in values:
            bulk = decode(value)
            assert bulk.count == len(bulk.items) == 50
            total = sum(int(item.amount.replace(".", "")) for item in bulk.items)
            assert f"{total // 100}.{total % 100:02}" == bulk.control_sum


def test_debits_stay_within_headroom_whatever_the_order() -> None:
    made = streams(scheme(), payments=3_000, seed=5, mix=PLAIN)
    for stream in made:
        stream.take(1_000)
        held = zip(stream._spent, stream._lines, strict=True)
        assert all(0 < spent <= line.headroom for spent, line in held)


def test_more_payments_than_the_limits_hold_is_said() -> None:
    small = scheme(cap="0.00")
    made = streams(small, payments=10, seed=5, mix=PLAIN)
    with pytest.raises(AssertionError, match="no headroom"):
        made[0].take(100_000)


@pytest.mark.parametrize(
    ("cap", "max_amount", "reason"),
    [("1000.00", "", "AM23"), ("0.00", "", "AM04"), ("1000.00", "2000.00", "AM02")],
)
def test_the_reason_over_the_limit_is_the_schemes(cap: str, max_amount: str, reason: str) -> None:
    made = streams(scheme(cap, max_amount), payments=300, seed=1)
    assert {line.over_reason for stream in made for line in stream._lines} == {reason}


def test_every_oddity_comes_up() -> None:
    made = streams(scheme(), payments=30_000, seed=1, mix=Mix(odd=0.5))
    for stream in made:
        stream.take(3_000)
    reasons = plan(made).reasons
    assert {oddity.reason for oddity in ODDITIES if oddity.reason} <= reasons.keys()
    assert plan(made).outcomes["repeated"] > 0


def test_split_is_exact_and_unequal() -> None:
    assert split(1_000, 8) == sorted(split(1_000, 8), reverse=True)
    assert sum(split(1_003, 8)) == 1_003
    assert split(7, 1) == [7]
