"""The commands as a user types them, each a process of its own, against real servers and services.

One installation for the whole module, in the order of the file; the last test damages it.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from clearing import kafka
from clearing.config import Settings
from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.services import Services, supervised
from clearing.failures import ExitCode

TIMEOUT_S = 120
DATABASE = "command_line"

SCHEME = """
name = "Command line"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
kind = "cash"
scale = 2
value_days_ahead = 2
accounts = { prefunded = "5000", net_debit_cap = "20000" }
[participants.ALPHA]
name = "Alpha"
[participants.BRAVO]
name = "Bravo"
[participants.CHARLIE]
name = "Charlie"
"""


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Installation:
    """An installation that is used by commands only."""

    def __init__(self, settings: Settings, folder: Path, services: Services) -> None:
        self.settings = settings
        self.folder = folder
        self.services = services
        self._orders = 0

    async def __call__(self, *arguments: object, stdin: str = "") -> Ran:
        process = await start(self.settings, self.folder, *arguments)
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    def order(self, debtor: str, creditor: str, amount: str, **fields: object) -> str:
        self._orders += 1
        return json.dumps(
            {
                "type": "payment",
                "id": f"00000000-0000-4000-8000-{self._orders:012d}",
                "debtor": debtor,
                "creditor": creditor,
                "asset": "HKD",
                "amount": amount,
                # Valid at either side of midnight.
                "value_date": str(datetime.now(UTC).date() + timedelta(days=1)),
                "end_to_end_id": f"E{self._orders}",
            }
            | fields
        )

    async def told(self, bank: str, count: int) -> list[dict[str, Any]]:
        """What a bank was told, from its first record on: waits until it is so much."""
        ended = await self("follow", "status", bank, "--from-start", "--count", count, "--json")
        assert ended.code == ExitCode.OK, ended.err
        return ended.lines


async def start(settings: Settings, folder: Path, *arguments: object) -> asyncio.subprocess.Process:
    """A `clearing` process with these settings by environment and nothing of the machine's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLEARING_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clearing", *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=clean
        | {
            "CLEARING_BOOTSTRAP": settings.bootstrap,
            "CLEARING_DSN": settings.dsn,
            "CLEARING_TOPIC_PREFIX": settings.topic_prefix,
            "CLEARING_SNAPSHOTS": settings.snapshots,
            "COLUMNS": "160",
        },
    )


