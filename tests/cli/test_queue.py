"""`clearing queue`: what waits, in order, since when, and why nothing leaves."""

import json
from pathlib import Path

import pytest

from clearing.cli.queue_tables import PAYMENTS_SHOWN
from clearing.core.commands import SetShortLimit, SetStatus, SetValuation
from clearing.failures import ExitCode
from clearing.simulate import STEP_MS
from tests.cli.run import Runner
from tests.core.build import NOON_MS
from tests.explain.town import A, B, C, D, Town, trade, uuid


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def town() -> Town:
    """A circle of three that is short of 3, one leg alone, and one that waits for nobody in another asset."""
    town = Town()
    town.pays(1, A, B, 15)
    town.pays(2, A, C, 3, priority="URGT")
    town.pays(3, B, C, 12, expires_at="2024-10-04T13:00:00Z")
    town.pays(4, C, A, 7)
    town.pays(5, D, A, 4, asset="BYP")
    town.send(trade(90, town.order(6, A, B, 5, asset="BOND"), town.order(7, B, A, 40))[1])
    return town


def test_what_waits_in_order_and_why(run: Runner, town: Town, tmp_path: Path) -> None:
    """R12, R16, R19."""
    told = lines(run("queue", "--log", town.save(tmp_path / "hk.log")).out)
    assert told[0].startswith("hk: 6 payments wait: 4 BYP, 77 HKD log offset")
    at = told.index("Queues, the first to leave first") + 3
    assert told[at : at + 5] == [
        f"HKD ALPHA 0 1 {uuid(2)} CHARLIE 3 URGT 12:00:00 3 HKD (LIQUIDITY)",
        f"2 {uuid(1)} BRAVO 15 12:00:00 those before it",
        f"HKD BRAVO 0 1 {uuid(3)} CHARLIE 12 12:00:00 12 HKD (LIQUIDITY)",
        f"HKD CHARLIE 0 1 {uuid(4)} ALPHA 7 12:00:00 7 HKD (LIQUIDITY)",
        f"BYP DELTA 0 1 {uuid(5)} ALPHA 4 12:00:00 4 BYP (LIQUIDITY)",
    ]
    at = told.index("Legs that wait for others of their link") + 3
    assert told[at] == f"HKD BRAVO 0 1 {uuid(7)} ALPHA 40 12:00:00 legs that have not arrived: 1"
    assert told[told.index("Deadlock: nothing can leave") + 1 :] == [
        "ALPHA waits for CHARLIE in HKD, whose payments would bring it 7 HKD",
        "BRAVO waits for ALPHA in HKD, whose payments would bring it 15 HKD",
        "CHARLIE waits for ALPHA in HKD, whose payments would bring it 3 HKD",
        "CHARLIE waits for BRAVO in HKD, whose payments would bring it 12 HKD",
        "in a circle: ALPHA, BRAVO, CHARLIE",
        "3 HKD more for ALPHA: the least that frees something",
        "for everything to leave at once: 11 HKD for ALPHA, 4 BYP for DELTA",
    ]


def test_without_a_circle_it_is_no_deadlock(run: Runner, tmp_path: Path) -> None:
    """R16: one bank lacks money, and nobody waits for anybody."""
    town = Town()
    town.pays(5, D, A, 4, asset="BYP")
    told = lines(run("queue", "--log", town.save(tmp_path / "hk.log")).out)
    assert told[told.index("Nothing can leave") + 1 :] == [
        "4 BYP more for DELTA: the least that frees something",
        "for everything to leave at once: 4 BYP for DELTA",
    ]


