"""The way of an employer in a real browser: invitation, registration, log-in, reset; on a wide page and on a phone, by keyboard, without script."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, Page

from deploy.local.places import free_port
from shared.events.portal import PASSWORD_RESET_REQUESTED, SIGNIN_CODE_REQUESTED
from tests.chromium import WIDTHS, axe_findings, chromium, sideways
from tests.portal.people import OTHER, PASSWORD, Rooms, rooms

__all__ = ["rooms"]
SCREENS = os.environ.get("SCREENS")


@dataclass
class Walk:
    """A page of the browser and the address of the served portal; `look` checks what everybody has to be able to use."""

    page: Page
    base: str
    width: int

    async def go(self, path: str) -> None:
        await self.page.goto(self.base + path.removeprefix("http://portal.test"))

    async def look(self, name: str, heading: str) -> None:
        assert heading in await self.page.inner_text("h1")
        if SCREENS:
            await self.page.screenshot(path=str(Path(SCREENS) / f"{name}-{self.width}.png"), full_page=True)
        for width in (320, self.width):
            await self.page.set_viewport_size({"width": width, "height": 900})
            assert await sideways(self.page) == 0, f"{name} at {width}"
        assert await axe_findings(self.page) == [], name


@asynccontextmanager
async def served(rooms: Rooms) -> AsyncIterator[str]:
    """The portal on a port of its own."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(rooms.web, port=port, lifespan="off", log_config=None, access_log=False))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


async def page_of(browser: Browser, base: str, width: int, *, script: bool = True) -> Walk:
    context = await browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=script)
    return Walk(await context.new_page(), base, width)


async def code_of(rooms: Rooms) -> str:
    return str((await rooms.letters(SIGNIN_CODE_REQUESTED))[-1]["code"])


@pytest.mark.req("EP-02", "EP-06", "EP-07", "EP-25")
@pytest.mark.req("EP-05", part="without voice code and authenticator app")
@pytest.mark.req("EP-08", part="pickers and log-out")
@pytest.mark.req("EP-03", part="the patient's side by function and command")
@pytest.mark.req("EP-23", part="without the staff preview")
@pytest.mark.parametrize("width", WIDTHS)
async def test_from_the_invitation_to_home_and_back_in_after_a_reset(rooms: Rooms, width: int):
    await rooms.contact("", "Accounts Payable", role="viewer")
    async with served(rooms) as base, chromium() as browser:
        desk = await page_of(browser, base, width)
        cookie = rooms.staff().cookies.get("portal_staff")
        await desk.page.context.add_cookies([{"name": "portal_staff", "value": str(cookie), "url": base}])
        await invite(desk)
        walk = await page_of(browser, base, width)
        await register(walk, rooms)
        await come_back(walk, rooms)
        await desk.go("/staff/7/accounts/a1/contacts")
        await desk.look("staff-contacts-registered", "Kuvalis")
        await desk.page.get_by_role("link", name="Revoke Access for Paula Schaefer").click()
        await desk.page.get_by_role("dialog").get_by_role("button", name="Revoke Access").click()
        await desk.page.wait_for_load_state()
        await walk.go("/employerportal/")
        assert "/login" in walk.page.url


async def invite(desk: Walk) -> None:
    await desk.go("/staff/7/accounts/a1/contacts")
    await desk.look("staff-contacts", "Kuvalis")
    await desk.page.get_by_role("link", name="New contact").click()
    await desk.look("staff-contact-new", "New contact")
    for label, text in (("Name", "Paula Schaefer"), ("Title", "Accounts payable lead"), ("E-mail", "paula@kuvalis.example")):
        await desk.page.get_by_label(label).fill(text)
    await desk.page.get_by_label("Role").select_option("payer")
    await desk.page.get_by_role("button", name="Save contact").click()
    await desk.page.get_by_role("button", name="Send Invite for Paula Schaefer").click()
    await desk.page.wait_for_load_state()
    await desk.look("staff-contacts-invited", "Kuvalis")
    await desk.page.get_by_role("link", name="Paula Schaefer", exact=True).click()
    await desk.look("staff-contact", "Paula Schaefer")
    await desk.go("/staff/7/log-ins")
    await desk.look("staff-log-ins", "Locked log-ins")


