"""Actions in the browser, under four eyes (R33): what is looked at is what is sent, and nobody approves blindly."""

from typing import Any

from playwright.async_api import Request, expect

from tests.console.browser.fixture.names import HASH, HOSTILE
from tests.console.browser.looking import Look

WOULD = "What would it do?"


def _body(request: Request) -> Any:
    return request.post_data_json


async def _looked_at(look: Look) -> None:
    await look.at("actions?kind=set_cap&participant=BAMBHKHH&asset=HKD")
    await look.page.get_by_role("textbox", name="Net debit cap").fill("5,000,000.00")
    await look.page.locator("form.act").get_by_role("button", name=WOULD).click()
    await expect(look.page.get_by_text("22,000,000.00 HKD below its limit")).to_be_visible()


async def test_an_action_shows_first_what_it_would_do_and_is_then_proposed(look: Look) -> None:
    """Money, accounts before and after, who would breach, and the command of the terminal; sent with the hash."""
    sent: list[Request] = []
    look.page.on(
        "request", lambda request: sent.append(request) if request.method == "POST" else None
    )
    await _looked_at(look)
    preview = look.page.locator(".act .preview")
    await expect(preview).to_contain_text("53,000,000.00 → −22,000,000.00")
    await expect(preview.locator("code").first).to_contain_text("clearing command set-cap")
    assert _body(sent[0])["fields"] == {
        "participant": "BAMBHKHH",
        "asset": "HKD",
        "net_debit_cap": "5000000.00",
    }
    await look.page.get_by_role("button", name="Propose it").click()
    await expect(
        look.page.get_by_text("Proposed: somebody else has to approve it now")
    ).to_be_visible()
    assert sent[-1].url.endswith("/api/actions")
    assert _body(sent[-1])["hash"] == HASH
    assert _body(sent[-1])["command"]["net_debit_cap"] == "5000000.00"
    assert all(request.headers["x-csrf-token"] == "token" for request in sent)


async def test_a_change_after_looking_asks_to_look_again(look: Look) -> None:
    await _looked_at(look)
    await look.page.get_by_role("textbox", name="Net debit cap").fill("6000000.00")
    await expect(look.page.get_by_role("button", name="Propose it")).to_have_count(0)


async def test_an_amount_that_is_none_is_not_sent(look: Look) -> None:
    await look.at("actions?kind=set_cap&participant=BAMBHKHH&asset=HKD")
    await look.page.get_by_role("textbox", name="Net debit cap").fill("5e6")
    await look.page.locator("form.act").get_by_role("button", name=WOULD).click()
    await expect(look.page.locator("form.act [role=alert]")).to_contain_text(
        "an amount is written like 1250.00"
    )
    assert "POST actions/preview" not in look.console.asked


async def test_suspending_is_single_handed(look: Look) -> None:
    await look.at("participants/BAMBHKHH?netting_set=hk")
    await look.page.get_by_role("link", name="suspend …").click()
    await look.page.locator("form.act").get_by_role("button", name=WOULD).click()
    await expect(look.page.locator(".act .preview")).to_contain_text("active → suspended")
    await look.page.get_by_role("button", name="Do it now").click()
    await expect(look.page.get_by_text("Done (log offset 4,712).")).to_be_visible()


async def test_an_approver_looks_before_approving(look: Look) -> None:
    """Bound to the content's hash; the proposal is gone from the list then."""
    look.console.user = "approver"
    sent: list[Request] = []
    look.page.on(
        "request", lambda request: sent.append(request) if request.method == "POST" else None
    )
    await look.at("actions")
    approve = look.page.get_by_role("button", name="Approve")
    await expect(approve).to_be_disabled()
    await look.page.get_by_role("button", name=WOULD).click()
    preview = look.page.locator(".proposal .preview")
    await expect(preview.locator("code").first).to_contain_text("clearing command approve p-0f3e")
    await approve.click()
    await expect(look.page.get_by_text("No proposal is open.")).to_be_visible()
    assert sent[-1].url.endswith("/api/proposals/hk/p-0f3e/approve")
    assert sent[-1].post_data_json == {"hash": HASH}


async def test_nobody_approves_their_own(look: Look) -> None:
    look.console.user = "approver"
    look.console.proposals[0]["by"] = "approver"
    await look.at("actions")
    await expect(look.page.get_by_text("Nobody approves their own.")).to_be_visible()
    await expect(look.page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_who_may_only_look_is_offered_nothing(look: Look) -> None:
    look.console.user = "viewer"
    await look.at("actions")
    await expect(look.page.get_by_text("Your role may look at actions")).to_be_visible()
    assert await look.page.locator(".proposal button:not(.plain)").count() == 0
    await look.at("rejected")
    await expect(look.page.locator("tbody tr").first).to_be_visible()
    assert await look.page.locator("main input[type=checkbox]").count() == 0


async def test_rejected_by_reason_and_read_again(look: Look) -> None:
    """The histogram filters; what cannot be redriven cannot be chosen; bytes stay text; it is proposed."""
    await look.at("rejected?netting_set=hk")
    page = look.page
    await page.get_by_role("link", name="AM12").click()
    await expect(page.locator("tbody tr", has_text="FF01")).to_have_count(0)
    await page.get_by_role("button", name="AM12 ×").click()
    boxes = page.get_by_role("checkbox")
    await expect(boxes).to_have_count(24)
    await expect(boxes.nth(3)).to_be_disabled()
    await boxes.nth(0).check()
    await boxes.nth(1).check()
    await page.get_by_role("button", name="Redrive …").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("2 inputs can be read now")
    await dialog.get_by_text("Its bytes, as text").first.click()
    await expect(dialog.locator("pre").first).to_have_text(HOSTILE)
    await dialog.get_by_role("button", name="Propose it").first.click()
    await expect(
        dialog.get_by_text("Proposed: somebody else has to approve it now")
    ).to_be_visible()
