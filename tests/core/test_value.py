"""The multi-asset value check: what is held, after haircuts, covers what is owed (R10)."""

from typing import Any

import pytest

from clearing.core import limits
from clearing.core.commands import SetCap, SetShortLimit, SetValuation
from clearing.core.reasons import REASONS, Code
from tests.core.build import Row, linked
from tests.core.scenes import (
    ACCEPTED,
    FIFO,
    QUEUED,
    A,
    B,
    C,
    Scene,
    asset,
    released,
    row,
)

VALUE = Code.VALUE_CHECK


def valued(*assets: str, queue: Any = None, **of_asset: tuple[str, int, str | None]) -> Scene:
    """Everybody may owe 1000 of each asset; of_asset: price, haircut_bp, short_limit."""
    options = {"queue": queue} if queue else {}
    scene = Scene(*(asset(name, **options) for name in (*of_asset, *assets)), cap="1000")
    for name, (price, haircut_bp, short_limit) in of_asset.items():
        value(scene, name, price, haircut_bp, short_limit)
    return scene


def value(
    scene: Scene, name: str, price: str, haircut_bp: int = 0, short_limit: str | None = None
) -> None:
    fields = {"asset": name, "price": price, "haircut_bp": haircut_bp, "short_limit": short_limit}
    assert scene.do(SetValuation, **fields) == ""


def check(scene: Scene, limit: str | None, bank: str = A) -> None:
    assert scene.do(SetShortLimit, participant=bank, limit=limit) == ""


# Price and haircut of X that A holds 10 of, price, haircut and short limit of Y that it pays with, A's limit
# of all debts → the most of Y that it can owe.
MOST: list[tuple[tuple[str, int], tuple[str, int, str | None], str, int]] = [
    (("1", 0), ("1", 0, None), "999", 10),  # the whole is worth nothing less than zero
    (("1", 1000), ("1", 0, None), "999", 9),  # 10 %, off what is held
    (("1", 0), ("1", 2500, None), "999", 8),  # 25 % put on what is owed: 8 * 1.25 = 10
    (("2.5", 0), ("0.5", 0, None), "999", 50),
    (("1", 0), ("3", 0, None), "999", 3),  # 9 of 10
    (("1", 0), ("1", 0, "4"), "999", 4),  # the asset's own limit
    (("1", 0), ("2", 0, None), "7", 3),  # all debts together: 6 of 7
    (("1", 0), ("1", 1000, None), "5.5", 5),  # debts count with their haircut: 5 * 1.1
    (("1", 0), ("1", 1000, None), "5.499999999", 4),
    (("0.000000001", 0), ("0.000000001", 0, None), "1", 10),
    (("1", 10_000), ("1", 0, None), "999", 0),
    (("1", 0), ("1", 0, None), "0", 0),
]


@pytest.mark.parametrize(("held", "owed", "limit", "most"), MOST)
def test_the_most_that_can_be_owed(
    held: tuple[str, int], owed: tuple[str, int, str | None], limit: str, most: int
) -> None:  # R10
    for more in (0, 1):
        scene = valued(X=(*held, None), Y=owed)
        scene.fund(A, 10, "X")
        check(scene, limit)
        if most + more:
            code = VALUE if more else ACCEPTED
            assert scene.pay(row(1, A, B, most + more, "Y")) == [code]
    assert REASONS[VALUE].iso == "XVAL"


def test_prices_are_of_whole_units_whatever_the_scale() -> None:  # R10
    scene = Scene(asset("X", scale=2), asset("Y", scale=9), cap="1000", held="10")
    value(scene, "X", "1")
    value(scene, "Y", "4")
    check(scene, "40")
    codes = scene.pay(
        *(Row(1, A, B, 12_500_000_001, "Y", 9), Row(2, A, B, 12_500_000_000, "Y", 9)),
        *(Row(3, A, B, 1, "X", 2), Row(4, B, A, 1, "Y", 9), Row(5, A, B, 1, "Y", 9)),
    )
    # 10 of X pay for 2.5 of Y that are owed, and for not a billionth more.
    assert codes == [VALUE, ACCEPTED, VALUE, ACCEPTED, ACCEPTED]


