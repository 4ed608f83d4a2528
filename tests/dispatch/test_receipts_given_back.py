"""Whatever was accepted can be given back by its receipt alone (R5): what dispatch tells its creditor, the client
quotes, intake reads, and the engine knows for the original.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing.client import orders
from clearing.client.following import Status
from clearing.client.orders import LinkedTerms, Priority
from clearing.core.outputs import LinkedLeg
from clearing.messages import Link, Payment, TokenTransfer
from tests.dispatch.banks import BANKS, START_MS, Banks

START = datetime.fromtimestamp(START_MS // 1000, UTC)
HONG_KONG = timezone(timedelta(hours=8))
TOKEN = "eip155:1:0xab:0"


def today(banks: Banks) -> date:
    return datetime.fromtimestamp(banks.simulation.now_ms // 1000, UTC).date()


def window(banks: Banks, asset: str) -> int:
    """Number of its open window."""
    state = banks.simulation.machine.state
    return state.assets[state.asset_index[asset]].window.number


def pass_night(banks: Banks) -> None:
    tomorrow = datetime.combine(today(banks) + timedelta(days=1), START.time(), UTC)
    banks.simulation.pass_time(int(tomorrow.timestamp()) * 1000)


def receipts(banks: Banks, bank: str) -> list[Status]:
    """What a bank was told it has received, each part by itself, in order."""
    heard = (one for one in banks.heard[bank] if isinstance(one, Status))
    return [one for one in heard if one.incoming and one.status == "ACSP" and not one.return_of]


def give_back(banks: Banks, bank: str, receipt: Status, amount: str) -> tuple[str, str]:
    """What the bank is told first of a return that is made of nothing but a receipt."""
    original = orders.original_of(receipt, bank)
    back = orders.give_back(original, amount, reason="AC04", value_date=today(banks))
    banks.send(bank, back)
    return next(
        (one.status, one.reason)
        for one in banks.heard[bank]
        if isinstance(one, Status) and one.id == back.id
    )


def give_all_back(banks: Banks) -> int:
    """Of each payment that has been received: by its receipts all of it, and not the least bit more (R5).

    How many there were. What still waits in part is none of them.
    """
    received: dict[tuple[str, str], list[Status]] = {}
    for bank in BANKS:
        for receipt in receipts(banks, bank):
            received.setdefault((bank, receipt.id), []).append(receipt)
    whole = {key: parts for key, parts in received.items() if not parts[-1].remaining}
    for (bank, _), parts in whole.items():
        for part in parts:
            assert give_back(banks, bank, part, part.amount) in {("ACSP", ""), ("PDNG", "")}
        least = "0.01" if parts[0].asset == "HKD" else "1"
        for part in parts:
            assert give_back(banks, bank, part, least) == ("RJCT", "AM09")
    return len(whole)


def pay(banks: Banks, amount: str = "5.00", asset: str = "HKD", **fields: Any) -> None:
    fields = {"value_date": today(banks), **fields}
    banks.send("ALPHA", orders.payment("ALPHA", "BRAVO", asset, amount, **fields))


def expiring(banks: Banks) -> None:
    pay(banks, expires_at=START.astimezone(HONG_KONG) + timedelta(hours=1, milliseconds=7))


def in_bulk(banks: Banks) -> None:
    day = today(banks)
    first = orders.payment("ALPHA", "CHARLIE", "HKD", "1", value_date=day)
    second = orders.payment("ALPHA", "BRAVO", "HKD", "5.0", value_date=day, priority="HIGH")
    banks.send("ALPHA", orders.bulk([first, second]))


def queued_and_urged(banks: Banks) -> None:
    """It comes with HIGH, is made URGT, and is released by a payment to its sender."""
    order = orders.payment(
        "ALPHA", "BRAVO", "HKD", "150", value_date=today(banks), priority="HIGH", window=1
    )
    banks.send("ALPHA", order)
    banks.send("ALPHA", orders.reprioritisation("ALPHA", order.id, "URGT"))
    banks.send("BRAVO", orders.payment("BRAVO", "ALPHA", "HKD", 60, value_date=today(banks)))


def released_the_next_day(banks: Banks) -> None:
    pay(banks, "150", chain_reference=TOKEN)
    pass_night(banks)
    banks.fund("ALPHA", "500")


def trade(amount: str, partial: bool = False) -> Link:
    """Of 4 BOND, which ALPHA delivers, against money."""
    return orders.dvp(
        "ALPHA", "BRAVO", delivery=("BOND", 4), against=("HKD", amount), partial=partial
    )


def linked_first(banks: Banks) -> None:
    """The leg of ALPHA waits for that of BRAVO."""
    deal = trade("40.00")
    for bank in ("ALPHA", "BRAVO"):
        banks.send(bank, *orders.own_legs(deal, bank, value_date=today(banks)))


def linked_last(banks: Banks) -> None:
    """The leg of ALPHA completes the link."""
    deal = trade("40")
    for bank in ("BRAVO", "ALPHA"):
        banks.send(bank, *orders.own_legs(deal, bank, value_date=today(banks)))


def in_parts(banks: Banks) -> None:
    """BRAVO's 100.00 HKD buy a half at the first cut-off; the rest comes when it has more."""
    deal = trade("160.00", partial=True)
    for bank in ("ALPHA", "BRAVO"):
        banks.send(bank, *orders.own_legs(deal, bank, value_date=today(banks)))
    banks.close("BOND")
    banks.fund("BRAVO", "500.00")


