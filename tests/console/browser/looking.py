"""What a test does with the console's page: open a place of it, and read what stands there."""

from playwright.async_api import Browser, Page, Request, expect

from tests.console.browser.fixture.console import Console
from tests.console.stage import PASSWORD

# Of a busy machine: a condition that holds at all holds well before.
WITHIN_MS = 60_000
expect.set_options(timeout=WITHIN_MS)


def complaints_of(page: Page) -> list[str]:
    """Grows with every error of a script and of the content security policy."""
    found: list[str] = []
    page.set_default_timeout(WITHIN_MS)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on(
        "console", lambda message: found.append(message.text) if message.type == "error" else None
    )
    return found


async def entered(browser: Browser, address: str, name: str) -> Page:
    """A browser of somebody who has logged in."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    page = await context.new_page()
    await page.goto(address)
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator(".age [role=status]")).to_have_text("Live")
    return page


class Look:
    """A page, the address of its server, what that knows, and what the browser complained of.

    complaints: errors of scripts, of the content security policy, requests to anywhere else. mentions: what the
    browser says by itself, sooner or later, of what the test is about: no complaint.
    """

    def __init__(self, page: Page, address: str, console: Console) -> None:
        self.page = page
        self.address = address
        self.console = console
        self.complaints = complaints_of(page)
        self.mentions: str | None = None
        self.requests: list[str] = []
        page.on("request", self._asked)

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url.removeprefix(self.address))
        if not request.url.startswith((self.address, "data:")):
            self.complaints.append(f"it asked {request.url}")

    async def at(self, place: str) -> None:
        """Open a place of the console ("windows?asset=HKD") and wait until it shows its content."""
        await self.page.goto(f"{self.address}/#/{place}")
        await self.shown()

    async def shown(self) -> None:
        await expect(self.page.locator("main h1")).to_be_visible()
        await expect(self.page.get_by_text("Reading …")).to_have_count(0)

    async def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in await self.page.locator(selector).all_inner_texts()]
