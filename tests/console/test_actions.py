"""Actions: what is tried is what happens, what is sent is what was tried, and two people stand behind it (R33)."""

import shlex
from typing import Any

import msgspec
import pytest

from clearing.commanding import asking, places
from clearing.console.actions import ACTIONS, command_line, command_of
from clearing.console.trial import copy_of, preview
from clearing.core import snapshot
from clearing.core.approvals import content_hash, needs_approval
from clearing.core.commands import (
    Approve,
    Fund,
    Proposable,
    Propose,
    RequireApproval,
    SetCap,
    SetStatus,
)
from clearing.core.outputs import CommandEvent
from clearing.live import Live
from tests.cli.run import Runner
from tests.console.stage import Browser, Stage
from tests.explain.town import A, B, Town, uuid

CAP = {"participant": A, "asset": "HKD", "net_debit_cap": "5"}
FIELDS: dict[str, dict[str, Any]] = {
    "suspend": {"participant": B},
    "resume": {"participant": B},
    "default": {"participant": A},
    "close": {"participant": B},
    "fund": {"participant": A, "asset": "HKD", "amount": "2"},
    "set_cap": CAP,
    "set_reservation": {"participant": A, "asset": "HKD", "reserved": "1"},
    "set_bilateral_limit": {
        "participant": A,
        "counterparty": B,
        "asset": "HKD",
        "limit": "1",
    },
    "set_short_limit": {"participant": A, "limit": ""},
    "set_valuation": {"asset": "HKD", "price": "1", "haircut_bp": 0},
    "set_collateral": {"participant": A, "asset": "HKD", "amount": "1"},
    "set_pool": {"asset": "HKD", "amount": "1"},
    "close_window": {"asset": "HKD"},
    "settle_window": {"asset": "HKD", "window": 1},
    "abort_window": {"asset": "HKD", "window": 1},
    "release_queued": {"payments": [str(uuid(3))]},
    "require_approval": {"required": True},
}


def wish(kind: str, **fields: Any) -> dict[str, Any]:
    return {"netting_set": "hk", "kind": kind, "fields": fields or FIELDS[kind]}


async def tried(browser: Browser, kind: str, **fields: Any) -> dict[str, Any]:
    return await browser.posted("/api/actions/preview", wish(kind, **fields))


def order(preview: dict[str, Any]) -> dict[str, Any]:
    return {"netting_set": "hk", "command": preview["command"], "hash": preview["hash"]}


async def proposed(browser: Browser, kind: str = "set_cap", **fields: Any) -> dict[str, Any]:
    """The answer to a proposal."""
    return await browser.posted("/api/actions", order(await tried(browser, kind, **fields)))


# --- tried -----------------------------------------------------------------------------------------------------


def test_every_action_has_fields_here() -> None:
    assert set(FIELDS) == {action.kind for action in ACTIONS}


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_a_dry_run_says_what_then_happens_and_changes_nothing(town: Town, kind: str) -> None:
    command = command_of(kind, FIELDS[kind], "alice")
    live = Live(town.machine)
    before = b"".join(snapshot.dump(live.state))
    found = preview(live, command)
    assert b"".join(snapshot.dump(live.state)) == before
    earlier = copy_of(live.state)
    town.do(command)
    state = live.state
    for change in found.accounts:
        p, a = state.participant_index[change.participant], state.asset_index[change.asset]
        after = change.after
        assert after.prefunded == str(state.accounts.prefunded[p, a])
        assert after.net_debit_cap == str(state.accounts.cap[p, a])
        assert after.position == str(state.accounts.position[p, a])
        assert after.reserved == str(state.accounts.reserved[p, a])
        assert after.queued_payments == state.accounts.queued_payments[p, a]
    for name in ("prefunded", "cap", "position", "reserved", "queued"):
        differs = getattr(earlier.accounts, name) != getattr(state.accounts, name)
        told = {(each.participant, each.asset) for each in found.accounts}
        places = zip(*differs.nonzero(), strict=True)
        names = {(state.name_of(p), state.assets[a].spec.id) for p, a in places}
        assert names <= told
    assert found.verdict == ("REFUSED" if found.reason else "DONE")


async def test_funding_releases_what_waits_and_the_money_is_told(alice: Browser) -> None:
    found = await tried(alice, "fund")
    assert found["verdict"] == "DONE"
    assert [each["payment"] for each in found["released"]] == [str(uuid(3)), str(uuid(4))]
    assert {(each["what"], each["amount"]) for each in found["money"]} == {
        ("released", "2"),
        ("funded", "2"),
    }
    assert found["cli"] == (
        f"clearing command fund {A} HKD 2 --netting-set hk --by alice --propose"
    )
    assert found["described"] == f"fund: participant {A}, asset HKD, amount 2"


