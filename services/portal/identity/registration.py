"""Registration from an invitation's link (EP-04, EP-05). Where somebody stands is read from rows, so it can be left and resumed anywhere."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts import access
from services.portal.contacts import store as contacts
from services.portal.contacts.status import Status
from services.portal.contacts.store import Contact
from services.portal.identity import invitations, sessions
from services.portal.identity import store as people
from services.portal.identity.invitations import Link, Place
from services.portal.identity.places import Choice, choices
from services.portal.identity.sessions import Limits
from services.portal.identity.store import AddressTaken, Person
from services.portal.identity.tables import Kind
from services.portal.identity.terms import VERSION
from shared.clock import Clock
from shared.db import enter


class Step(IntEnum):
    """The steps in their order; the choice of location and account is one step of two pages."""

    EMAIL = 1
    PASSWORD = 2
    RECOVERY = 3
    ACCOUNT = 4
    TERMS = 5


STEPS = ("E-mail", "Password", "Recovery", "Account", "Terms")


class DeadLink(Exception):
    """The link does not work any more; `practice_id` says whom to ask, where that is known."""

    def __init__(self, practice_id: str | None) -> None:
        super().__init__("dead link")
        self.practice_id = practice_id


class Registered(Exception):
    """The registration is complete: the link leads to log-in."""

    def __init__(self, practice_id: str) -> None:
        super().__init__("registered")
        self.practice_id = practice_id


@dataclass(frozen=True)
class Registration:
    """Where a registration stands. `open_to` are the accounts this person is invited to, `chosen` the one that home opens with."""

    link: Link
    contact: Contact
    person: Person | None
    step: Step
    open_to: tuple[Choice, ...] = ()
    chosen: Choice | None = None

    @property
    def locations(self) -> list[tuple[str, str]]:
        return list({each.practice_id: each.practice for each in self.open_to}.items())

    @property
    def location(self) -> str | None:
        """The chosen provider location, or the only one."""
        known = [practice_id for practice_id, _ in self.locations]
        wanted = self.person.start_practice_id if self.person else None
        return wanted if wanted in known else known[0] if len(known) == 1 else None


async def opened(tx: AsyncConnection, token: str) -> Registration:
    """The registration of this link. DeadLink, Registered, or AddressTaken (the address is a patient's, EP-03)."""
    link = await invitations.link_of(tx, token)
    if link is None:
        raise DeadLink(None)
    await enter(tx, link.practice_id)
    contact = await contacts.find(tx, link.practice_id, link.contact_id)
    if contact is None or contact.invitation_id != link.invitation_id:
        raise DeadLink(link.practice_id)
    person = await people.find(tx, contact.email)
    if person and person.kind is Kind.PATIENT:
        raise AddressTaken
    if contact.status is Status.REGISTERED or (person and person.registered_at):
        raise Registered(link.practice_id)
    if person is None:
        return Registration(link, contact, None, Step.EMAIL)
    if not await people.password_hashes(tx, person.person_id):
        return Registration(link, contact, person, Step.PASSWORD)
    if await people.recovery(tx, person.person_id) is None:
        return Registration(link, contact, person, Step.RECOVERY)
    invited = await _open_links(tx, contact.address)
    open_to = tuple(await choices(tx, [Place(each.practice_id, each.contact_id, account) for each, account in invited]))
    await enter(tx, link.practice_id)
    chosen = next((each for each in open_to if len(open_to) == 1 or each.contact_id == person.start_contact_id), None)
    return Registration(link, contact, person, Step.TERMS if chosen else Step.ACCOUNT, open_to, chosen)


async def confirm_email(tx: AsyncConnection, now: datetime, registration: Registration) -> Person:
    """The first step: from here on the address is an employer's. AddressTaken when it became a patient's meanwhile."""
    return await people.add(tx, now, Kind.EMPLOYER, registration.contact.email, registration.contact.name)


async def complete(tx: AsyncConnection, clock: Clock, limits: Limits, registration: Registration, device: str) -> str:
    """Signs the terms, opens every account this address is invited to, and begins a session; returns its token. Registered when done already."""
    assert registration.person and registration.chosen
    person = await people.lock(tx, registration.person.person_id)
    if person.registered_at:
        raise Registered(registration.link.practice_id)
    await people.sign_terms(tx, clock.system(), person.person_id, VERSION)
    await people.registered(tx, clock.system(), person.person_id)
    chosen = registration.chosen
    await people.start_at(tx, person.person_id, chosen.practice_id, chosen.contact_id)
    await join(tx, clock, person)
    token = await sessions.begin(tx, clock.system(), person.person_id, device)
    begun = await sessions.renew(tx, clock.system(), token, limits)
    if begun is None or not await sessions.choose(tx, begun.session_id, person.person_id, chosen.practice_id, chosen.contact_id):
        raise DeadLink(chosen.practice_id)
    return token


async def join(tx: AsyncConnection, clock: Clock, person: Person) -> int:
    """Opens every account to which this registered person's address is invited; returns how many. Contacts are locked in order of their keys."""
    joined = 0
    for link in await invitations.links_to(tx, person.address):
        await enter(tx, link.practice_id)
        joined += await access.register(tx, clock.business(), link, person.person_id) is not None
    return joined


async def _open_links(tx: AsyncConnection, address: str) -> list[tuple[Link, str]]:
    """The invitations that are open for this address, each with its account."""
    found = []
    for link in await invitations.links_to(tx, address):
        await enter(tx, link.practice_id)
        contact = await contacts.find(tx, link.practice_id, link.contact_id)
        if contact and contact.status is Status.INVITED and contact.invitation_id == link.invitation_id:
            found.append((link, contact.account_id))
    return found
