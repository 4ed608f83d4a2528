"""Every page of the console in a real browser: it shows, complains of nothing, and is accessible."""

import json

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Route, expect

from tests.console.browser.fixture import records
from tests.console.browser.fixture.names import HOSTILE, PAYMENT, SENTENCE
from tests.console.browser.fixture.records import chained
from tests.console.browser.looking import Look

PAGES = [
    "overview",
    "lag",
    "windows",
    "positions",
    "positions?view=list",
    "queues",
    "optimise?netting_set=hk&asset=HKDT",
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


async def test_a_batch_is_proved_by_the_browser_itself(look: Look) -> None:
    """R1, R7: sum, id, hash and chain, from what the page was given; what the server says stands beside it."""
    await look.at("batches/hk/86")
    proof = look.page.get_by_role("region", name="Proof")
    await expect(proof.locator(".aside")).to_have_text("verified here")
    own = proof.locator(".checks").first.locator("li")
    await expect(own.locator(".state[data-level=good]")).to_have_text(
        [
            "its entries sum to zero (R1)",
            "its id is that of what it settles",
            "its hash is that of its content (R7)",
            "it follows batch 85 (R7)",
        ]
    )
    await expect(own.last).to_contain_text(chained(85).hash)


async def test_a_batch_that_was_tampered_with_is_found_out(look: Look) -> None:
    """The server says that all is well, and lies: a bank gets a cent more, and another one less."""
    lie = json.loads(json.dumps(records.batch(0, 86)))
    for entry, net in zip(
        lie["batch"]["entries"][:2], ("-41200000.51", "30000000.26"), strict=True
    ):
        entry["net"] = net

    async def lying(route: Route) -> None:
        answer = await (await route.fetch()).json()
        await route.fulfill(json={**answer, "data": lie})

    await look.page.route("**/api/batches/hk/86*", lying)
    await look.at("batches/hk/86")
    proof = look.page.get_by_role("region", name="Proof")
    await expect(proof.locator(".aside")).to_have_text("a claim does not hold")
    await expect(proof.locator(".state[data-level=bad]").nth(1)).to_have_text(
        "its hash is that of its content (R7)"
    )


async def test_the_audit_log_is_hashed_again_by_the_browser(look: Look) -> None:
    await look.at("audit")
    chain = look.page.get_by_role("region", name="Chain")
    await expect(chain).to_contain_text("40 entries verified here")


async def test_the_best_release_is_tried_and_proposed(look: Look) -> None:
    """From the queue without FIFO to a proposal; what was tried is what is sent."""
    await look.at("queues")
    await look.page.get_by_role("link", name="best release …").first.click()
    await expect(look.page.locator("h1")).to_have_text("Best release")
    await look.page.get_by_role("button", name="What would it do?").click()
    await look.page.get_by_role("button", name="Propose it").click()
    await expect(look.page.locator("main [role=status]").last).to_be_visible()
    assert look.console.asked[-2:] == ["POST actions/preview", "POST actions"]


async def test_services_of_then_are_said_to_be_unknown(look: Look) -> None:
    """Those of now are not shown in their place."""
    await look.at(f"services?at={look.console.now_ms() - 60_000}")
    await expect(look.page.locator("main .say").first).to_contain_text("Not known of the past")
    await expect(look.page.locator("main table")).to_have_count(0)
    await look.page.get_by_role("link", name="Show them now").click()
    await expect(look.page.locator("main table").first).to_be_visible()


async def test_an_older_owner_is_shown_as_fenced_out(look: Look) -> None:
    await look.at("services")
    fenced = look.page.locator(
        "section[aria-label='Ownership and fencing'] tr", has_text="fenced out"
    )
    await expect(fenced).to_have_count(1)
    await expect(fenced).to_contain_text("engine-0")


async def test_a_netting_set_that_nobody_serves_is_said(look: Look) -> None:
    """Its engine was killed, or recovers: no line of a process would say so."""
    look.console.unserved = True
    await look.at("services")
    owners = look.page.locator("section[aria-label='Ownership and fencing'] tr")
    nobody = owners.filter(has_text="nobody")
    await expect(nobody).to_have_count(1)
    await expect(nobody).to_contain_text("engine")
    await expect(nobody).to_have_attribute("data-level", "bad")
    look.console.unserved = False
    await look.at("services?netting_set=hk")
    await expect(owners.filter(has_text="nobody")).to_have_count(0)


@pytest.mark.parametrize("place", [f"search?q={PAYMENT}", f"payment/{PAYMENT}"])
async def test_a_search_says_how_far_it_is_and_can_be_ended(look: Look, place: str) -> None:
    """It is asked for again until it is over, or until somebody stops it."""
    look.console.looking = "hk, 1,000 of 5,000 log records"
    await look.at(place)
    shown = look.page.locator(".looking")
    await expect(shown).to_contain_text("hk, 1,000 of 5,000 log records")
    look.console.looking = "hk, 2,000 of 5,000 log records"
    await expect(shown).to_contain_text("hk, 2,000 of 5,000 log records")
    await shown.get_by_role("button", name="Stop").click()
    await expect(shown).to_contain_text("The search was stopped.")
    assert await _violations(look) == []
    await shown.get_by_role("button", name="Search again").click()
    look.console.looking = ""
    await expect(shown).to_have_count(0)
    await expect(look.page.locator("main").get_by_text(PAYMENT).first).to_be_visible()
