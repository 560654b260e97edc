"""The rules of the identity room, tried with many values: passwords, addresses, moves of a contact, tokens, and people who come at once."""

import asyncio
import string
import time
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.portal.contacts.status import TRANSITIONS, Move, Refused, Status, may, moved
from services.portal.identity import password, registration, sessions
from services.portal.identity.addresses import comparable, show_phone, us_phone, wrong_with
from services.portal.identity.invitations import Link, add_link, link_of
from services.portal.identity.patients import add_patient_user
from services.portal.identity.registration import Registered
from services.portal.identity.session import own_page
from services.portal.identity.sessions import device_words
from services.portal.identity.store import AddressTaken
from tests.portal.people import ANSWER, PASSWORD, QUESTION, Rooms, rooms

__all__ = ["rooms"]
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])
UNCOMMON = "xkqvzjw"  # stands in no list, so that only the other rules speak


@pytest.mark.req("EP-06")
@given(st.text(LETTERS, max_size=80))
def test_a_password_is_taken_only_if_it_keeps_the_rule(text: str):
    same = password._same(text)
    keeps = 8 <= len(same) <= 72 and any(c.islower() for c in same) and any(c.isupper() for c in same) and any(c.isdecimal() for c in same)
    assert (password.problem(text) is None) == (keeps and not password.is_common(same))


@pytest.mark.req("EP-06")
@given(st.text(LETTERS, max_size=62))
def test_any_characters_may_stand_in_a_password_and_no_byte_is_counted(text: str):
    whole = f"{UNCOMMON}Q7{text}"
    assume(len(password._same(whole)) <= 72 and not password.is_common(whole))
    assert password.problem(whole) is None


@pytest.mark.req("EP-06")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Xkqvz7", "Use at least 8 characters"),
        ("Xkqvzj7" + "é" * 65, None),
        ("Xkqvzj7" + "é" * 66, "Use no more than 72 characters"),
        ("Xkqvzj7" + "😀" * 65, None),
        ("xkqvzjw7", "Add an upper-case letter"),
        ("XKQVZJWQ", "Add a lower-case letter and a digit"),
        ("12345678", "Add a lower-case letter and an upper-case letter"),
        ("--------", "Add a lower-case letter, an upper-case letter and a digit"),
    ],
)
def test_a_refused_password_is_told_what_is_missing(text: str, words: str | None):
    assert password.problem(text) == words


@pytest.mark.req("EP-06")
@pytest.mark.parametrize("text", ["Password1", "P@ssw0rd1", "Welcome2026!", "Qwerty12345", "Summer2024", "1Billfold1", "LetMeIn123!"])
def test_common_passwords_are_refused_also_when_dressed_up(text: str):
    assert password.problem(text) == "This password is among the first that others try. Choose a less common one"


@pytest.mark.req("EP-06")
def test_the_own_address_is_no_password_and_a_thousand_common_ones_are_known():
    assert password.problem("Schaefer.P1", "schaefer.p@kuvalis.example") == "Choose a password that is not your e-mail address"
    assert len(password.COMMON) >= 1000


@pytest.mark.req("EP-06")
async def test_two_ways_to_write_an_accent_are_one_password():
    kept = await password.hash_of("Cafe\u0301-Xkqvz7")
    assert await password.fits("Café-Xkqvz7", kept) and not await password.fits("Cafe-Xkqvz7", kept)


@pytest.mark.req("EP-06", "EP-07")
async def test_an_unknown_address_takes_as_long_as_a_known_one():
    kept = await password.hash_of(PASSWORD)

    async def least(hash_kept: str | None) -> float:
        times = []
        for _ in range(5):
            began = time.process_time()
            await password.fits("Wrong-Password-1", hash_kept)
            times.append(time.process_time() - began)
        return min(times)

    known, unknown = await least(kept), await least(None)
    assert 0.5 < known / unknown < 2
    assert not await password.fits("nobody's password", None)