def test_the_same_for_machines(run: Runner, town: Town, tmp_path: Path) -> None:
    log = town.save(tmp_path / "hk.log")
    report = json.loads(run("queue", "--log", log, "--json").out)
    first = report["queues"][0]
    assert (first["participant"], first["policy"], first["value"]) == (A, "FIFO", "18")
    assert [(p["payment"], p.get("bound", {}).get("limit")) for p in first["payments"]] == [
        (str(uuid(2)), "LIQUIDITY"),
        (str(uuid(1)), "FIFO"),
    ]
    since = {p["log_offset"]: p["since_ms"] for q in report["queues"] for p in q["payments"]}
    assert since == {r.offset: r.time_ms for r in town.records if r.offset in since}
    assert report["queues"][1]["payments"][0]["expires_at_ms"] == NOON_MS + 3_600_000
    assert report["deadlock"]["free_any"] == {"participant": A, "asset": "HKD", "amount": "3"}
    only = json.loads(run("queue", "--asset", "BYP", "--log", log, "--json").out)
    assert [q["asset"] for q in only["queues"]] == ["BYP"]
    assert (only["payments"], only["value"], only["incomplete"]) == (1, {"BYP": "4"}, [])


def test_kept_for_a_suspended_bank(run: Runner, tmp_path: Path) -> None:  # R32
    town = Town()
    town.pays(1, A, B, 9)
    town.do(SetStatus(id="x", by="op", participant=B, status="SUSPENDED"))
    told = lines(run("queue", "--log", town.save(tmp_path / "hk.log")).out)
    assert any(line.endswith("BRAVO, suspended") for line in told)
    assert "no liquidity frees anything: see what each waits for" in told


def test_what_fails_the_value_check_is_no_deadlock_of_liquidity(
    run: Runner, tmp_path: Path
) -> None:  # R10
    town = Town(held="5", cap="20")
    town.do(SetValuation(id="v", by="op", asset="BYP", price="1", haircut_bp=0))
    town.do(SetShortLimit(id="s", by="op", participant=A, limit="100"))
    town.pays(1, A, B, 9, asset="BYP")
    told = lines(run("queue", "--log", town.save(tmp_path / "hk.log")).out)
    assert any(line.endswith("4 BYP (VALUE_CHECK)") for line in told)
    assert told[-1] == "Nothing can leave: whoever could pay would fail the value check."


def test_what_the_next_search_releases(run: Runner, tmp_path: Path) -> None:  # R14
    """A search that found nothing is not repeated at once."""
    town = Town()
    useless = [town.order(number, C, D, 100) for number in range(10, 110)]
    for message in (town.order(1, A, B, 5), town.order(2, B, A, 3), *useless):
        town.pay(message["debtor"], json.dumps(message).encode())
    town.flush()
    town.now_ms -= STEP_MS  # within the same millisecond
    town.pays(3, B, A, 2)
    told = lines(run("queue", "--log", town.save(tmp_path / "hk.log")).out)
    assert told[-1] == "Something can leave: the engine's next search releases it."


def test_nothing_waits(run: Runner, tmp_path: Path) -> None:
    town = Town(held="5")
    log = town.save(tmp_path / "hk.log")
    assert lines(run("queue", "--log", log).out)[0].startswith("hk: nothing waits log offset")
    report = json.loads(run("queue", "--log", log, "--json").out)
    assert (report["queues"], report["deadlock"], report["can_leave"]) == ([], None, False)


def test_many_are_not_all_shown(run: Runner, tmp_path: Path) -> None:
    town = Town()
    for number in range(PAYMENTS_SHOWN + 5):
        town.pay(A, json.dumps(town.order(number, A, B, 1)).encode())
    told = run("queue", "--log", town.save(tmp_path / "hk.log")).out
    assert f"({PAYMENTS_SHOWN} of {PAYMENTS_SHOWN + 5}, all of them with --json)" in told
    assert told.count("00000000-0000-4000-8000") == PAYMENTS_SHOWN


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--watch",), "a saved log does not grow"),
        (("--netting-set", "eu"), "is of netting set hk"),
        (("--asset", "GOLD"), "does not clear 'GOLD'"),
    ],
)
def test_what_cannot_be_shown(
    run: Runner, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = run("queue", "--log", Town().save(tmp_path / "hk.log"), *arguments)
    assert (ended.code, said in ended.err) == (ExitCode.USAGE, True)