async def test_who_would_be_below_a_limit_is_told(alice: Browser) -> None:
    found = await tried(alice, "set_reservation")
    (breach,) = found["breaches"]
    assert (breach["participant"], breach["headroom_after"]) == (A, "-1")
    assert "1 HKD below its limit" in breach["sentence"]


async def test_a_default_ends_what_waits(alice: Browser) -> None:
    found = await tried(alice, "default")
    assert [each["payment"] for each in found["ended"]] == [str(uuid(3)), str(uuid(4))]
    assert found["participants"] == [{"participant": A, "before": "ACTIVE", "after": "DEFAULTED"}]


async def test_what_the_engine_would_refuse_is_told_before(alice: Browser) -> None:
    found = await tried(alice, "settle_window")
    assert (found["verdict"], found["reason"]) == ("REFUSED", "window 1 of HKD has not failed")


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        ("fly", {"participant": A}, "no action 'fly'"),
        ("suspend", {"participant": ""}, "Participant is missing"),
        ("suspend", {"participant": A, "status": "ACTIVE"}, "has no field status"),
        ("fund", {"participant": A, "asset": "HKD", "amount": 2}, "Expected `str`"),
        ("suspend", {"participant": "a b"}, "cannot be read"),
        ("settle_window", {"asset": "HKD", "window": 1 << 60}, "cannot be read"),
    ],
)
async def test_what_is_no_action(
    alice: Browser, kind: str, fields: dict[str, Any], why: str
) -> None:
    reply = await alice.post("/api/actions/preview", wish(kind, **fields))
    assert reply.status_code == 400
    assert why in reply.json()["error"]


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_the_command_line_does_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The very command, but for its id, comes out of the words that are shown."""
    asked: list[Any] = []

    async def ask(settings: object, command: Any, where: dict[str, int], *_: Any) -> list[Any]:
        assert where == {"hk": 0}
        asked.append(command)
        said = CommandEvent(
            netting_set="hk",
            log_offset=1,
            time_ms=1,
            id=command.id,
            by=command.by,
            command=kind,
            status="DONE",
        )
        return [said]

    async def netting_sets(settings: object, wanted: str | None = None) -> dict[str, int]:
        return {"hk": 0}

    monkeypatch.setattr(asking, "ask", ask)
    monkeypatch.setattr(places, "netting_sets", netting_sets)
    command = command_of(kind, FIELDS[kind], "alice")
    line = command_line("hk", command)
    assert line.endswith("--propose") == needs_approval(command)
    program, *words = shlex.split(line)
    assert (program, Runner(capsys)(*words).code) == ("clearing", 0)
    (made,) = asked
    made = made.command if isinstance(made, Propose) else made
    assert msgspec.structs.replace(made, id="x") == msgspec.structs.replace(command, id="x")


# --- done ------------------------------------------------------------------------------------------------------


async def test_suspending_is_single_handed(stage: Stage, alice: Browser) -> None:
    """What stops money must never wait."""
    sent = await proposed(alice, "suspend")
    assert (sent["status"], sent["proposal"]) == ("DONE", None)
    (command,) = stage.told
    assert command == SetStatus(id=command.id, by="alice", participant=B, status="SUSPENDED")


async def test_a_cap_takes_two_people_bound_to_what_was_seen(
    stage: Stage, alice: Browser, bob: Browser
) -> None:
    sent = await proposed(alice)
    assert sent["status"] == "PROPOSED"
    (row,) = (await bob.data("/api/proposals"))["proposals"]
    assert (row["proposal"], row["by"], row["mine"]) == (sent["proposal"], "alice", False)
    assert row["described"].startswith(f"set_cap: participant {A}, asset HKD, net_debit_cap 5")
    assert stage.town.machine.state.accounts.cap.max() == 0  # nothing has happened yet
    path = f"/api/proposals/hk/{row['proposal']}"
    seen = await bob.posted(f"{path}/preview", {})
    assert [each["payment"] for each in seen["released"]] == [str(uuid(3)), str(uuid(4))]
    other = await bob.post(f"{path}/approve", {"hash": "0" * 64})
    assert (other.status_code, other.json()["code"]) == (409, "CONFLICT")
    done = await bob.posted(f"{path}/approve", {"hash": row["hash"]})
    assert (done["status"], done["effect"]["status"]) == ("DONE", "DONE")
    assert stage.town.machine.state.accounts.cap.max() == 5
    assert (await bob.data("/api/proposals"))["proposals"] == []
    again = await bob.post(f"{path}/approve", {"hash": row["hash"]})
    assert again.status_code == 409
    audit = (await bob.data("/api/audit", limit=4))["audit"]
    assert {(each["kind"], each["by"], each["status"]) for each in audit} >= {
        ("proposal", "alice", "APPROVED"),
        ("command", "bob", "DONE"),
        ("command", "alice", "DONE"),
    }


async def test_nobody_approves_their_own(stage: Stage) -> None:
    async with stage.client() as otto:
        await otto.login("otto")
        sent = await proposed(otto)
        path = f"/api/proposals/hk/{sent['proposal']}/approve"
        reply = await otto.post(path, {"hash": sent["hash"]})
        assert (reply.status_code, "their own" in reply.json()["error"]) == (403, True)
    # Nor would the engine let them.
    town, command = (
        stage.town,
        Approve(id="x", by="otto", proposal=sent["proposal"], hash=sent["hash"]),
    )
    town.do(command)
    assert town.machine.state.accounts.cap.max() == 0
    assert sent["proposal"] in town.machine.state.proposals


async def test_what_is_sent_is_what_was_tried(stage: Stage, alice: Browser) -> None:
    found = order(await tried(alice, "set_cap"))
    changed = found | {"command": found["command"] | {"net_debit_cap": "500"}}
    assert (await alice.post("/api/actions", changed)).status_code == 409
    forged = msgspec.convert(found["command"] | {"by": "bob"}, Proposable)
    another = {
        "netting_set": "hk",
        "command": msgspec.to_builtins(forged),
        "hash": content_hash(forged),
    }
    reply = await alice.post("/api/actions", another)
    assert (reply.status_code, "the command is bob's" in reply.json()["error"]) == (409, True)
    unknown = found | {"command": found["command"] | {"type": "confirmation"}}
    assert (await alice.post("/api/actions", unknown)).status_code == 400
    assert stage.told == []


async def test_sending_it_twice_does_it_once(stage: Stage, alice: Browser) -> None:
    found = order(await tried(alice, "close_window"))
    assert (await alice.posted("/api/actions", found))["status"] == "DONE"
    assert (await alice.posted("/api/actions", found))["status"] == "REPEATED"


async def test_a_proposal_is_taken_back_by_its_proposer_or_turned_down_by_an_approver(
    stage: Stage, alice: Browser, bob: Browser
) -> None:
    for who in (alice, bob):
        sent = await proposed(alice)
        async with stage.client() as vera:
            await vera.login("vera")
            path = f"/api/proposals/hk/{sent['proposal']}/withdraw"
            assert (await vera.post(path, {})).status_code == 403
        assert (await who.posted(path, {}))["status"] == "DONE"
        assert (await who.data("/api/proposals"))["proposals"] == []
    sent = await _proposed_by_hand(stage)
    assert (await alice.post(f"/api/proposals/hk/{sent}/withdraw", {})).status_code == 403


async def _proposed_by_hand(stage: Stage) -> str:
    """From a command line, by somebody else."""
    inner = SetCap(id="inner", by="carol", participant=A, asset="HKD", net_debit_cap="7")
    stage.town.do(Propose(id="p-by-hand", by="carol", command=inner))
    stage.sync()
    return "p-by-hand"


async def test_what_was_proposed_elsewhere_is_approved_here(stage: Stage, bob: Browser) -> None:
    stage.town.do(RequireApproval(id="q", by="op", required=True))
    proposal = await _proposed_by_hand(stage)
    (row,) = (await bob.data("/api/proposals"))["proposals"]
    done = await bob.posted(f"/api/proposals/hk/{proposal}/approve", {"hash": row["hash"]})
    assert done["effect"]["status"] == "DONE"


async def test_an_engine_that_does_not_answer_is_told_as_such(stage: Stage, alice: Browser) -> None:
    found = order(await tried(alice, "suspend"))
    stage.answers = False
    reply = await alice.post("/api/actions", found)
    assert (reply.status_code, reply.json()["status"]) == (202, "UNANSWERED")
    assert len(stage.told) == 1


async def test_a_refusal_of_the_engine_is_told(stage: Stage, alice: Browser) -> None:
    sent = await proposed(alice, "close_window", asset="XYZ")
    assert (sent["status"], "XYZ" in sent["reason"]) == ("REFUSED", True)


def test_the_engines_own_checks_hold_whatever_the_console_says(town: Town) -> None:
    """The dry run takes the approval for granted; the engine does not."""
    town.do(RequireApproval(id="q", by="op", required=True))
    command = Fund(id="f", by="alice", participant=A, asset="HKD", amount="1")
    assert preview(Live(town.machine), command).verdict == "DONE"
    town.do(command)
    assert town.machine.state.counters.approval_required
    assert len(town.machine.state.waiting) == 2
