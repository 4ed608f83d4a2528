"""What the pages say, of a netting set in which something waits, was settled, was rejected; now and as of then."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from clearing.core.commands import SetReservation, SetStatus
from clearing.messages import HaltRecord
from clearing.messages_views import (
    Heartbeat,
    LagSample,
    Outlook,
    StageLag,
    batch_key,
    encode,
    heartbeat_key,
    window_key,
)
from clearing.views.fold_audit import broken_link
from clearing.views.model import AuditView
from tests.console.stage import Browser, Stage
from tests.explain.town import A, B, Town, uuid


def outlook(verdict: Any, asset: str, left_s: float) -> Outlook:
    return Outlook(
        netting_set="hk",
        asset=asset,
        window=2,
        cutoff_ms=1,
        cutoff_in_s=left_s,
        backlog_records=0,
        drain_s=1.0,
        verdict=verdict,
        sentence=f"{asset} {verdict}",
    )


def lag(stage: str, bank: str, records: int | None, seconds: float | None, status: Any) -> StageLag:
    return StageLag(
        stage=stage,
        group="g",
        netting_set="hk",
        topic=f"payments.hk.{bank}",
        partition=0,
        bank=bank,
        records=records,
        seconds=seconds,
        money={"HKD": "1.50"},
        status=status,
    )


# --- the first page --------------------------------------------------------------------------------------------


async def test_the_worst_outlook_is_the_first_sentence(stage: Stage, alice: Browser) -> None:
    found = [outlook("ON_TIME", "HKD", 5), outlook("WILL_MISS", "BYP", 90)]
    stages = [lag("intake", A, 3, 1.0, "OK"), lag("intake", B, None, 4.0, "STALLED")]
    at_ms = stage.town.now_ms
    stage.sampled(
        LagSample(at_ms=at_ms, clock_skew_ms=None, stages=stages, outlooks=found, probe=None)
    )
    data = await alice.data("/api/overview")
    assert (data["verdict"], data["sentence"]) == ("WILL_MISS", "BYP WILL_MISS")
    (joined,) = data["stages"]
    assert (joined["records"], joined["seconds"], joined["status"]) == (3, 4.0, "STALLED")
    assert joined["money"] == {"HKD": "3.00"}
    assert data["clock_skew_ms"] is None


async def test_what_stands_still_comes_before_any_outlook(stage: Stage, alice: Browser) -> None:
    halt = HaltRecord(
        netting_set="hk",
        service="engine",
        kind="gap",  # pyright: ignore[reportArgumentType]  as it is on the wire
        reason="gap in source x",
        topic="log",
        partition=0,
        offset=7,
        next_command="clearing retry hk",
        runbook="ops/runbooks/gap.md",
        times=1,
        first_at_ms=1,
        at_ms=1,
        owner="me",
    )
    stage.board.take("halts", "", b"0|engine", msgspec.json.encode(halt), 1)
    data = await alice.data("/api/overview")
    assert data["verdict"] == "HALTED"
    assert data["sentence"] == "hk engine stands still: gap in source x"
    stage.board.take("halts", "", b"0|engine", None, 1)
    assert (await alice.data("/api/overview", netting_set="hk"))["verdict"] == "UNKNOWN"


async def test_what_nobody_samples_is_unknown_and_not_zero(alice: Browser) -> None:
    data = await alice.data("/api/overview")
    assert (data["verdict"], data["lag_at_ms"], data["probe"]) == ("UNKNOWN", None, None)
    (row,) = data["netting_sets"]
    assert (row["queued_payments"], row["queued"]) == (2, {"HKD": "2"})
    assert (row["accepted_last_minute"], row["queued_last_minute"]) == (3, 2)
    assert row["rejected_last_hour"] == 1


async def test_the_age_of_the_data_and_who_is_late_are_told(stage: Stage, alice: Browser) -> None:
    beat = Heartbeat(
        service="views",
        instance="views-1",
        host="h",
        pid=1,
        version="1",
        started_at_ms=0,
        at_ms=stage.desk.now_ms - 60_000,
        state="ready",
    )
    stage.board.take("heartbeats", "", heartbeat_key(beat), encode(beat), 1)
    reply = (await alice.get("/api/services")).json()
    (row,) = reply["data"]["services"]
    assert (row["late"], row["age_ms"]) == (True, 60_000)
    assert any("views have said nothing for 60 s" in note for note in reply["notes"])
    assert reply["data_ms"] is not None
    stage.desk.following.reached_s = None
    assert (await alice.get("/api/windows")).json()["stale"] is True


# --- pages -----------------------------------------------------------------------------------------------------


async def test_windows_newest_first_and_by_state(alice: Browser) -> None:
    windows = (await alice.data("/api/windows", asset="HKD"))["windows"]
    assert [(row["window"], row["state"]) for row in windows] == [(2, "OPEN"), (1, "SETTLED")]
    assert windows[0]["payments"] is None  # only the engine knows, while it is open
    assert windows[1]["finality"]["postgres"]["state"] == "FINAL"
    settled = (await alice.data("/api/windows", state="SETTLED"))["windows"]
    assert {row["state"] for row in settled} == {"SETTLED"}


async def test_positions_say_how_much_of_what_may_be_used_is_used(
    stage: Stage, alice: Browser
) -> None:
    stage.town.pays(50, B, A, 2)
    stage.town.do(SetReservation(id="r", by="op", participant="CHARLIE", asset="HKD", reserved="1"))
    stage.town.now_ms += 1_000
    stage.town.tick()
    stage.sync()
    rows = (await alice.data("/api/positions", asset="HKD"))["positions"]
    by_name = {row["participant"]: row for row in rows}
    assert float(by_name["BRAVO"]["used"] or 0) > 0
    assert by_name["ALPHA"]["used"] is None or by_name["ALPHA"]["used"] >= 0
    assert by_name["BRAVO"]["status"] is None  # nobody has looked at a state yet
    await alice.data("/api/participants")
    rows = (await alice.data("/api/positions", participant="BRAVO", asset="HKD"))["positions"]
    assert rows[0]["status"] == "ACTIVE"


async def test_queues_say_who_waits_for_whom(alice: Browser) -> None:
    (report,) = (await alice.data("/api/queues"))["queues"]
    assert (report["payments"], report["value"]) == (2, {"HKD": "2"})
    (queue,) = report["queues"]
    assert (queue["participant"], len(queue["payments"]), queue["cut"]) == (A, 2, False)
    assert report["deadlock"]["free_any"] == {"participant": A, "asset": "HKD", "amount": "1"}


async def test_a_batch_down_to_its_entries_and_its_proof(stage: Stage, alice: Browser) -> None:
    (row, *_) = (await alice.data("/api/batches", asset="HKD"))["batches"]
    path = f"/api/batches/hk/{row['sequence']}"
    look = await alice.data(path)
    assert look["batch"]["hash"] == row["hash"]
    assert [entry["participant"] for entry in look["batch"]["entries"]] == [A, B, "CHARLIE"]
    assert look["proof"]["ok"] is True
    assert [check["ok"] for check in look["proof"]["checks"]] == [True, True, True]
    assert (await alice.data(path, entry=1))["batch"]["entries"] == look["batch"]["entries"][1:]
    assert (await alice.get("/api/batches/hk/999")).status_code == 404
    assert (await alice.get("/api/batches/xx/1")).status_code == 404
    # Somebody has written another amount into the topic: it is seen.
    records = next(r for p, r in stage.town.lists.partitions.items() if p.topic == "settlements")
    at = next(i for i, each in enumerate(records) if each.offset == row["offset"])
    value = (records[at].value or b"").replace(b'"net":"-3"', b'"net":"-2"')
    records[at] = records[at]._replace(value=value)
    checks = (await alice.data(path))["proof"]["checks"]
    assert [check["ok"] for check in checks] == [False, False, True]


async def test_participants_with_all_that_is_set_for_them(stage: Stage, alice: Browser) -> None:
    stage.town.do(SetStatus(id="s", by="op", participant=B, status="SUSPENDED"))
    data = await alice.data(f"/api/participants/{B}")
    (row,) = data["participants"]
    assert (row["status"], row["netting_set"]) == ("SUSPENDED", "hk")
    assert {each["asset"] for each in row["accounts"]} == {
        *("HKD", "BYP", "BOND", "PAIR", "HARD", "PLAIN")
    }
    assert data["approval_required"] == {"hk": False}


async def test_activity_and_reasons(alice: Browser) -> None:
    data = await alice.data("/api/activity")
    assert sum(row["accepted"] for row in data["activity"]) == 3
    assert data["reasons"] == {"XSYN": 1}


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (str(uuid(1)), "payment"),
        ("ALPHA", "participant"),
        ("byp", "asset"),
        ("HKD 1", "window"),
        ("close-1", "command"),
        ("hk", "netting_set"),
    ],
)
async def test_anything_is_found_by_its_id(alice: Browser, query: str, kind: str) -> None:
    hits = (await alice.data("/api/search", q=query))["hits"]
    (hit, *_) = [hit for hit in hits if hit["kind"] == kind]
    assert (await alice.get(hit["api"])).status_code == 200


async def test_a_batch_is_found_by_the_beginning_of_its_hash(alice: Browser) -> None:
    (row, *_) = (await alice.data("/api/batches"))["batches"]
    for query in (row["id"], row["hash"][:12].upper()):
        hits = (await alice.data("/api/search", q=query))["hits"]
        assert [(hit["kind"], hit["id"]) for hit in hits] == [("batch", row["id"])]


async def test_a_payments_whole_life(alice: Browser) -> None:
    story = (await alice.data(f"/api/payments/{uuid(0)}"))["story"]
    assert (story["status"], story["id"]) == ("ACSC", str(uuid(0)))
    unknown = UUID("99999999-0000-4000-8000-000000000000")
    assert (await alice.get(f"/api/payments/{unknown}")).status_code == 404
    assert (await alice.get("/api/payments/none")).status_code == 400


# --- the audit log ---------------------------------------------------------------------------------------------


async def test_the_audit_log_is_a_chain_that_shows_what_was_changed(
    stage: Stage, alice: Browser
) -> None:
    data = await alice.data("/api/audit", limit=5)
    assert (len(data["audit"]), data["more"], data["chain"]["hk"]["ok"]) == (5, True, True)
    assert data["audit"][0]["id"] == "close-1"
    found = await alice.data("/api/audit", text="close-1")
    assert [row["id"] for row in found["audit"]] == ["close-1"]
    key, entry = next(
        (key, entry) for key, entry in stage.board.audit.values.items() if entry.number == 7
    )
    stage.board.audit.values[key] = msgspec.structs.replace(entry, by="mallory")
    chain = (await alice.data("/api/audit"))["chain"]["hk"]
    assert (chain["ok"], chain["detail"][:19]) == (False, "entry 7 was changed")


async def test_the_audit_log_as_a_file_can_be_checked_by_anybody(stage: Stage) -> None:
    async with stage.client() as audrey:
        await audrey.login("audrey")
        reply = await audrey.get("/api/audit/export", netting_set="hk")
        assert reply.headers["content-disposition"].startswith("attachment; filename=")
        *lines, last = reply.text.splitlines()
        entries = [msgspec.json.decode(line, type=AuditView) for line in lines]
        assert broken_link(entries) == ""
        end = msgspec.json.decode(last)
        assert (end["type"], end["verified"], end["entries"]) == ("end", True, len(entries))
        assert end["last"] == entries[-1].hash


# --- as of -----------------------------------------------------------------------------------------------------


async def test_the_whole_console_as_it_was(stage: Stage, alice: Browser) -> None:
    """Before the window was closed: it is open, its batch is not there, what was rejected later is not."""
    (closed,) = [
        row
        for row in (await alice.data("/api/windows", asset="HKD"))["windows"]
        if row["window"] == 1
    ]
    then = {"at": closed["closed_at_ms"] - 1}
    (window,) = (await alice.data("/api/windows", asset="HKD", **then))["windows"]
    assert (window["window"], window["state"], window["settled_at_ms"]) == (1, "OPEN", None)
    assert (await alice.data("/api/batches", asset="HKD", **then))["batches"][0][
        "kind"
    ] == "funding"
    assert (await alice.data("/api/rejected", **then))["rejected"] == []
    rows = (await alice.data("/api/positions", asset="HKD", **then))["positions"]
    assert {row["participant"]: row["position"] for row in rows}[A] == "-3"
    (report,) = (await alice.data("/api/queues", **then))["queues"]
    assert report["payments"] == 2
    reply = (await alice.get("/api/services", **then)).json()
    assert (reply["as_of_ms"], reply["data"]["services"]) == (then["at"], None)
    assert (await alice.data("/api/overview", **then))["lag_at_ms"] is None


async def test_lists_that_were_forgotten_are_said_to_be(
    stage: Stage, alice: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the views keep no more of that time is not none: it is named, and not counted as 0."""
    (closed,) = [
        row
        for row in (await alice.data("/api/windows", asset="HKD"))["windows"]
        if row["window"] == 1
    ]
    then = {"at": closed["closed_at_ms"] - 1}
    assert "keep no more" not in str((await alice.get("/api/rejected", **then)).json()["notes"])
    monkeypatch.setattr("clearing.console.past.REJECTS_KEPT", 1)
    topics, board = stage.settings.topics, stage.board
    for batch in board.batches.all():
        if batch.closed_at_ms <= then["at"]:
            board.take(topics.view("batches"), "", batch_key("hk", batch.id), None, 1)
    board.take(topics.view("windows"), "", window_key("hk", "HKD", 1), None, 1)
    reply = (await alice.get("/api/overview", **then)).json()
    assert (
        "of that time the views keep no more batches of hk, windows of HKD, rejected inputs of hk"
        in reply["notes"]
    )
    (row,) = reply["data"]["netting_sets"]
    assert row["rejected_last_hour"] is None


