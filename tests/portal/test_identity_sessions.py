"""Resets, sessions and their limits on a real database, through the pages as a browser without script takes them."""

import httpx
import pytest

from services.portal.identity import failures
from services.portal.main import build
from shared.events.portal import PASSWORD_RESET_REQUESTED, SIGNIN_CODE_REQUESTED
from tests.portal.people import ANSWER, OTHER, PASSWORD, QUESTION, Rooms, rooms, words

__all__ = ["rooms"]
LOGIN, HOME = "/employerportal/login", "/employerportal/"


@pytest.mark.req("EP-07")
async def test_a_reset_needs_the_mailed_link_and_the_recovery_factor_and_ends_all_other_sessions(rooms: Rooms):
    _, browser = await rooms.registered()
    for _ in range(10):
        await rooms.log_in(password="Wrong-Password-1")
    asked = await rooms.browser().post("/employerportal/forgot", data={"email": "paula@kuvalis.example"})
    assert "If paula@kuvalis.example belongs to a user, a link is on its way. It works once, for 60 minutes." in words(asked)
    [letter] = await rooms.letters(PASSWORD_RESET_REQUESTED)
    link = letter["link"].removeprefix("http://portal.test")
    forgetful = rooms.browser()
    assert QUESTION in words(await forgetful.get(link))
    wrong = await forgetful.post(link, data={"proof": "Bello", "password": OTHER})
    assert "The answer is not the one you gave. 4 tries are left" in words(wrong)
    weak = await forgetful.post(link, data={"proof": " rex THE third", "password": "short"})
    assert "Use at least 8 characters" in words(weak)
    used = await forgetful.post(link, data={"proof": ANSWER, "password": PASSWORD})
    assert "one of your last four passwords" in words(used)
    done = await forgetful.post(link, data={"proof": ANSWER, "password": OTHER})
    assert done.url.path == LOGIN and "Your password is changed." in words(done)
    assert (await browser.get(HOME)).url.path == LOGIN, "the session from before is over"
    assert await rooms.log_in(password=PASSWORD) == "wrong" and await rooms.log_in(password=OTHER) == "in"
    assert (await forgetful.get(link)).status_code == 410 and "This link no longer works" in words(await forgetful.get(link))


@pytest.mark.req("EP-07")
async def test_a_reset_by_text_message_asks_for_the_code(rooms: Rooms):
    _, link = await rooms.invited()
    browser = rooms.browser()
    await browser.post(f"{link}/email")
    await browser.post(f"{link}/password", data={"password": PASSWORD})
    await browser.post(f"{link}/code", data={"phone": "555 255 6149"})
    [letter] = await rooms.letters(SIGNIN_CODE_REQUESTED)
    await browser.post(f"{link}/recovery", data={"method": "sms", "phone": "555 255 6149", "code": letter["code"]})
    await browser.post(f"{link}/terms", data={"agree": "yes"})
    await browser.post("/employerportal/forgot", data={"email": "paula@kuvalis.example"})
    reset = (await rooms.letters(PASSWORD_RESET_REQUESTED))[-1]["link"].removeprefix("http://portal.test")
    assert "(•••) •••-6149" in words(await browser.get(reset))
    assert "Send a code to this number first" in words(await browser.post(reset, data={"proof": letter["code"], "password": OTHER}))
    await browser.post(f"{reset}/code")
    code = (await rooms.letters(SIGNIN_CODE_REQUESTED))[-1]["code"]
    done = await browser.post(reset, data={"proof": code, "password": OTHER})
    assert done.url.path == LOGIN
    assert await rooms.log_in(password=OTHER) == "in"


@pytest.mark.req("EP-07")
async def test_a_reset_link_ends_after_sixty_minutes_and_after_five_wrong_answers(rooms: Rooms):
    await rooms.registered()
    browser = rooms.browser()
    await browser.post("/employerportal/forgot", data={"email": "paula@kuvalis.example"})
    first = (await rooms.letters(PASSWORD_RESET_REQUESTED))[-1]["link"].removeprefix("http://portal.test")
    rooms.clock.move(minutes=59)
    assert (await browser.get(first)).status_code == 200
    rooms.clock.move(minutes=1)
    assert (await browser.get(first)).status_code == 410
    await browser.post("/employerportal/forgot", data={"email": "paula@kuvalis.example"})
    second = (await rooms.letters(PASSWORD_RESET_REQUESTED))[-1]["link"].removeprefix("http://portal.test")
    said = [await browser.post(second, data={"proof": "no", "password": OTHER}) for _ in range(5)]
    assert [each.status_code for each in said] == [422] * 4 + [410]
    assert (await browser.post(second, data={"proof": ANSWER, "password": OTHER})).status_code == 410
    assert await rooms.log_in() == "in"


