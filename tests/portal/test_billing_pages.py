"""The billing pages in a real browser at both widths: the whole way with and without script, axe, and nothing wider than the window."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date

import httpx
import pytest
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, expect

from deploy.local.places import free_port
from shared.events.invoicing import Issue
from tests.chromium import WIDTHS, axe_findings, chromium, sideways
from tests.portal.conftest import PAULA, Portal
from tests.portal.made import invoice

REISSUED = [Issue(no=1, kind="new", on=date(2026, 11, 2), total_cents=16500), Issue(no=2, kind="reissued", on=date(2026, 11, 16), total_cents=16500)]
PAGES = [
    "/employerportal/",
    "/employerportal/?status=closed&q=9",
    "/employerportal/invoices/i1",
    "/employerportal/invoices/i1?why=i1-1",
    "/employerportal/invoices/i1/claims/i1-1",
    "/employerportal/invoices/i1/claims/i1-1/dispute",
    "/employerportal/invoices/nowhere",
    "/employerportal/cart",
    "/employerportal/payments",
    "/employerportal/help",
]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture
async def address(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The portal on a port of its own; the processor's page leads back to it."""
    port = free_port()
    monkeypatch.setattr("services.portal.checkout.pages._return", lambda _, attempt_id: f"http://127.0.0.1:{port}/employerportal/pay/{attempt_id}")
    server = uvicorn.Server(uvicorn.Config(portal.web, port=port, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=20)) as client:
        await client.get(f"http://127.0.0.1:{port}/health/live")
    first = invoice(status="in_review", held_claims=1, held_cents=10000, payable_cents=6500, issues=REISSUED, last_billed_on=date(2026, 11, 16))
    first = replace(first, lines=(replace(first.lines[0], status="in_review", dispute_id="d"), first.lines[1]))
    await portal.show(first, invoice("i2", "100409", (78500,), status="overdue", due_on=date(2026, 10, 28)), invoice("i3", "100388", (500,)))
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


async def window(browser: Browser, width: int, script: bool = True) -> BrowserContext:
    return await browser.new_context(
        viewport={"width": width, "height": 900}, java_script_enabled=script, extra_http_headers={"x-who": PAULA.person_id}
    )


async def looks_right(page: Page) -> None:
    assert await axe_findings(page) == [], page.url
    assert await sideways(page) <= 0, page.url


@pytest.mark.req("EP-09", "EP-11", "EP-16", "EP-26")
@pytest.mark.req("BX-07", part="the list of entries")
@pytest.mark.parametrize("width", WIDTHS)
async def test_axe_finds_nothing_and_no_page_scrolls_sideways(browser: Browser, address: str, width: int):
    context = await window(browser, width)
    page = await context.new_page()
    for path in PAGES:
        await page.goto(address + path)
        await looks_right(page)
    await context.close()


@pytest.mark.req("EP-26")
async def test_no_page_scrolls_sideways_on_the_smallest_screens(browser: Browser, address: str):
    context = await window(browser, 320)
    page = await context.new_page()
    for path in PAGES:
        await page.goto(address + path)
        assert await sideways(page) <= 0, path
    await context.close()


@pytest.mark.req("EP-26")
async def test_on_paper_a_table_stands_in_its_panel_with_totals_under_their_columns_and_nothing_to_press(browser: Browser, address: str):
    context = await window(browser, 700)  # what the margins leave of a sheet
    page = await context.new_page()
    await page.emulate_media(media="print")
    for path in ("/employerportal/", "/employerportal/invoices/i1"):
        await page.goto(address + path)
        right = "each => Math.round(each.getBoundingClientRect().right)"
        assert await page.locator("table.tbl").evaluate(right) <= await page.locator(".panel:has(.tbl)").evaluate(right)
        shown = page.locator("button, summary, .btn, .col-a")
        assert await shown.evaluate_all("all => all.filter(each => each.clientWidth).map(each => each.outerHTML)") == []
    cells = await page.locator(".tbl tr > :last-child").evaluate_all(f"all => all.map({right})")
    assert len(cells) == 4 and len(set(cells)) == 1, "head, two claims and their total"
    await context.close()


@pytest.mark.req("EP-26")
async def test_in_forced_colours_only_the_current_page_and_step_are_marked(browser: Browser, address: str):
    context = await window(browser, 1280)
    page = await context.new_page()
    await page.emulate_media(forced_colors="active")
    for path, marks, side in (("/employerportal/", ".nav-m a", "Bottom"), ("/employerportal/cart", ".steps li", "Top")):
        await page.goto(address + path)
        edges = await page.locator(marks).evaluate_all(f"all => all.map(each => getComputedStyle(each).border{side}Color)")
        assert edges[0] not in edges[1:], f"{marks}: {edges}"
    await context.close()


