"""The page over the real services while banks pay, and while the engine is killed with kill -9."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from clearing import kafka
from clearing.config import Settings
from clearing.dev.services import Services, supervised
from clearing.dev.setup import in_force
from clearing.failures import ExitCode
from tests.console.browser.looking import complaints_of, entered
from tests.integration.test_cli import Installation
from tests.integration.test_console import console

SCHEME = """
name = "Page"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
queue = "FIFO"
every_s = 3600
value_days_ahead = 2
accounts = { net_debit_cap = "1000000" }
[participants.ALPHA]
[participants.BRAVO]
"""
BOUND_S = 90.0
PAUSE_S = 0.02  # a steady trickle, whatever the machine can bear


async def _pay_on(settings: Settings) -> None:
    """ALPHA and BRAVO pay each other until cancelled."""
    day = str(datetime.now(UTC).date() + timedelta(days=1))  # valid at either side of midnight
    async with kafka.started(kafka.producer(settings.bootstrap)) as producer:
        for number in itertools.count():
            debtor, creditor = ("ALPHA", "BRAVO") if number % 2 else ("BRAVO", "ALPHA")
            order = {
                "type": "payment",
                "id": f"00000000-0000-4000-8000-{number:012x}",
                "debtor": debtor,
            }
            order |= {"creditor": creditor, "asset": "HKD", "amount": "1.00", "value_date": day}
            order |= {"end_to_end_id": f"E{number}"}
            await producer.send(
                settings.topics.payments("hk", debtor), msgspec.json.encode(order), partition=0
            )
            await asyncio.sleep(PAUSE_S)


@pytest.fixture
async def running(bootstrap: str, tmp_path: Path) -> AsyncIterator[tuple[str, Services]]:
    """Address of a console over an installation in which banks pay, and its services."""
    settings = Settings(
        bootstrap=bootstrap, topic_prefix="page-", snapshots=str(tmp_path / "snapshots")
    )
    (tmp_path / "scheme.toml").write_text(SCHEME)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(supervised(settings, tmp_path / "services", {}))
        installation = Installation(settings, tmp_path, services)
        loaded = await installation("scheme", "load", "scheme.toml", "--by", "carol", "--json")
        assert loaded.code == ExitCode.OK, loaded.err
        services.start("intake-1", "engine-1", "views-1")
        address = await stack.enter_async_context(console(settings, tmp_path))
        await services.ready()
        await in_force(settings, loaded.data["netting_sets"])
        paying = asyncio.create_task(_pay_on(settings))
        yield address, services
        paying.cancel()
        await asyncio.wait([paying])
        assert paying.cancelled(), paying


async def _engine(page: Page) -> tuple[int, int]:
    """Epoch of the engine that owns hk and how far it has read, as the page says it; -1: it knows of none."""
    owners = page.get_by_role("region", name="Ownership and fencing")
    rows = owners.get_by_role("row", name=re.compile("^hk engine"))
    read = (
        "cell => /^[0-9,]+$/.test(cell.innerText) ? Number(cell.innerText.replaceAll(',', '')) : -1"
    )
    found = await rows.evaluate_all(
        f"rows => rows.map(row => [3, 6].map(n => row.cells[n]).map({read}))"
    )
    return max([(epoch, offset) for epoch, offset in found], default=(-1, -1))


async def _engine_beyond(page: Page, epoch: int, offset: int) -> tuple[int, int]:
    deadline = time.monotonic() + BOUND_S
    while (found := await _engine(page))[0] <= epoch or found[1] <= offset:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
    return found


async def test_the_page_stays_true_while_the_engine_is_killed(
    browser: Browser, running: tuple[str, Services]
) -> None:
    """Payments are counted, the successor shows with a higher epoch and reads on, nothing is loaded again."""
    address, services = running
    page = await entered(browser, address, "alice")
    complaints = complaints_of(page)
    sets = page.get_by_role("region", name="Netting sets").get_by_role("row", name="hk")
    await expect(sets.locator("td").first).to_have_text(
        re.compile("^[1-9]")
    )  # accepted in a minute
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    before = await _engine_beyond(page, -1, -1)
    await page.evaluate("window.same = true")
    assert services.kill("engine-1")
    await _engine_beyond(page, *before)
    await page.keyboard.press("g")
    await page.keyboard.press("o")
    await expect(page.locator(".age [role=status]")).to_have_text("Live")
    await expect(page.locator("h1")).not_to_be_empty()
    assert await page.evaluate("window.same")
    assert complaints == []
    await page.context.close()
