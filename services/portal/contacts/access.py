"""What staff do with contacts (EP-02, EP-03, EP-04): save, *Send Invite*, *Resend Invite*, *Revoke Access*, *Grant Access*.

Each function is one transaction's work: it locks the contact, refuses in words, moves it, and publishes.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts import store
from services.portal.contacts.letters import Letters
from services.portal.contacts.status import ContactRole, Move, Refused, Status, moved
from services.portal.contacts.store import Contact
from services.portal.identity import failures, invitations
from services.portal.identity import store as people
from services.portal.identity.addresses import comparable, wrong_with
from services.portal.identity.invitations import Link, Place
from shared import ids
from shared.clock import Clock


@dataclass(frozen=True)
class Wanted:
    """A contact as staff or a program want it to be."""

    name: str
    title: str | None
    email: str
    phone: str | None
    role: ContactRole


class NotThere(Exception):
    """There is no such contact."""


async def create(tx: AsyncConnection, now: datetime, practice_id: str, account_id: str, wanted: Wanted, by: str) -> Contact:
    """A new contact, not invited yet."""
    blank = Contact(practice_id, ids.new(), account_id, 0, "", None, "", "", None, wanted.role, Status.NOT_INVITED)
    contact = _filled(blank, wanted)
    await _refuse_twice(tx, contact)
    return await store.write(tx, now, None, contact, Move.SAVE, by, "saved")


async def save(tx: AsyncConnection, now: datetime, practice_id: str, contact_id: str, wanted: Wanted, by: str) -> Contact:
    """Changes a contact. A new e-mail kills the links of an open invitation; who has registered keeps the e-mail they log in with."""
    before = await _locked(tx, practice_id, contact_id)
    after = _filled(before, wanted)
    if after.address == before.address:
        return before if after == before else await store.write(tx, now, before, after, Move.SAVE, by, "saved")
    if before.person_id is not None:
        raise Refused(f"{before.name} logs in with {before.email}. For another address add a new contact, and revoke this one")
    await _refuse_twice(tx, after)
    if before.status is not Status.INVITED:
        return await store.write(tx, now, before, after, Move.SAVE, by, "saved")
    after = replace(after, status=Status.NOT_INVITED, invitation_id=None, sent_outcome=None, sent_reason=None, sent_at=None)
    return await store.write(tx, now, before, after, Move.CHANGE_EMAIL, by, "e-mail changed, links of the invitation ended")


async def invite(tx: AsyncConnection, now: datetime, letters: Letters, practice_id: str, contact_id: str, by: str) -> Contact:
    """*Send Invite*: the invitation opens and its first link is mailed."""
    before = await _locked(tx, practice_id, contact_id)
    moved(before.name, before.status, Move.INVITE, Status.INVITED)
    await _refuse_address(tx, before)
    if await _person_id(tx, before):
        raise Refused(f"{before.name} has a log-in already. Use Grant Access")
    return await _send_link(tx, now, letters, before, replace(before, invitation_id=ids.new()), Move.INVITE, by, "invited")


async def resend(tx: AsyncConnection, now: datetime, letters: Letters, practice_id: str, contact_id: str, by: str) -> Contact:
    """*Resend Invite*: one more link to the same invitation; older ones go on working."""
    before = await _locked(tx, practice_id, contact_id)
    moved(before.name, before.status, Move.RESEND, Status.INVITED)
    await _refuse_address(tx, before)
    return await _send_link(tx, now, letters, before, before, Move.RESEND, by, "invited again")


async def revoke(tx: AsyncConnection, now: datetime, practice_id: str, contact_id: str, by: str) -> Contact:
    """*Revoke Access*: links die, and every session of this contact for this account ends at once."""
    before = await _locked(tx, practice_id, contact_id)
    after = replace(before, status=Status.REVOKED, invitation_id=None)
    written = await store.write(tx, now, before, after, Move.REVOKE, by, "revoked")
    await invitations.shut_out(tx, practice_id, contact_id)
    return written


async def grant(tx: AsyncConnection, now: datetime, letters: Letters, practice_id: str, contact_id: str, by: str) -> Contact:
    """*Grant Access*: to whoever has a log-in at once, with a mail that says so; to others by a new invitation."""
    before = await _locked(tx, practice_id, contact_id)
    person_id = before.person_id or await _person_id(tx, before)
    if person_id is None:
        moved(before.name, before.status, Move.GRANT, Status.INVITED)
        await _refuse_address(tx, before)
        return await _send_link(tx, now, letters, before, replace(before, invitation_id=ids.new()), Move.GRANT, by, "invited")
    after = _mailed(replace(before, status=Status.REGISTERED, person_id=person_id))
    written = await store.write(tx, now, before, after, Move.GRANT, by, "access granted", [letters.access(after, now)])
    await invitations.admit(tx, Place(practice_id, contact_id, before.account_id), person_id)
    return written


async def do(tx: AsyncConnection, now: datetime, letters: Letters, practice_id: str, contact_id: str, move: Move, by: str) -> Contact:
    """One of the four buttons."""
    match move:
        case Move.INVITE:
            return await invite(tx, now, letters, practice_id, contact_id, by)
        case Move.RESEND:
            return await resend(tx, now, letters, practice_id, contact_id, by)
        case Move.REVOKE:
            return await revoke(tx, now, practice_id, contact_id, by)
        case Move.GRANT:
            return await grant(tx, now, letters, practice_id, contact_id, by)
    raise ValueError(f"{move} is no button")


async def register(tx: AsyncConnection, now: datetime, link: Link, person_id: str) -> Contact | None:
    """The invited contact becomes a registered one; none where this invitation is no longer open."""
    before = await store.find(tx, link.practice_id, link.contact_id, lock=True)
    if before is None or before.status is not Status.INVITED or before.invitation_id != link.invitation_id:
        return None
    after = replace(before, status=Status.REGISTERED, person_id=person_id)
    written = await store.write(tx, now, before, after, Move.REGISTER, before.name, "registered")
    await invitations.admit(tx, Place(link.practice_id, link.contact_id, before.account_id), person_id)
    return written


async def unlock(tx: AsyncConnection, clock: Clock, practice_id: str, contact_id: str, by: str) -> Contact:
    """*Unlock*: ends a lock-out after failed log-ins (EP-06). Refused where there is none, and after two of one address within a day."""
    before = await _locked(tx, practice_id, contact_id)
    moved(before.name, before.status, Move.UNLOCK, before.status)
    try:
        was_locked = await failures.unlock(tx, clock.system(), before.email)
    except failures.UnlockedOften as often:
        words = f"This log-in was unlocked twice within a day. {before.name} has to reset the password, by Forgot Password at log-in"
        raise Refused(words) from often
    if not was_locked:
        raise Refused(f"The log-in of {before.name} is not locked any more")
    return await store.write(tx, clock.business(), before, before, Move.UNLOCK, by, "log-in unlocked")


async def _send_link(
    tx: AsyncConnection, now: datetime, letters: Letters, before: Contact, after: Contact, move: Move, by: str, words: str
) -> Contact:
    after = _mailed(replace(after, status=Status.INVITED))
    assert after.invitation_id is not None
    token = await invitations.add_link(tx, now, Link(after.invitation_id, after.practice_id, after.contact_id, after.address))
    return await store.write(tx, now, before, after, move, by, words, [letters.invitation(after, token, now)])


def _mailed(contact: Contact) -> Contact:
    """The contact with one more mail under way, of which nothing is known yet."""
    return replace(contact, invite_no=contact.invite_no + 1, sent_outcome=None, sent_reason=None, sent_at=None)


async def _locked(tx: AsyncConnection, practice_id: str, contact_id: str) -> Contact:
    found = await store.find(tx, practice_id, contact_id, lock=True)
    if found is None:
        raise NotThere
    return found


async def _person_id(tx: AsyncConnection, contact: Contact) -> str | None:
    """Who has registered with this contact's e-mail, for whatever account."""
    return (await people.employers_among(tx, [contact.email])).get(contact.address)


async def _refuse_address(tx: AsyncConnection, contact: Contact) -> None:
    if not contact.address:
        raise Refused(f"{contact.name} has no e-mail yet")
    if words := wrong_with(contact.email):
        raise Refused(f"{contact.name} needs another e-mail. {words}")
    if await people.patients_among(tx, [contact.email]):
        raise Refused(people.NOT_HERE)


async def _refuse_twice(tx: AsyncConnection, contact: Contact) -> None:
    if other := await store.same_address(tx, contact):
        raise Refused(f"{other} has this e-mail on this account already")


def _filled(contact: Contact, wanted: Wanted) -> Contact:
    email = wanted.email.strip()
    return replace(
        contact, name=wanted.name, title=wanted.title, email=email, address=comparable(email), phone=wanted.phone, role=wanted.role
    )