@pytest.fixture(scope="module")
async def clearing(
    bootstrap: str, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """A scheme loaded, a ledger migrated, services at work: all by command."""
    folder = tmp_path_factory.mktemp("cli")
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    settings = Settings(
        bootstrap=bootstrap,
        dsn=postgres.dsn_of(DATABASE),
        topic_prefix="cli-",
        snapshots=str(folder / "snapshots"),
    )
    (folder / "scheme.toml").write_text(SCHEME)
    try:
        async with supervised(settings, folder / "services", {}) as services:
            installation = Installation(settings, folder, services)
            loaded = await installation("scheme", "load", "scheme.toml", "--json")
            assert loaded.code == ExitCode.OK, loaded.err
            assert loaded.data["netting_sets"] == {"hk": 0}
            assert {c["command"]["type"] for c in loaded.data["commands"]} == {
                "register_asset",
                "register_participant",
                "open_account",
            }
            sink = await start(settings, folder, "sink", "--migrate")
            await _until_ready(sink)
            sink.send_signal(signal.SIGTERM)
            assert await sink.wait() == ExitCode.OK
            services.start("intake-1", "engine-1", "dispatch-1", "sink-1")
            await services.ready()
            waited = await installation("scheme", "load", "scheme.toml", "--wait", "--json")
            assert waited.code == ExitCode.OK, waited.err
            assert waited.data["commands"] == []
            assert {each["status"] for each in waited.data["answers"]} == {"DONE"}
            assert len(waited.data["answers"]) == len(loaded.data["commands"])
            yield installation
    finally:
        await admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await admin.close()


async def _until_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(TIMEOUT_S):
        async for line in process.stderr:
            if line.startswith(b"{") and json.loads(line)["event"] == "ready":
                return
    raise AssertionError(f"ended with {await process.wait()}")


async def test_loading_a_scheme_again_changes_nothing(clearing: Installation) -> None:
    again = await clearing("scheme", "load", "scheme.toml")
    assert (again.code, again.err.strip()) == (ExitCode.OK, "nothing differs")
    plan = await clearing("topics", "plan", "scheme.toml", "--json")
    assert plan.data == {"changes": [], "refusals": [], "notes": []}
    assert (await clearing("topics", "apply", "scheme.toml")).code == ExitCode.OK


async def test_a_cap_in_the_scheme_becomes_a_command(clearing: Installation) -> None:
    changed = clearing.folder / "changed.toml"
    changed.write_text(SCHEME.replace("20000", "30000"))
    would = await clearing("scheme", "load", changed, "--dry-run", "--json")
    assert [c["command"]["type"] for c in would.data["commands"]] == ["set_cap"] * 3
    assert (await clearing("scheme", "load", "scheme.toml")).err.strip() == "nothing differs"


async def test_a_file_with_a_bad_line_is_not_published(clearing: Installation) -> None:
    sound, bad = clearing.order("ALPHA", "BRAVO", "1.00"), clearing.order("ALPHA", "BRAVO", "1e2")
    ended = await clearing("publish", stdin=f"{sound}\n{bad}\n")
    assert ended.code == ExitCode.USAGE
    assert "(stdin):2: AM12" in ended.out


async def test_payments_are_told_and_received(clearing: Installation) -> None:  # R41
    lines = [
        clearing.order("ALPHA", "BRAVO", "100.00"),
        clearing.order("ALPHA", "CHARLIE", "50.50"),
        clearing.order("BRAVO", "ALPHA", "25"),
        clearing.order("ALPHA", "BRAVO", "99999.00"),  # over its cap
    ]
    file = clearing.folder / "day.jsonl"
    file.write_text("\n".join(lines))
    ended = await clearing("publish", file, "--json")
    assert ended.code == ExitCode.OK, ended.err
    assert ended.data["published"] == 4
    assert ended.data["topics"] == {"cli-payments.hk.ALPHA": 3, "cli-payments.hk.BRAVO": 1}
    told = await clearing.told("ALPHA", 4)
    statuses = [
        (t["status"]["status"], t["status"].get("reason", "")) for t in told if "status" in t
    ]
    assert statuses == [("ACSP", ""), ("ACSP", ""), ("RJCT", "AM23")]
    assert [t["receipt"]["amount"] for t in told if "receipt" in t] == ["25"]


async def test_where_a_payment_cannot_go_is_said_before_any_leaves(clearing: Installation) -> None:
    gold = clearing.order("ALPHA", "BRAVO", "1", asset="GOLD")
    ended = await clearing("publish", stdin=f"{clearing.order('ALPHA', 'BRAVO', '1')}\n{gold}\n")
    assert ended.code == ExitCode.USAGE
    assert "(stdin):2: no netting set clears GOLD" in ended.err
    ended = await clearing("publish", "--as", "NOBODY", stdin=clearing.order("ALPHA", "BRAVO", "1"))
    assert "there is no topic cli-payments.hk.NOBODY" in ended.err
    assert ended.code == ExitCode.USAGE


async def test_operators_commands_are_answered(clearing: Installation) -> None:  # R32
    done = await clearing("command", "suspend", "CHARLIE", "--by", "alice", "--json")
    assert done.code == ExitCode.OK
    assert (done.data["status"], done.data["by"]) == ("DONE", "alice")
    published = await clearing("publish", stdin=clearing.order("CHARLIE", "ALPHA", "1"))
    assert published.code == ExitCode.OK
    told = await clearing.told("CHARLIE", 2)
    assert told[-1]["status"]["reason"] == "AC06"
    assert (await clearing("command", "resume", "CHARLIE")).out.startswith("DONE set_status in hk")
    for command in (("set-cap", "BRAVO", "HKD", "15000"), ("fund", "BRAVO", "HKD", "-250.00")):
        assert (await clearing("command", *command)).code == ExitCode.OK


async def test_a_command_with_the_same_id_is_applied_once(clearing: Installation) -> None:
    first, again = [
        (await clearing("command", "fund", "ALPHA", "HKD", "10", "--id", "once", "--json")).data
        for _ in range(2)
    ]
    assert (first["status"], again["status"]) == ("DONE", "REPEATED")


async def test_a_command_that_is_refused(clearing: Installation) -> None:
    ended = await clearing("command", "set-cap", "ALPHA", "HKD", "1.234")
    assert ended.code == ExitCode.FAILED
    assert ended.out.startswith("REFUSED set_cap in hk")
    ended = await clearing("command", "close-window", "GOLD")
    assert (ended.code, "no netting set clears the asset 'GOLD'" in ended.err) == (
        ExitCode.USAGE,
        True,
    )


async def test_what_cannot_be_read_is_followed(clearing: Installation) -> None:
    topic = clearing.settings.topics.payments("hk", "BRAVO")
    async with kafka.started(kafka.producer(clearing.settings.bootstrap)) as producer:
        await producer.send_and_wait(topic, b"nonsense", partition=0)
    ended = await clearing("follow", "rejected", "--from-start", "--count", 1, "--json")
    assert (ended.data["topic"], ended.data["reason"]) == (topic, "XSYN")


async def test_a_window_is_closed_settled_and_proved(
    clearing: Installation, tmp_path: Path
) -> None:  # R1, R30
    closed = await clearing("command", "close-window", "HKD")
    assert closed.code == ExitCode.OK
    verified = await clearing("verify", "--wait", "--json")
    report = verified.data
    assert [c for c in report["checks"] if c["verdict"] != "ok"] == []
    assert (verified.code, report["ok"], len(report["checks"])) == (ExitCode.OK, True, 31)
    flow = next(flow for flow in report["flows"] if flow["asset"] == "HKD")
    assert (flow["accepted"], flow["refused"], flow["accepted_value"]) == (3, 2, "175.5")
    assert sum(flow["rejected"] for flow in report["flows"]) == 1
    batches = await clearing("follow", "settlements", "--from-start", "--count", 10, "--json")
    net = [b for b in batches.lines if b["type"] == "settlement_batch" and b["kind"] == "net"]
    assert [(b["payments"], b["gross"]) for b in net] == [(3, "175.50")]
    path = tmp_path / "report.json"
    table = await clearing("verify", "--report", path, "--max-mib-per-s", 100)
    filed = json.loads(path.read_bytes())
    assert (filed["ok"], filed["subject"]["netting_sets"]) == (True, ["hk"])
    assert filed["subject"]["cluster_id"]
    assert all(len(one["sha256"]) == 64 for one in filed["coverage"])
    assert "Everything holds. 31 claims" in table.out
    assert table.code == ExitCode.OK


async def test_status_shows_services_windows_positions_and_no_lag(clearing: Installation) -> None:
    report = (await clearing("status", "--json")).data
    assert {s["name"]: len(s["members"]) for s in report["services"]} == {
        "intake": 1, "engine": 1, "dispatch": 1, "sink": 1,
    }  # fmt: skip
    assert {(lag["stage"], lag["lag_records"], lag["lag_seconds"]) for lag in report["lags"]} == {
        (stage, 0, 0.0) for stage in ("intake", "engine", "dispatch", "sink")
    }
    assert [(w["asset"], w["window"], w["cutoff_in_s"]) for w in report["windows"]] == [
        ("HKD", 2, None)
    ]
    assert [(w["window"], w["state"]) for w in report["ended"]] == [(1, "SETTLED")]
    positions = {p["participant"]: p for p in report["positions"]}
    assert positions["ALPHA"]["prefunded"] == "4884.50"  # 5000 + 10 - 125.50
    assert positions["BRAVO"]["net_debit_cap"] == "15000.00"
    text = (await clearing("status")).out
    for words in ("Services", "Lag", "Open windows", "by command", "Positions", "4884.50"):
        assert words in text


async def test_status_is_watched_until_ctrl_c(clearing: Installation) -> None:
    process = await start(
        clearing.settings, clearing.folder, "status", "--watch", "--json", "--interval-s", "0.05"
    )
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        looks = [json.loads(await process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == ExitCode.INTERRUPTED
    assert looks[0]["at_ms"] < looks[1]["at_ms"] < looks[2]["at_ms"]
    assert looks[0]["positions"] == looks[2]["positions"]


async def test_replay_agrees_and_simulate_gives_the_same_bytes(
    clearing: Installation,
) -> None:  # R29
    """What the live engine wrote, what a replay of its log makes, and what `simulate` makes of the saved log."""
    replayed = await clearing("replay", "--json", "--dump", "hk.log", "--outputs", "replay.out")
    assert replayed.code == ExitCode.OK, replayed.err
    assert replayed.data["differences"] == []
    assert replayed.data["transactions_compared"] > 5
    simulated = await clearing("simulate", "--log", "hk.log", "--outputs", "simulate.out", "--json")
    assert simulated.data["standing"] == replayed.data["standing"]
    made = [(clearing.folder / name).read_bytes() for name in ("replay.out", "simulate.out")]
    assert made[0] == made[1]
    assert len(made[0]) > 1_000


async def test_a_stage_that_stands_still_has_a_lag(clearing: Installation) -> None:
    """Its records and their age are told; verification says behind, not wrong; then all is drained."""
    await clearing.services.stop("engine-1")
    published = await clearing("publish", stdin=clearing.order("ALPHA", "BRAVO", "1"))
    assert published.code == ExitCode.OK
    lag = await _lag(clearing, "engine")
    assert (lag["scope"], lag["lag_records"]) == ("hk", 1)
    assert lag["lag_seconds"] > 0
    behind = await clearing("verify", "--json")
    assert behind.code == ExitCode.FAILED
    verdicts = {c["name"]: c["verdict"] for c in behind.data["checks"]}
    assert verdicts.pop("the engine has processed the log") == "behind"
    assert set(verdicts.values()) == {"ok", "behind"} or set(verdicts.values()) == {"ok"}
    waited = await clearing("verify", "--wait", "--timeout-s", "1")
    assert waited.code == ExitCode.FAILED
    assert "not drained after 1 s: engine hk (1)" in waited.err
    unanswered = await clearing("command", "close-window", "--timeout-s", "1")
    assert unanswered.code == ExitCode.FAILED
    assert "no engine has answered for hk in 1 s" in unanswered.err
    clearing.services.start("engine-1")
    await clearing.services.ready("engine-1")
    assert (await clearing("verify", "--wait")).code == ExitCode.OK


async def _lag(clearing: Installation, stage: str) -> dict[str, Any]:
    """Lag of a stage, as soon as it has one."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            report = (await clearing("status", "--json")).data
            lag = next(lag for lag in report["lags"] if lag["stage"] == stage)
            if lag["lag_records"]:
                return lag


async def test_nothing_is_there_under_another_prefix(clearing: Installation) -> None:
    for command in (
        ["status"],
        ["verify"],
        ["replay"],
        ["follow", "events"],
        ["command", "close-window"],
    ):
        ended = await clearing("--prefix", "other-", *command)
        assert ended.code == ExitCode.FAILED
        assert "next:     clearing scheme load SCHEME" in ended.err


async def test_a_forged_record_is_found(clearing: Installation) -> None:  # R29, R30
    """Somebody writes into an output topic: verification says no, and where. Last: it cannot be undone."""
    topic = clearing.settings.topics.rejected
    async with kafka.started(kafka.producer(clearing.settings.bootstrap)) as producer:
        await producer.send_and_wait(topic, b"forged", b"rejected/1", partition=0)
    ended = await clearing("verify", "--wait", "--json")
    assert (ended.code, ended.data["ok"]) == (ExitCode.FAILED, False)
    failed = {c["name"]: c["differences"] for c in ended.data["checks"] if c["verdict"] == "FAILED"}
    assert failed.keys() == {"replay gives the same bytes", "only the engine wrote its outputs"}
    assert any(text.startswith("rejected") for text in failed["replay gives the same bytes"])
