"""Registration, log-in and resets on a real database, through the pages as a browser without script takes them."""

import re

import pytest

from services.portal.identity import codes, failures
from services.portal.tables import PLATFORM_TABLES, metadata
from shared.auth import unguarded
from shared.events.portal import CONTACT_STATE, PASSWORD_RESET_REQUESTED, SIGNIN_CODE_REQUESTED
from tests.portal.people import ANSWER, OTHER, PASSWORD, QUESTION, Rooms, rooms, words

__all__ = ["rooms"]
LOGIN, HOME = "/employerportal/login", "/employerportal/"


async def test_every_route_names_its_guard(rooms: Rooms):
    assert unguarded(rooms.web) == []


@pytest.mark.req("EP-05", "EP-04")
async def test_registration_leads_from_the_link_to_home_and_may_be_resumed_in_another_browser_at_each_step(rooms: Rooms):
    contact, link = await rooms.invited()
    steps = [
        ("Register for the Employer Portal", "email", {}),
        ("Set a password", "password", {"password": PASSWORD}),
        ("How can we reach you", "recovery", {"method": "question", "question": QUESTION, "answer": ANSWER}),
        ("Sign the terms", "terms", {"agree": "yes"}),
    ]
    for head, step, form in steps:
        browser = rooms.browser()  # each step in a browser that knows nothing of the one before
        assert head in words(await browser.get(link))
        done = await browser.post(f"{link}/{step}", data=form)
        assert done.status_code == 200
    assert done.url.path == HOME and "Welcome, Paula Schaefer." in words(done) and "Kuvalis Warehousing" in words(done)
    states = await rooms.said(CONTACT_STATE)
    assert [(each.version, each.status) for each in states] == [(1, "not_invited"), (2, "invited"), (3, "registered")]
    again = await rooms.browser().get(link)
    assert again.url.path == LOGIN and "Saltmarsh" in again.text
    assert await rooms.value("SELECT count(*) FROM terms_signed") == 1
    assert contact.contact_id == await rooms.value("SELECT contact_id FROM memberships")


@pytest.mark.req("EP-05")
async def test_a_step_cannot_be_skipped(rooms: Rooms):
    _, link = await rooms.invited()
    browser = rooms.browser()
    for step, form in (("password", {"password": PASSWORD}), ("recovery", {"method": "question"}), ("terms", {"agree": "yes"})):
        assert "Register for the Employer Portal" in words(await browser.post(f"{link}/{step}", data=form))
    assert "Register for" in words(await browser.get(f"{link}?step=3"))
    assert await rooms.value("SELECT count(*) FROM persons") == 0


@pytest.mark.req("EP-05")
async def test_the_recovery_code_comes_by_text_message_sealed_and_is_counted_down(rooms: Rooms):
    _, link = await rooms.invited()
    browser = rooms.browser()
    await browser.post(f"{link}/email")
    await browser.post(f"{link}/password", data={"password": PASSWORD})
    bad = await browser.post(f"{link}/code", data={"phone": "555 255 614"})
    assert bad.status_code == 422 and "Enter a US phone number with 10 digits" in words(bad)
    sent = await browser.post(f"{link}/code", data={"phone": "555 255 6149"})
    assert "Sent to (555) 255-6149" in words(sent)
    [letter] = await rooms.letters(SIGNIN_CODE_REQUESTED)
    assert letter["to"] == "+15552556149" and re.fullmatch(r"\d{6}", letter["code"])
    wrong = str((int(letter["code"]) + 1) % 10**6).zfill(6)
    form = {"method": "sms", "phone": "(555) 255-6149"}
    assert "The code is not right. 4 tries are left" in words(await browser.post(f"{link}/recovery", data=form | {"code": wrong}))
    elsewhere = await browser.post(f"{link}/recovery", data={"method": "sms", "phone": "555 255 0000", "code": letter["code"]})
    assert "Send a code to this number first" in words(elsewhere)
    right = await browser.post(f"{link}/recovery", data=form | {"code": f" {letter['code'][:3]} {letter['code'][3:]}"})
    assert "Sign the terms" in words(right)
    assert letter["code"] not in str(await rooms.rows("SELECT * FROM codes"))


@pytest.mark.req("EP-05", "EP-07")
async def test_a_code_ends_after_ten_minutes_five_tries_or_one_use_and_five_are_sent_an_hour(rooms: Rooms):
    await rooms.registered()
    person = await rooms.value("SELECT person_id FROM persons")

    async def make() -> codes.Code | None:
        async with rooms.app.begin() as tx:
            return await codes.make(tx, rooms.clock.system(), "key", person, "reset", "+15550000000")

    async def check(typed: str) -> str | None:
        async with rooms.app.begin() as tx:
            return await codes.check(tx, rooms.clock.system(), "key", person, "reset", "+15550000000", typed)

    first = await make()
    assert first and await check(first.digits) is None
    rooms.clock.move(minutes=9, seconds=59)
    assert await check(first.digits) is None
    rooms.clock.move(seconds=1)
    assert await check(first.digits) == codes.TOO_OLD
    second = await make()
    assert second
    wrong = "000000" if second.digits != "000000" else "000001"
    assert [await check(wrong) for _ in range(5)] == [codes.wrong(left) for left in (4, 3, 2, 1, 0)]
    assert await check(second.digits) == codes.NO_MORE
    third = await make()
    assert third
    async with rooms.app.begin() as tx:
        await codes.use(tx, rooms.clock.system(), person, "reset")
    assert await check(third.digits) == codes.NONE_SENT
    assert await make() and await make()
    assert await make() is None, "the sixth within an hour"
    rooms.clock.move(hours=1)
    assert await make()


