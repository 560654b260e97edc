"""Contacts and their access on a real database: the state machine, the links, the mails, the staff pages and the API."""

from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from services.portal.contacts import access
from services.portal.contacts.access import Wanted
from services.portal.contacts.status import TRANSITIONS, ContactRole, Move, Refused, Status
from services.portal.contacts.tables import contact_moves
from shared.events.portal import CONTACT_INVITED, CONTACT_STATE
from tests.portal.people import PASSWORD, Rooms, rooms, words

__all__ = ["rooms"]
LOGIN, HOME = "/employerportal/login", "/employerportal/"
LIST = "/staff/7/accounts/a1/contacts"


async def status_of(rooms: Rooms, contact_id: str) -> str:
    return str(await rooms.value(f"SELECT status FROM contacts WHERE contact_id = '{contact_id}'"))


@pytest.mark.req("EP-02")
async def test_table_and_database_know_the_same_moves(rooms: Rooms):
    contact = await rooms.contact()
    taken, no = set(), 1
    for move in Move:
        for before in Status:
            for after in Status:
                no += 1
                row = {"practice_id": "7", "contact_id": contact.contact_id, "no": no, "at": rooms.clock.now, "by": "x", "words": "x"}
                row |= {"move": move, "from_status": before, "to_status": after}
                try:
                    async with rooms.app.begin("7") as tx:
                        await tx.execute(insert(contact_moves).values(row))
                    taken.add((move, before, after))
                except IntegrityError as error:
                    assert "ck_contact_moves_move_known" in str(error)
    assert taken == {(move, *pair) for move, pairs in TRANSITIONS.items() for pair in pairs}


@pytest.mark.req("EP-02")
async def test_history_cannot_be_rewritten(rooms: Rooms):
    await rooms.contact()
    with pytest.raises(Exception, match="permission denied"):
        async with rooms.app.begin("7") as tx:
            await tx.exec_driver_sql("UPDATE contact_moves SET by = 'somebody'")


@pytest.mark.req("EP-02")
async def test_each_move_is_kept_with_its_date_and_user(rooms: Rooms):
    contact, _ = await rooms.registered()
    rooms.clock.move(days=1)
    await rooms.move(contact, "revoke")
    moves = await rooms.rows("SELECT move, from_status, to_status, by, at FROM contact_moves ORDER BY no")
    assert [(row.move, row.to_status, row.by) for row in moves] == [
        ("save", "not_invited", "dokafor"),
        ("invite", "invited", "dokafor"),
        ("register", "registered", "Paula Schaefer"),
        ("revoke", "revoked", "dokafor"),
    ]
    assert moves[3].at - moves[0].at == timedelta(days=1)
    page = words(await rooms.staff().get(f"{LIST}/{contact.contact_id}"))
    assert "11/21/2026 12:00 PM dokafor Registered → Revoked" in page


@pytest.mark.req("EP-02", "EP-04")
async def test_revoking_ends_every_session_of_that_contact_at_once_and_of_no_other_account(rooms: Rooms):
    contact, browser = await rooms.registered()
    other = await rooms.move(await rooms.contact(account_id="a2", name="Paula S."), "grant")
    elsewhere = rooms.browser()
    await elsewhere.post(LOGIN, data={"email": "paula@kuvalis.example", "password": PASSWORD})
    await elsewhere.post("/employerportal/choose", data={"contact_id": other.contact_id})
    assert (await browser.get(HOME)).url.path == HOME
    await rooms.move(contact, "revoke")
    assert (await browser.get(HOME)).url.path == LOGIN
    there = await elsewhere.get(HOME)
    assert there.url.path == HOME and "Tidewater Marine" in words(there)
    back = await browser.post(LOGIN, data={"email": "paula@kuvalis.example", "password": PASSWORD})
    assert "Tidewater Marine" in words(back), "only what is left is open"
    assert (await browser.post("/employerportal/choose", data={"contact_id": contact.contact_id})).status_code == 404


@pytest.mark.req("EP-02")
async def test_who_has_access_to_nothing_is_told_whom_to_ask(rooms: Rooms):
    contact, _ = await rooms.registered()
    await rooms.move(contact, "revoke")
    browser = rooms.browser()
    answer = await browser.post(f"{LOGIN}?practice=7", data={"email": "paula@kuvalis.example", "password": PASSWORD})
    assert "No account is open to you" in words(answer)
    granted = await rooms.move(contact, "grant")
    assert granted.status is Status.REGISTERED
    assert (await browser.get(HOME)).url.path == HOME


@pytest.mark.req("EP-02")
async def test_grant_access_invites_anew_who_never_registered_and_old_links_stay_dead(rooms: Rooms):
    contact, old = await rooms.invited()
    await rooms.move(contact, "revoke")
    dead = await rooms.browser().get(old)
    assert dead.status_code == 410
    assert "This link no longer works" in words(dead)
    assert "Please ask Saltmarsh Occupational Health, (555) 010-0142, for a new invitation" in words(dead)
    granted = await rooms.move(contact, "grant")
    assert granted.status is Status.INVITED and granted.invite_no == 2
    assert (await rooms.browser().get(old)).status_code == 410
    assert "Register for" in words(await rooms.browser().get(await rooms.link()))


