"""The whole product, walked by people in a real browser: an employer disputes and pays, staff correct and look at the money."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.async_api import Browser, Page, expect

from deploy.local import clockfile, people, publisher, seed, visitor
from deploy.local.processes import Product, where
from deploy.local.settled import settle
from deploy.local.tour import VISA
from deploy.local.visitor import Where
from tests.browser.keyboard import Keyboard
from tests.chromium import axe_findings, chromium, sideways

PRACTICE, PAYER, CLAIMS = "195900", "79530", 6
TODAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
async def billed(product: Product) -> Where:
    """A practice with one employer, its person registered, and two invoices of a few claims."""
    at = where(product.plan, {})
    clockfile.put(product.plan.clock, seed.morning(TODAY))
    seed.practices(product.plan)
    employer = next(each for each in publisher.lines(seed.DATA / "employers.jsonl") if each["payer_id"] == PAYER)
    contact = next(each for each in employer["contacts"] if each["email"] == people.EMPLOYER)
    samples = [each for each in publisher.lines(seed.DATA / "claims.jsonl") if each["practice_id"] == PRACTICE]
    mine = [each for each in samples if each["payers"][0].get("payer_id") == PAYER][: 2 * CLAIMS]
    async with await visitor.program(at) as http:
        account = await seed.account(http, at, employer)
        departments = publisher.lines(seed.DATA / "departments.jsonl")
        await publisher.publish(at["kafka"], "department.state", departments, "department_id", at=clockfile.now(product.plan.clock))
        await settle(at)
        await people.invite(at, http, account, contact)
        await people.register(at, people.EMPLOYER, people.PASSWORD)
        for claims in (mine[:CLAIMS], mine[CLAIMS:]):
            await publisher.publish(at["kafka"], "claim.billed", claims, "claim_id", at=clockfile.now(product.plan.clock))
            await settle(at)
            runs = f"{at['services']['invoicing']}/api/practices/{PRACTICE}/runs"
            (await http.post(runs, json={}, headers={"Idempotency-Key": secrets.token_hex(8)})).raise_for_status()
            await settle(at)
    return at


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@dataclass
class Walker:
    """One person's window; `script` says whether pages may run any."""

    at: Where
    page: Page
    script: bool

    def url(self, service: str, path: str) -> str:
        return f"{self.at['services'][service]}{path}"

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=re.compile(f"^{name}")).first.click()

    async def arrives(self, heading: str) -> None:
        """The page with this heading is shown, fits the window, and axe finds nothing (axe needs script)."""
        await expect(self.page.get_by_role("heading", name=re.compile(heading)).first).to_be_visible()
        assert await sideways(self.page) <= 0, self.page.url
        assert not self.script or await axe_findings(self.page) == [], self.page.url


async def signs_in(employer: Walker) -> None:
    page = employer.page
    await page.goto(employer.url("portal", "/employerportal/"))
    await employer.arrives("Log in")
    await page.get_by_label("E-mail").fill(people.EMPLOYER)
    await page.get_by_label("Password", exact=True).fill(people.PASSWORD)
    await employer.press("Log in")
    await employer.arrives("Latest invoices")


async def disputes(employer: Walker) -> tuple[str, str]:
    """The first claim of an invoice of one's own; gives the invoice's number and the claim's."""
    page = employer.page
    link = page.get_by_role("row").filter(has=page.locator(".b-due")).nth(0 if employer.script else 1).locator(".head a")
    number = await link.inner_text()
    await link.click()
    await employer.arrives(f"Invoice {number}")
    claim = await page.get_by_role("row").filter(has=page.locator("summary")).first.locator(".head .fig").inner_text()
    await page.locator("summary[aria-label^='Action for']").first.click()
    await page.get_by_role("link", name="Dispute").first.click()
    await expect(page.get_by_role("dialog")).to_have_count(1 if employer.script else 0)
    await page.get_by_label("Dispute reason").select_option("WA")
    await page.get_by_label("Notes").fill("Our contracted rate is lower.")
    await employer.press("Submit")
    await employer.arrives(f"Invoice {number}.*")
    await expect(page.get_by_text("Dispute sent.")).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text=claim)).to_contain_text("In-Review")
    return number, claim


async def pays(employer: Walker, number: str) -> None:
    """The rest of the invoice, from the cart to the receipt."""
    page = employer.page
    button = page.get_by_role("button", name=re.compile("^Add \\$"))
    amount = (await button.inner_text()).split()[1]
    await button.click()
    await page.goto(employer.url("portal", "/employerportal/cart"))
    await employer.arrives("Your cart")
    await employer.press("Proceed to Payment")
    await employer.arrives("Pay by card")
    for name, value in VISA.items():
        await page.locator(f"[name={name}]").fill(value)
    await employer.press("Authorize")
    await employer.arrives("Confirm your payment")
    await employer.press(re.escape(f"Pay {amount}"))
    await employer.arrives("Receipt")
    await expect(page.get_by_role("row").filter(has_text=number)).to_contain_text(amount.lstrip("$"))
    paper = await page.request.get(urljoin(page.url, await page.get_by_role("link", name="Download receipt").get_attribute("href")))
    assert (await paper.body()).startswith(b"%PDF")


