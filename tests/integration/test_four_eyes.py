"""Four eyes on the real path (R33): a scheme that requires them, proposals of loads and of operators, approved by
commands as people type them, against a broker, intake and engine."""

from collections.abc import AsyncIterator

import pytest

from clearing.config import Settings
from clearing.dev.services import supervised
from clearing.failures import ExitCode
from tests.integration.test_cli import Installation

SCHEME = """
name = "Four eyes"
[netting_sets.hk]
four_eyes = true
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = { prefunded = "5000", net_debit_cap = "20000" }
[participants.ALPHA]
[participants.BRAVO]
"""


@pytest.fixture(scope="module")
async def clearing(
    bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("four-eyes")
    settings = Settings(
        bootstrap=bootstrap, topic_prefix="eyes-", snapshots=str(folder / "snapshots")
    )
    (folder / "scheme.toml").write_text(SCHEME)
    (folder / "changed.toml").write_text(SCHEME.replace("20000", "30000"))
    async with supervised(settings, folder / "services", {}) as services:
        installation = Installation(settings, folder, services)
        loaded = await installation("scheme", "load", "scheme.toml", "--by", "alice", "--json")
        assert loaded.code == ExitCode.OK, loaded.err
        assert loaded.data["commands"][-1]["command"]["type"] == "require_approval"
        services.start("intake-1", "engine-1")
        await services.ready()
        yield installation


async def test_alone_it_is_refused_and_together_it_is_done(clearing: Installation) -> None:
    cap = ("command", "set-cap", "ALPHA", "HKD", "100", "--by", "alice")
    alone = await clearing(*cap)
    assert alone.code == ExitCode.FAILED
    assert "second person" in alone.out
    assert "--propose" in alone.err
    proposed = await clearing(*cap, "--propose", "--json")
    assert proposed.code == ExitCode.OK, proposed.err
    answer, told = proposed.lines
    assert (answer["command"], answer["status"]) == ("propose", "DONE")
    [listed] = (await clearing("command", "proposals", "--json")).data
    assert (listed["proposal"], listed["hash"], listed["by"]) == (
        told["proposal"],
        told["hash"],
        "alice",
    )
    approve = ("command", "approve", told["proposal"], "--hash", told["hash"])
    own = await clearing(*approve, "--by", "alice")
    assert (own.code, "nobody approves their own" in own.out) == (ExitCode.FAILED, True)
    done = await clearing(*approve, "--by", "bob", "--json")
    assert done.code == ExitCode.OK, done.err
    assert {(a["command"], a["status"], a["by"]) for a in done.lines} == {
        ("approve", "DONE", "bob"),
        ("set_cap", "DONE", "alice"),
    }
    assert (await clearing("command", "proposals", "--json")).data == []


async def test_a_changed_scheme_waits_until_it_is_approved(clearing: Installation) -> None:
    """Loaded twice, proposed once; approved, nothing differs."""
    first = await clearing("scheme", "load", "changed.toml", "--by", "alice", "--json")
    again = await clearing("scheme", "load", "changed.toml", "--by", "carol", "--json")
    proposals = first.data["proposals"]
    assert [p["text"].split(":")[0] for p in proposals] == [
        "account of ALPHA in HKD",
        "account of BRAVO in HKD",
    ]
    assert (again.data["commands"], again.data["proposals"]) == ([], proposals)
    ids = [each["proposal"] for each in proposals]
    approved = await clearing("command", "approve", *ids, "--yes", "--by", "bob")
    assert approved.code == ExitCode.OK, approved.out
    after = await clearing("scheme", "load", "changed.toml")
    assert after.err.strip() == "nothing differs"


async def test_what_is_turned_down_is_not_done(clearing: Installation) -> None:
    proposed = await clearing("command", "fund", "ALPHA", "HKD", "7", "--propose", "--json")
    proposal = proposed.lines[-1]["proposal"]
    assert (await clearing("command", "withdraw", proposal, "--by", "bob")).code == ExitCode.OK
    late = await clearing("command", "approve", proposal, "--yes", "--by", "bob")
    assert (late.code, "no open proposal" in late.err) == (ExitCode.FAILED, True)


async def test_the_kill_switch_is_single_handed(clearing: Installation) -> None:  # R32
    assert (await clearing("command", "suspend", "BRAVO")).code == ExitCode.OK
    resume = await clearing("command", "resume", "BRAVO")
    assert (resume.code, "second person" in resume.out) == (ExitCode.FAILED, True)