def test_only_debits_of_the_checked_in_valued_assets_are_checked() -> None:  # R10
    scene = valued("Z", X=("1", 0, None))
    check(scene, "0")
    assert scene.pay(row(1, A, B, 1, "X")) == [VALUE]
    assert scene.pay(row(2, A, B, 500, "Z")) == [ACCEPTED]  # not valued
    assert scene.pay(row(3, B, A, 500, "X")) == [ACCEPTED]  # not checked; a credit is never refused
    assert scene.pay(row(4, A, C, 500, "X"), row(5, A, C, 1, "X")) == [ACCEPTED, VALUE]
    check(scene, None)
    assert scene.pay(row(6, A, C, 400, "X")) == [ACCEPTED]


def test_credits_of_the_same_record_count() -> None:  # R8, R10
    scene = valued(X=("1", 0, None), Y=("2", 0, None))
    check(scene, "999")
    rows = [row(1, A, B, 3, "Y"), row(2, B, A, 6, "X"), row(3, A, B, 3, "Y"), row(4, A, B, 1, "X")]
    assert scene.pay(*rows) == [VALUE, ACCEPTED, ACCEPTED, VALUE]


def test_liquidity_is_asked_first() -> None:  # R9
    scene = valued(X=("1", 0, None))
    check(scene, "0")
    assert scene.pay(row(1, A, B, 1001, "X"), row(2, A, B, 1000, "X")) == [
        *(Code.NET_DEBIT_CAP, VALUE),
    ]


def failing() -> Scene:
    """A has 50 of X and owes 5 of Y, of which it may owe 3 since then."""
    scene = valued(X=("1", 0, None), Y=("1", 0, None))
    scene.fund(A, 50, "X")
    check(scene, "40")
    assert scene.pay(row(1, A, B, 5, "Y")) == [ACCEPTED]
    value(scene, "Y", "1", short_limit="3")
    return scene


def test_who_fails_already_pays_nothing_valued_alone_or_among_others() -> None:  # R9, R10
    assert failing().pay(row(2, A, B, 1, "Y"), row(3, A, B, 1, "X")) == [VALUE] * 2
    scene = failing()
    assert scene.pay(row(2, A, B, 1, "X")) == [VALUE]
    assert scene.pay(row(3, B, A, 2, "Y"), row(4, A, B, 1, "X")) == [ACCEPTED, ACCEPTED]


def test_worthless_assets_are_checked_like_others() -> None:  # R10
    scene = valued(X=("0", 0, None), Y=("1", 0, None))
    assert scene.pay(row(1, A, B, 5, "Y")) == [ACCEPTED]
    check(scene, "1")
    assert scene.pay(row(2, A, B, 1, "X")) == [VALUE]


def test_a_price_or_limit_that_changes_is_felt_at_once() -> None:  # R10
    scene = valued(X=("1", 0, None), Y=("1", 0, None))
    scene.fund(A, 10, "X")
    check(scene, "999")
    for number, (price, accepted) in enumerate((("1", 10), ("2", 10), ("0.5", 0), ("2.2", 2)), 1):
        value(scene, "X", price)
        codes = scene.pay(*(row(1000 * number + i, A, B, 1, "Y") for i in range(15)))
        assert codes.count(ACCEPTED) == accepted


# --- with queues -------------------------------------------------------------------------------------------------


def waiting() -> Scene:
    """A's payment of 5 of X waits for the value check; what would free it may be of another asset."""
    scene = valued(X=("1", 0, None), Y=("2", 5000, None), queue=FIFO)
    check(scene, "999")
    assert scene.pay(row(1, A, B, 5, "X")) == [QUEUED]
    return scene


