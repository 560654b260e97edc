"""Links of invitations, and who may enter where: what the platform knows across practices."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity.addresses import comparable
from services.portal.identity.sessions import end_of_contact, token_hash
from services.portal.identity.tables import invitations, memberships


@dataclass(frozen=True)
class Link:
    """A link that was mailed; it works while the contact's open invitation is this one (EP-04)."""

    invitation_id: str
    practice_id: str
    contact_id: str
    address: str


@dataclass(frozen=True, order=True)
class Place:
    """A contact that somebody is, or is invited to be."""

    practice_id: str
    contact_id: str
    account_id: str = ""


async def add_link(tx: AsyncConnection, now: datetime, link: Link) -> str:
    """A new link of the invitation; returns its token. Older ones go on working."""
    token = secrets.token_urlsafe(32)
    row = {"token_hash": token_hash(token), "sent_at": now, **{name: getattr(link, name) for name in Link.__dataclass_fields__}}
    await tx.execute(insert(invitations).values(row))
    return token


async def link_of(tx: AsyncConnection, token: str) -> Link | None:
    """The link with this token, working or not."""
    wanted = select(*(invitations.c[name] for name in Link.__dataclass_fields__)).where(invitations.c.token_hash == token_hash(token))
    row = (await tx.execute(wanted)).one_or_none()
    return Link(**row._mapping) if row else None


async def links_to(tx: AsyncConnection, address: str) -> list[Link]:
    """One link per invitation ever sent to this address, in the order in which contacts are locked."""
    columns = [invitations.c[name] for name in Link.__dataclass_fields__]
    wanted = select(*columns).distinct().where(invitations.c.address == comparable(address))
    return sorted((Link(**row._mapping) for row in await tx.execute(wanted)), key=lambda link: (link.practice_id, link.contact_id))


async def admit(tx: AsyncConnection, place: Place, person_id: str) -> None:
    """From now on this person may enter as this contact."""
    row = {"practice_id": place.practice_id, "contact_id": place.contact_id, "account_id": place.account_id, "person_id": person_id}
    await tx.execute(insert(memberships).values(row).on_conflict_do_nothing())


async def shut_out(tx: AsyncConnection, practice_id: str, contact_id: str) -> None:
    """Nobody may enter as this contact any more; whoever is inside for it is out at once."""
    await tx.execute(delete(memberships).where(memberships.c.practice_id == practice_id, memberships.c.contact_id == contact_id))
    await end_of_contact(tx, practice_id, contact_id)


async def places_of(tx: AsyncConnection, person_id: str) -> list[Place]:
    """Everywhere this person may enter."""
    wanted = select(memberships.c.practice_id, memberships.c.contact_id, memberships.c.account_id).where(memberships.c.person_id == person_id)
    return sorted(Place(**row._mapping) for row in await tx.execute(wanted))
