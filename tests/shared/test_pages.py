"""The parts of the pages in a real browser, at both widths, with and without script."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from playwright.async_api import Browser, Page, expect

from deploy.local.places import free_port
from tests.chromium import WIDTHS, axe_findings, chromium, sideways
from tests.shared.gallery import make_gallery

PAGES = ["/gallery", "/gallery?wrong=1", "/gallery/desk", "/gallery/log-in", "/gallery/log-in?wrong=1", "/gallery/task", "/gallery/refused"]
TEXT_SIZES = "[...document.querySelectorAll('body *')].filter(each => each.innerText).map(each => parseFloat(getComputedStyle(each).fontSize))"


@pytest.fixture(scope="module")
async def address() -> AsyncIterator[str]:
    port = free_port()
    made = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(make_gallery(made), port=port, log_level="error"))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=20)) as client:
        await client.get(f"{made}/health/live")
    yield made
    server.should_exit = True
    await running


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    yield await context.new_page()
    await context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
async def test_axe_finds_nothing_and_no_page_scrolls_sideways(browser, address, path, width):
    context = await browser.new_context(viewport={"width": width, "height": 900})
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" and "409" not in message.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(address + path)
    assert await axe_findings(page) == []
    assert await sideways(page) <= 0
    assert complaints == []
    await context.close()


async def test_axe_also_finds_nothing_in_an_open_menu_a_dialog_and_the_warning(page, address):
    await page.goto(address + "/gallery")
    await page.get_by_label("More actions for invoice 100517").click()
    assert await axe_findings(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("link", name="Submit Dispute").click()
    await page.get_by_role("dialog").wait_for()
    assert await axe_findings(page) == []
    await page.keyboard.press("Escape")
    await page.evaluate("document.querySelector('[data-idle-warn]').showModal()")
    assert await axe_findings(page) == []


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_of_320_pixels_does_not_scroll_sideways(browser, address, path):
    context = await browser.new_context(viewport={"width": 320, "height": 700})
    page = await context.new_page()
    await page.goto(address + path)
    assert await sideways(page) <= 0
    await context.close()


@pytest.mark.parametrize("path", PAGES)
async def test_text_grows_with_the_font_a_reader_has_chosen_and_no_page_scrolls_sideways(browser, address, path):
    context = await browser.new_context(viewport={"width": 390, "height": 900})
    page = await context.new_page()
    await page.goto(address + path)
    sizes = []
    for root in (16, 20):
        await page.evaluate("root => document.documentElement.style.fontSize = `${root}px`", root)
        sizes.append(await page.evaluate(TEXT_SIZES))
    assert sizes[1] == pytest.approx([size * 20 / 16 for size in sizes[0]]) and len(sizes[0]) > 3
    assert await sideways(page) <= 0
    await context.close()


async def test_a_menu_closes_on_escape_with_focus_back_and_on_a_press_outside(page, address):
    await page.goto(address + "/gallery")
    menu = page.get_by_label("More actions for invoice 100517")
    item = page.get_by_role("link", name="Print").first
    await menu.click()
    await expect(item).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(item).to_be_hidden()
    await expect(menu).to_be_focused()
    await menu.click()
    await page.get_by_role("heading", name="Latest invoices").click()
    await expect(item).to_be_hidden()


async def test_the_bulk_bar_counts_and_sums_what_is_chosen(page, address):
    await page.goto(address + "/gallery")
    await page.get_by_label("Select invoice 100517").check()
    await page.get_by_label("Select invoice 100482").check()
    await expect(page.locator("[data-selected]")).to_have_text("2 selected, $4,658.00")
    await page.get_by_label("Select all invoices on this page").check()
    await expect(page.get_by_label("Select invoice 100461")).not_to_be_checked()
    await expect(page.locator("[data-selected]")).to_have_text("4 selected, $9,651.25")


async def test_a_link_opens_its_form_as_a_dialog_and_escape_gives_the_focus_back(page, address):
    await page.goto(address + "/gallery")
    link = page.get_by_role("link", name="Submit Dispute")
    await link.click()
    dialog = page.get_by_role("dialog", name="Submit Dispute")
    await expect(dialog.get_by_label("Dispute reason")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(link).to_be_focused()
    await link.click()
    await dialog.get_by_label("Dispute reason").select_option("WA")
    await dialog.get_by_role("button", name="Submit").click()
    await expect(page.get_by_text("Dispute sent.").first).to_be_visible()
    assert page.url == address + "/gallery"


async def test_after_a_form_error_the_focus_is_on_the_summary_whose_links_lead_to_the_fields(page, address):
    await page.goto(address + "/gallery/task")
    await page.get_by_role("button", name="Submit").click()
    summary = page.get_by_role("alert")
    await expect(summary).to_be_focused()
    await summary.get_by_role("link", name="Choose a dispute reason").click()
    await expect(page.get_by_label("Dispute reason")).to_be_focused()


async def test_a_form_is_sent_once_however_often_the_button_is_pressed(page, address):
    await page.goto(address + "/gallery/task")
    await page.get_by_label("Dispute reason").select_option("WA")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    words = await page.evaluate("(() => { const b = document.querySelector('form .btn-primary'); b.click(); b.click(); return b.textContent; })()")
    await page.wait_for_url("**/gallery")
    assert words == "Sending…"
    assert len(sent) == 1


async def test_a_password_can_be_shown_and_its_strength_is_said_in_words(page, address):
    await page.goto(address + "/gallery")
    field = page.get_by_label("New password")
    await field.fill("short")
    await expect(page.locator("#s-password-words")).to_have_text("Too weak")
    await field.fill("Tidewater-418-reed")
    await expect(page.locator("#s-password-words")).to_have_text("Strong")
    await page.get_by_role("button", name="Show").click()
    await expect(field).to_have_attribute("type", "text")


async def test_the_warning_before_the_end_of_a_session_can_be_answered_by_one_press(page, address):
    await page.clock.install()
    await page.goto(address + "/gallery")
    calls: list[str] = []

    async def answer(route):
        calls.append(route.request.method)
        await route.fulfill(status=204)

    await page.route("**/gallery/stay", answer)
    await page.clock.fast_forward(781_000)
    warning = page.get_by_role("alertdialog", name="Are you still there?")
    await expect(warning).to_be_visible()
    await warning.get_by_role("button", name="Stay logged in").click()
    await expect(warning).to_be_hidden()
    assert calls == ["POST"]
    await page.clock.fast_forward(901_000)
    await page.wait_for_url("**/gallery/log-in")


async def test_everything_is_there_without_script_and_nothing_that_needs_it(browser, address):
    context = await browser.new_context(viewport={"width": 390, "height": 900}, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(address + "/gallery")
    # This way of switching script off leaves <noscript> unparsed.
    assert "You will be logged out at 10:23 AM Eastern" in (await page.locator("noscript").text_content() or "")
    for gone in ("Select all", "Show"):
        await expect(page.get_by_text(gone, exact=True)).to_be_hidden()
    await page.get_by_label("More actions for invoice 100517").click()
    await expect(page.get_by_role("link", name="Print").first).to_be_visible()
    await page.get_by_role("link", name="Submit Dispute").click()
    await page.wait_for_url("**/gallery/task")
    await page.get_by_label("Dispute reason").select_option("WA")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_text("Dispute sent.").first).to_be_visible()
    await context.close()