async def corrects(billing: Walker, claim: str) -> None:
    """Staff find the claim among the holds, lower a charge by a dollar and re-drop it."""
    page = billing.page
    await page.goto(billing.url("invoicing", f"/staff/{PRACTICE}/holds"))
    await billing.arrives("Hold queue")
    await page.locator(f"a[href$='/holds/{claim}']").click()
    await billing.arrives(f"Claim {claim}")
    charge = page.locator("input[name^=charge-]").first
    await charge.fill(f"{float((await charge.input_value()).replace(',', '')) - 1:.2f}")
    await billing.press("Save and re-drop")
    await expect(page.get_by_text("is re-dropped")).to_be_visible()


async def balances(poster: Walker) -> None:
    """The day's e-payment batch holds the payment and is in balance."""
    page = poster.page
    await page.goto(poster.url("posting", f"/staff/{PRACTICE}/money"))
    await poster.arrives("Money")
    await page.get_by_role("row").filter(has_text="E-payment").first.locator(".head a").click()
    await poster.arrives("Payment batch")
    await expect(page.locator(".sumbar .answer")).to_contain_text("0.00")
    await expect(page.get_by_role("row").filter(has_text="Visa ending 4242").first).to_be_visible()


async def is_due_again(employer: Walker, number: str) -> None:
    """The next day the corrected invoice is sent again, with what is left to pay."""
    row = employer.page.get_by_role("row").filter(has_text=number)
    async with asyncio.timeout(60):
        await employer.page.goto(employer.url("portal", "/employerportal/"))
        while "In-Review" in await row.inner_text():
            await asyncio.sleep(0.3)
            await employer.page.reload()
    await expect(row.locator(".b-due").first).to_contain_text("Due")
    await row.locator(".head a").click()
    await expect(employer.page.get_by_text("This invoice was corrected and sent again")).to_be_visible()


@pytest.mark.req("EP-09", "EP-11", "EP-13", "EP-15", "EP-16", "EP-26")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
@pytest.mark.req("RP-07", part="one check with one payment batch")
@pytest.mark.parametrize(("width", "script"), [(1280, True), (390, False)])
async def test_an_employer_disputes_and_pays_and_staff_correct_and_find_the_books_in_balance(
    browser: Browser, billed: Where, width: int, script: bool
) -> None:
    async def window(role: str = "") -> Walker:
        context = await browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=script)
        page = await context.new_page()
        if role:
            await page.goto(billed["oidc"])
            await page.locator(f"button[value='{billed['users']['staff'][role]}']").click()
        return Walker(billed, page, script)

    employer = await window()
    await signs_in(employer)
    number, claim = await disputes(employer)
    await pays(employer, number)
    await settle(billed)
    await corrects(await window("billing_admin"), claim)
    await balances(await window("poster"))
    clockfile.move(Path(billed["clock"]), timedelta(days=1))
    await is_due_again(employer, number)


@pytest.mark.req("EP-09", "EP-11", "EP-13", "EP-15", "EP-16", "EP-26")
async def test_an_employer_signs_in_disputes_and_pays_with_a_keyboard_alone_and_no_script(browser: Browser, billed: Where) -> None:
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, java_script_enabled=False)
    page = await context.new_page()
    keys = Keyboard(page)
    await page.goto(f"{billed['services']['portal']}/employerportal/")
    await keys.press("Skip to main content")
    await keys.type("E-mail", people.EMPLOYER)
    await keys.type("Password", people.PASSWORD)
    await page.keyboard.press("Enter")
    await keys.arrives("Latest invoices")
    disputed, paid = await page.get_by_role("row").filter(has=page.locator(".b-due")).locator(".head a").all_inner_texts()
    await keys.press(disputed)
    await keys.arrives(f"Invoice {disputed}")
    await keys.press("Action for .*")
    await keys.press("Dispute")
    await keys.arrives("Submit Dispute")
    await keys.type("Dispute reason.*", (await page.locator("option[value=WA]").inner_text())[:12])
    await keys.type("Notes.*", "Our contracted rate is lower.")
    await keys.press("Submit")
    await expect(page.get_by_text("Dispute sent.")).to_be_visible()
    await keys.press("Home")
    await keys.arrives("Latest invoices")
    await keys.press(f"Add invoice {paid} to cart")
    await expect(page.get_by_role("link", name="Cart, 1 invoice")).to_be_visible()
    await keys.press("Cart, 1 invoice.*")
    await keys.arrives("Your cart")
    await keys.press("Proceed to Payment")
    await keys.arrives("Pay by card")
    for name, value in zip(("Card number", "Expires", "Security code", "Name on card"), VISA.values(), strict=True):
        await keys.type(name, value)
    await keys.press(r"Authorize \$.*")
    await keys.arrives("Confirm your payment")
    await keys.press(r"Pay \$.*")
    await keys.arrives("Receipt")
    await expect(page.get_by_role("row").filter(has_text=paid)).to_be_visible()
