"""What a payment waits for: the limit that binds, and the amount that frees it, held against the engine itself."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core import snapshot
from clearing.core.commands import (
    Fund,
    SetBilateralLimit,
    SetCap,
    SetShortLimit,
    SetStatus,
    SetValuation,
)
from clearing.core.reasons import Code
from clearing.core.registry import QueuePolicy
from clearing.core.state import NettingSet
from clearing.core.waiting import Waiting
from clearing.explain.story import Binding, WaitingNow
from clearing.explain.waiting import Queues, bindings, freed_by, waiting_now
from tests.core.build import linked
from tests.core.scenes import BANKS, BYPASS, FIFO, A, B, C, D, Scene, asset, row

SEARCH_LATER_MS = 1_000


def waiting(scene: Scene, id_: int) -> Waiting:
    return scene.state.waiting[id_.to_bytes(16, "little").hex()]


def name(id_: int) -> str:
    return str(UUID(bytes=id_.to_bytes(16, "little")))


def now(scene: Scene, id_: int) -> WaitingNow:
    return waiting_now(Queues(scene.state), waiting(scene, id_))


def liquidity(scene: Scene) -> None:
    scene.pay(row(1, A, B, 15))


def cap(scene: Scene) -> None:
    scene.do(SetCap, participant=A, asset="HKD", net_debit_cap="3")
    scene.pay(row(1, A, B, 15))


def limit(scene: Scene) -> None:
    scene.do(SetBilateralLimit, participant=A, counterparty=B, asset="HKD", limit="4")
    scene.pay(row(1, A, B, 9))


def value(scene: Scene) -> None:
    """Its cap would allow a debt of 2, but nothing of worth stands against it."""
    scene.do(SetCap, participant=A, asset="HKD", net_debit_cap="9")
    scene.do(SetValuation, asset="HKD", price="1", haircut_bp=0, short_limit="5")
    scene.do(SetShortLimit, participant=A, limit="100")
    scene.pay(row(1, A, B, 12))


def suspended(scene: Scene) -> None:
    scene.pay(row(1, A, B, 15))
    scene.do(SetStatus, participant=B, status="SUSPENDED")


def behind(scene: Scene) -> None:
    scene.pay(row(2, A, C, 15), row(3, A, D, 2), row(1, A, B, 1))


def another_leg(scene: Scene) -> None:
    legs = linked(row(1, A, B, 2), row(2, B, A, 30, "GOLD"), link=9)
    scene.pay(*legs)


@pytest.mark.parametrize(
    ("arrange", "bound", "frees"),
    [
        (liquidity, [("LIQUIDITY", A, "", "HKD", 1, "5")], "5"),
        (cap, [("NET_DEBIT_CAP", A, "", "HKD", 1, "2")], "2"),
        (limit, [("BILATERAL_LIMIT", A, B, "HKD", 1, "5")], ""),
        (value, [("VALUE_CHECK", A, "", "HKD", 1, "2")], "2"),
        (suspended, [("SUSPENDED", B, "", "", 1, ""), ("LIQUIDITY", A, "", "HKD", 1, "5")], ""),
        (behind, [("FIFO", A, "", "HKD", 3, "17"), ("LIQUIDITY", A, "", "HKD", 2, "5")], "8"),
        (another_leg, [("LIQUIDITY", B, "", "GOLD", 2, "20")], ""),
    ],
)
def test_the_limit_that_binds_and_what_frees_it(
    arrange: Callable[[Scene], None], bound: list[tuple[str, str, str, str, int, str]], frees: str
) -> None:
    """R8, R9, R10, R13, R20, R32: everybody has 10 of everything."""
    scene = Scene(asset(queue=FIFO), asset("GOLD", queue=FIFO), held="10")
    scene.pair("GOLD", "HKD")
    arrange(scene)
    told = now(scene, 1)
    wanted = [
        Binding(
            limit=limit,
            participant=participant,
            counterparty=counterparty,
            asset=of,
            payment=name(number),
            lacks=lacks,
        )
        for limit, participant, counterparty, of, number, lacks in bound
    ]
    assert (told.binds, told.frees) == (wanted, frees)


def test_place_in_the_queue_and_who_waits_for_whom() -> None:
    """R12, R16: a circle of three that cannot leave, and one who waits for it."""
    scene = Scene()
    scene.pay(row(1, A, B, 5), row(2, B, C, 7), row(3, C, A, 4), row(4, A, C, 3), row(5, D, A, 1))
    told = now(scene, 4)
    assert (told.position, told.queued, told.ahead) == (2, 2, [name(1)])
    assert [(w.waits_for, w.amount, w.why) for w in told.waits_for] == [
        (C, "4", "money"),
        (D, "1", "money"),
    ]
    assert told.circle == [A, B, C]
    assert now(scene, 5).circle == []


def test_what_leaves_with_the_next_search_lacks_nothing() -> None:
    """A search for sets that found nothing is not repeated at once (R14)."""
    scene = Scene()
    useless = [row(number, C, D, 100) for number in range(10, 110)]
    scene.pay(row(1, A, B, 5), row(2, B, A, 3), *useless)
    scene.pay(row(3, B, A, 2))
    assert (scene.queue(A), scene.queue(B)) == ([1], [2, 3])
    assert [now(scene, number).frees for number in (1, 2, 3)] == ["0", "0", "0"]
    scene.tick(scene.log.time_ms + SEARCH_LATER_MS)
    assert (scene.queue(A), scene.queue(B)) == ([], [])


def test_missing_legs_are_named() -> None:  # R19
    scene = Scene(asset(queue=FIFO), asset("GOLD", queue=FIFO))
    legs = linked(row(1, A, B, 2), row(2, B, C, 30, "GOLD"), row(3, C, A, 1), link=9)
    scene.pay(legs[1])
    told = now(scene, 2)
    assert (told.position, told.missing_legs, told.frees) == (0, [0, 2], "")
    assert [bound.limit for bound in told.binds] == ["LINK"]


def test_value_that_no_amount_of_the_asset_mends() -> None:
    """Owing too much in one asset, a debit in another one cannot be paid for with that other one."""
    scene = Scene(asset(queue=FIFO), asset("GOLD", queue=FIFO), held="10", cap="10")
    for code in ("HKD", "GOLD"):
        scene.do(SetValuation, asset=code, price="1", haircut_bp=0, short_limit="5")
    scene.do(SetShortLimit, participant=A, limit="100")
    scene.pay(row(9, A, B, 15, "GOLD"))
    scene.do(SetValuation, asset="GOLD", price="1", haircut_bp=0, short_limit="1")
    scene.pay(row(1, A, B, 1))
    assert [(b.limit, b.lacks) for b in now(scene, 1).binds] == [("VALUE_CHECK", "")]
    assert now(scene, 1).frees == ""


# --- against the engine --------------------------------------------------------------------------------------

banks = st.sampled_from(BANKS)
payments = st.lists(
    st.tuples(banks, banks, st.integers(1, 9), st.integers(0, 2)).filter(lambda p: p[0] != p[1]),
    min_size=1,
    max_size=12,
)


def scene_of(policy: QueuePolicy, orders: list[tuple[str, str, int, int]], held: int) -> Scene:
    scene = Scene(asset(queue=policy), held=str(held))
    for number, (debtor, creditor, amount, priority) in enumerate(orders, start=1):
        scene.pay(row(number, debtor, creditor, amount, priority=priority))
    return scene


def copied(state: NettingSet) -> NettingSet:
    return snapshot.load(memoryview(b"".join(snapshot.dump(state))), state.seed)


def leaves_with(scene: Scene, item: Waiting, extra: int) -> bool:
    """What the engine does: the command, and time for its next search. The scene is put back."""
    kept = scene.state, replace(scene.log, sources=dict(scene.log.sources))
    try:
        scene.state = copied(scene.state)
        if extra:
            spec, debtor = scene.state.assets[item.asset].spec, scene.state.name_of(item.debtor)
            assert scene.do(Fund, participant=debtor, asset=spec.id, amount=str(extra)) == ""
        scene.tick(scene.log.time_ms + SEARCH_LATER_MS)
        code = scene.state.ids.look_up(bytes.fromhex(item.id))
        return code is not None and code[1] == Code.ACCEPTED
    finally:
        scene.state, scene.log = kept


@given(st.sampled_from([FIFO, BYPASS]), payments, st.integers(0, 6))
def test_the_amount_told_frees_it_in_the_engine(
    policy: QueuePolicy, orders: list[tuple[str, str, int, int]], held: int
) -> None:
    """R9, R15: and under FIFO not a unit less does."""
    scene = scene_of(policy, orders, held)
    queues = Queues(scene.state)
    for item in list(scene.state.waiting.values()):
        extra = freed_by(queues, item)
        assert extra is not None, "there is always an amount that frees it"
        assert leaves_with(scene, item, extra)
        if policy is FIFO and extra:
            assert not leaves_with(scene, item, extra - 1)


@given(payments, st.integers(0, 6))
def test_telling_changes_nothing(orders: list[tuple[str, str, int, int]], held: int) -> None:
    scene = scene_of(BYPASS, orders, held)
    before = b"".join(snapshot.dump(scene.state))
    for item in list(scene.state.waiting.values()):
        assert bindings(scene.state, item)
        waiting_now(Queues(scene.state), item)
    assert b"".join(snapshot.dump(scene.state)) == before