# What happens, and what BRAVO's last receipt then says of how it was sent.
CASES: list[tuple[Callable[[Banks], None], dict[str, object]]] = [
    (pay, {"value_date": "2026-01-05", "priority": "NORM", "expires_at_ms": 0, "window_asked": 0}),
    (lambda banks: pay(banks, chain_reference=TOKEN), {"chain_reference": TOKEN}),
    (lambda banks: pay(banks, value_date="2026-01-07"), {"value_date": "2026-01-07"}),
    (lambda banks: pay(banks, priority="URGT", window=1), {"priority": "URGT", "window_asked": 1}),
    (expiring, {"expires_at_ms": START_MS + 3_600_007}),
    (in_bulk, {"priority": "HIGH", "amount": "5.0"}),
    (queued_and_urged, {"priority": "HIGH", "window_asked": 1, "amount": "150.00"}),
    (released_the_next_day, {"value_date": "2026-01-05", "chain_reference": TOKEN}),
    (linked_first, {"amount": "4", "amount_sent": ""}),
    (linked_last, {"amount": "4", "amount_sent": ""}),
    (in_parts, {"amount": "2", "amount_sent": "4"}),
]


@pytest.mark.parametrize(("happens", "says"), CASES)
def test_a_receipt_says_all_that_its_return_has_to_quote(
    happens: Callable[[Banks], None], says: dict[str, object]
) -> None:
    """R5."""
    banks = Banks()
    happens(banks)
    receipt = receipts(banks, "BRAVO")[-1]
    assert {name: getattr(receipt, name) for name in says} == says
    assert give_all_back(banks) == sum(
        len({one.id for one in receipts(banks, bank)}) for bank in BANKS
    )


@pytest.mark.parametrize(
    ("happens", "partial"), [(linked_first, False), (linked_last, False), (in_parts, True)]
)
def test_the_receipt_of_a_leg_says_which_one_it_is(
    happens: Callable[[Banks], None], partial: bool
) -> None:
    """R19. In canonical order BOND comes before HKD; both sides are told the same terms."""
    banks = Banks()
    happens(banks)
    bond, money = receipts(banks, "BRAVO")[-1].link, receipts(banks, "ALPHA")[-1].link
    assert isinstance(bond, LinkedLeg)
    assert isinstance(money, LinkedLeg)
    assert (bond.leg, bond.legs, bond.partial) == (0, 2, partial)
    assert (money.leg, money.legs, money.partial) == (1, 2, partial)
    assert (bond.id, bond.terms) == (money.id, money.terms)


def test_a_part_cannot_be_given_back_before_the_rest_has_come() -> None:
    """R5, R22: until then nothing was accepted that could be quoted as a whole."""
    banks = Banks()
    deal = trade("160.00", partial=True)
    for bank in ("ALPHA", "BRAVO"):
        banks.send(bank, *orders.own_legs(deal, bank, value_date=today(banks)))
    banks.close("BOND")
    [part] = receipts(banks, "BRAVO")
    assert (part.amount, part.remaining, part.amount_sent) == ("2", "2", "4")
    assert give_back(banks, "BRAVO", part, "1") == ("RJCT", "NOOR")
    banks.fund("BRAVO", "500.00")
    assert give_back(banks, "BRAVO", part, "1") == ("ACSP", "")


@pytest.mark.parametrize(
    "change", [{"value_date": "2026-01-06"}, {"priority": "NORM"}, {"window_asked": 0}, {"expires_at_ms": 5}]
)  # fmt: skip
def test_what_differs_from_the_receipt_is_no_original(change: dict[str, Any]) -> None:
    """R5: the round trip is worth something only if the engine looks."""
    banks = Banks()
    pay(banks, priority="HIGH", window=1)
    [receipt] = receipts(banks, "BRAVO")
    other = Status(**{name: getattr(receipt, name) for name in Status.__struct_fields__} | change)
    assert give_back(banks, "BRAVO", other, "1") == ("RJCT", "NOOR")