@pytest.mark.req("EP-05", "EP-08")
async def test_who_is_invited_to_several_accounts_chooses_location_then_account_and_gets_all_of_them(rooms: Rooms):
    await rooms.invited()
    await rooms.invited(account_id="a2", name="Paula S.")
    _, link = await rooms.invited(account_id="b1", practice_id="8")
    browser = rooms.browser()
    await browser.post(f"{link}/email")
    await browser.post(f"{link}/password", data={"password": PASSWORD})
    answer = await browser.post(f"{link}/recovery", data={"method": "question", "question": QUESTION, "answer": ANSWER})
    assert "Choose a provider location" in words(answer)
    answer = await browser.post(f"{link}/location", data={"practice_id": "7"})
    assert "Choose an account" in words(answer) and "Tidewater Marine" in words(answer) and "Kuvalis North" not in words(answer)
    chosen = await rooms.value("SELECT contact_id FROM contacts WHERE account_id = 'a2'")
    answer = await browser.post(f"{link}/account", data={"contact_id": chosen})
    assert "Sign the terms" in words(answer)
    home = await browser.post(f"{link}/terms", data={"agree": "yes"})
    assert "Tidewater Marine" in words(home) and "Switch Account" in words(home)
    assert {row.status for row in await rooms.rows("SELECT status FROM contacts")} == {"registered"}
    versions = [(each.contact_id, each.version) for each in await rooms.said(CONTACT_STATE)]
    assert len(versions) == len(set(versions)) == 9


@pytest.mark.req("EP-08")
async def test_the_pickers_come_after_log_in_and_switch_account(rooms: Rooms):
    await rooms.registered()
    other = await rooms.move(await rooms.contact(account_id="b1", practice_id="8"), "grant")
    browser = rooms.browser()
    location = await browser.post(LOGIN, data={"email": "PAULA@kuvalis.example ", "password": PASSWORD, "next": "/employerportal/payments"})
    assert "Choose a provider location" in words(location) and "Harbor Clinic" in words(location)
    there = await browser.post("/employerportal/choose", data={"practice_id": "8", "next": "/employerportal/payments"})
    assert there.url.path == "/employerportal/payments" and "Kuvalis North" in words(there) and "Harbor Clinic" in words(there)
    second = await rooms.move(await rooms.contact(account_id="a2", name="Paula S."), "grant")
    several = await browser.post("/employerportal/choose", data={"practice_id": "7"})
    assert "Choose an account" in words(several) and "Tidewater Marine" in words(several) and "Kuvalis North" not in words(several)
    there = await browser.post("/employerportal/choose", data={"contact_id": second.contact_id})
    assert there.url.path == HOME and "Tidewater Marine" in words(there)
    back = await browser.post("/employerportal/choose", data={"contact_id": other.contact_id})
    assert "Kuvalis North" in words(back)
    for nobodys in ({"contact_id": "nobody's"}, {"practice_id": "9"}, {}):
        assert (await browser.post("/employerportal/choose", data=nobodys)).status_code == 404


@pytest.mark.req("EP-06", "EP-23")
async def test_log_in_says_the_same_of_a_wrong_password_and_of_an_unknown_address(rooms: Rooms):
    await rooms.registered()
    answers = []
    for email in ("paula@kuvalis.example", "nobody@kuvalis.example"):
        answer = await rooms.browser().post(LOGIN, data={"email": email, "password": "Wrong-Password-1"})
        assert answer.status_code == 422
        answers.append(re.sub(r"\s+", " ", answer.text.replace(email, "E")))
    assert "E-mail or password is not right" in answers[0]
    nonces = [re.sub(r'nonce="[^"]*"', "", each) for each in answers]
    assert nonces[0] == nonces[1]


@pytest.mark.req("EP-06")
async def test_ten_failures_in_a_row_lock_known_and_unknown_addresses_alike(rooms: Rooms):
    await rooms.registered()
    for email in ("paula@kuvalis.example", "nobody@kuvalis.example"):
        tried = [await rooms.log_in(email, "Wrong-Password-1") for _ in range(11)]
        assert tried == ["wrong"] * 9 + ["locked"] * 2
        page = await rooms.browser().post(f"{LOGIN}?practice=7", data={"email": email.upper(), "password": PASSWORD})
        assert "locked after ten failed tries. Reset your password, or call Saltmarsh Occupational Health, (555) 010-0142" in words(page)


