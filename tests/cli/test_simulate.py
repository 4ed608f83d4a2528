"""`simulate` and `replay --log-file`: the core over files, the same bytes each time (R29)."""

import json
from pathlib import Path
from typing import Any

import pytest

from clearing.failures import ExitCode
from tests.cli.run import Runner
from tests.verify.world import SCHEME

DAY = "2026-01-05"


def order(number: int, **fields: object) -> str:
    return json.dumps(
        {
            "type": "payment",
            "id": order_id(number),
            "debtor": "ALPHA",
            "creditor": "BRAVO",
            "asset": "HKD",
            "amount": "10.00",
            "value_date": DAY,
            "end_to_end_id": f"E{number}",
        }
        | fields
    )


def order_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


@pytest.fixture
def scheme(tmp_path: Path) -> Path:
    file = tmp_path / "scheme.toml"
    file.write_text(SCHEME)
    return file


def events(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines))
    return file


def statuses(result: dict[str, list[dict[str, Any]]], bank: str) -> list[tuple[str, str]]:
    told = [one["message"] for one in result["statuses"] if one["participant"] == bank]
    return [
        (status["status"], status.get("reason", ""))
        for message in told
        if message["type"] == "status"
        for status in message["statuses"]
    ]


def test_payments_become_statuses_batches_and_positions(
    run: Runner, scheme: Path, tmp_path: Path
) -> None:
    """Two accepted, one refused for its cap, one unreadable, one repeated; the window nets to zero."""
    file = events(
        tmp_path,
        order(1),
        order(2, debtor="BRAVO", creditor="ALPHA", amount="2.50"),
        order(3, amount="999999.00"),
        order(1),
        '{"raw": "nonsense", "owner": "ALPHA"}',
    )
    ended = run("simulate", scheme, file, "--json")
    assert ended.code == ExitCode.OK
    result = json.loads(ended.out)
    assert statuses(result, "ALPHA") == [
        ("ACSP", ""), ("RJCT", "AM23"), ("ACSP", ""), ("RJCT", "XSYN"),
    ]  # fmt: skip
    net = [batch for batch in result["batches"] if batch["kind"] == "net"]
    assert [(b["payments"], b["gross"]) for b in net] == [(2, "12.50")]
    assert {e["participant"]: e["net"] for e in net[0]["entries"]} == {
        "ALPHA": "-7.50",
        "BRAVO": "7.50",
    }
    held = {
        (p["participant"], p["asset"]): (p["prefunded"], p["position"]) for p in result["positions"]
    }
    assert held["ALPHA", "HKD"] == ("4992.50", "0.00")  # settled: from position to prefunded
    assert [rejected["reason"] for rejected in result["rejected"]] == ["XSYN"]


def test_the_same_files_give_the_same_bytes(
    run: Runner, scheme: Path, tmp_path: Path
) -> None:  # R29
    file = events(tmp_path, *(order(i) for i in range(50)))
    first, again = run("simulate", scheme, file).out, run("simulate", scheme, file).out
    assert first == again
    assert json.loads(first)["standing"]["remembered_ids"] == 50


def test_a_saved_log_gives_the_same_outputs(
    run: Runner, scheme: Path, tmp_path: Path
) -> None:  # R29
    """What was simulated, what its log gives, and what a replay of that log says: one chain."""
    file = events(
        tmp_path, *(order(i) for i in range(20)), '{"type":"close_window","id":"c","by":"me"}'
    )
    log, made, again, third = (tmp_path / name for name in ("hk.log", "1.out", "2.out", "3.out"))
    simulated = json.loads(
        run("simulate", scheme, file, "--log-out", log, "--outputs", made, "--json").out
    )
    from_log = json.loads(run("simulate", "--log", log, "--outputs", again, "--json").out)
    assert from_log == simulated
    ended = run("replay", "--log-file", log, "--outputs", third, "--json")
    assert ended.code == ExitCode.OK
    replayed = json.loads(ended.out)
    assert replayed["standing"] == simulated["standing"]
    assert replayed["positions"] == simulated["positions"]
    assert made.read_bytes() == again.read_bytes() == third.read_bytes()
    last = json.loads(made.read_bytes().splitlines()[-1])
    assert last["chain"] == simulated["standing"]["chain"]


def test_without_confirmations_the_window_stays_pending(
    run: Runner, scheme: Path, tmp_path: Path
) -> None:
    result = json.loads(
        run("simulate", scheme, events(tmp_path, order(1)), "--no-confirm", "--json").out
    )
    states = [e["state"] for e in result["events"] if e.get("window") == 1 and e["asset"] == "HKD"]
    assert states == ["OPEN", "PENDING_SETTLEMENT"]