async def register(walk: Walk, rooms: Rooms) -> None:
    page = walk.page
    await walk.go(await rooms.link())
    await walk.look("register-1-email", "Register for the Employer Portal")
    await page.get_by_role("button", name="Confirm e-mail").click()
    await walk.look("register-2-password", "Set a password")
    await page.get_by_label("Password", exact=True).fill("Password1")
    await page.get_by_role("button", name="Continue").click()
    await walk.look("register-2-password-refused", "Set a password")
    assert "Error:" in await page.title()
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    assert await page.get_by_text("Strong", exact=True).is_visible()
    await page.get_by_role("button", name="Continue").click()
    await walk.look("register-3-recovery", "How can we reach you")
    await page.get_by_label("Security question").check()
    assert not await page.get_by_label("Mobile number").is_visible() and await page.get_by_label("Answer").is_visible()
    await page.get_by_label("Code by text message").check()
    await page.get_by_label("Mobile number").fill("555 255 614")
    await page.get_by_role("button", name="Send the code").click()
    await page.get_by_label("Mobile number").fill("555 255 6149")
    await page.get_by_role("button", name="Send the code").click()
    await page.wait_for_load_state()
    await page.get_by_label("Code from the message").fill("000000" if await code_of(rooms) != "000000" else "000001")
    await page.get_by_role("button", name="Continue").click()
    assert await page.locator("#e-code").inner_text() == "The code is not right. 4 tries are left"
    await walk.look("register-3-recovery-refused", "How can we reach you")
    await page.get_by_label("Code from the message").fill(await code_of(rooms))
    await page.get_by_role("button", name="Continue").click()
    await walk.look("register-5-terms", "Sign the terms")
    await page.get_by_label("I agree to these terms").check()
    await page.get_by_role("button", name="Agree and continue").click()
    await page.wait_for_load_state()
    assert page.url.startswith(walk.base + "/employerportal/?") or page.url == walk.base + "/employerportal/"
    assert "Welcome, Paula Schaefer." in await page.inner_text("main")


async def come_back(walk: Walk, rooms: Rooms) -> None:
    page = walk.page
    for name, heading in (("profile", "Profile"), ("security", "Security"), ("sessions", "Sessions and devices")):
        await walk.go(f"/employerportal/{name}")
        await walk.look(f"self-{name}", heading)
    await page.locator("details.menu.r > summary").click()
    await page.get_by_role("button", name="Log out", exact=True).click()
    await walk.look("login", "Log in to the Employer Portal")
    await page.get_by_label("E-mail").fill("paula@kuvalis.example")
    await page.get_by_label("Password", exact=True).fill("Wrong-Password-1")
    await page.get_by_role("button", name="Log in", exact=True).click()
    await walk.look("login-refused", "Log in to the Employer Portal")
    assert await page.evaluate("document.activeElement.className") == "errsum", "the summary has the focus"
    await page.get_by_role("link", name="Forgot Password").click()
    await walk.look("forgot", "Forgot your password?")
    await page.get_by_label("E-mail").fill("paula@kuvalis.example")
    await page.get_by_role("button", name="Send the link").click()
    await walk.look("forgot-asked", "Look in your mail")
    await walk.go(str((await rooms.letters(PASSWORD_RESET_REQUESTED))[-1]["link"]))
    await walk.look("reset", "Set a new password")
    await page.get_by_role("button", name="Send the code").click()
    await page.wait_for_load_state()
    await page.get_by_label("Code from the message").fill(await code_of(rooms))
    await page.get_by_label("New password").fill(OTHER)
    await page.get_by_role("button", name="Set the new password").click()
    await page.wait_for_load_state()
    other = await rooms.move(await rooms.contact(account_id="b1", practice_id="8"), "grant")
    assert other.status == "registered"
    await rooms.move(await rooms.contact(account_id="a2", name="Paula S."), "grant")
    # From here by keyboard alone: the page opens at its top, and Tab reaches what is needed in reading order.
    await walk.go("/employerportal/login")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to main content"
    while await page.evaluate("document.activeElement.name") != "email":
        await page.keyboard.press("Tab")
    await page.keyboard.type("paula@kuvalis.example")
    while await page.evaluate("document.activeElement.name") != "password":
        await page.keyboard.press("Tab")
    await page.keyboard.type(OTHER)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/choose**")
    await walk.look("choose-location", "Choose a provider location")
    await page.get_by_role("region", name="Provider locations").get_by_role("button", name="Saltmarsh").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**practice=7**")
    await walk.look("choose-account", "Choose an account")
    await page.get_by_role("button", name="Kuvalis Warehousing").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(walk.base + "/employerportal/")
    assert await page.get_by_role("link", name="Switch Account").is_visible()


@pytest.mark.req("EP-06")
@pytest.mark.req("EP-05", part="without voice code and authenticator app")
async def test_registration_and_log_in_need_no_script(rooms: Rooms):
    _, link = await rooms.invited()
    async with served(rooms) as base, chromium() as browser:
        walk = await page_of(browser, base, 390, script=False)
        page = walk.page
        await walk.go(link)
        await page.get_by_role("button", name="Confirm e-mail").click()
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_label("Security question").check()
        await page.get_by_label("Answer").fill("Rex the Third")
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_label("I agree to these terms").check()
        await page.get_by_role("button", name="Agree and continue").click()
        assert "Welcome, Paula Schaefer." in await page.inner_text("main")
        assert "You will be logged out at" in await page.inner_text("main")
        await page.locator("details.menu.r > summary").click()
        await page.get_by_role("button", name="Log out", exact=True).click()
        await page.get_by_label("E-mail").fill("paula@kuvalis.example")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        assert page.url == base + "/employerportal/"