@pytest.mark.req("EP-03", part="the patient's side by function and command")
@given(st.emails())
def test_an_address_is_one_however_it_is_written(email: str):
    assert comparable(email) == comparable(f"  {email.upper()} ") == comparable(comparable(email))


NO_ADDRESSES = ["", "paula", "paula@", "@x.example", "a b@x.example", "a@x", "a@x..example", "a@x.example\nBcc: b@x.example", "a,b@x.example"]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_not_taken_for_one(text: str):
    assert wrong_with(text) == "Enter a complete e-mail, like name@company.com"


@pytest.mark.req("EP-03", part="the patient's side by function and command")
@pytest.mark.parametrize(("one", "other"), [("cfo@straße.example", "cfo@strasse.example"), ("ｃfo@kuvalis.example", "cfo@kuvalis.example"),
                                            ("cfo@\u212auvalis.example", "cfo@kuvalis.example")])  # fmt: skip
def test_addresses_that_look_alike_are_two_and_only_ascii_is_taken(one: str, other: str):
    assert comparable(one) != comparable(other) == other and not wrong_with(other)
    assert wrong_with(one) == "Use letters from a to z, digits and signs. A domain with other letters has a form that begins with xn--"
    assert wrong_with("cfo@xn--strae-oqa.example") == ""


@pytest.mark.req("EP-06")
def test_what_is_longer_than_any_address_is_compared_by_its_beginning():
    assert len(comparable("a" * 10**6)) == 255 and wrong_with(comparable("a" * 10**6 + "@x.example"))


@pytest.mark.req("EP-05", part="without voice code and authenticator app")
@given(st.text(string.digits, min_size=10, max_size=10))
def test_a_telephone_number_may_be_written_in_any_way(digits: str):
    area, office, line = digits[:3], digits[3:6], digits[6:]
    ways = [digits, f"({area}) {office}-{line}", f"+1 {digits}", f"1-{area}-{office}-{line}", f"{area}.{office}{line}"]
    assert {us_phone(way) for way in ways} == {f"+1{digits}"}
    assert show_phone(f"+1{digits}") == f"({area}) {office}-{line}"
    assert us_phone(digits[:9]) is None and us_phone(digits + "55") is None and us_phone(f"{digits} ext 5") is None


@pytest.mark.req("EP-23", part="without the staff preview")
@given(st.text(max_size=60))
def test_no_text_leads_out_of_the_portal_after_log_in(text: str):
    for address in (text, f"/employerportal/{text}", f"//{text}", f"/{text}"):
        found = own_page(address)
        assert found.startswith("/employerportal/") and ".." not in found and "\\" not in found


def test_devices_are_named_as_their_owners_would():
    assert device_words("Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0") == "Edge on Windows"
    assert device_words("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/18.0 Safari/605.1") == "Safari on Mac"
    assert device_words("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36") == "Chrome on Android"
    assert device_words("") == "A browser"


class ContactMoves(RuleBasedStateMachine):
    """Any moves in any order: what staff see as possible is exactly what is taken, and access is only where it was given."""

    @initialize()
    def begin(self) -> None:
        self.status, self.has_login = Status.NOT_INVITED, False

    @rule(move=st.sampled_from(Move), to=st.sampled_from(Status))
    def go(self, move: Move, to: Status) -> None:
        listed = (self.status, to) in TRANSITIONS[move]
        try:
            after = moved("Paula", self.status, move, to)
        except Refused as refused:
            assert not listed and str(refused).startswith("Paula ")
            return
        assert listed and after is to and may(self.status, move)
        if after is Status.REGISTERED and self.status is not Status.REGISTERED:
            assert move in (Move.REGISTER, Move.GRANT), "nobody gets in by anything else"
        if self.status in (Status.INVITED, Status.REGISTERED) and after is Status.REVOKED:
            assert move is Move.REVOKE
        self.status = after

    @invariant()
    def there_is_always_a_way_on(self) -> None:
        if hasattr(self, "status"):
            assert any(after is not before for pairs in TRANSITIONS.values() for before, after in pairs if before is self.status)


