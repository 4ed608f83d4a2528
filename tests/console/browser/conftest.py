"""A real browser for the tests of the console's page, and the made-up server that it looks at.

Without a Chromium these tests are skipped, and say so; with CLEARING_REQUIRE_BROWSER=1 they fail then.
CLEARING_CHROMIUM names one that is not on the path.
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.console.browser.fixture.console import Console
from tests.console.browser.fixture.server import serve
from tests.console.browser.looking import Look

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    named = os.environ.get("CLEARING_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def switches() -> list[str]:
    """Chromium's sandbox does not start as root, where many build machines run."""
    return [] if os.geteuid() else ["--no-sandbox"]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = chromium() or playwright.chromium.executable_path
        if not Path(path).exists():
            assert os.environ.get("CLEARING_REQUIRE_BROWSER") != "1", "no Chromium was found"
            pytest.skip("no Chromium here: apt-get install chromium, or set CLEARING_CHROMIUM")
        started = await playwright.chromium.launch(executable_path=path, args=switches())
        yield started
        await started.close()


@pytest.fixture
def server() -> Iterator[tuple[str, Console]]:
    """A made-up console of its own: address, and what it knows. An operator is logged in."""
    http, console = serve()
    console.user = "operator"
    yield f"http://127.0.0.1:{http.server_address[1]}", console
    console.user = None  # ends the streams
    http.shutdown()
    http.server_close()


@pytest.fixture
async def look(browser: Browser, server: tuple[str, Console]) -> AsyncIterator[Look]:
    """A page at the made-up console that keeps what the browser complains of; a complaint fails the test."""
    address, console = server
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    page: Page = await context.new_page()
    it = Look(page, address, console)
    yield it
    await context.close()
    assert [said for said in it.complaints if said != it.mentions] == []
