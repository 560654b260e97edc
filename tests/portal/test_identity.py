"""Registration, codes and the choice of an account on a real database, through the pages as a browser without script takes them."""

import re

import pytest

from services.portal.identity import codes
from services.portal.tables import PLATFORM_TABLES, metadata
from shared.auth import unguarded
from shared.events.portal import CONTACT_STATE, SIGNIN_CODE_REQUESTED
from tests.portal.people import ANSWER, PASSWORD, QUESTION, Rooms, rooms, words

__all__ = ["rooms"]
LOGIN, HOME = "/employerportal/login", "/employerportal/"


async def test_every_route_names_its_guard(rooms: Rooms):
    assert unguarded(rooms.web) == []


@pytest.mark.parametrize(("path", "name"), [("login", "Log in"), ("forgot", "Forgot password")])
async def test_a_title_names_the_practice_where_it_is_known_and_the_portal_once(rooms: Rooms, path: str, name: str):
    await rooms.invited()
    browser = rooms.browser()
    assert f"<title>{name} – Employer Portal</title>" in (await browser.get(f"/employerportal/{path}")).text
    known = await browser.get(f"/employerportal/{path}?practice=7")
    assert f"<title>{name} – Employer Portal – Saltmarsh Occupational Health</title>" in known.text


@pytest.mark.req("EP-04")
@pytest.mark.req("EP-05", part="without voice code and authenticator app")
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


@pytest.mark.req("EP-05", part="without voice code and authenticator app")
async def test_a_step_cannot_be_skipped(rooms: Rooms):
    _, link = await rooms.invited()
    browser = rooms.browser()
    for step, form in (("password", {"password": PASSWORD}), ("recovery", {"method": "question"}), ("terms", {"agree": "yes"})):
        assert "Register for the Employer Portal" in words(await browser.post(f"{link}/{step}", data=form))
    assert "Register for" in words(await browser.get(f"{link}?step=3"))
    assert await rooms.value("SELECT count(*) FROM persons") == 0


@pytest.mark.req("EP-05", part="without voice code and authenticator app")
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


@pytest.mark.req("EP-07")
@pytest.mark.req("EP-05", part="without voice code and authenticator app")
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


@pytest.mark.req("EP-05", part="without voice code and authenticator app")
@pytest.mark.req("EP-08", part="pickers")
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


@pytest.mark.req("EP-08", part="pickers")
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


@pytest.mark.req("EP-25")
async def test_the_guide_needs_no_log_in_and_the_log_in_page_says_how_long_mail_takes(rooms: Rooms):
    guide = await rooms.browser().get("/employerportal/guide?practice=7")
    assert "Then ask Saltmarsh Occupational Health, (555) 010-0142 to send it again" in words(guide)
    login = await rooms.browser().get(LOGIN)
    assert "Mail can take 5 to 10 minutes; please look in spam too" in words(login) and "/employerportal/guide" in login.text


@pytest.mark.req("PF-08")
async def test_only_tables_of_persons_stand_outside_row_level_security(rooms: Rooms):
    rows = await rooms.rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT relrowsecurity")
    outside = {row.relname for row in rows} & set(metadata.tables)
    assert outside == set(PLATFORM_TABLES)
    await rooms.registered()
    async with rooms.app.begin("8") as tx:
        assert list(await tx.exec_driver_sql("SELECT * FROM contacts")) == []
