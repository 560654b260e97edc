"""Registration, log-in and resets on a real database, through the pages as a browser without script takes them."""

import asyncio
import re
import unicodedata
from typing import Any

import httpx
import pytest

from services.portal.contacts import access
from services.portal.contacts.store import Contact
from services.portal.identity import codes, failures, signin
from services.portal.tables import PLATFORM_TABLES, metadata
from shared.auth import unguarded
from shared.events.portal import CONTACT_STATE, PASSWORD_RESET_REQUESTED, SIGNIN_CODE_REQUESTED
from tests.portal.people import ANSWER, OTHER, PASSWORD, QUESTION, Rooms, rooms, words
from tests.together import blocked

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


@pytest.mark.req("EP-06")
@pytest.mark.req("EP-23", part="without the staff preview")
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


LONG = "e" + "\u0301\u0323" * 240_000  # nearly 1 MiB; to put so many accents in their order takes minutes, and nothing else runs meanwhile


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the texts that are put in one form of Unicode; long ones are not, so that a test can go on."""
    lengths: list[int] = []
    real = unicodedata.normalize

    def normalize(form: Any, text: str) -> str:
        lengths.append(len(text))
        return real(form, text) if len(text) < 10_000 else text

    monkeypatch.setattr(unicodedata, "normalize", normalize)
    return lengths


@pytest.mark.req("EP-06")
async def test_a_log_in_with_a_mega_byte_of_accents_is_an_ordinary_wrong_one(rooms: Rooms, normalized: list[int]):
    await rooms.registered()
    async with asyncio.timeout(60):
        for email, password in ((LONG, PASSWORD), ("paula@kuvalis.example", LONG), ("paula@kuvalis.example", LONG)):
            fields = {"email": (None, email), "password": (None, password)}
            answer = await rooms.browser().post(LOGIN, files=fields)
            assert answer.status_code == 422 and "E-mail or password is not right" in words(answer)
    assert sorted(row.count for row in await rooms.rows("SELECT count FROM failures")) == [1, 2]
    assert max(normalized) < 300
    assert await rooms.log_in() == "in"


@pytest.mark.req("EP-06", "EP-07")
async def test_long_text_in_a_form_gets_words_and_is_never_worked_through(rooms: Rooms, normalized: list[int]):
    contact, link = await rooms.invited()
    browser = rooms.browser()
    await browser.post(f"{link}/email")
    async with asyncio.timeout(60):
        for step, fields in (("password", {"password": LONG}), ("recovery", {"method": "question", "question": QUESTION, "answer": LONG})):
            answer = await browser.post(f"{link}/{step}", files={name: (None, value) for name, value in fields.items()})
            assert answer.status_code == 422 and "Use no more than 72 characters" in words(answer)
            await browser.post(f"{link}/password", data={"password": PASSWORD})
        await browser.post(f"{link}/recovery", data={"method": "question", "question": QUESTION, "answer": ANSWER})
        assert (await browser.post(f"{link}/terms", data={"agree": "yes"})).status_code == 200
        asked = await rooms.browser().post("/employerportal/forgot", files={"email": (None, LONG)})
        assert asked.status_code == 422
        await signin.forgot(rooms.gates, contact.email)
        [letter] = await rooms.letters(PASSWORD_RESET_REQUESTED)
        page = letter["link"].removeprefix("http://portal.test")
        for fields in ({"proof": LONG, "password": OTHER}, {"proof": ANSWER, "password": LONG}):
            assert (await rooms.browser().post(page, files={name: (None, value) for name, value in fields.items()})).status_code == 422
        changed = await browser.post("/employerportal/security", files={"current": (None, LONG), "password": (None, OTHER)})
        assert changed.status_code == 422 and "This is not your current password" in words(changed)
    assert max(normalized) < 300


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


@pytest.mark.req("EP-06")
async def test_staff_of_all_practices_together_unlock_an_address_twice_a_day_and_a_reset_always_does(rooms: Rooms):
    contact, _ = await rooms.registered()
    elsewhere = await rooms.move(await rooms.contact(account_id="b1", practice_id="8"), "grant")

    async def guessed_then_unlocked(by: Contact) -> httpx.Response:
        for _ in range(10):
            await rooms.log_in(password="Wrong-Password-1")
        rooms.clock.move(hours=1)
        return await rooms.staff().post(f"/staff/{by.practice_id}/log-ins/{by.contact_id}/unlock")

    assert [(await guessed_then_unlocked(each)).status_code for each in (elsewhere, contact)] == [200, 200]
    for each in (elsewhere, contact):
        refused = await guessed_then_unlocked(each)
        assert refused.status_code == 409 and "Paula Schaefer has to reset the password, by Forgot Password at log-in" in words(refused)
    assert await rooms.log_in() == "locked"
    await signin.forgot(rooms.gates, contact.email)
    token = (await rooms.letters(PASSWORD_RESET_REQUESTED))[-1]["link"].rsplit("/", 1)[1]
    assert await signin.reset(rooms.gates, token, ANSWER, OTHER) == {}
    assert await rooms.log_in(password=OTHER) == "in"
    rooms.clock.move(days=1)
    assert (await guessed_then_unlocked(contact)).status_code == 200
    async with rooms.app.begin() as tx:
        await failures.sweep(tx, rooms.clock.system())
    assert await rooms.value("SELECT count(*) FROM unlocks") == 1, "older ones are forgotten"


@pytest.mark.req("EP-06")
async def test_of_staff_of_two_practices_who_unlock_at_once_one_does(rooms: Rooms):
    contact, _ = await rooms.registered()
    elsewhere = await rooms.move(await rooms.contact(account_id="b1", practice_id="8"), "grant")
    for _ in range(10):
        await rooms.log_in(password="Wrong-Password-1")
    async with rooms.app.begin("7") as tx:
        await access.unlock(tx, rooms.clock, "7", contact.contact_id, "dokafor")
        second = asyncio.create_task(rooms.staff().post(f"/staff/8/log-ins/{elsewhere.contact_id}/unlock"))
        await blocked(rooms.worker)
    refused = await second
    assert refused.status_code == 409 and "not locked any more" in words(refused)
    assert await rooms.value("SELECT count(*) FROM unlocks") == 1


@pytest.mark.req("EP-23", part="without the staff preview")
async def test_log_in_leads_to_no_other_site(rooms: Rooms):
    await rooms.registered()
    for bad in ("https://evil.example/", "//evil.example", "/staff/7/log-ins", "/employerportal/../staff", "/employerportal/log-out", "\\\\evil"):
        answer = await rooms.browser().post(LOGIN, data={"email": "paula@kuvalis.example", "password": PASSWORD, "next": bad})
        assert answer.url.host == "portal.test" and answer.url.path == HOME, bad


@pytest.mark.req("EP-06")
async def test_who_has_not_finished_registering_is_told_so_only_after_the_right_password(rooms: Rooms):
    _, link = await rooms.invited()
    browser = rooms.browser()
    await browser.post(f"{link}/email")
    await browser.post(f"{link}/password", data={"password": PASSWORD})
    assert await rooms.log_in() == "unfinished" and await rooms.log_in(password="Wrong-Password-1") == "wrong"


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