@pytest.mark.req("EP-06")
async def test_a_log_in_between_starts_the_count_anew(rooms: Rooms):
    await rooms.registered()
    for _ in range(3):
        assert [await rooms.log_in(password="Wrong-Password-1") for _ in range(9)] == ["wrong"] * 9
        assert await rooms.log_in() == "in"


@pytest.mark.req("EP-06")
async def test_staff_unlock_a_log_in_of_their_own_contacts_only(rooms: Rooms):
    contact, _ = await rooms.registered()
    for _ in range(10):
        await rooms.log_in(password="Wrong-Password-1")
    assert await rooms.log_in() == "locked"
    assert "paula@" not in words(await rooms.staff().get("/staff/8/log-ins"))
    listed = await rooms.staff().get("/staff/7/log-ins")
    assert "paula@kuvalis.example" in words(listed) and "Unlock" in words(listed)
    assert (await rooms.staff().post(f"/staff/8/log-ins/{contact.contact_id}/unlock")).status_code == 404
    opened = await rooms.staff().post(f"/staff/7/log-ins/{contact.contact_id}/unlock")
    assert "Paula Schaefer can log in again" in words(opened) and "No log-in is locked" in words(opened)
    assert await rooms.log_in() == "in"
    again = await rooms.staff().post(f"/staff/7/log-ins/{contact.contact_id}/unlock")
    assert again.status_code == 409 and "not locked any more" in words(again)
    assert (await rooms.staff("poster").get("/staff/7/log-ins")).status_code == 403


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


@pytest.mark.req("EP-08")
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


@pytest.mark.req("EP-08")
async def test_the_page_warns_two_minutes_before_the_end(rooms: Rooms):
    _, browser = await rooms.registered()
    text = (await browser.get(HOME)).text
    assert 'data-idle-warn="780"' in text and 'data-idle-end="900"' in text and "You will be logged out at" in text


@pytest.mark.req("EP-08")
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


@pytest.mark.req("EP-08")
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


@pytest.mark.req("EP-23")
async def test_log_in_leads_to_no_other_site(rooms: Rooms):
    await rooms.registered()
    for bad in ("https://evil.example/", "//evil.example", "/staff/7/log-ins", "/employerportal/../staff", "/employerportal/log-out", "\\\\evil"):
        answer = await rooms.browser().post(LOGIN, data={"email": "paula@kuvalis.example", "password": PASSWORD, "next": bad})
        assert answer.url.host == "portal.test" and answer.url.path == HOME, bad


@pytest.mark.req("EP-23")
async def test_staff_and_employers_share_no_session(rooms: Rooms):
    _, browser = await rooms.registered()
    assert (await rooms.staff().get(HOME)).url.path == LOGIN
    answer = await browser.get("/staff/7/log-ins", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/staff/sign-in")


@pytest.mark.req("EP-06")
async def test_who_has_not_finished_registering_is_told_so_only_after_the_right_password(rooms: Rooms):
    _, link = await rooms.invited()
    browser = rooms.browser()
    await browser.post(f"{link}/email")
    await browser.post(f"{link}/password", data={"password": PASSWORD})
    assert await rooms.log_in() == "unfinished" and await rooms.log_in(password="Wrong-Password-1") == "wrong"


async def test_old_counts_of_addresses_that_nobody_has_are_forgotten(rooms: Rooms):
    await rooms.registered()
    await rooms.log_in(password="Wrong-Password-1")
    await rooms.log_in("nobody@kuvalis.example", "Wrong-Password-1")
    rooms.clock.move(days=91)
    async with rooms.app.begin() as tx:
        assert await failures.sweep(tx, rooms.clock.system()) == 1
    assert await rooms.value("SELECT count(*) FROM failures") == 1


@pytest.mark.req("EP-25")
async def test_the_guide_needs_no_log_in_and_the_log_in_page_says_how_long_mail_takes(rooms: Rooms):
    guide = await rooms.browser().get("/employerportal/guide?practice=7")
    assert "Then ask Saltmarsh Occupational Health, (555) 010-0142 to send it again" in words(guide)
    login = await rooms.browser().get(LOGIN)
    assert "Mail can take 5 to 10 minutes; please look in spam too" in words(login) and "/employerportal/guide" in login.text


@pytest.mark.req("EP-08")
async def test_the_limits_of_a_session_can_be_set(rooms: Rooms):
    _, browser = await rooms.registered()
    for minutes, way in ((30, 200), (5, 303)):
        rooms.web.state.service.settings.session_idle_minutes = minutes
        rooms.clock.move(minutes=minutes - 1)
        assert (await browser.get(HOME, follow_redirects=False)).status_code == 200
        rooms.clock.move(minutes=6 if minutes == 5 else 0)
        assert (await browser.get(HOME, follow_redirects=False)).status_code == way


@pytest.mark.req("PF-08")
async def test_only_tables_of_persons_stand_outside_row_level_security(rooms: Rooms):
    rows = await rooms.rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT relrowsecurity")
    outside = {row.relname for row in rows} & set(metadata.tables)
    assert outside == set(PLATFORM_TABLES)
    await rooms.registered()
    async with rooms.app.begin("8") as tx:
        assert list(await tx.exec_driver_sql("SELECT * FROM contacts")) == []