def test_a_ledgers_refusal_among_the_events(
    run: Runner, scheme: Path, tmp_path: Path
) -> None:  # R4
    """The batch's id and hash are those of a first run: they are its content."""
    first = json.loads(
        run("simulate", scheme, events(tmp_path, order(1)), "--no-confirm", "--json").out
    )
    batch = next(one for one in first["batches"] if one["kind"] == "net")
    refusal = {
        "type": "confirmation",
        "ledger": "postgres",
        "batch": batch["id"],
        "hash": batch["hash"],
        "status": "REFUSED",
        "reason": "no money",
    }
    close = '{"type":"close_window","id":"simulate-close","by":"simulate"}'
    file = events(tmp_path, order(1), close, json.dumps(refusal))
    result = json.loads(run("simulate", scheme, file, "--no-confirm", "--no-close", "--json").out)
    states = [e["state"] for e in result["events"] if e.get("window") == 1 and e["asset"] == "HKD"]
    assert states == ["OPEN", "PENDING_SETTLEMENT", "FAILED"]


def ledger(answer: str, **fields: object) -> str:
    return json.dumps({"type": "ledger", "asset": "HKD", "answer": answer} | fields)


CLOSE = '{"type":"close_window","id":"c","by":"me","asset":"HKD"}'


def states(result: dict[str, Any], window: int = 1) -> list[str]:
    return [
        e["state"]
        for e in result["events"]
        if e["type"] == "window" and (e["window"], e["asset"]) == (window, "HKD")
    ]


def test_a_ledger_that_refuses_the_next_batch(
    run: Runner, scheme: Path, tmp_path: Path
) -> None:  # R4
    """And only that one: what is sent again is posted."""
    again = '{"type":"settle_window","id":"s","by":"me","asset":"HKD","window":1}'
    file = events(tmp_path, order(1), ledger("REFUSED", reason="no money"), CLOSE, again)
    result = json.loads(run("simulate", scheme, file, "--json").out)
    assert states(result) == [
        "OPEN", "PENDING_SETTLEMENT", "FAILED", "PENDING_SETTLEMENT", "SETTLED",
    ]  # fmt: skip
    failed = next(e for e in result["events"] if e.get("state") == "FAILED")
    assert failed["reason"] == "no money"


def test_a_ledger_says_who_is_short(run: Runner, scheme: Path, tmp_path: Path) -> None:  # R25
    scheme.write_text(SCHEME.replace('kind = "cash"', 'kind = "cash"\non_shortfall = "RECAST"', 1))
    short = {"ALPHA": "4.00"}
    file = events(tmp_path, order(1), ledger("REFUSED", short=short, reason="short"), CLOSE)
    result = json.loads(run("simulate", scheme, file, "--json").out)
    assert states(result) == ["OPEN", "PENDING_SETTLEMENT", "ABORTED", "SETTLED"]
    (gone,) = (item for told in result["resolutions"] for item in told["items"])
    assert (gone["id"], gone["amount"]) == ("00000000-0000-4000-8000-000000000001", "10.00")


def test_a_ledger_that_refuses_funding(run: Runner, scheme: Path, tmp_path: Path) -> None:  # R9
    fund = '{"type":"fund","id":"f","by":"me","participant":"ALPHA","asset":"HKD","amount":"7"}'
    file = events(tmp_path, ledger("REFUSED", kind="funding"), fund, order(1))
    result = json.loads(run("simulate", scheme, file, "--json").out)
    held = {(p["participant"], p["asset"]): p["prefunded"] for p in result["positions"]}
    assert held["ALPHA", "HKD"] == "4990.00"


@pytest.mark.parametrize("flag", ["--confirm", "--no-confirm"])
def test_a_ledger_that_keeps_everybody_waiting(
    run: Runner, scheme: Path, tmp_path: Path, flag: str
) -> None:
    waits = [ledger("WAITS")] if flag == "--confirm" else []
    file = events(tmp_path, order(1), *waits, CLOSE)
    result = json.loads(run("simulate", scheme, file, flag, "--json").out)
    assert states(result) == ["OPEN", "PENDING_SETTLEMENT"]
    file = events(tmp_path, order(1), *waits, CLOSE, ledger("POSTED"), order(2))
    result = json.loads(run("simulate", scheme, file, flag, "--json").out)
    assert states(result) == ["OPEN", "PENDING_SETTLEMENT", "SETTLED"]
    assert states(result, 2) == ["OPEN", "PENDING_SETTLEMENT", "SETTLED"]