@pytest.mark.req("EP-09")
async def test_what_is_wholly_in_review_is_not_offered_to_the_cart(browser: Browser, address: str, portal: Portal):
    await portal.show(invoice("i4", "100512", (38000,), status="in_review", held_claims=1, held_cents=38000, payable_cents=0))
    context = await window(browser, 1280)
    page = await context.new_page()
    await page.goto(address + "/employerportal/")
    row = page.get_by_role("row").filter(has_text="100512")
    await expect(row.get_by_role("link", name="View invoice 100512")).to_be_visible()
    await expect(row.get_by_role("checkbox")).to_be_disabled()
    await expect(row.get_by_role("button", name="Add")).to_have_count(0)
    await context.close()


@pytest.mark.req("EP-13", "EP-15", "EP-26")
@pytest.mark.parametrize(("width", "script"), [(1280, True), (390, False)])
async def test_the_whole_way_from_the_list_to_the_receipt(browser: Browser, address: str, portal: Portal, width: int, script: bool):
    context = await window(browser, width, script)
    page = await context.new_page()
    await page.goto(f"{address}/employerportal/")
    await page.get_by_label("Select invoice 100409").check()
    await page.get_by_label("Select invoice 100388").check()
    if script:
        await expect(page.locator("[data-selected]")).to_have_text("2 selected, $790.00")
    await page.get_by_role("button", name="Add to cart", exact=True).click()
    await page.goto(f"{address}/employerportal/cart")
    await expect(page.get_by_text("$790.00")).to_be_visible()
    await page.get_by_role("button", name="Proceed to Payment").click()
    for name, value in (("number", "4242 4242 4242 4242"), ("expires", "04/31"), ("code", "123"), ("name", "Paula Schaefer")):
        await page.fill(f"[name={name}]", value)
    await page.locator("form button").last.click()
    await expect(page.get_by_role("heading", name="Confirm your payment")).to_be_visible()
    if script:
        await looks_right(page)
    await page.get_by_role("button", name="Pay $790.00").click()
    await expect(page.get_by_text("Payment received.")).to_be_visible()
    if script:
        await looks_right(page)
        await page.goto(f"{address}/employerportal/payments")
        await looks_right(page)
    assert [cents for _, cents in await portal.taken()] == [79000]
    await context.close()


@pytest.mark.req("EP-16")
async def test_a_dispute_opens_as_a_dialog_counts_down_and_is_sent_by_keyboard(browser: Browser, address: str, portal: Portal):
    context = await window(browser, 1280)
    page = await context.new_page()
    await page.goto(f"{address}/employerportal/invoices/i1")
    await page.get_by_label("Action for claim i1-c2").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Dispute").focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Dispute reason")).to_be_focused()
    await looks_right(page)
    await page.keyboard.press("I")
    await page.keyboard.press("Tab")
    await page.keyboard.type("Our rate is 80.00")
    await expect(dialog.get_by_text("483 of 500 characters left")).to_be_visible()
    await dialog.get_by_label("Dispute reason").select_option("WA")
    await dialog.get_by_role("button", name="Submit").press("Enter")
    await expect(page.get_by_text("Dispute sent.")).to_be_visible()
    assert await portal.value("SELECT note FROM disputes") == "Our rate is 80.00"
    await context.close()


@pytest.mark.req("EP-13", "EP-14")
async def test_a_processing_payment_and_a_declined_card_have_pages_of_their_own(browser: Browser, address: str, portal: Portal):
    context = await window(browser, 390)
    page = await context.new_page()
    for number, said in (("4000 0000 0000 0002", "The card was declined"), ("4242 4242 4242 4242", "Your payment is processing")):
        await page.goto(f"{address}/employerportal/invoices/i3")
        if await page.get_by_role("button", name="Add $5.00 to cart").count():
            await page.get_by_role("button", name="Add $5.00 to cart").click()
        await page.goto(f"{address}/employerportal/cart")
        await page.get_by_role("button", name="Proceed to Payment").click()
        for name, value in (("number", number), ("expires", "04/31"), ("code", "123"), ("name", "Paula Schaefer")):
            await page.fill(f"[name={name}]", value)
        await page.locator("form button").last.click()
        if said == "Your payment is processing":
            await portal.faults(next=["late"], late_ms=600_000)
            await page.get_by_role("button", name="Pay $5.00").click()
        await expect(page.get_by_role("heading", name=said)).to_be_visible()
        await looks_right(page)
    await context.close()


