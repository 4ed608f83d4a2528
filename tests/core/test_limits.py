"""Limits: admit() equals its plain meaning for every input; sums stay exact (R8, R9, R10, R12, R13)."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from clearing.core.commands import CloseWindow, Fund
from clearing.core.limits import admit
from clearing.core.money import MAX_AMOUNT, MAX_UNSETTLED
from clearing.core.outputs import SettlementBatch
from clearing.core.queueing import enqueue, hold
from clearing.core.reasons import Code
from clearing.core.registry import QueuePolicy
from clearing.core.state import NettingSet, Valuation
from clearing.core.transfers import of_rows, post
from clearing.core.value import UNIT_SCALE
from clearing.core.waiting import Waiting
from tests.core.build import ALPHA, BETA, GAMMA, Bench, Row, batches, hkd
from tests.core.scenes import BANKS, BYPASS, FIFO, QUEUED, Scene, asset, row

NONE = QueuePolicy.NONE
ASSETS = NONE, FIFO, BYPASS  # one of each policy
Payment = tuple[int, int, int, int, int]  # debtor, creditor, asset, units, priority
Pair = tuple[int, int, int]  # debtor, creditor, asset


@dataclass
class Means:
    """What decides, in plain numbers; the rules in words stand in `judge`.

    held: prefunded + position. pairs: what may still be paid. heads: the highest priority that waits.
    values: asset → price of a minor unit, haircut_bp, short limit. shorts: limit of all debts together.
    """

    held: dict[tuple[int, int], int]
    cap: dict[tuple[int, int], int]
    room: dict[int, int]
    pairs: dict[Pair, int] = field(default_factory=dict[Pair, int])
    heads: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    values: dict[int, tuple[Fraction, int, int | None]] = field(default_factory=dict)
    shorts: dict[int, Fraction] = field(default_factory=dict[int, Fraction])

    def judge(self, payment: Payment) -> Code:
        d, c, a, units, priority = payment
        if self.room[a] < units:
            return Code.POSITION_RANGE
        waits = ASSETS[a] is not NONE
        blocked = ASSETS[a] is FIFO and self.heads.get((d, a), -1) >= priority
        lacking = Code.QUEUED if blocked else self.lacking(d, c, a, units)
        return Code.QUEUED if waits and lacking else lacking

    def lacking(self, d: int, c: int, a: int, units: int) -> Code:
        if (d, c, a) in self.pairs and self.pairs[d, c, a] < units:
            return Code.BILATERAL_LIMIT
        if self.held[d, a] + self.cap[d, a] < units:
            return Code.NET_DEBIT_CAP if self.cap[d, a] else Code.LIQUIDITY
        if d in self.shorts and a in self.values and not self.is_covered(d, a, units):
            return Code.VALUE_CHECK
        return Code.ACCEPTED

    def is_covered(self, d: int, a: int, units: int) -> bool:
        """R10 in fractions: the value of all positions, each debt, all debts together."""
        total = debts = Fraction()
        for b, (price, haircut_bp, limit) in self.values.items():
            balance = self.held[d, b] - (units if b == a else 0)
            sign = -1 if balance >= 0 else 1
            worth = balance * price * Fraction(10_000 + sign * haircut_bp, 10_000)
            total += worth
            debts -= min(worth, Fraction())
            if limit is not None and -balance > limit:
                return False
        return total >= 0 and debts <= self.shorts[d]

    def take(self, payment: Payment) -> Code:
        code, (d, c, a, units, priority) = self.judge(payment), payment
        if code in (Code.ACCEPTED, Code.QUEUED):
            self.room[a] -= units
        if code == Code.QUEUED:
            self.heads[d, a] = max(self.heads.get((d, a), 0), priority)
        if code == Code.ACCEPTED:
            self.held[d, a] -= units
            self.held[c, a] += units
            for pair, change in (((d, c, a), -units), ((c, d, a), units)):
                if pair in self.pairs:
                    self.pairs[pair] += change
        return code


def state_of(means: Means) -> NettingSet:
    """A netting set in which exactly these numbers decide."""
    specs = tuple(asset(f"A{i}", scale=2, queue=policy) for i, policy in enumerate(ASSETS))
    state = Bench(banks=BANKS, assets=specs, cap="0").state
    for (p, a), units in means.held.items():
        state.accounts.prefunded[p, a], state.accounts.cap[p, a] = units, means.cap[p, a]
    for number, ((p, a), priority) in enumerate(means.heads.items()):
        _wait(state, p, a, priority, number)
    for a, room in means.room.items():
        state.assets[a].unsettled = MAX_UNSETTLED - room - state.assets[a].waiting
    for pair, left in means.pairs.items():
        state.bilateral.set_limit(pair, left)
    for a, (price, haircut_bp, limit) in means.values.items():
        of_whole = int(price * 10**UNIT_SCALE * 10**2)
        state.assets[a].valuation = Valuation(of_whole, haircut_bp, -1 if limit is None else limit)
    state.short_limits = {p: int(limit * 10**UNIT_SCALE) for p, limit in means.shorts.items()}
    state.forget_value_room()
    return state


@cache
def _some_waiting() -> Waiting:
    scene = Scene(asset(queue=FIFO))
    assert scene.pay(row(1, *BANKS[:2], 1)) == [QUEUED]
    (item,) = scene.state.waiting.values()
    return item


def _wait(state: NettingSet, p: int, a: int, priority: int, number: int, units: int = 1) -> None:
    place = {"debtor": p, "creditor": (p + 1) % len(BANKS), "asset": a, "priority": priority}
    changes = place | {"id": f"{number:032x}", "arrival": number, "row": number, "units": units}
    item = msgspec.structs.replace(_some_waiting(), **changes)
    hold(state, item)
    enqueue(state, item)


def check(means: Means, *records: list[Payment]) -> list[Code]:
    """Outcomes of all payments of the records; what one record did counts for the next."""
    state, told = state_of(means), list[Code]()
    for payments in records:
        before = [column.copy() for column in state.accounts.columns()]
        ids = [f"{i:032x}" for i in range(len(payments))]
        transfers = of_rows(state, ids, [payment[:4] for payment in payments])
        priority = np.array([payment[4] for payment in payments], np.uint8)
        codes = admit(state, transfers, priority)
        found = [Code(code) for code in codes.tolist()]
        assert found == [means.take(payment) for payment in payments]
        assert not state.scratch.any()
        after = state.accounts.columns()
        assert all((old == new).all() for old, new in zip(before, after, strict=True))
        post(state, transfers.taken(np.flatnonzero(codes == 0)), 0, released=False)
        for d, _, a, units, urgency in (
            payments[i] for i in np.flatnonzero(codes == Code.QUEUED).tolist()
        ):
            _wait(state, d, a, urgency, 1000 + len(state.waiting), units)
        told += found
    return told


ACCOUNTS = [(p, a) for p in range(len(BANKS)) for a in range(len(ASSETS))]
PRICES = (Fraction(0), Fraction(1), Fraction(1, 2**6), Fraction(78, 10))


def random_means(rng: Random, held_max: int, room_max: int) -> Means:
    def some(most: int) -> range:
        return range(rng.randint(0, most))

    def pair() -> Pair:
        debtor, creditor = rng.sample(range(len(BANKS)), 2)
        return debtor, creditor, rng.randrange(len(ASSETS))

    return Means(
        held={
            account: rng.choice((rng.randint(-20, 40), rng.randint(0, held_max)))
            for account in ACCOUNTS
        },
        cap={account: rng.choice((0, 0, 5, 20)) for account in ACCOUNTS},
        room={a: rng.randint(0, room_max) for a in range(len(ASSETS))},
        pairs={pair(): rng.randint(0, 40) for _ in some(4)},
        heads={(rng.randrange(len(BANKS)), rng.choice((1, 2))): rng.randrange(3) for _ in some(3)},
        values={
            a: (rng.choice(PRICES), rng.choice((0, 500, 10_000)), rng.choice((None, 0, 30)))
            for a in some(len(ASSETS))
        },
        shorts={rng.randrange(len(BANKS)): Fraction(rng.choice((0, 60, 10**6))) for _ in some(2)},
    )


def random_payments(rng: Random, n: int, amounts: tuple[int, ...]) -> list[Payment]:
    def one() -> Payment:
        debtor, creditor = rng.sample(range(len(BANKS)), 2)
        units, priority = rng.randint(1, rng.choice(amounts)), rng.choice((0, 0, 1, 2))
        return debtor, creditor, rng.randrange(len(ASSETS)), units, priority

    return [one() for _ in range(n)]


@pytest.mark.parametrize("seed", range(8))
def test_admit_is_its_plain_meaning_where_limits_are_tight(seed: int) -> None:
    rng = Random(seed)
    for _ in range(40):
        means = random_means(rng, 200, 250)
        check(means, *(random_payments(rng, rng.randint(0, 12), (9,)) for _ in range(3)))


@pytest.mark.parametrize("seed", range(4))
def test_admit_is_its_plain_meaning_for_amounts_of_18_digits(seed: int) -> None:
    rng, amounts = Random(seed), (9, 10**9, MAX_AMOUNT)
    for _ in range(40):
        means = random_means(rng, MAX_UNSETTLED, MAX_UNSETTLED)
        check(means, *(random_payments(rng, rng.randint(0, 12), amounts) for _ in range(3)))


def many(held: int = 10**9, room: int = MAX_UNSETTLED, **fields: Any) -> Means:
    every = dict.fromkeys(ACCOUNTS, held)
    return Means(
        every, dict.fromkeys(ACCOUNTS, 0), dict.fromkeys(range(len(ASSETS)), room), **fields
    )


@pytest.mark.parametrize("seed", range(6))
def test_admit_is_its_plain_meaning_for_thousands_of_rows(seed: int) -> None:
    """Large enough for the quick path, with a few accounts at risk: both paths in one batch."""
    plenty = many(pairs={(1, 0, 0): 5_000}, heads={(1, 2): 0}, shorts={3: Fraction(10**6)})
    plenty.held |= {(0, 0): -(10**6), (2, 2): 5_000, (3, 1): 1_000}
    plenty.values = {1: (Fraction(2), 500, 10**5), 2: (Fraction(1, 4), 0, None)}
    found = check(plenty, random_payments(Random(seed), 5000, (1000,)))
    assert set(found) == {Code.ACCEPTED, Code.QUEUED, Code.LIQUIDITY, Code.BILATERAL_LIMIT}


def test_nothing_to_admit() -> None:
    assert check(many(), []) == []


def test_sums_that_would_wrap_to_nothing() -> None:
    """32 times 2^59 is 2^64: an int64 says 0, and that everybody can pay it."""
    rows = [(0, 1, 0, 1 << 59, 0)] * 32
    assert check(many(1 << 59), rows) == [Code.ACCEPTED] + [Code.LIQUIDITY] * 31
    assert check(many(1 << 61, 1 << 59), rows) == [Code.ACCEPTED] + [Code.POSITION_RANGE] * 31


OK = Code.ACCEPTED
NO_ROOM, NO_MONEY, NO_CAP = Code.POSITION_RANGE, Code.LIQUIDITY, Code.NET_DEBIT_CAP
# What accounts 0, 1 hold in asset 0, room, (debtor, units) to the other one → outcomes (R8): a credit that
# comes first may be spent.
EXACT = [
    ((0, 0), 9, [(0, 1)], [NO_MONEY]),
    ((1, 0), 9, [(0, 1), (1, 1)], [OK, OK]),
    ((0, 1), 9, [(0, 1), (1, 1)], [NO_MONEY, OK]),
    ((1, 0), 9, [(1, 1), (0, 1), (1, 1)], [NO_MONEY, OK, OK]),
    ((5, 0), 9, [(0, 3), (0, 3), (0, 2)], [OK, NO_MONEY, OK]),
    ((-3, 5), 9, [(1, 3), (0, 1)], [OK, NO_MONEY]),
    ((9, 9), 4, [(0, 3), (1, 2), (1, 1)], [OK, NO_ROOM, OK]),
    ((0, 9), 0, [(0, 1)], [NO_ROOM]),
]


@pytest.mark.parametrize(("held", "room", "rows", "result"), EXACT)
def test_order_decides(
    held: tuple[int, int], room: int, rows: list[tuple[int, int]], result: list[Code]
) -> None:
    means = many(0, room)
    means.held |= {(0, 0): held[0], (1, 0): held[1]}
    assert check(means, [(d, 1 - d, 0, units, 0) for d, units in rows]) == result


# Policy, (units, priority) of a bank that has 5 → outcomes (R12, R13).
QUEUES = [
    (FIFO, [(6, 0), (1, 0)], [QUEUED, QUEUED]),  # a blocked head blocks those behind it
    (FIFO, [(6, 0), (1, 1)], [QUEUED, OK]),  # a higher priority stands before it
    (FIFO, [(6, 1), (1, 0), (1, 1), (1, 2)], [QUEUED, QUEUED, QUEUED, OK]),
    (BYPASS, [(6, 2), (1, 0), (5, 2), (4, 0)], [QUEUED, OK, QUEUED, OK]),  # what fits passes
    (NONE, [(6, 2), (1, 0)], [NO_MONEY, OK]),  # nothing waits
]


@pytest.mark.parametrize(("policy", "rows", "result"), QUEUES)
def test_queues_decide(
    policy: QueuePolicy, rows: list[tuple[int, int]], result: list[Code]
) -> None:
    a = ASSETS.index(policy)
    assert check(many(5), [(0, 1, a, units, priority) for units, priority in rows]) == result


def test_no_room_is_never_a_reason_to_wait() -> None:
    """R8: what waits counts as well; more than can be counted is refused at once, whatever the queue."""
    means = many(5, 10)
    rows = [(0, 1, 1, 9, 0), (0, 1, 1, 2, 0), (0, 1, 1, 1, 0)]
    assert check(means, rows) == [QUEUED, NO_ROOM, QUEUED]


def test_the_first_limit_gives_the_reason() -> None:  # R9, R10
    means = many(1, shorts={0: Fraction(0)}, values={0: (Fraction(1), 0, None)})
    means.pairs, means.cap = {(0, 1, 0): 2, (0, 2, 0): 9}, means.cap | {(0, 0): 5, (3, 0): 0}
    rows = [(0, 1, 0, 7, 0), (0, 2, 0, 7, 0), (3, 2, 0, 7, 0), (0, 2, 0, 2, 0), (0, 2, 0, 1, 0)]
    assert check(means, rows) == [
        *(Code.BILATERAL_LIMIT, NO_CAP, NO_MONEY, Code.VALUE_CHECK, OK),
    ]


# --- through the engine ------------------------------------------------------------------------------------------


def test_a_credit_may_be_spent_in_the_same_record_and_not_before() -> None:
    bench = Bench(cap="0", held="0.01")
    codes = bench.pay(
        Row(1, BETA, GAMMA, 2),
        Row(2, ALPHA, BETA, 1),
        Row(3, BETA, GAMMA, 2),
        Row(4, GAMMA, ALPHA, 3),
    )
    assert codes == [Code.LIQUIDITY, Code.ACCEPTED, Code.ACCEPTED, Code.ACCEPTED]  # R8


def test_accounts_of_one_bank_in_two_assets_are_apart() -> None:
    bench = Bench(assets=(hkd(), hkd(id="CNH", code="CNH")), cap="0.01")
    rows = [Row(i, ALPHA, BETA, 1, asset) for i, asset in enumerate(("HKD", "CNH", "HKD", "CNH"))]
    assert bench.pay(*rows) == [Code.ACCEPTED] * 2 + [Code.NET_DEBIT_CAP] * 2  # R3


def settle(bench: Bench, n: int) -> SettlementBatch:
    (batch,) = batches(bench.control(CloseWindow(id=f"close-{n}", by="op")))
    bench.answer(batch)
    return batch


@pytest.mark.parametrize("scale", [0, 2, 9])
def test_thousands_of_amounts_of_18_digits(scale: int) -> None:
    """An int64 wraps after nine of them: only what can be counted is accepted, and the batch is exact."""
    bench = Bench(assets=(hkd(scale=scale),), cap="0")
    bench.state.accounts.cap[:, 0] = (
        MAX_UNSETTLED // 4
    )  # 5.7 * 10^17, more than one payment of half that
    amount = MAX_UNSETTLED // 8 + 1
    sides = (ALPHA, BETA)
    rows = [Row(i, sides[i % 2], sides[1 - i % 2], amount, decimals=scale) for i in range(3000)]
    codes = bench.pay(*rows)
    assert codes == [Code.ACCEPTED] * 7 + [Code.POSITION_RANGE] * 2993
    batch = settle(bench, 1)
    assert batch.payments == 7
    assert int(batch.gross.replace(".", "")) == 7 * amount
    assert [int(e.net.replace(".", "")) for e in batch.entries] == [-amount, amount]  # R1
    assert bench.account(ALPHA).position == 0
    again = [Row(10**4 + i, BETA, ALPHA, amount, decimals=scale) for i in range(2)]
    assert bench.pay(*again) == [Code.ACCEPTED] * 2  # settled value makes room again


def test_gross_value_up_to_the_last_unit() -> None:
    bench = Bench(assets=(hkd(scale=0),), cap=str(MAX_UNSETTLED // 4))
    left, debtor, creditor = MAX_UNSETTLED, ALPHA, BETA
    while left:
        units = min(left, MAX_UNSETTLED // 4 - 7)
        assert bench.pay(Row(left, debtor, creditor, units, decimals=0)) == [Code.ACCEPTED]
        left, debtor, creditor = left - units, creditor, debtor
    assert bench.pay(Row(0, debtor, creditor, 1, decimals=0)) == [Code.POSITION_RANGE]
    batch = settle(bench, 1)
    assert batch.gross == str(MAX_UNSETTLED)  # 19 digits
    assert bench.state.assets[0].unsettled == 0


def test_scale_9_with_its_largest_amount() -> None:
    bench = Bench(assets=(hkd(scale=9),), cap="0")
    most = "999999999.999999999"
    bench.control(Fund(id="f", by="op", participant=ALPHA, asset="HKD", amount=most))
    codes = bench.pay(
        Row(1, ALPHA, BETA, MAX_AMOUNT, decimals=9),
        Row(2, ALPHA, BETA, 1, decimals=9),
        Row(3, BETA, ALPHA, 999_999_999, decimals=0),
        Row(4, BETA, ALPHA, 10**9, decimals=0),
    )
    assert codes == [Code.ACCEPTED, Code.LIQUIDITY, Code.ACCEPTED, Code.OVER_MAXIMUM]
    batch = settle(bench, 1)
    assert [e.net for e in batch.entries] == ["-0.999999999", "0.999999999"]
