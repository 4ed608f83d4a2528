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
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "debtor": "ALPHA",
            "creditor": "BRAVO",
            "asset": "HKD",
            "amount": "10.00",
            "value_date": DAY,
            "end_to_end_id": f"E{number}",
        }
        | fields
    )


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
    ended = run("simulate", scheme, events(tmp_path, order(1)), "--summary")
    assert "Batch 7: HKD, window 1, 1 payments, gross 10.00" in ended.out
    assert "-10.00" in ended.out
