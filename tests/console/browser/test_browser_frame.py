"""The frame around the pages: log-in, address, keyboard, the slider, what is live, what is stale; figures."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.console.browser.looking import Look

AGE = ".age [role=status]"
UNAUTHORIZED = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"


async def test_log_in_and_out(look: Look) -> None:
    """A wrong password is said, a right one lets in; afterwards nothing of the console is there any more."""
    look.console.user = None
    look.mentions = (
        UNAUTHORIZED  # of the wrong password, and of what was under way when it was logged out
    )
    page = look.page
    await page.goto(look.address)
    await page.get_by_label("Name").fill("viewer")
    await page.get_by_label("Password").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_have_text("name or password is wrong")
    await page.get_by_label("Password").fill("secret")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator(AGE)).to_have_text("Live")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Password")).to_be_visible()
    await expect(page.locator("table")).to_have_count(0)


async def test_a_session_that_is_over_shows_the_log_in(look: Look) -> None:
    look.mentions = UNAUTHORIZED
    await look.at("windows")
    await expect(look.page.locator(AGE)).to_have_text("Live")
    look.console.user = None
    await expect(look.page.get_by_label("Password")).to_be_visible()


async def test_silence_is_shown_as_stale_and_ends(look: Look) -> None:
    """Nothing from the stream for 12 s: what is shown is marked; the next word of it ends that."""
    await look.page.clock.install()
    await look.at("overview")
    await expect(look.page.locator(AGE)).to_have_text("Live")
    look.console.silent = True
    for _ in range(3):  # what was under way may still arrive after the first
        await look.page.clock.run_for(13_000)
    await expect(look.page.locator(AGE)).to_have_text("Stale")
    assert await look.page.locator(".frame").get_attribute("data-mode") == "stale"
    look.console.silent = False
    await expect(look.page.locator(AGE)).to_have_text("Live")


async def test_a_change_that_the_stream_tells_is_fetched(look: Look) -> None:
    await look.at("actions")
    await expect(look.page.locator(".proposal")).to_have_count(1)
    await expect(look.page.locator(AGE)).to_have_text("Live")
    look.console.proposals.clear()
    look.console.version += 1
    await expect(look.page.get_by_text("No proposal is open.")).to_be_visible()


async def test_as_of_shows_all_of_a_moment_and_leads_back(look: Look) -> None:
    """The moment is in the address, goes along to other pages and into every question; nothing is done there."""
    await look.at("windows")
    page = look.page
    await page.get_by_role("button", name="−1 min").click()
    await expect(page.locator(AGE)).to_have_text("As of")
    moment = re.search(r"at=(\d+)", page.url)
    assert moment is not None
    look.requests.clear()
    await page.get_by_role("link", name="Positions", exact=False).first.click()
    await look.shown()
    asked = [url for url in look.requests if url.startswith("/api/positions")]
    assert asked
    assert all(f"at={moment[1]}" in url for url in asked)
    await page.get_by_role("link", name="Actions").click()
    await expect(page.get_by_text("The past is shown")).to_be_visible()
    await page.get_by_role("button", name="Live", exact=True).click()
    await expect(page.locator(AGE)).to_have_text("Live")
    assert "at=" not in page.url


async def test_a_moment_can_be_typed_and_slid_to(look: Look) -> None:
    await look.at("overview")
    page = look.page
    await expect(page.get_by_label("As of", exact=True)).to_be_enabled()
    await page.keyboard.press("t")
    await page.keyboard.type("25:00")
    await expect(page.get_by_label("Moment, as", exact=False)).to_have_attribute(
        "aria-invalid", "true"
    )
    await page.get_by_label("As of", exact=True).focus()
    await page.keyboard.press("PageDown")
    await expect(page).to_have_url(re.compile(r"at=\d+"))
    await expect(page.locator(AGE)).to_have_text("As of")


async def test_the_address_holds_the_state(look: Look) -> None:
    """Filters, order and netting set come from it, go into it, and the back button undoes them."""
    await look.at("positions?netting_set=hk&view=list&asset=HKD&sort=headroom")
    page = look.page
    await expect(page.get_by_label("Netting set")).to_have_value("hk")
    await expect(page.get_by_label("Asset")).to_have_value("HKD")
    head = page.locator("th[aria-sort]")
    await expect(head).to_have_attribute("aria-sort", "ascending")
    shown = [
        float(row.replace(",", "").replace("−", "-"))
        for row in await look.texts("tbody td:nth-child(6)")
    ]
    assert shown == sorted(shown)
    assert len(shown) > 3
    await head.get_by_role("link").click()
    await expect(head).to_have_attribute("aria-sort", "descending")
    assert "sort=-headroom" in page.url
    await page.go_back()
    await expect(head).to_have_attribute("aria-sort", "ascending")


async def test_the_keyboard_is_enough(look: Look) -> None:
    await look.at("overview")
    page = look.page
    for keys, title in (("gp", "Positions"), ("gb", "Settlement batches"), ("gw", "Windows")):
        for key in keys:
            await page.keyboard.press(key)
        await expect(page.locator("main h1")).to_have_text(title)
    await expect(page.locator("main a.row-link").first).to_be_visible()
    await page.keyboard.press("j")
    await expect(page.locator("main a.row-link").first).to_be_focused()
    await page.keyboard.press("/")
    await expect(page.locator("#search")).to_be_focused()
    await page.keyboard.type("5e0d8a4e gp?")  # typed, not obeyed
    await expect(page.locator("main h1")).to_have_text("Windows")
    await page.locator("#search").fill("5e0d8a4e")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name=re.compile("^payment 5e0d")).click()
    await expect(page.locator("main h1")).to_contain_text("Payment 5e0d8a4e")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_it_fits_a_small_screen(look: Look) -> None:
    await look.page.set_viewport_size({"width": 420, "height": 800})
    await look.at("overview")
    assert await look.page.evaluate("document.documentElement.scrollWidth") <= 420


FIGURES = [
    ("money", "-1234567.80", "−1,234,567.80"),
    ("money", "90071992547409931234.567890123", "90,071,992,547,409,931,234.567890123"),
    ("money", None, "–"),
    ("money", "0.00", "0.00"),
    ("short", "1234567890.00", "1.23 bn"),
    ("short", "-999999999.99", "−999 m"),
    ("short", "1000000.00", "1 m"),
    ("short", "999999.99", "999,999"),
    ("short", "480216.000000", "480,216"),
    ("short", "12.345678", "12.34"),
    ("short", "-0.000001", "−0.000001"),
    ("short", "0.00", "0.00"),
    ("short", "1234000000000000.00", "1,234 tn"),
    ("count", 0, "0"),
    ("count", None, "–"),
    ("percent", 0.999, "99 %"),
    ("percent", 0.002, "< 1 %"),
    ("percent", 0, "0 %"),
    ("percent", None, "–"),
    ("duration", 0, "0.0 s"),
    ("duration", 0.01, "< 0.1 s"),
    ("duration", 250, "4 min 10 s"),
    ("duration", 7500, "2 h 05 min"),
    ("duration", 273600, "3 d 4 h"),
    ("duration", None, "–"),
    ("countdown", -3, "due since 3.0 s"),
    ("sum", ["0.10", "0.20", "-0.30"], "0.00"),
    ("sum", ["90071992547409931234.5", "-0.25"], "90071992547409931234.25"),
    ("amounts", {"HKD": "0.00"}, "nothing"),
    ("amounts", {"HKD": "1.00", "EUR": "2.00"}, "HKD\u00a01.00\u00a0· EUR\u00a02.00"),
]


async def test_figures_are_written_exactly(look: Look) -> None:
    """Money is text from end to end: no digit of it is lost, and what is not known is a dash."""
    await look.at("overview")
    call = "async ([name, value]) => (await import('/web/lib/format.js'))[name](value)"
    written: list[Any] = [
        await look.page.evaluate(call, [name, value]) for name, value, _ in FIGURES
    ]
    assert written == [expected for _, _, expected in FIGURES]


@pytest.mark.parametrize("name", ["theme", "zone"])
async def test_without_storage_it_works_all_the_same(look: Look, name: str) -> None:
    forbid = (
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden'); }})"
    )
    await look.page.add_init_script(forbid)
    await look.at("overview")
    button = {"theme": "Colours: system", "zone": "Local time"}[name]
    await look.page.get_by_role("button", name=button).click()
    state = await look.page.evaluate(
        f"async () => (await import('/web/lib/{'theme' if name == 'theme' else 'time'}.js')).{name}.get()"
    )
    assert json.dumps(state) in ('"light"', '"UTC"')
