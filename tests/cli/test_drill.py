"""`clearing drill`: cover-1 on a copy: who pays what, to the last unit, and nothing is changed (R26)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core import snapshot
from clearing.core.commands import SetCollateral, SetPool
from clearing.core.outputs import ShortfallEvent
from clearing.explain.drill import drill_report
from clearing.failures import ExitCode
from tests.cli.run import Runner
from tests.core.scenes import BANKS as SCENE_BANKS
from tests.core.scenes import RECAST, WATERFALL, Scene, asset, row
from tests.explain.town import A, B, C, D, Town


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def secured(town: Town, asset: str, collateral: str, pool: str) -> None:
    town.do(SetPool(id=f"pool-{asset}", by="op", asset=asset, amount=pool))
    town.do(
        SetCollateral(id=f"coll-{asset}", by="op", participant=A, asset=asset, amount=collateral)
    )


@pytest.fixture
def town() -> Town:
    """ALPHA owes 90 HKD: 60 to BRAVO, 40 to CHARLIE, who owes it 10. It has 20, and may owe 100."""
    town = Town(held="20", cap="100")
    secured(town, "HKD", collateral="25", pool="5")
    town.pays(1, A, B, 60)
    town.pays(2, A, C, 40)
    town.pays(3, C, A, 10)
    return town


def test_who_pays_what(run: Runner, town: Town, tmp_path: Path) -> None:
    """R25: prefunding, collateral, pool, then survivors by their credits: 60 to 40 of the 40 that are left."""
    log = town.save(tmp_path / "hk.log")
    ended = run("drill", "--log", log, "--json")
    assert ended.code == ExitCode.OK
    report = json.loads(ended.out)
    (one,) = report["failures"]
    assert one == {
        "asset": "HKD",
        "rule": "WATERFALL",
        "participant": A,
        "owed": "90",
        "prefunded": "20",
        "lacking": "70",
        "uncovered": "0",
        "by_credits": True,
        "pays": {"collateral": "25", "pool": "5", "survivors": {B: "24", C: "16"}},
        "could_pay": None,
        "beyond": "",
        "recast": None,
        "batches": [],
    }
    assert (report["covered"], report["quiet"]) == (True, ["BYP", "BOND", "PAIR", "HARD", "PLAIN"])
    told = lines(run("drill", "--log", log).out)
    assert "HKD WATERFALL ALPHA 90 20 70 0" in told
    assert told[-7:] == [
        "HKD: ALPHA lacks 70",
        "25 from collateral of ALPHA, 5 from the pool",
        "from those whom it owes, by their credits:",
        "BRAVO 24",
        "CHARLIE 16",
        "nobody owes in BYP, BOND, PAIR, HARD, PLAIN",
        "Everything is covered by the assets' rules.",
    ]


def test_more_than_all_of_them_have(run: Runner, tmp_path: Path) -> None:
    """A creditor bears no more than it is to receive: BRAVO passes on what it gets."""
    town = Town(held="20", cap="100")
    secured(town, "HKD", collateral="1", pool="2")
    town.pays(1, A, B, 60)
    town.pays(2, B, C, 55)
    log = town.save(tmp_path / "hk.log")
    ended = run("drill", "--log", log, "--json")
    (one,) = json.loads(ended.out)["failures"]
    assert ended.code == ExitCode.FAILED
    assert one["pays"] == {"collateral": "1", "pool": "2", "survivors": {B: "5"}}
    assert (one["lacking"], one["uncovered"]) == ("40", "32")
    told = lines(run("drill", "--log", log).out)
    assert "32 are beyond all of them: the window would have FAILED" in told
    assert told[-1] == "Not everything is covered by the assets' rules."


def test_hold_covers_nothing_before_operators_decide(run: Runner, tmp_path: Path) -> None:
    town = Town(held="20", cap="100")
    secured(town, "PLAIN", collateral="1", pool="2")
    town.pays(1, A, B, 60, asset="PLAIN")
    town.pays(2, A, C, 6, asset="BYP")
    log = town.save(tmp_path / "hk.log")
    ended = run("drill", "--log", log, "--json")
    covered, held = json.loads(ended.out)["failures"]
    assert ended.code == ExitCode.FAILED
    assert (covered["asset"], covered["lacking"], covered["uncovered"]) == ("BYP", "0", "0")
    assert (held["rule"], held["pays"], held["uncovered"], held["beyond"]) == (
        "HOLD",
        None,
        "40",
        "0",
    )
    assert held["could_pay"] == {"collateral": "1", "pool": "2", "survivors": {B: "37"}}
    told = lines(run("drill", "--log", log).out)
    assert "fund ALPHA with 40 and settle the window again, or abort it;" in told
    assert run("drill", "--asset", "BYP", "--log", log).code == ExitCode.OK


def test_a_recast_takes_its_payments_out(run: Runner, tmp_path: Path) -> None:
    """BRAVO counted on 30 to pay CHARLIE 55: without them it lacks 5, its 20 and its overdraft of 30 used."""
    town = Town(held="20", cap="30")
    town.pays(1, A, B, 30, asset="HARD")
    town.pays(2, B, C, 55, asset="HARD")
    town.close("HARD")
    town.pays(3, D, A, 5, asset="HARD")
    log = town.save(tmp_path / "hk.log")
    ended = run("drill", "--participant", A, "--log", log, "--json")
    (one,) = json.loads(ended.out)["failures"]
    assert ended.code == ExitCode.FAILED
    assert (one["owed"], one["lacking"], one["uncovered"]) == ("25", "5", "5")
    assert one["recast"] == {
        "payments": 2,
        "gross": "35",
        "changes": {B: "-30", D: "5"},
        "short": {B: "5"},
    }
    assert one["batches"] == [town.batches[-1].id]
    told = lines(run("drill", "--participant", A, "--log", log).out)
    assert "BRAVO counted on them and would be short of 5" in told
    assert f"under way: {town.batches[-1].id}" in told


def test_the_one_that_is_named_fails_in_every_asset(run: Runner, tmp_path: Path) -> None:
    town = Town(held="20", cap="100")
    for number, code in enumerate(("HKD", "HARD", "PLAIN")):
        town.pays(number, B, A, 10, asset=code)
        town.pays(number + 10, C, A, 90, asset=code)
    report = json.loads(
        run("drill", "--participant", B, "--log", town.save(tmp_path / "hk.log"), "--json").out
    )
    assert [(f["asset"], f["participant"], f["lacking"]) for f in report["failures"]] == [
        ("HKD", B, "0"),
        ("HARD", B, "0"),
        ("PLAIN", B, "0"),
    ]
    assert report["covered"] is True


def test_nobody_owes_and_nobody_is_known(run: Runner, tmp_path: Path) -> None:
    log = Town(held="5").save(tmp_path / "hk.log")
    ended = run("drill", "--log", log)
    assert (ended.code, "nobody owes anything in HKD, BYP" in ended.out) == (ExitCode.OK, True)
    ended = run("drill", "--participant", "NOBODY", "--log", log)
    assert (ended.code, "no participant NOBODY" in ended.err) == (ExitCode.USAGE, True)
    ended = run("drill", "--asset", "GOLD", "--log", log)
    assert (ended.code, "does not clear 'GOLD'" in ended.err) == (ExitCode.USAGE, True)


# --- sums, and against what the engine does --------------------------------------------------------------------

banks = st.sampled_from(SCENE_BANKS)
payments = st.lists(
    st.tuples(banks, banks, st.integers(1, 40)).filter(lambda p: p[0] != p[1]), max_size=10
)
amounts = st.integers(0, 20)


def _scene(orders: list[tuple[str, str, int]], rule: object, collateral: int, pool: int) -> Scene:
    scene = Scene(asset(on_shortfall=rule), held="10", cap="1000")
    scene.do(SetPool, asset="HKD", amount=str(pool))
    for bank in SCENE_BANKS:
        scene.do(SetCollateral, participant=bank, asset="HKD", amount=str(collateral))
    for number, (debtor, creditor, amount) in enumerate(orders, start=1):
        scene.pay(row(number, debtor, creditor, amount))
    return scene


@given(payments, st.sampled_from([WATERFALL, RECAST]), amounts, amounts)
def test_sums_are_exact_and_nothing_is_changed(
    orders: list[tuple[str, str, int]], rule: object, collateral: int, pool: int
) -> None:
    scene = _scene(orders, rule, collateral, pool)
    before = b"".join(snapshot.dump(scene.state))
    reports = [drill_report(scene.state, 1)]
    reports += [drill_report(scene.state, 1, bank) for bank in SCENE_BANKS]
    assert b"".join(snapshot.dump(scene.state)) == before
    for one in (failure for report in reports for failure in report.failures):
        assert int(one.owed) == int(one.prefunded) + int(one.lacking) > 0
        if one.pays is not None:
            paid = int(one.pays.collateral) + int(one.pays.pool)
            paid += sum(map(int, one.pays.survivors.values()))
            assert paid + int(one.uncovered) == int(one.lacking)
        if one.recast is not None:
            assert sum(map(int, one.recast.changes.values())) == -int(one.owed)
    largest = max((int(f.owed) for report in reports[1:] for f in report.failures), default=0)
    assert [int(f.owed) for f in reports[0].failures] == ([largest] if largest else [])


@given(payments, amounts, amounts)
def test_the_drill_says_what_the_engine_then_does(
    orders: list[tuple[str, str, int]], collateral: int, pool: int
) -> None:
    """R25: the window closes, the ledger refuses what the drill says is lacking."""
    scene = _scene(orders, WATERFALL, collateral, pool)
    (told, *_) = drill_report(scene.state, 1).failures or [None]
    if told is None or told.lacking == "0":
        return
    (batch,) = scene.close("HKD")
    scene.answer(batch, "REFUSED", short={told.participant: told.lacking})
    events = scene.events(ShortfallEvent)
    assert told.pays is not None
    if told.uncovered != "0":
        assert (events, scene.windows) == ([], [("HKD", 1, 1, "FAILED")])
    else:
        (event,) = events
        assert (event.collateral, event.pool, event.survivors) == (
            told.pays.collateral,
            told.pays.pool,
            told.pays.survivors,
        )