@pytest.mark.req("EP-07")
async def test_asking_for_a_reset_reveals_nothing(rooms: Rooms):
    await rooms.registered()
    await rooms.invited("invited@kuvalis.example", "George Beer")
    browser, said = rooms.browser(), []
    for email in ("paula@kuvalis.example", "nobody@kuvalis.example", "invited@kuvalis.example"):
        answer = await browser.post("/employerportal/forgot", data={"email": email})
        said.append(words(answer).replace(email, "E"))
    assert said[0] == said[1] == said[2]
    assert [each["to"] for each in await rooms.letters(PASSWORD_RESET_REQUESTED)] == ["paula@kuvalis.example"]


@pytest.mark.req("EP-08", part="time-outs")
async def test_a_session_ends_after_fifteen_idle_minutes_and_after_twelve_hours(rooms: Rooms):
    _, browser = await rooms.registered()
    rooms.clock.move(minutes=14, seconds=59)
    assert (await browser.get(HOME)).url.path == HOME
    rooms.clock.move(minutes=15)
    late = await browser.get("/employerportal/payments?at=1")
    assert late.url.path == LOGIN and "You were logged out because nothing happened for 15 minutes." in words(late)
    back = await browser.post(LOGIN, data={"email": "paula@kuvalis.example", "password": PASSWORD, "next": "/employerportal/payments?at=1"})
    assert str(back.url).endswith("/employerportal/payments?at=1"), "on where they were"
    for _ in range(12 * 5 - 1):
        rooms.clock.move(minutes=12)
        assert (await browser.post("/employerportal/stay")).status_code == 204
    rooms.clock.move(minutes=12)
    assert (await browser.post("/employerportal/stay")).status_code == 401, "twelve hours after the log-in, however busy"
    assert (await browser.get(HOME)).url.path == LOGIN


@pytest.mark.req("EP-08", part="time-outs")
async def test_the_page_warns_two_minutes_before_the_end(rooms: Rooms):
    _, browser = await rooms.registered()
    text = (await browser.get(HOME)).text
    assert 'data-idle-warn="780"' in text and 'data-idle-end="900"' in text and "You will be logged out at" in text


@pytest.mark.req("EP-08", part="sessions")
async def test_sessions_are_listed_by_device_and_each_can_be_ended(rooms: Rooms):
    _, browser = await rooms.registered()
    phone = rooms.browser("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1")
    await phone.post(LOGIN, data={"email": "paula@kuvalis.example", "password": PASSWORD})
    listed = await browser.get("/employerportal/sessions")
    assert "Chrome on Windows" in words(listed) and "Safari on iPhone" in words(listed)
    other = await rooms.value("SELECT session_id FROM sessions WHERE device = 'Safari on iPhone'")
    await browser.post(f"/employerportal/sessions/{other}/end")
    assert (await phone.get(HOME)).url.path == LOGIN
    assert (await browser.get(HOME)).url.path == HOME
    out = await browser.post("/employerportal/log-out")
    assert out.url.path == LOGIN and await rooms.value("SELECT count(*) FROM sessions") == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "Enter your name"),
        ("Paula\0", "Use letters, digits and signs only"),
        ("P" * 121, "Use up to 120 characters for your name"),
        ("Paula Ångström", "Saved."),
    ],
)
async def test_a_name_that_cannot_be_taken_is_refused_with_what_is_wrong(rooms: Rooms, name: str, said: str):
    _, browser = await rooms.registered()
    assert said in words(await browser.post("/employerportal/profile", data={"name": name}))


