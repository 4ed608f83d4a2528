"""A day's report and the reconciliation as people ask for them, on the real path: services, Kafka, PostgreSQL."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clearing.core.commands import CloseWindow
from clearing.core.outputs import WindowEvent
from clearing.failures import ExitCode
from clearing.reports.run import reconcile
from tests.integration.cleared import Clearing, Installation, cleared
from tests.integration.test_cli import Ran, start

NETTING_SET = "reported"
ASSETS = {"DAILY": {"queue": "FIFO"}}


@pytest.fixture(scope="module")
async def clearing(installation: Installation) -> AsyncIterator[Clearing]:
    async with cleared(installation, NETTING_SET) as clearing:
        yield clearing


async def said(clearing: Clearing, folder: Path, *arguments: object) -> Ran:
    process = await start(
        clearing.installation.settings, folder, "report", *arguments, "--netting-set", NETTING_SET
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def test_a_day_and_its_books(clearing: Clearing, tmp_path: Path) -> None:
    """One accepted, one that waits, one released, one that cannot be read; the window is final; the books agree."""
    alpha, bravo = clearing.desks("ALPHA", "BRAVO")
    await clearing.fund("DAILY", ALPHA=10)
    await alpha.hears(await alpha.pay("BRAVO", "DAILY", "10"), "ACSP")
    first = await alpha.pay("BRAVO", "DAILY", "2")
    second = await alpha.pay("BRAVO", "DAILY", "3")
    await alpha.hears(first, "PDNG")
    await alpha.hears(second, "PDNG")
    await clearing.fund("DAILY", ALPHA=2)
    await alpha.hears(first, "PDNG", "ACSP")
    await bravo.hears(await bravo.pay("NOBODY", "DAILY", "1"), "RJCT CNOR")
    await clearing.do(CloseWindow, asset="DAILY")
    final = await clearing.event(WindowEvent, asset="DAILY", window=1, state="SETTLED")

    now = datetime.now(UTC)
    zone = f"Etc/GMT{now.hour - 12:+d}"  # where it is noon
    ended = await said(clearing, tmp_path, "day", "--format", "json", "--timezone", zone)
    assert ended.code == ExitCode.OK, ended.err
    [report] = json.loads(ended.out)
    [total] = report["assets"]
    assert (total["accepted"], total["accepted_value"]) == (2, "12.00")
    assert (total["waiting"], total["waiting_value"]) == (1, "3.00")
    assert (total["windows"], total["windows_final"], total["gross"]) == (1, 1, "12.00")
    assert total["longest_wait_ms"] >= 0
    [window] = report["windows"]
    assert window["final_at_ms"] == final.time_ms
    assert window["finality_ms"] == final.time_ms - window["closed_at_ms"] >= 0
    nets = {row["participant"]: row["net"] for row in report["nets"]}
    assert nets == {"ALPHA": "-12.00", "BRAVO": "12.00"}
    funded = {row["participant"]: row["funded"] for row in report["accounts"] if row["asset"]}
    assert funded["ALPHA"] == "12.00"
    [refused] = report["reasons"]
    assert (refused["participant"], refused["reason"], refused["payments"]) == ("BRAVO", "CNOR", 1)
    assert report["limits"] == []

    await _reconcile(clearing, tmp_path)


async def _reconcile(clearing: Clearing, folder: Path) -> None:
    """They agree; then somebody with every right changes a line in the ledger, and it is found."""
    here = {NETTING_SET: clearing.partition}
    [found] = await reconcile(clearing.installation.settings, here, 0.0, lambda _: None)
    assert found.breaks == []
    assert (found.batches, found.confirmed, found.postings, found.entries) == (3, 3, 3, 6)
    assert "journal, settlements and ledger agree" in found.sentence
    change = (
        "UPDATE clearing.entries AS e SET amount = e.amount + $2 FROM clearing.batches AS b "
        "WHERE b.number = e.batch AND b.netting_set = $1 AND b.kind = 'net' AND e.line = 1"
    )
    await clearing.ledger.execute("SET session_replication_role = replica")  # no trigger fires
    await clearing.ledger.execute(change, NETTING_SET, 1)
    try:
        broken = await said(clearing, folder, "reconcile")
    finally:
        await clearing.ledger.execute(change, NETTING_SET, -1)
        await clearing.ledger.execute("SET session_replication_role = origin")
    assert broken.code == ExitCode.FAILED
    assert "reported: 1 break;" in broken.out
    assert "sent -12.00 of ALPHA in line 1, the ledger has -11.99" in " ".join(broken.out.split())
