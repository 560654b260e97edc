"""`make screens`: pictures of every page of the running demo at both widths, with what axe and the sideways check find there.

People walk through the pages: a stranger registers up to the last step, the employer's person disputes one claim and pays one invoice (unless
that was done before), staff follow every link. Pages are told apart by their address without its ids, so a new page is found by itself.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from deploy.local import demo, people, visitor
from deploy.local.places import LOCAL
from deploy.local.settled import settle
from deploy.local.tour import VISA
from deploy.local.visitor import Where
from tests.chromium import WIDTHS, axe_findings, chromium, sideways

PLACE = LOCAL / "screens"
PRACTICE = "195900"
ROLES = ("billing_admin", "practice_admin", "poster", "front_desk", "auditor")  # a page is taken as the first who may see it sees it
SPILLS = "[...document.querySelectorAll('.panel table')].some(each => each.scrollWidth > each.closest('.panel').clientWidth + 1)"


@dataclass
class Screens:
    """What was taken and found so far; `seen` holds the shapes of addresses by area."""

    at: Where
    findings: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    papers: dict[str, str] = field(default_factory=dict)
    pages: int = 0

    async def take(self, page: Page, name: str) -> None:
        """The page as it is now, at both widths."""
        self.pages += 1
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            await page.evaluate("document.fonts.ready")
            height: int = await page.evaluate("document.documentElement.scrollHeight")  # a window as high as the page has its bars where they belong
            await page.set_viewport_size({"width": width, "height": min(height, 12_000)})
            await page.screenshot(path=PLACE / f"{name}-{width}.png", full_page=True)
            self.findings += [f"{name} at {width}: {found}" for found in await axe_findings(page)]
            if (wider := await sideways(page)) > 0:
                self.findings.append(f"{name} at {width}: {wider} pixels wider than the window")
            if await page.evaluate(SPILLS):
                self.findings.append(f"{name} at {width}: a table is wider than its panel")
        await page.set_viewport_size({"width": WIDTHS[0], "height": 900})

    async def follow(self, page: Page, start: str, area: str) -> None:
        """Every page that links lead to from here within the product, one of each shape; what is taken already is only looked through for links."""
        waiting, walked, origins = [start], set[str](), {urlsplit(url).netloc for url in self.at["services"].values()}
        while waiting:
            address = waiting.pop(0)
            parts = urlsplit(address)
            known = f"{area} {shape(address)}"
            if parts.netloc not in origins or known in walked or (area == "staff" and not ours(address)):
                continue
            if "/pdf/" in parts.path or parts.path.endswith(".pdf"):
                self.papers.setdefault(shape(address), address)
                continue
            walked.add(known)
            answer = await page.goto(address)
            if answer is None or answer.status >= 400:
                self.findings.append(f"{address} answers {answer.status if answer else 'nothing'}")
            if (there := f"{area} {shape(page.url)}") not in self.seen:
                self.seen.add(there)
                await self.take(page, f"{area}-{slug(shape(page.url))}")
            waiting += await page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")


def ours(address: str) -> bool:
    """Whether a page is staff's, of no other practice than the one that is walked through."""
    place, _, practice = urlsplit(address).path[1:].partition("/")
    return place == "staff" and practice.partition("/")[0] in ("", PRACTICE)


def shape(address: str) -> str:
    """The address without what differs from one invoice, claim or page of a list to the next."""
    parts = urlsplit(address)
    path = "/".join("x" if re.search(r"\d", each) else each for each in parts.path.split("/"))
    return path + "".join(sorted(f"?{name}" for name, value in parse_qsl(parts.query) if value and name not in ("at", "cursor", "sort", "dir")))


def slug(text: str) -> str:
    return re.sub(r"[^a-z]+", "-", text.removeprefix("/employerportal").removeprefix("/staff").removeprefix("/x").lower()).strip("-") or "home"