TestContactMoves = pytest.mark.req("EP-02")(ContactMoves.TestCase)


@pytest.mark.req("EP-04")
async def test_tokens_are_all_different_and_found_by_nothing_but_themselves(rooms: Rooms):
    link = Link("inv", "7", "c1", "paula@kuvalis.example")
    async with rooms.app.begin() as tx:
        tokens = [await add_link(tx, rooms.clock.system(), link) for _ in range(200)]
        assert len(set(tokens)) == 200 and all(len(each) == 43 for each in tokens)
        assert await link_of(tx, tokens[0]) == link
        for near in (tokens[0][:-1], tokens[0] + "A", tokens[0].swapcase(), "", sessions.token_hash(tokens[0])):
            assert await link_of(tx, near) is None


@pytest.mark.req("EP-06")
async def test_fifty_guesses_at_once_get_no_more_than_ten_answers(rooms: Rooms):
    await rooms.registered()
    guesses = [rooms.log_in(password=f"Wrong-Password-{n}") for n in range(50)]
    answers = Counter(await asyncio.gather(*guesses))
    assert answers == {"wrong": 9, "locked": 41}
    assert await rooms.log_in() == "locked"


@pytest.mark.req("EP-05", part="without voice code and authenticator app")
async def test_terms_signed_twice_at_once_register_once(rooms: Rooms):
    _, link = await rooms.invited()
    browser = rooms.browser()
    await browser.post(f"{link}/email")
    await browser.post(f"{link}/password", data={"password": PASSWORD})
    await browser.post(f"{link}/recovery", data={"method": "question", "question": QUESTION, "answer": ANSWER})

    async def sign() -> str:
        try:
            async with rooms.app.begin() as tx:
                found = await registration.opened(tx, link.rsplit("/", 1)[1])
                await barrier.wait()
                await registration.complete(tx, rooms.clock, rooms.gates.limits, found, "A browser")
            return "registered"
        except Registered:
            return "was already"

    barrier = asyncio.Barrier(6)
    assert Counter(await asyncio.gather(*(sign() for _ in range(6)))) == {"registered": 1, "was already": 5}
    assert await rooms.value("SELECT count(*) FROM contact_moves WHERE move = 'register'") == 1
    assert await rooms.value("SELECT count(*) FROM sessions") == 1


@pytest.mark.req("EP-03", part="the patient's side by function and command")
async def test_an_address_claimed_from_both_sides_at_once_goes_to_one(rooms: Rooms):
    for n in range(20):
        email = f"both-{n}@kuvalis.example"
        _, link = await rooms.invited(email, f"Person {n}")
        browser = rooms.browser()

        async def patient(email: str = email) -> bool:
            try:
                async with rooms.app.begin() as tx:
                    await add_patient_user(tx, rooms.clock.system(), email, "Somebody")
                return True
            except AddressTaken:
                return False

        answer, is_patient = await asyncio.gather(browser.post(f"{link}/email"), patient())
        assert (answer.status_code == 200) != is_patient
    kinds = Counter(row.kind for row in await rooms.rows("SELECT kind FROM persons"))
    assert sum(kinds.values()) == 20


@pytest.mark.req("EP-02")
async def test_revoking_while_granting_and_logging_in_ends_in_one_state_without_a_deadlock(rooms: Rooms):
    contact, _ = await rooms.registered()
    other = await rooms.contact(account_id="a2", name="Paula S.")

    async def press(what: str) -> str:
        try:
            await rooms.move(contact if what == "revoke" else other, what)
            return what
        except Refused:
            return "refused"

    done = await asyncio.gather(press("revoke"), press("grant"), rooms.log_in(), press("revoke"), press("grant"), rooms.log_in())
    assert Counter(done) == {"revoke": 1, "grant": 1, "refused": 2, "in": 2}
    open_to = [row.account_id for row in await rooms.rows("SELECT account_id FROM memberships")]
    assert open_to == ["a2"]
