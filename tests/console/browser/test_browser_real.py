"""The page against the real application: its routes, its log-in, its stream, over a netting set in memory."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, Page, expect

from clearing.console.access import Front
from clearing.console.app import shielded
from clearing.console.files import read_files
from tests.console.browser.looking import complaints_of, entered
from tests.console.stage import Stage
from tests.explain.town import A, Town, uuid

PLACES = [
    "overview",
    "lag",
    "windows",
    "positions",
    "queues",
    "batches",
    "batches/hk/1",
    "rejected",
    "participants",
    f"participants/{A}",
    "drill",
    "services",
    "actions?kind=set_cap",
    "audit",
    f"payment/{uuid(0)}",
    f"payment/{uuid(4)}",
]


class _Server(uvicorn.Server):
    """uvicorn without its own signals: those are the tests'."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def real(town: Town, tmp_path: Path) -> AsyncIterator[str]:
    """Address of a console over `town`."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    stage = Stage(town, tmp_path, front=Front(port=port))
    config = uvicorn.Config(
        shielded(stage.desk, read_files()),
        log_config=None,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def _go(page: Page, address: str, place: str) -> None:
    await page.goto(f"{address}/#/{place}")
    await expect(page.get_by_text("Reading …")).to_have_count(0)
    await expect(page.locator("main h1")).to_be_visible()
    await expect(page.locator("main .is-old")).to_have_count(0)


async def test_every_page_shows_what_the_real_server_says(browser: Browser, real: str) -> None:
    """Live and as of a moment: no script fails, nothing is refused, no claim of a proof is open."""
    page = await entered(browser, real, "alice")
    complaints = complaints_of(page)
    for place in PLACES:
        await _go(page, real, place)
        assert await page.locator("main .say[data-level=bad] .hint").count() == 0, place
    await _go(page, real, "batches/hk/1")
    await expect(page.get_by_role("region", name="Proof").locator(".aside")).to_have_text(
        "verified here"
    )
    await _go(page, real, f"payment/{uuid(4)}")
    await expect(page.get_by_text("Why it waits now")).to_be_visible()
    await page.get_by_role("button", name="−1 s").click()
    await _go(page, real, page.url.split("#/")[1].replace(f"payment/{uuid(4)}", "positions"))
    await expect(page.locator(".age [role=status]")).to_have_text("As of")
    assert complaints == []
    await page.context.close()


async def test_two_people_change_a_cap(browser: Browser, real: str) -> None:
    """R33: one looks and proposes, another looks and approves; both are in the audit log."""
    alice, bob = await entered(browser, real, "alice"), await entered(browser, real, "bob")
    complaints = [complaints_of(alice), complaints_of(bob)]
    await _go(alice, real, f"actions?kind=set_cap&participant={A}&asset=HKD")
    await alice.get_by_role("textbox", name="Net debit cap").fill("7")
    await alice.locator("form.act").get_by_role("button", name="What would it do?").click()
    await expect(alice.locator(".act .preview")).to_contain_text("would be carried out")
    await alice.get_by_role("button", name="Propose it").click()
    await expect(alice.locator(".act .say [role=status]")).to_contain_text("Proposed")
    await _go(bob, real, "actions")
    await bob.locator(".proposal").get_by_role("button", name="What would it do?").click()
    await bob.get_by_role("button", name="Approve").click()
    await expect(bob.get_by_text("No proposal is open.")).to_be_visible()
    await _go(bob, real, "audit")
    await expect(bob.get_by_text("every entry follows from the one before")).to_be_visible()
    await expect(bob.locator("tbody tr", has_text="alice").first).to_be_visible()
    assert complaints == [[], []]
    await alice.context.close()
    await bob.context.close()
