"""The staff pages and the API of contacts, and the other side's addresses, on a real database."""

import asyncio
from datetime import UTC, datetime

import pytest

from services.portal.identity.commands import patient_user
from services.portal.identity.patients import add_patient_user
from services.portal.identity.store import AddressTaken
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT, NotificationCause, NotificationEnded
from shared.events.portal import CONTACT_INVITED
from tests.portal.people import PASSWORD, Rooms, rooms, words

__all__ = ["rooms"]
LIST = "/staff/7/accounts/a1/contacts"
API = "/api/practices/7/accounts/a1/contacts"
NOT_HERE = "This address cannot be used here. Please ask for a business e-mail"


@pytest.mark.req("EP-03", part="the patient's side by function and command")
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


@pytest.mark.req("EP-03", part="the patient's side by function and command")
async def test_an_address_that_became_a_patients_is_refused_at_registration_in_words(rooms: Rooms):
    _, link = await rooms.invited()
    async with rooms.app.begin() as tx:
        await add_patient_user(tx, rooms.clock.system(), "paula@kuvalis.example", "Paula")
    for answer in (await rooms.browser().get(link), await rooms.browser().post(f"{link}/email")):
        assert answer.status_code == 409 and NOT_HERE in words(answer)
    assert await rooms.value("SELECT count(*) FROM persons WHERE kind = 'employer'") == 0


@pytest.mark.req("PC-06", part="by function and command")
@pytest.mark.req("EP-03", part="the patient's side by function and command")
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


@pytest.mark.req("EP-02", "EP-25")
@pytest.mark.req("EP-23", part="without the staff preview")
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


@pytest.mark.req("EP-03", part="the patient's side by function and command")
async def test_letters_hold_nothing_that_can_be_read(rooms: Rooms):
    _, link = await rooms.invited()
    said = (await rooms.said(CONTACT_INVITED))[0]
    assert "paula" not in str(said).casefold() and link.rsplit("/", 1)[1] not in str(said)
    assert link.rsplit("/", 1)[1] not in str(await rooms.rows("SELECT * FROM invitations")), "the token is kept as a hash only"


@pytest.mark.req("PC-06", part="by function and command")
@pytest.mark.req("EP-03", part="the patient's side by function and command")
async def test_the_command_adds_a_patient_user_or_says_why_not(rooms: Rooms):
    await rooms.registered()

    said = await asyncio.to_thread(patient_user, ["ana@mailbox.example", "Ana", "Diaz"])
    assert "ana@mailbox.example is a patient-side user" in said
    assert await rooms.value("SELECT name FROM persons WHERE kind = 'patient'") == "Ana Diaz"
    for typed, words_of_it in ((["paula@kuvalis.example", "Paula"], NOT_HERE), (["ana", "Ana"], "Enter a complete e-mail"), (["ana"], "usage:")):
        with pytest.raises(SystemExit, match=words_of_it):
            await asyncio.to_thread(patient_user, typed)