def test_a_return_that_waited_is_told_as_one() -> None:
    """R5: and is not given back again."""
    banks = Banks()
    pay(banks, "90.00")
    banks.send("BRAVO", orders.payment("BRAVO", "CHARLIE", "HKD", "185", value_date=today(banks)))
    [receipt] = receipts(banks, "BRAVO")
    assert give_back(banks, "BRAVO", receipt, "90.00") == ("PDNG", "")
    banks.fund("BRAVO", "500")
    [back] = [one for one in banks.heard["ALPHA"] if isinstance(one, Status) and one.incoming]
    assert (back.return_of, back.amount) == (receipt.id, "90.00")
    with pytest.raises(ValueError, match="no payment that ALPHA has received"):
        orders.original_of(back, "ALPHA")


class Deal(NamedTuple):
    """A payment, or both sides of a trade. cents, bonds: how much. expires_h: 0 for never."""

    debtor: str
    creditor: str
    asset: str
    cents: int
    bonds: int
    is_token: bool
    priority: Priority
    expires_h: int
    is_for_window: bool
    ahead_days: int
    is_trade: bool
    partial: bool
    in_bulk: bool

    def amount(self, asset: str) -> str:
        """Of money with as few decimals as will do, or with more."""
        if asset == "BOND":
            return str(self.bonds)
        text = f"{self.cents // 100}.{self.cents % 100:02}"
        return text.removesuffix(".00") if self.is_token else text

    def send(self, banks: Banks) -> list[Payment | TokenTransfer]:
        other = "BOND" if self.asset == "HKD" else "HKD"
        terms: LinkedTerms = {
            "priority": self.priority,
            "value_date": today(banks) + timedelta(days=self.ahead_days),
        }
        if self.expires_h:
            now = datetime.fromtimestamp(banks.simulation.now_ms // 1000, HONG_KONG)
            terms["expires_at"] = now + timedelta(
                hours=self.expires_h, milliseconds=self.cents % 1000
            )
        legs = [(self.debtor, self.creditor, self.asset)]
        if self.is_trade:
            legs.append((self.creditor, self.debtor, other))
            terms["link"] = orders.link(
                *(orders.leg(*leg, self.amount(leg[2])) for leg in legs), partial=self.partial
            )
        sent: list[Payment | TokenTransfer] = []
        for debtor, creditor, asset in legs:
            own = terms | ({"window": window(banks, asset)} if self.is_for_window else {})
            token = {"chain_reference": TOKEN} if self.is_token else {}
            order = orders.payment(debtor, creditor, asset, self.amount(asset), **own, **token)
            banks.send(debtor, orders.bulk([order]) if self.in_bulk else order)
            sent.append(order)
        return sent


def rarely(value: Any, otherwise: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([otherwise, otherwise, otherwise, value])


DEALS = st.builds(
    Deal,
    debtor=st.sampled_from(BANKS[:2]),
    creditor=st.just(BANKS[2]),
    asset=st.sampled_from(["HKD", "HKD", "BOND"]),
    cents=st.integers(1, 15_000),
    bonds=st.integers(1, 12),
    is_token=st.booleans(),
    priority=st.sampled_from(["NORM", "HIGH", "URGT"]),
    expires_h=st.sampled_from([0, 0, 5, 40]),
    is_for_window=rarely(True, False),
    ahead_days=st.sampled_from([0, 0, 1, 3]),
    is_trade=st.booleans(),
    partial=st.booleans(),
    in_bulk=st.booleans(),
)
STEPS = st.one_of(
    DEALS,
    DEALS,
    st.tuples(st.just("urge"), st.integers(0, 99), st.sampled_from(["NORM", "HIGH", "URGT"])),
    st.tuples(st.just("close"), st.sampled_from(["HKD", "BOND"])),
    st.tuples(st.just("fund"), st.sampled_from(BANKS), st.sampled_from(["HKD", "BOND"])),
    st.just(("night",)),
)
MAX_NIGHTS = 2  # ids are remembered for longer


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=14))
def test_all_that_is_received_can_be_given_back(steps: list[Any]) -> None:
    """R5, R12, R14, R19, R22: at once, released later or on another day, in another place, in parts, as a leg."""
    banks, nights = Banks(), 0
    sent: list[Payment | TokenTransfer] = []
    for step in steps:
        match step:
            case Deal():
                sent += step.send(banks)
            case "urge", number, priority if sent:
                order = sent[number % len(sent)]
                change = orders.reprioritisation(order.debtor, order.id, priority)
                banks.send(order.debtor, change)
            case "close", asset:
                banks.close(asset)
            case "fund", bank, asset:
                banks.fund(bank, "50", asset)
            case ("night",) if nights < MAX_NIGHTS:
                nights += 1
                pass_night(banks)
            case _:
                pass
    for bank in BANKS:
        for asset in ("HKD", "BOND"):
            banks.fund(bank, "900", asset)
    refused = {
        one.id
        for bank in BANKS
        for one in banks.heard[bank]
        if isinstance(one, Status) and one.status == "RJCT"
    }
    assert give_all_back(banks) == len({order.id for order in sent} - refused)
