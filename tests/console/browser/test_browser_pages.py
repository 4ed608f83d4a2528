"""Every page of the console in a real browser: it shows, complains of nothing, and is accessible."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.console.browser.fixture.names import HOSTILE, PAYMENT, SENTENCE
from tests.console.browser.looking import Look

PAGES = [
    "overview",
    "lag",
    "windows",
    "positions",
    "positions?view=list",
    "queues",
    "batches",
    "batches/hk/86",
    "rejected",
    "participants",
    "participants/GLENGB2L",
    "drill",
    "services",
    "actions?kind=set_cap",
    "audit",
    "search?q=5e0d8a4e",
    f"payment/{PAYMENT}",
]
SHOWN = "main table, main .facts, main form.act"
LEVELS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


async def _violations(look: Look) -> list[str]:
    found = await Axe().run(look.page, options=LEVELS)
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found.response["violations"]]


@pytest.mark.parametrize("place", PAGES)
async def test_a_page_shows_and_is_accessible(look: Look, place: str) -> None:
    """Without an error, within its width, from this server alone, and without a finding of axe."""
    await look.at(place)
    await expect(look.page.locator(SHOWN).first).to_be_visible()
    page_width = await look.page.evaluate("document.documentElement.scrollWidth")
    assert page_width <= 1440
    assert await _violations(look) == []


@pytest.mark.parametrize("place", ["overview", "positions", "queues", "actions?kind=fund"])
async def test_it_is_accessible_in_the_dark(look: Look, place: str) -> None:
    await look.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    look.console.halted = True
    await look.at(place)
    await expect(look.page.locator(SHOWN).first).to_be_visible()
    assert await _violations(look) == []


async def test_the_first_line_is_the_answer(look: Look) -> None:
    await look.at("overview")
    await expect(look.page.locator("h1")).to_have_text(SENTENCE)
    await expect(look.page.locator(".answer .verdict")).to_have_text("On time")


async def test_what_stands_still_is_said_first(look: Look) -> None:
    """A halt stands above everything else, with the next command."""
    look.console.halted = True
    await look.at("overview")
    await expect(look.page.locator("h1")).to_contain_text("Halted")
    await expect(look.page.locator(".say code").first).to_have_text("clearing retry eu")


async def test_unknown_is_a_dash_and_never_zero(look: Look) -> None:
    await look.at("overview")
    sets = look.page.get_by_role("region", name="Netting sets")
    row = sets.get_by_role("row").filter(
        has=look.page.get_by_role("rowheader", name="eu", exact=True)
    )
    await expect(row.locator("td")).to_have_text(["–"] * 8)
    sink = look.page.locator(".pipeline li", has_text="sink")
    await expect(sink).to_contain_text("– records")
    await expect(sink).not_to_contain_text("0 records")


@pytest.mark.parametrize("place", ["rejected", "participants", f"payment/{PAYMENT}"])
async def test_what_a_bank_wrote_stays_text(look: Look, place: str) -> None:
    await look.at(place)
    await expect(look.page.get_by_text(HOSTILE).first).to_be_visible()
    assert await look.page.locator("img").count() == 0


async def test_heat_bars_fill_with_what_is_used(look: Look) -> None:
    """R8: the bar is the share of prefunded + cap − reserved that is used, 83 % of it is near."""
    await look.at("positions?asset=HKD")
    row = look.page.locator("tr", has_text="CORAHKHHXXX")
    bar = row.locator(".bar").first
    assert await bar.get_attribute("data-level") == "warn"
    assert await bar.get_attribute("aria-label") == "83 % used"
    filled = await bar.locator("i").evaluate("it => it.offsetWidth / it.parentElement.offsetWidth")
    assert filled == pytest.approx(0.83, abs=0.02)


async def test_who_waits_for_whom_is_drawn(look: Look) -> None:
    """R16: four that wait for one another are marked as a circle, the fifth only waits."""
    await look.at("queues")
    graph = look.page.locator("svg.graph")
    await expect(graph.locator(".node")).to_have_count(5)
    await expect(graph.locator(".node[data-circle=true]")).to_have_count(4)
    await expect(graph.locator(".edge[data-circle=true]")).to_have_count(4)
    label = await graph.get_attribute("aria-label")
    assert label is not None
    assert label.startswith("Who waits for whom: AURAHKHH waits for BAMBHKHH, BAMBHKHH waits for")


async def test_a_batch_is_added_up_again_by_the_browser(look: Look) -> None:
    """R1, from the entries that the page shows."""
    await look.at("batches/hk/86")
    checks = await look.texts(".checks li")
    assert checks[-1].split("\n")[0].startswith("added up by this browser, its entries sum to zero")
    assert "8 entries: 0.00" in checks[-1]


async def test_an_older_owner_is_shown_as_fenced_out(look: Look) -> None:
    await look.at("services")
    fenced = look.page.locator(
        "section[aria-label='Ownership and fencing'] tr", has_text="fenced out"
    )
    await expect(fenced).to_have_count(1)
    await expect(fenced).to_contain_text("engine-0")