def test_what_waits_in_the_end(run: Runner, scheme: Path, tmp_path: Path) -> None:  # R12
    scheme.write_text(SCHEME.replace('kind = "cash"', 'kind = "cash"\nqueue = "FIFO"', 1))
    urgent = order(2, amount="90000", priority="URGT")
    file = events(
        tmp_path, "# who comes first", order(1, amount="80000"), urgent, order(3, amount="1")
    )
    result = json.loads(run("simulate", scheme, file, "--json").out)
    waits = [(one["end_to_end_id"], one["priority"], one["place"]) for one in result["waiting"]]
    assert waits == [("E2", "URGT", 1), ("E1", "NORM", 2), ("E3", "NORM", 3)]
    held = {(p["participant"], p["asset"]): p for p in result["positions"]}
    assert held["ALPHA", "HKD"]["queued"] == "170001.00"
    assert held["ALPHA", "HKD"]["queued_payments"] == 3


def test_a_cancellation_goes_where_what_it_cancels_came_from(
    run: Runner, scheme: Path, tmp_path: Path
) -> None:  # R12
    scheme.write_text(SCHEME.replace('kind = "cash"', 'kind = "cash"\nqueue = "FIFO"', 1))
    paid = json.loads(order(1, amount="80000"))
    cancel = {"type": "cancel", "id": order_id(2), "original": paid, "reason": "CUST"}
    file = events(tmp_path, json.dumps(paid), json.dumps(cancel))
    result = json.loads(run("simulate", scheme, file, "--json").out)
    assert statuses(result, "ALPHA") == [("PDNG", ""), ("CNCL", ""), ("CANC", "CUST")]


def test_time_is_said_by_the_events(run: Runner, scheme: Path, tmp_path: Path) -> None:
    file = events(
        tmp_path,
        json.dumps({"at": f"{DAY}T08:00:00Z", "message": json.loads(order(1))}),
        json.dumps({"at": f"{DAY}T10:00:00+01:00", "message": json.loads(order(2))}),
        json.dumps({"at": f"{DAY}T09:00:05Z"}),
        order(3, expires_at=f"{DAY}T09:00:04Z"),
    )
    result = json.loads(run("simulate", scheme, file, "--json").out)
    assert statuses(result, "ALPHA") == [("ACSP", ""), ("ACSP", ""), ("RJCT", "TM01")]
    assert result["standing"]["time_ms"] > 1_767_603_605_000  # 09:00:05 UTC


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "events.jsonl:2: "),
        ("{}", "events.jsonl:2: a line has a type, or a message, raw or at"),
        ('{"raw": "x"}', "events.jsonl:2: a raw record needs its owner"),
        ('{"at": "2026-01-05T09:00:00"}', "has no zone"),
        ('{"type": "ledger", "asset": "HKD", "answer": "MAYBE"}', "Invalid enum value 'MAYBE'"),
        ('{"type": "ledger", "asset": "HKD", "answer": "WAITS", "x": 1}', "unknown field `x`"),
    ],
)
def test_a_line_that_is_no_event(
    run: Runner, scheme: Path, tmp_path: Path, line: str, said: str
) -> None:
    ended = run("simulate", scheme, events(tmp_path, order(1), line))
    assert ended.code == ExitCode.USAGE
    assert said in ended.err


def test_a_file_that_is_no_log(run: Runner, scheme: Path) -> None:
    for command in (("simulate", "--log"), ("replay", "--log-file")):
        ended = run(*command, scheme)
        assert ended.code == ExitCode.USAGE
        assert "is no log file" in ended.err


def test_a_damaged_log_halts(run: Runner, scheme: Path, tmp_path: Path) -> None:  # F14
    """A record of another kind in the log: nobody goes on past it."""
    from clearing import logfile

    log = tmp_path / "bad.log"
    logfile.write(log, "hk", [logfile.LogFileRecord(b"foreign/1", b"x", 0, 1)])
    ended = run("replay", "--log-file", log)
    assert ended.code == ExitCode.HALTED
    assert "log offset 0 has the unknown kind b'foreign/1'" in ended.err


def test_a_summary_for_people(run: Runner, scheme: Path, tmp_path: Path) -> None:
    """What became of each; of many, what became of how many."""
    ended = run("simulate", scheme, events(tmp_path, order(1)), "--summary")
    assert "Batch 7: HKD, window 1, 1 payments, gross 10.00: sent at" in ended.out
    assert "-10.00" in ended.out
    assert "E1   ALPHA   BRAVO   HKD      10.00   ACSP" in ended.out
    many = [order(number) for number in range(60)]
    ended = run("simulate", scheme, events(tmp_path, *many), "--summary")
    assert "What became of all" in ended.out
    assert [line.split() for line in ended.out.splitlines() if "ACSP" in line] == [["ACSP", "60"]]