async def strangers(screens: Screens, browser: Browser) -> None:
    """Log-in with its errors, help to get in, and a registration up to the terms."""
    page = await (await browser.new_context()).new_page()
    base = f"{screens.at['services']['portal']}/employerportal"
    await screens.follow(page, f"{base}/login?practice={PRACTICE}", "stranger")
    await page.goto(f"{base}/login")
    await page.get_by_label("E-mail").fill(people.EMPLOYER)
    await page.get_by_label("Password", exact=True).fill("not this one")
    await page.get_by_role("button", name="Log in").click()
    await screens.take(page, "stranger-login-refused")
    await page.goto(f"{base}/register/nothing-of-ours")
    await screens.take(page, "stranger-register-dead-link")
    mails = await visitor.mails(screens.at, "", "invites you")
    for mail in mails:  # the next one that nobody has begun with
        await page.goto(next(link for link in mail["links"] if "/register/" in link))
        if (await page.title()).startswith("Register"):
            break
    for _ in range(5):
        title = await page.title()
        await screens.take(page, f"stranger-register-{slug(title.split(' – ')[0])}")
        if await page.get_by_label("Password", exact=True).count():
            await page.get_by_label("Password", exact=True).fill(people.PASSWORD)
        elif await page.get_by_label("Security question").count():
            await page.get_by_label("Security question").check()
            await page.get_by_label("Question", exact=True).select_option(people.QUESTION)
            await page.get_by_label("Answer").fill("Biscuit")
        elif "register" not in page.url or await page.locator("[name=agree]").count():
            return
        await page.locator("main form .btn-primary").first.click()


