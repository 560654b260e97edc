"""Log-in: what it says, how long text and many tries end, who unlocks, where it leads; through the pages, on a real database."""

import asyncio
import re
import unicodedata
from typing import Any

import httpx
import pytest

from services.portal.contacts import access
from services.portal.contacts.store import Contact
from services.portal.identity import failures, signin
from shared.events.portal import PASSWORD_RESET_REQUESTED
from tests.portal.people import ANSWER, OTHER, PASSWORD, QUESTION, Rooms, rooms, words
from tests.together import blocked

__all__ = ["rooms"]
LOGIN, HOME = "/employerportal/login", "/employerportal/"


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