@pytest.mark.req("EP-04")
async def test_every_link_of_one_open_invitation_works_for_ever_and_leads_to_log_in_afterwards(rooms: Rooms):
    contact, first = await rooms.invited()
    rooms.clock.move(days=400)
    await rooms.move(contact, "resend")
    second = await rooms.link()
    assert first != second
    browser = rooms.browser()
    await browser.post(f"{first}/email")
    assert "Set a password" in words(await rooms.browser().get(second)), "the other link resumes"
    await rooms.register(second)
    for link in (first, second):
        assert (await rooms.browser().get(link)).url.path == LOGIN
    assert [each.invite_no for each in await rooms.said(CONTACT_INVITED)] == [1, 2], "each mail has a number of its own"
    assert (await rooms.browser().get("/employerportal/register/made-up")).status_code == 410


@pytest.mark.req("EP-04")
async def test_an_address_that_looks_like_an_invited_one_is_not_invited_and_leads_nowhere(rooms: Rooms):
    await rooms.invited("cfo@strasse.example", "Karl Weiss")
    form = {"name": "Karl Weiss", "email": "cfo@straße.example", "role": "owner"}
    refused = await rooms.staff().post("/staff/8/accounts/b1/contacts/new", data=form)
    assert refused.status_code == 422 and "Use letters from a to z, digits and signs" in words(refused)
    like = await rooms.contact("cfo@straße.example", "Karl Weiss", "b1", "8")  # from before such addresses were refused
    for move in ("invite", "resend"):
        with pytest.raises(Refused):
            await rooms.move(like, move)
    person = await rooms.register(await rooms.link())
    assert await rooms.rows("SELECT account_id FROM memberships") == [("a1",)]
    assert "Kuvalis North" not in words(await person.get("/employerportal/profile"))
    with pytest.raises(Refused, match="Use letters from a to z"):
        await rooms.move(like, "invite")


@pytest.mark.req("EP-02", "EP-04")
async def test_a_new_e_mail_ends_the_links_of_an_invited_contact(rooms: Rooms):
    contact, link = await rooms.invited()
    async with rooms.app.begin("7") as tx:
        wanted = Wanted("Paula Schaefer", None, "p.schaefer@kuvalis.example", None, ContactRole.PAYER)
        after = await access.save(tx, rooms.clock.business(), "7", contact.contact_id, wanted, "dokafor")
    assert after.status is Status.NOT_INVITED
    assert (await rooms.browser().get(link)).status_code == 410
    assert (await rooms.said(CONTACT_STATE))[-1].invite_open is False
    await rooms.move(after, "invite")
    assert (await rooms.letters(CONTACT_INVITED))[-1]["to"] == "p.schaefer@kuvalis.example"
    assert (await rooms.browser().get(link)).status_code == 410


@pytest.mark.req("EP-02")
async def test_who_has_registered_keeps_the_e_mail_they_log_in_with(rooms: Rooms):
    contact, _ = await rooms.registered()
    form = {"name": "Paula Schaefer", "email": "other@kuvalis.example", "role": "owner"}
    refused = await rooms.staff().post(f"{LIST}/{contact.contact_id}", data=form)
    assert refused.status_code == 422 and "Paula Schaefer logs in with paula@kuvalis.example" in words(refused)
    saved = await rooms.staff().post(f"{LIST}/{contact.contact_id}", data=form | {"email": "paula@kuvalis.example"})
    assert "Paula Schaefer is saved." in words(saved) and "Owner" in words(saved)


@pytest.mark.req("EP-02")
async def test_an_e_mail_that_has_a_log_in_gets_access_without_a_new_registration(rooms: Rooms):
    await rooms.registered()
    contact = await rooms.contact("Paula@Kuvalis.example", account_id="b1", practice_id="8")
    page = words(await rooms.staff().get("/staff/8/accounts/b1/contacts"))
    assert "Grant Access" in page and "Send Invite" not in page
    with pytest.raises(Refused, match="Use Grant Access"):
        await rooms.move(contact, "invite")
    granted = await rooms.move(contact, "grant")
    assert granted.status is Status.REGISTERED
    said = (await rooms.said(CONTACT_INVITED))[-1]
    assert (said.kind, said.account_id, said.practice_id) == ("access_granted", "b1", "8")
    assert (await rooms.letters(CONTACT_INVITED))[-1] == {"to": "Paula@Kuvalis.example", "link": "http://portal.test/employerportal/login"}


@pytest.mark.req("EP-02")
@pytest.mark.req("EP-05", part="without voice code and authenticator app")
async def test_an_invitation_that_crossed_a_registration_is_joined_at_the_next_log_in(rooms: Rooms):
    _, link = await rooms.invited()
    crossed, _ = await rooms.invited(account_id="b1", practice_id="8")
    await rooms.rows_changed("UPDATE contacts SET status = 'not_invited' WHERE account_id = 'b1'")
    await rooms.register(link)
    await rooms.rows_changed("UPDATE contacts SET status = 'invited' WHERE account_id = 'b1'")
    assert await rooms.log_in() == "in"
    assert await status_of(rooms, crossed.contact_id) == "registered"
    assert await rooms.value("SELECT count(DISTINCT person_id) FROM memberships") == 1
