"""`clearing report` without servers: what is refused at once, and what people are shown."""

import io

import pytest
from rich.console import Console

from clearing.cli.report_tables import day_tables, reconciled_lines
from clearing.failures import ExitCode
from clearing.reports.breaks import Break, Reconciled
from tests.cli.run import Runner
from tests.reports.conftest import Report
from tests.verify.world import World


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--timezone", "Mars/Olympus"], "there is no time zone 'Mars/Olympus'"),
        (["--timezone", "../etc/passwd"], "../etc/passwd"),
        (["--date", "2026-02-30"], "--date 2026-02-30"),
        (["--date", "yesterday"], "--date yesterday"),
        (["--date", "9999-12-31"], "--date 9999-12-31"),
        (["--format", "csv"], "--output FOLDER"),
        (["--format", "parquet"], "--output FOLDER"),
        (["--format", "pdf"], "csv"),
        (["--participant", "../ALPHA"], "'../ALPHA' is no participant's name"),
    ],
)
def test_wrong_usage(run: Runner, arguments: list[str], said: str) -> None:
    ended = run("report", "day", *arguments)
    assert ended.code == ExitCode.USAGE
    assert said in ended.err + ended.out


def test_a_grace_is_not_below_zero(run: Runner) -> None:
    assert run("report", "reconcile", "--grace-s", "-1").code == ExitCode.USAGE


@pytest.mark.parametrize("since", ["yesterday", "2w", "2026-02-30", "-1d"])
def test_since_when_nobody_knows(run: Runner, since: str) -> None:
    ended = run("report", "reconcile", f"--since={since}")
    assert ended.code == ExitCode.USAGE
    assert f"--since {since}" in ended.err


def test_a_broker_that_is_not_there(run: Runner) -> None:
    ended = run("report", "reconcile", "--bootstrap", "127.0.0.1:1")
    assert ended.code == ExitCode.UNREACHABLE
    assert "127.0.0.1:1" in ended.err


def shown(what: object) -> str:
    out = io.StringIO()
    Console(file=out, width=220).print(what)
    return out.getvalue()


async def test_people_are_shown_tables(world: World, report: Report) -> None:
    found = await report(world)
    text = shown(day_tables([found]))
    assert "hk, 2026-01-05 (UTC), not over: as of 2026-01-05T12:" in text
    for title in ("The scheme", "Participants", "Windows", "Nets", "Exceptions"):
        assert title in text
    [hkd] = [row for row in found.assets if row.asset == "HKD"]
    assert hkd.accepted_value is not None
    assert hkd.accepted_value in text
    assert "–" in text, "what is not known"


def test_breaks_are_told_one_by_one() -> None:
    broken = Break(kind="not_confirmed", where="ledger", text="batch 7 [bold]is not posted")
    found = Reconciled(
        netting_set="hk", batches=7, windows=3, postings=6, entries=12, confirmed=6, under_way=0,
        with_ledger=True, breaks=[broken], explained=["batch 1 was settled as version 2"],
    )  # fmt: skip
    assert shown(reconciled_lines([found])).splitlines()[:3] == [
        "hk: 1 break; 7 batches, 3 windows, 6 confirmed",
        "  not confirmed: batch 7 [bold]is not posted",
        "  explained: batch 1 was settled as version 2",
    ]
