"""The people of the demo: contacts of every employer, all invited, one registered through the pages; one patient user."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from deploy.local import plan as plans
from deploy.local import visitor
from deploy.local.browser import Browser
from deploy.local.children import run as run_command
from deploy.local.places import ROOT
from deploy.local.plan import Plan
from deploy.local.visitor import Where

Say = Callable[[str], None]
QUESTION = "What was the name of your first pet?"
ROLES = {"owner": "owner", "billing": "payer", "human resources": "viewer"}
EMPLOYER, PASSWORD = "paula.schaefer@kuvalis-warehousing-logistics-inc.example.org", "Harbor-Lantern-42"
PATIENT = ("stanford.windler.3887@example.net", "Stanford Windler")


async def seed(
    plan: Plan, at: Where, http: httpx.AsyncClient, employers: list[dict[str, Any]], accounts: list[dict[str, Any]], say: Say
) -> dict[str, Any]:
    """Invites every contact and, where mails can be read, registers Paula Schaefer and adds the patient user; returns who can sign in."""
    invited = 0
    for employer, account in zip(employers, accounts, strict=True):
        for contact in employer["contacts"]:
            await invite(at, http, account, contact)
            invited += 1
    say(f"{invited} contacts invited")
    if not await visitor.reads_mails(at):
        say(f"nobody is registered, because the mailbox is another program's; open an invitation at {at['mail']}/")
        return {}
    name = next(each["name"] for employer in employers for each in employer["contacts"] if each["email"] == EMPLOYER)
    await register(at, EMPLOYER, PASSWORD)
    say(f"{name} registered through the pages")
    env = plans.environment(plan, "portal")
    say(run_command([plans.PYTHON, "-m", "services.portal", "patient-user", *PATIENT], env=env, cwd=ROOT).strip().splitlines()[-1])
    return {"employer": {"name": name, "email": EMPLOYER, "password": PASSWORD}, "patient": {"name": PATIENT[1], "email": PATIENT[0]}}


async def invite(at: Where, http: httpx.AsyncClient, account: dict[str, Any], contact: dict[str, Any]) -> None:
    """A contact of an account, made and invited as a practice's own program would."""
    base = f"{at['services']['portal']}/api/practices/{account['practice_id']}/accounts/{account['account_id']}/contacts"
    body = {"name": contact["name"], "title": contact["role"].capitalize(), "email": contact["email"], "role": ROLES.get(contact["role"], "viewer")}
    key = {"Idempotency-Key": f"{account['account_id']} {contact['email']}"}
    made = (await http.post(base, json=body, headers=key)).raise_for_status().json()
    answer = await http.post(f"{base}/{made['contact_id']}/invite")
    if answer.status_code == 409:  # the address registered meanwhile for another account: access is granted instead
        answer = await http.post(f"{base}/{made['contact_id']}/grant")
    answer.raise_for_status()


async def register(at: Where, email: str, password: str) -> None:
    """From the invitation's link to home, with a security question for recovery."""
    mail = (await _until(lambda: visitor.mails(at, email, "invites you")))[0]
    link = next(each for each in mail["links"] if "/register/" in each)
    browser = Browser()
    try:
        page = await browser.open(link)
        page = await browser.send(page.form("/email"))
        page = await browser.send(page.form("/password"), password=password)
        page = await browser.send(page.form("/recovery"), method="question", question=QUESTION, answer="Biscuit")
        page = await browser.send(page.form("/terms"), agree="on")
        if "/employerportal/" not in page.url or "register" in page.url:
            raise RuntimeError(f"registration ended on {page.url}: {page.text[:300]}")
    finally:
        await browser.close()


async def sign_in(at: Where, email: str, password: str) -> Browser:
    """A browser in which this employer's person is logged in."""
    browser = Browser()
    page = await browser.open(f"{at['services']['portal']}/employerportal/login")
    page = await browser.send(page.form("/login"), email=email, password=password)
    if "login" in page.url:
        raise RuntimeError(f"{email} could not log in: {page.text[:300]}")
    return browser


async def _until(look: Callable[[], Awaitable[list[dict[str, Any]]]], within: float = 30) -> list[dict[str, Any]]:
    async with asyncio.timeout(within):
        while not (found := await look()):
            await asyncio.sleep(0.2)
    return found