@pytest.mark.req("EP-08", part="sessions")
async def test_nobody_ends_a_session_of_somebody_else(rooms: Rooms):
    _, browser = await rooms.registered()
    await rooms.registered("lee@kuvalis.example", "Lee Okonkwo")
    other = await rooms.value("SELECT session_id FROM sessions s JOIN persons p USING (person_id) WHERE p.name LIKE 'Lee%%'")
    assert (await browser.post(f"/employerportal/sessions/{other}/end")).status_code == 404
    assert await rooms.value("SELECT count(*) FROM sessions") == 2


@pytest.mark.req("EP-06")
async def test_changing_the_password_needs_the_current_one_and_ends_every_other_session(rooms: Rooms):
    _, browser = await rooms.registered()
    other = rooms.browser()
    await other.post(LOGIN, data={"email": "paula@kuvalis.example", "password": PASSWORD})
    change = "/employerportal/security"
    assert "not your current password" in words(await browser.post(change, data={"current": "Wrong-1-Wrong", "password": OTHER}))
    assert "last four" in words(await browser.post(change, data={"current": PASSWORD, "password": PASSWORD}))
    assert "Your password is changed." in words(await browser.post(change, data={"current": PASSWORD, "password": OTHER}))
    assert (await other.get(HOME)).url.path == LOGIN and (await browser.get(HOME)).url.path == HOME
    current = OTHER
    for n in range(3):
        new = f"Another-One-{n}{n}"
        assert "last four" in words(await browser.post(change, data={"current": current, "password": PASSWORD}))
        await browser.post(change, data={"current": current, "password": new})
        current = new
    assert "is changed" in words(await browser.post(change, data={"current": current, "password": PASSWORD})), "the fifth ago may come back"
    assert await rooms.value("SELECT count(*) FROM passwords") == 4


@pytest.mark.req("EP-23", part="without the staff preview")
async def test_staff_and_employers_share_no_session(rooms: Rooms):
    _, browser = await rooms.registered()
    assert (await rooms.staff().get(HOME)).url.path == LOGIN
    answer = await browser.get("/staff/7/log-ins", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/staff/sign-in")


async def test_old_counts_of_addresses_that_nobody_has_are_forgotten(rooms: Rooms):
    await rooms.registered()
    await rooms.log_in(password="Wrong-Password-1")
    await rooms.log_in("nobody@kuvalis.example", "Wrong-Password-1")
    rooms.clock.move(days=91)
    async with rooms.app.begin() as tx:
        assert await failures.sweep(tx, rooms.clock.system()) == 1
    assert await rooms.value("SELECT count(*) FROM failures") == 1


@pytest.mark.req("EP-08", part="time-outs")
async def test_the_limits_of_a_session_can_be_set(rooms: Rooms):
    _, browser = await rooms.registered()
    for minutes, way in ((30, 200), (5, 303)):
        rooms.web.state.service.settings.session_idle_minutes = minutes
        rooms.clock.move(minutes=minutes - 1)
        assert (await browser.get(HOME, follow_redirects=False)).status_code == 200
        rooms.clock.move(minutes=6 if minutes == 5 else 0)
        assert (await browser.get(HOME, follow_redirects=False)).status_code == way


@pytest.mark.req("EP-08", part="sessions")
@pytest.mark.parametrize(("staff", "employers"), [("http", "https"), ("https", "http")])
async def test_a_cookie_is_secure_where_the_pages_that_it_is_for_are(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, staff: str, employers: str
):
    await rooms.registered()
    monkeypatch.setenv("PUBLIC_URL", f"{staff}://staff.test")
    monkeypatch.setenv("PORTAL_URL", f"{employers}://portal.test")
    web = build()
    service = web.state.service
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(web), headers={"accept": "text/html"}) as browser:
            for scheme, answer in (
                (employers, await browser.post(f"{employers}://portal.test{LOGIN}", data={"email": "paula@kuvalis.example", "password": PASSWORD})),
                (staff, await browser.post(f"{staff}://staff.test/staff/sign-out")),
            ):
                assert answer.headers["set-cookie"].startswith("portal_")
                assert answer.headers["set-cookie"].endswith("; Secure") == (scheme == "https")
                assert ("strict-transport-security" in answer.headers) == (scheme == "https")
    finally:
        for close in (service.app.close, service.worker.close, *service.closers):
            await close()