async def test_more_rejects_than_are_kept_are_at_least_so_many(
    alice: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = (await alice.data("/api/overview"))["netting_sets"]
    assert (row["rejected_last_hour"], row["rejected_cut"]) == (1, False)
    monkeypatch.setattr("clearing.console.overview.REJECTS_KEPT", 1)
    (row,) = (await alice.data("/api/overview"))["netting_sets"]
    assert (row["rejected_last_hour"], row["rejected_cut"]) == (1, True)


async def test_the_past_is_what_the_present_was(stage: Stage, alice: Browser) -> None:
    """As of this moment the console says what it says now, as far as both can know."""
    now_ms = stage.town.machine.state.counters.time_ms
    live = await alice.data("/api/participants")
    then = await alice.data("/api/participants", at=now_ms)
    assert then == live


async def test_lag_of_then_as_long_as_it_is_kept(stage: Stage, alice: Browser) -> None:
    start_ms = stage.town.machine.state.counters.time_ms
    for second in range(3):
        at_ms = start_ms - 3_000 + second * 1_000
        stage.sampled(
            LagSample(
                at_ms=at_ms,
                clock_skew_ms=float(second),
                outlooks=[outlook("ON_TIME", "HKD", 5)],
                probe=None,
            )
        )
    data = await alice.data("/api/overview", at=start_ms - 1_500)
    assert (data["clock_skew_ms"], data["verdict"]) == (1.0, "ON_TIME")
    assert (await alice.data("/api/overview", at=start_ms - 3_500))["lag_at_ms"] is None


async def test_the_sliders_ends(stage: Stage, alice: Browser, town: Town) -> None:
    bounds = (await alice.data("/api/asof"))["hk"]
    assert bounds["first_ms"] <= bounds["last_ms"]
    assert bounds["last_ms"] == town.machine.state.counters.time_ms
    assert (await alice.get("/api/windows", at=-1)).status_code == 400
    assert (await alice.get("/api/windows", at="yesterday")).status_code == 400
    assert (await alice.get("/api/windows", netting_set="eu")).status_code == 404