def test_a_credit_in_another_asset_frees() -> None:  # R10, R14
    scene = waiting()
    assert scene.pay(row(2, B, A, 4, "Y")) == [ACCEPTED]
    assert scene.fates == []
    assert scene.pay(row(3, B, A, 1, "Y")) == [ACCEPTED]
    assert scene.fates == released(1, how="SINGLE")


@pytest.mark.parametrize("how", ["money", "price", "haircut", "limit", "no check"])
def test_whatever_helps_frees(how: str) -> None:  # R10, R14
    scene = waiting()
    scene.fund(A, 4, "Y")
    assert scene.fates == []
    if how == "money":
        scene.fund(A, 1, "X")
    elif how == "price":
        value(scene, "Y", "2.5", 5000)
    elif how == "haircut":
        value(scene, "Y", "2", 3750)
    elif how == "limit":
        check(scene, "0")
        assert scene.fates == []
        scene.fund(A, 2, "Y")
        assert scene.fates == []
        check(scene, "5")
    else:
        check(scene, None)
    assert scene.fates == released(1, how="SINGLE")


def test_sets_keep_back_the_last_of_whoever_would_fail() -> None:  # R10, R15
    """A, B and C in a circle; A may not owe what it would, so its last payment stays and the rest goes."""
    scene = valued(X=("1", 0, None), queue=FIFO)
    for bank in (B, C):
        cap = {"participant": bank, "asset": "X", "net_debit_cap": "0"}
        assert scene.do(SetCap, **cap) == ""
    scene.fund(A, 3, "X")
    check(scene, "0")
    rows = [row(1, A, B, 9, "X"), row(2, A, B, 2, "X"), row(3, B, C, 9, "X"), row(4, C, A, 7, "X")]
    assert scene.pay(*rows) == [QUEUED] * 4
    assert scene.fates == released(1, 3, 4, how="MULTILATERAL")
    assert (scene.queue(A, "X"), scene.account(A, "X").position) == ([2], -2)


def test_links_respect_the_check() -> None:  # R10, R19
    scene = valued(X=("1", 0, None), Y=("1", 1000, None))
    scene.pair("X", "Y")
    check(scene, "999")
    good = linked(row(1, A, B, 9, "X"), row(2, B, A, 10, "Y"), link=1)
    bad = linked(row(3, A, B, 10, "X"), row(4, B, A, 11, "Y"), link=2)
    assert scene.pay(*bad) == [QUEUED, Code.LINK_REFUSED]
    assert scene.fates == [(3, VALUE, "")]
    assert scene.pay(*good) == [QUEUED, ACCEPTED]


# --- the quick way -----------------------------------------------------------------------------------------------


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of each record were judged one by one."""
    found: list[int] = []
    one_by_one = limits._one_by_one

    def counted(state: Any, transfers: Any, priority: Any, rows: Any, result: Any) -> None:
        found.append(len(rows))
        one_by_one(state, transfers, priority, rows, result)

    monkeypatch.setattr(limits, "_one_by_one", counted)
    return found


def test_who_has_plenty_is_not_judged_one_by_one(judged: list[int]) -> None:
    scene = valued(X=("1", 0, None), Y=("1", 0, None))
    scene.fund(A, 10**6, "X")
    check(scene, "1000000")
    for number in range(1, 50):
        assert scene.pay(row(number, A, B, 1, "Y")) == [ACCEPTED]
    assert sum(judged) <= 1  # the first one finds out


def test_who_is_not_checked_never_is(judged: list[int]) -> None:
    """However much it has paid: 2^62 minor units are not much at scale 9."""
    scene = Scene(asset("X"), asset("Y"), cap=str(2**58))
    value(scene, "Y", "1")
    check(scene, "1", C)
    for number in range(1, 80):
        debtor, creditor = ((A, B), (B, A))[number % 2]
        assert scene.pay(row(number, debtor, creditor, 2**57, "X")) == [ACCEPTED]
        (batch,) = scene.close("X")
        scene.answer(batch)
    assert judged == []