async def employer(screens: Screens, browser: Browser) -> None:
    """A dispute and a payment with all their steps, then every page that links lead to."""
    context = await browser.new_context()
    page = await context.new_page()
    base = f"{screens.at['services']['portal']}/employerportal"
    await page.goto(f"{base}/login")
    await page.get_by_label("E-mail").fill(people.EMPLOYER)
    await page.get_by_label("Password", exact=True).fill(people.PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await _dispute(screens, page)
    await _pay(screens, page, base)
    await page.goto(f"{base}/")
    await page.get_by_label("Invoice number").fill("999999")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_text("No invoice matches").wait_for()
    await screens.take(page, "employer-home-nothing-found")
    await page.goto(f"{base}/invoices/nowhere")
    await screens.take(page, "employer-not-found")
    await screens.follow(page, f"{base}/", "employer")
    await _papers(screens, context)
    await context.close()


async def _dispute(screens: Screens, page: Page) -> None:
    """The form over the invoice and refused; sent only where nothing is in review yet."""
    rows = page.get_by_role("row")
    disputed = await rows.filter(has_text="In-Review").count()
    payable = rows.filter(has=page.locator(".b-due, .b-overdue"))
    await payable.last.locator(".head a").click()
    await payable.first.locator("summary[aria-label^='Action for']").click()
    await screens.take(page, "employer-invoice-with-menu")
    await page.get_by_role("link", name="Dispute", exact=True).last.click()
    await page.locator("dialog[open]").wait_for()
    await screens.take(page, "employer-dispute-dialog")
    await page.get_by_role("button", name="Submit").click()
    await page.get_by_text("There is a problem").wait_for()
    await screens.take(page, "employer-dispute-refused")
    if not disputed:
        await page.get_by_label("Dispute reason").select_option("WA")
        await page.get_by_label("Notes").fill("Our rate sheet of Jan 1, 2026 lists this procedure at 10.00 less.")
        await page.get_by_role("button", name="Submit").click()
        await page.get_by_text("Dispute sent").wait_for()
        await screens.take(page, "employer-dispute-sent")
        await settle(screens.at)


async def _pay(screens: Screens, page: Page, base: str) -> None:
    """Cart, the processor's page, confirm; charged only where no payment was made yet."""
    await page.goto(f"{base}/payments")
    paid = await page.get_by_role("table").count()
    await page.goto(f"{base}/")
    while await page.get_by_role("button", name=re.compile("^Remove invoice")).count() < 2:
        await page.get_by_role("button", name=re.compile("^Add invoice")).last.click()
        await page.wait_for_load_state()
    await page.goto(f"{base}/cart")
    await screens.take(page, "employer-cart-filled")
    await page.get_by_role("button", name="Proceed to Payment").click()
    await page.get_by_role("heading", name="Pay by card").wait_for()
    await screens.take(page, "employer-card")
    await page.get_by_role("button", name=re.compile("^Authorize")).click()
    await page.get_by_text("There is a problem").wait_for()
    await screens.take(page, "employer-card-refused")
    for name, value in VISA.items():
        await page.locator(f"[name={name}]").fill(value)
    await page.get_by_role("button", name=re.compile("^Authorize")).click()
    await page.get_by_role("heading", name="Confirm your payment").wait_for()
    await screens.take(page, "employer-confirm")
    if paid:
        await page.get_by_role("button", name="Cancel").click()
        return
    await page.get_by_role("button", name=re.compile("^Pay ")).click()
    await page.get_by_text("Payment received").wait_for()
    await screens.take(page, "employer-receipt-now")
    await settle(screens.at)


async def staff(screens: Screens, browser: Browser) -> None:
    """Every area of every role, and each page that links lead to."""
    for role in ROLES:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(f"{screens.at['oidc']}/")
        if role == ROLES[0]:
            await screens.take(page, "staff-sign-in")
        await page.locator(f"button[value='{screens.at['users']['staff'][role]}']").first.click()
        for url in screens.at["services"].values():
            await screens.follow(page, f"{url}/staff", "staff")
        if role == "poster":
            await _deposit(screens, page)
        await _papers(screens, context)
        await context.close()


async def _deposit(screens: Screens, page: Page) -> None:
    """A deposit that does not add up; one that does only where no batch by hand is open, then the first claim to post there."""
    money = f"{screens.at['services']['posting']}/staff/{PRACTICE}/money"
    await page.goto(f"{money}?state=open")
    if not await page.get_by_role("row").filter(has_text="Manual").count():
        await page.goto(f"{money}/deposits/new")
        await page.get_by_label("Bank Account").select_option(index=1)
        await page.get_by_label("Deposit Amt").fill("250.00")
        for target in ("200.00", "250.00"):
            await page.get_by_label("Target Amount").fill(target)
            await page.get_by_role("button", name="Save deposit").click()
            await page.wait_for_load_state()
            await screens.take(page, f"staff-deposit-{'refused' if target == '200.00' else 'saved'}")
    else:
        await page.get_by_role("row").filter(has_text="Manual").first.locator(".head a").click()
    await page.locator(".picklist a").first.click()
    await screens.take(page, "staff-post-payment")


async def mails(screens: Screens, browser: Browser) -> None:
    """The mailbox, and one mail of each kind as it arrives."""
    page = await (await browser.new_context()).new_page()
    await page.goto(screens.at["mail"])
    await screens.take(page, "mail-box")
    kinds: dict[str, int] = {}
    for mail in await visitor.mails(screens.at, ""):
        kinds.setdefault(slug(re.sub(r"from .*|to .*|\d+", "", mail["subject"])), mail["id"])
    for kind, number in kinds.items():
        shown = await page.request.get(f"{screens.at['mail']}/messages/{number}/html")  # as text: the mailbox forbids it scripts, and axe is one
        if body := await shown.text():
            await page.goto(f"{screens.at['mail']}/health/ready")
            await page.set_content(body)
            await screens.take(page, f"mail-{kind}")
    await page.goto(f"{screens.at['mail']}/messages/{number}")
    await screens.take(page, "mail-message")


async def _papers(screens: Screens, context: BrowserContext) -> None:
    """The PDFs that links led to, as pictures where pdftoppm is installed."""
    for known, address in screens.papers.items():
        paper = PLACE / f"paper-{slug(known)}.pdf"
        if paper.exists():
            continue
        answer = await context.request.get(address)
        if not answer.ok:
            screens.findings.append(f"{address} answers {answer.status}")
            continue
        paper.write_bytes(await answer.body())
        if shutil.which("pdftoppm"):
            subprocess.run(["pdftoppm", "-png", "-r", "80", str(paper), str(paper.with_suffix(""))], check=True)


async def screens_of(at: Where) -> Screens:
    """Everything, into .local/screens/."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    screens = Screens(at)
    async with chromium() as browser:
        for walk in (strangers, employer, staff, mails):
            await walk(screens, browser)
            print(f"screens: {walk.__name__}, {screens.pages} pages so far", flush=True)
    return screens


def main() -> None:
    where = Path(demo.FILE)
    if not where.exists():
        sys.exit("screens: the demo is not up; `make demo-up` starts it")
    try:
        screens = asyncio.run(screens_of(json.loads(where.read_text())))
    except pytest.skip.Exception as reason:
        sys.exit(f"screens: {reason}")
    print("\n".join(screens.findings))
    if screens.findings:
        sys.exit(f"screens: {len(screens.findings)} findings on {screens.pages} pages; the pictures are in .local/screens/")
    print(f"screens: {screens.pages} pages at {' and '.join(map(str, WIDTHS))} px in .local/screens/; axe finds nothing, nothing scrolls sideways")


if __name__ == "__main__":
    main()
