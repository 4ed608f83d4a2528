"""`clearing explain` over saved logs: what people read, what machines read, and how it ends."""

import json
from pathlib import Path

import pytest

from clearing import logfile
from clearing.core.commands import Fund, SetPool
from clearing.failures import ExitCode
from tests.cli.run import Runner
from tests.explain.town import A, B, C, Town, trade, uuid


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


def lines(text: str) -> list[str]:
    """As they are printed, blanks run together."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_a_life_step_by_step(run: Runner, tmp_path: Path) -> None:  # R23
    """Each step once, in the order in which it happened, with time and place."""
    town = Town(held="10")
    order = town.pays(1, A, B, 15)
    town.send(order)
    town.pays(2, B, A, 12)
    town.post(*town.close("HKD"))
    town.pays(3, B, A, 1)
    at = town.records[-1].offset
    ended = run("explain", uuid(1), "--log", town.save(tmp_path / "hk.log"))
    assert ended.code == ExitCode.OK
    told = lines(ended.out)
    assert told[0] == f"payment {uuid(1)} ALPHA → BRAVO 15 HKD NORM end-to-end id E1"
    assert told[1] == (
        f"ACSC final: the ledger has confirmed it netting set hk, as of log offset {at + 1}"
    )
    batch = town.batches[-1]
    waits = "it waits for liquidity or for the other legs of its link"
    repeat = f"payment {uuid(1)} 15 HKD: PDNG ({waits}), a repeat of no effect"
    released = "released against what its creditor owes in return, in window 1"
    steps = [line.split(" ", 3)[2:] for line in told[4:]]
    assert steps == [
        [f"{at - 5}", "ENTERED from payments.hk.ALPHA offset 0, row 0"],
        [f"{at - 5}", f"PDNG: {waits}"],
        [f"{at - 4}", f"the same id again, {repeat}, from payments.hk.ALPHA offset 1"],
        [f"{at - 3}", f"IRREVOCABLE: 15 HKD {released}, together with {uuid(2)}"],
        [
            f"{at - 2}",
            f"batch {batch.id} (net v1, sequence {batch.sequence}) to postgres: 2 payments, ALPHA -3, BRAVO 3",
        ],
        [f"{at - 1}", "ledger postgres has posted it"],
        [f"{at - 1}", "FINAL: window 1 is settled"],
    ]
    assert told[4].startswith("2024-10-04 12:00:00.")


def test_what_it_waits_for_is_said_with_the_amount(run: Runner, tmp_path: Path) -> None:  # R16
    town = Town(held="10")
    town.pays(2, A, C, 25)
    town.pays(1, A, B, 3)
    town.pays(3, C, A, 12)
    town.do(Fund(id="f", by="op", participant=C, asset="HKD", amount="-10"))
    log = town.save(tmp_path / "hk.log")
    told = run("explain", uuid(1), "--log", log).out
    now = lines(told.partition("Now")[2])
    assert now == [
        "number 2 of 2 in the queue of ALPHA in HKD (FIFO), 3 HKD; the account has 10 left",
        f"25 HKD of ALPHA come first; right before it {uuid(2)}",
        f"LIQUIDITY of ALPHA: 15 HKD too little for {uuid(2)}",
        "6 HKD more on the account of ALPHA would free it at once",
        "ALPHA waits for CHARLIE in HKD, whose payments would bring it 12 HKD",
        "in a circle that waits for itself: ALPHA, CHARLIE",
    ]
    document = json.loads(run("explain", uuid(1), "--log", log, "--json").out)
    assert document["waiting"]["frees"] == "6"
    assert [bound["limit"] for bound in document["waiting"]["binds"]] == ["FIFO", "LIQUIDITY"]
    assert (document["status"], document["finality"]["irrevocable"]) == ("PDNG", None)


def test_refused_with_its_reason(run: Runner, tmp_path: Path) -> None:
    town = Town()
    town.pays(1, A, B, 3, asset="PLAIN")
    told = lines(run("explain", uuid(1), "--log", town.save(tmp_path / "hk.log")).out)
    assert told[1].startswith("RJCT refused, AM04: not enough liquidity")
    assert told[-1].endswith("RJCT AM04: not enough liquidity")


def test_every_leg_of_its_link(run: Runner, tmp_path: Path) -> None:  # R19
    town = Town(held="5")
    for leg in trade(9, town.order(1, A, B, 5, asset="BOND"), town.order(2, B, A, 40)):
        town.send(leg)
    town.send(trade(8, town.order(3, B, C, 1), town.order(4, C, B, 1, asset="BOND"))[0])
    log = town.save(tmp_path / "hk.log")
    told = run("explain", uuid(2), "--log", log).out
    at = lines(told).index("leg payment from to amount status")
    assert lines(told)[at + 2 : at + 4] == [
        f"1 {uuid(1)} ALPHA BRAVO 5 BOND PDNG",
        f"2 {uuid(2)} BRAVO ALPHA 40 HKD PDNG",
    ]
    assert "LIQUIDITY of BRAVO: 35 HKD too little" in told
    alone = run("explain", uuid(3), "--log", log).out
    assert "of the legs 1 to 2 there is none yet for 1" in alone


def test_a_shortfall_and_a_recast_in_words(run: Runner, tmp_path: Path) -> None:  # R25
    town = Town(held="50")
    town.do(SetPool(id="pool", by="op", asset="HKD", amount="100"))
    for number, asset in ((1, "HKD"), (2, "HARD")):
        town.pays(number, A, B, 30, asset=asset)
        (batch,) = town.close(asset)
        town.refuse(batch, **{A: "30"})
    log = town.save(tmp_path / "hk.log")
    borne, taken = (run("explain", uuid(number), "--log", log).out for number in (1, 2))
    assert "ledger postgres has refused it (no money): ABORTED" in borne
    assert "2 payments" not in borne
    assert "v2" in borne
    assert lines(taken)[1].startswith("RJCT taken out of its window again")
    assert "taken out of window 1 again: a party could not pay (RJCT XREC)" in taken


@pytest.mark.parametrize("as_json", [False, True])
def test_an_id_that_nobody_knows(run: Runner, tmp_path: Path, as_json: bool) -> None:
    log = Town().save(tmp_path / "hk.log")
    ended = run("explain", uuid(7), "--log", log, *(["--json"] if as_json else []))
    assert (ended.code, ended.out) == (ExitCode.FAILED, "")
    assert f"no payment and no instruction has the id {uuid(7)}" in ended.err
    assert "next:     clearing status" in ended.err


def test_what_is_no_id_and_no_log(run: Runner, tmp_path: Path) -> None:
    log = Town().save(tmp_path / "hk.log")
    ended = run("explain", "E1", "--log", log)
    assert (ended.code, "'E1' is no UUID" in ended.err) == (ExitCode.USAGE, True)
    (tmp_path / "nonsense").write_text("x")
    ended = run("explain", uuid(1), "--log", tmp_path / "nonsense")
    assert (ended.code, "is no log file" in ended.err) == (ExitCode.USAGE, True)
    ended = run("explain", uuid(1), "--log", tmp_path / "missing")
    assert ended.code == ExitCode.USAGE


def test_a_log_that_cannot_be_read_halts(run: Runner, tmp_path: Path) -> None:
    town = Town(held="5")
    town.pays(1, A, B, 1)
    records = [*town.records, logfile.LogFileRecord(b"foreign/1", b"x", town.now_ms, 1)]
    logfile.write(tmp_path / "bad.log", "hk", records)
    ended = run("explain", uuid(1), "--log", tmp_path / "bad.log")
    assert (ended.code, "unknown kind" in ended.err) == (ExitCode.HALTED, True)


def test_free_text_does_not_steer_the_terminal(run: Runner, tmp_path: Path) -> None:
    """A ledger's reason is shown as it is."""
    town = Town(held="5")
    town.pays(1, A, B, 1, asset="PLAIN")
    town.refuse(*town.close("PLAIN"), reason="[bold]no[/bold] :boom:")
    told = run("explain", uuid(1), "--log", town.save(tmp_path / "hk.log")).out
    assert "has refused it ([bold]no[/bold] :boom:): FAILED" in told
