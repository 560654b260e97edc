"""Contacts and their access on a real database: the state machine, the links, the mails, the staff pages and the API."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from services.portal.contacts import access
from services.portal.contacts.access import Wanted
from services.portal.contacts.status import TRANSITIONS, ContactRole, Move, Refused, Status
from services.portal.contacts.tables import contact_moves
from services.portal.identity.commands import patient_user
from services.portal.identity.patients import add_patient_user
from services.portal.identity.store import AddressTaken
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT, NotificationCause, NotificationEnded
from shared.events.portal import CONTACT_INVITED, CONTACT_STATE
from tests.portal.people import PASSWORD, Rooms, rooms, words

__all__ = ["rooms"]
LOGIN, HOME = "/employerportal/login", "/employerportal/"
LIST = "/staff/7/accounts/a1/contacts"
API = "/api/practices/7/accounts/a1/contacts"
NOT_HERE = "This address cannot be used here. Please ask for a business e-mail"


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
    assert "11/21/2026 12:00 PM dokafor Registered → Revoked: revoked" in page


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


@pytest.mark.req("EP-02", "EP-05")
async def test_an_invitation_that_crossed_a_registration_is_joined_at_the_next_log_in(rooms: Rooms):
    _, link = await rooms.invited()
    crossed, _ = await rooms.invited(account_id="b1", practice_id="8")
    await rooms.rows_changed("UPDATE contacts SET status = 'not_invited' WHERE account_id = 'b1'")
    await rooms.register(link)
    await rooms.rows_changed("UPDATE contacts SET status = 'invited' WHERE account_id = 'b1'")
    assert await rooms.log_in() == "in"
    assert await status_of(rooms, crossed.contact_id) == "registered"
    assert await rooms.value("SELECT count(DISTINCT person_id) FROM memberships") == 1


@pytest.mark.req("EP-03")
async def test_a_patients_address_is_saved_with_an_alert_but_cannot_be_invited(rooms: Rooms):
    async with rooms.app.begin() as tx:
        await add_patient_user(tx, rooms.clock.system(), "Shavonne.K@mailbox.example", "Shavonne Kuvalis")
    form = {"name": "Shavonne Kuvalis", "title": "President", "email": "shavonne.k@mailbox.example", "role": "owner"}
    saved = words(await rooms.staff().post(f"{LIST}/new", data=form))
    assert "Shavonne Kuvalis is saved, but cannot be invited." in saved and NOT_HERE in saved
    assert "One contact cannot be invited yet. Shavonne Kuvalis needs a business e-mail." in saved
    assert "Send Invite" not in saved
    contact_id = await rooms.value("SELECT contact_id FROM contacts")
    refused = await rooms.staff().post(f"{LIST}/{contact_id}/invite")
    assert refused.status_code == 409 and NOT_HERE in words(refused)
    assert await rooms.said(CONTACT_INVITED) == []


@pytest.mark.req("EP-03")
async def test_an_address_that_became_a_patients_is_refused_at_registration_in_words(rooms: Rooms):
    _, link = await rooms.invited()
    async with rooms.app.begin() as tx:
        await add_patient_user(tx, rooms.clock.system(), "paula@kuvalis.example", "Paula")
    for answer in (await rooms.browser().get(link), await rooms.browser().post(f"{link}/email")):
        assert answer.status_code == 409 and NOT_HERE in words(answer)
    assert await rooms.value("SELECT count(*) FROM persons WHERE kind = 'employer'") == 0


@pytest.mark.req("EP-03", "PC-06")
async def test_a_patient_cannot_sign_up_with_an_employer_users_address(rooms: Rooms):
    await rooms.registered()
    with pytest.raises(AddressTaken, match=NOT_HERE):
        async with rooms.app.begin() as tx:
            await add_patient_user(tx, rooms.clock.system(), " PAULA@kuvalis.example", "Paula")
    async with rooms.app.begin() as tx:
        first = await add_patient_user(tx, rooms.clock.system(), "ana@mailbox.example", "Ana Diaz")
        assert await add_patient_user(tx, rooms.clock.system(), "ANA@mailbox.example", "Ana Diaz") == first
    assert await rooms.log_in("ana@mailbox.example", PASSWORD) == "wrong", "patients do not log in here"


@pytest.mark.req("EP-25")
async def test_staff_see_whether_the_mail_was_delivered_or_came_back(rooms: Rooms):
    contact, _ = await rooms.invited()
    assert "mail on its way" in words(await rooms.staff().get(LIST))

    def ended(outcome: str, minute: int, invite_no: int = 1) -> NotificationEnded:
        at = datetime(2026, 11, 20, 14, minute, tzinfo=UTC)
        cause = NotificationCause(kind="invitation", contact_id=contact.contact_id, invite_no=invite_no)
        return NotificationEnded(
            practice_id="7",
            notification_id=f"n{minute}",
            template="invitation",
            channel="email",
            outcome=outcome,  # type: ignore[arg-type]
            reason=None,
            sent_on=at.date(),
            sent_at=at,
            cause=cause,
        )

    await rooms.give(NOTIFICATION_SENT, ended("sent", 2))
    assert "11/20/2026, invited by dokafor; delivered 9:02 AM" in words(await rooms.staff().get(LIST))
    await rooms.give(NOTIFICATION_FAILED, ended("bounced", 5))
    await rooms.give(NOTIFICATION_SENT, ended("sent", 2))
    assert "mail came back 9:05 AM" in words(await rooms.staff().get(LIST)), "an older word does not undo a newer one"
    await rooms.move(contact, "resend")
    await rooms.give(NOTIFICATION_SENT, ended("sent", 9))
    assert "mail on its way" in words(await rooms.staff().get(LIST)), "the word is about the mail before"
    await rooms.give(NOTIFICATION_SENT, ended("sent", 10, invite_no=2))
    assert "delivered 9:10 AM" in words(await rooms.staff().get(LIST))


@pytest.mark.req("EP-02", "EP-23", "EP-25")
async def test_the_contacts_page_shows_the_account_and_what_can_be_done(rooms: Rooms):
    await rooms.registered()
    await rooms.invited("g.beer@kuvalis.example", "George Beer", role="viewer")
    await rooms.contact("", "Accounts Payable", role="viewer")
    page = words(await rooms.staff().get(LIST))
    assert "Kuvalis Warehousing & Logistics, Inc." in page and "214 Tidewater Road, Suite 3, Wexcombe, MA 02199" in page and "Net 30" in page
    for each in ("Registered", "Invited", "Not invited", "Resend Invite", "Revoke Access", "Accounts Payable has no e-mail.", "No e-mail yet."):
        assert each in page
    assert "Employers log in at portal.test/employerportal/login ; practice staff cannot log in there" in page
    assert "Packages" not in page and "Notes" not in page
    george = await rooms.value("SELECT contact_id FROM contacts WHERE name LIKE 'George%%'")
    ask = words(await rooms.staff().get(f"{LIST}/{george}/revoke"))
    assert "Revoke Access of George Beer?" in ask and "Nothing is deleted" in ask


@pytest.mark.req("EP-02")
async def test_a_contact_form_answers_in_words(rooms: Rooms):
    staff = rooms.staff()
    refused = await staff.post(f"{LIST}/new", data={"email": "not an e-mail"})
    assert refused.status_code == 422
    assert all(each in words(refused) for each in ("Enter a name", "Enter a complete e-mail, like name@company.com", "Choose a role"))
    await rooms.contact()
    twice = await staff.post(f"{LIST}/new", data={"name": "P. Schaefer", "email": "PAULA@kuvalis.example", "role": "viewer"})
    assert "Paula Schaefer has this e-mail on this account already" in words(twice)
    assert (await staff.get("/staff/7/accounts/nothing/contacts")).status_code == 404
    assert (await staff.get(f"{LIST}/nobody")).status_code == 404
    assert (await staff.post(f"{LIST}/nobody/invite")).status_code == 404


@pytest.mark.req("EP-02", "PF-08")
async def test_who_may_only_read_sees_no_buttons_and_another_practice_sees_nothing(rooms: Rooms):
    contact, _ = await rooms.invited()
    page = words(await rooms.staff("auditor").get(LIST))
    assert "Paula Schaefer" in page and "Revoke Access" not in page and "New contact" not in page
    assert (await rooms.staff("auditor").post(f"{LIST}/{contact.contact_id}/revoke")).status_code == 403
    assert (await rooms.staff("front_desk").get(LIST)).status_code == 403
    assert (await rooms.staff(practices="8").get(LIST)).status_code == 403
    assert (await rooms.staff().get(f"/staff/7/accounts/a2/contacts/{contact.contact_id}")).status_code == 404


@pytest.mark.req("EP-02")
async def test_programs_add_change_invite_revoke_and_grant(rooms: Rooms):
    program = rooms.staff()
    program.headers["accept"] = "application/json"
    body = {"name": "Paula Schaefer", "title": "Billing", "email": "paula@kuvalis.example", "phone": "555-255-6150", "role": "payer"}
    made = await program.post(API, json=body, headers={"Idempotency-Key": "k1"})
    again = await program.post(API, json=body, headers={"Idempotency-Key": "k1"})
    assert made.status_code == 201 and made.json() == again.json() and made.json()["alert"] is None
    at = f"{API}/{made.json()['contact_id']}"
    assert (await program.put(at, json=body | {"role": "owner"})).json()["role"] == "owner"
    assert [(await program.post(f"{at}/{move}")).json()["status"] for move in ("invite", "resend", "revoke", "grant")] == [
        "invited", "invited", "revoked", "invited",
    ]  # fmt: skip
    refused = await program.post(f"{at}/grant")
    assert refused.status_code == 409 and "has access already" in refused.json()["title"]
    assert [each["name"] for each in (await program.get(API)).json()["contacts"]] == ["Paula Schaefer"]
    for bad in ({}, body | {"email": "x"}, body | {"role": "king"}, body | {"name": ""}):
        assert (await program.post(API, json=bad)).status_code == 422
    assert (await program.post(API, json=body)).status_code == 409
    assert (await program.post(f"{at}/promote")).status_code in (404, 422)
    assert (await program.get(f"{API}/nobody")).status_code == 404
    assert (await program.get("/api/practices/7/accounts/none/contacts")).status_code == 404


@pytest.mark.req("EP-03")
async def test_letters_hold_nothing_that_can_be_read(rooms: Rooms):
    _, link = await rooms.invited()
    said = (await rooms.said(CONTACT_INVITED))[0]
    assert "paula" not in str(said).casefold() and link.rsplit("/", 1)[1] not in str(said)
    assert link.rsplit("/", 1)[1] not in str(await rooms.rows("SELECT * FROM invitations")), "the token is kept as a hash only"


@pytest.mark.req("EP-03", "PC-06")
async def test_the_command_adds_a_patient_user_or_says_why_not(rooms: Rooms):
    await rooms.registered()

    said = await asyncio.to_thread(patient_user, ["ana@mailbox.example", "Ana", "Diaz"])
    assert "ana@mailbox.example is a patient-side user" in said
    assert await rooms.value("SELECT name FROM persons WHERE kind = 'patient'") == "Ana Diaz"
    for typed, words_of_it in ((["paula@kuvalis.example", "Paula"], NOT_HERE), (["ana", "Ana"], "Enter a complete e-mail"), (["ana"], "usage:")):
        with pytest.raises(SystemExit, match=words_of_it):
            await asyncio.to_thread(patient_user, typed)
