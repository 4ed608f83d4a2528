"""Pictures of a console that runs, for the documentation.

CLEARING_PASSWORD=… python -m tests.console.browser.shots http://127.0.0.1:8780 alice pictures overview queues
"""

import argparse
import asyncio
import os
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

from tests.console.browser.conftest import chromium, switches

ALL = ("overview", "lag", "windows", "positions", "queues", "batches", "rejected", "participants")
MORE = ("drill", "services", "actions?kind=set_cap", "audit")


async def take(address: str, user: str, folder: Path, places: list[str], scheme: str) -> None:
    """<place>-<scheme>.png of each place; logs in where a log-in is shown."""
    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=switches())
        page = await browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)  # pyright: ignore[reportArgumentType]
        await page.goto(address)
        await enter(page, user)
        for place in places:
            await page.goto(f"{address}/#/{place}")
            await expect(page.get_by_text("Reading …")).to_have_count(0)
            await page.wait_for_timeout(1_000)  # charts are drawn, the slider has found its ends
            name = place.split("?")[0].replace("/", "-")
            await page.screenshot(path=folder / f"{name}-{scheme}.png")
        await browser.close()


async def enter(page: Page, user: str) -> None:
    await expect(page.locator("#main, main.login")).to_have_count(1)
    if await page.locator("main.login").count():
        await page.get_by_label("Name").fill(user)
        await page.get_by_label("Password").fill(os.environ["CLEARING_PASSWORD"])
        await page.get_by_role("button", name="Log in").click()
    await expect(page.locator(".age [role=status]")).to_have_text("Live")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("user")
    parser.add_argument("folder", type=Path)
    parser.add_argument("places", nargs="*", default=[*ALL, *MORE])
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    scheme = "dark" if given.dark else "light"
    asyncio.run(take(given.address, given.user, given.folder, given.places, scheme))


if __name__ == "__main__":
    main()
