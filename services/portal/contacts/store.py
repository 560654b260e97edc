"""Contacts as rows, with the moves of each; one write makes the row, its move and its `contact.state`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts.status import ContactRole, Move, Status, moved
from services.portal.contacts.tables import contact_moves, contacts
from shared import outbox
from shared.events.portal import CONTACT_STATE, ContactState
from shared.outbox import Outgoing


@dataclass(frozen=True)
class Contact:
    """A person at an employer, for one account. `address` is the e-mail as it is compared; `person_id` who registered as this contact."""

    practice_id: str
    contact_id: str
    account_id: str
    version: int
    name: str
    title: str | None
    email: str
    address: str
    phone: str | None
    role: ContactRole
    status: Status
    person_id: str | None = None
    invite_no: int = 0
    invitation_id: str | None = None
    sent_outcome: str | None = None
    sent_reason: str | None = None
    sent_at: datetime | None = None

    def state(self) -> ContactState:
        """What other services are told."""
        return ContactState(
            practice_id=self.practice_id,
            contact_id=self.contact_id,
            version=self.version,
            account_id=self.account_id,
            name=self.name,
            title=self.title,
            email=self.email,
            phone=self.phone,
            role=self.role.value,
            status=self.status.value,
            invite_no=self.invite_no,
            invite_open=self.status is Status.INVITED,
        )


@dataclass(frozen=True)
class Moved:
    """One line of a contact's history."""

    no: int
    move: Move
    from_status: Status
    to_status: Status
    at: datetime
    by: str
    words: str


MOVES_SHOWN = 100
_SENT = ("sent_outcome", "sent_reason", "sent_at")
_FIELDS = tuple(Contact.__dataclass_fields__)
_CONTACT = select(*(contacts.c[name] for name in _FIELDS))


async def find(tx: AsyncConnection, practice_id: str, contact_id: str, *, lock: bool = False) -> Contact | None:
    """One contact; with `lock` nobody else changes it until this transaction ends."""
    wanted = _CONTACT.where(contacts.c.practice_id == practice_id, contacts.c.contact_id == contact_id)
    row = (await tx.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return _contact(row) if row else None


async def of_account(tx: AsyncConnection, practice_id: str, account_id: str) -> list[Contact]:
    """The contacts of an account, in the order in which they were made."""
    wanted = _CONTACT.where(contacts.c.practice_id == practice_id, contacts.c.account_id == account_id).order_by(contacts.c.contact_id)
    return [_contact(row) for row in await tx.execute(wanted)]


async def registered_here(tx: AsyncConnection, practice_id: str) -> list[Contact]:
    """Contacts of this practice who have a log-in."""
    wanted = _CONTACT.where(contacts.c.practice_id == practice_id, contacts.c.status == Status.REGISTERED).order_by(contacts.c.name)
    return [_contact(row) for row in await tx.execute(wanted)]


async def same_address(tx: AsyncConnection, contact: Contact) -> str | None:
    """The name of another contact of the account with this address."""
    other = select(contacts.c.name).where(
        contacts.c.practice_id == contact.practice_id,
        contacts.c.account_id == contact.account_id,
        contacts.c.address == contact.address,
        contacts.c.contact_id != contact.contact_id,
    )
    return (await tx.execute(other)).scalar_one_or_none() if contact.address else None


async def last_moves(tx: AsyncConnection, practice_id: str, account_id: str) -> dict[str, Moved]:
    """The newest move of each contact of an account."""
    at = (contacts.c.practice_id == contact_moves.c.practice_id) & (contacts.c.contact_id == contact_moves.c.contact_id)
    wanted = select(contact_moves).join(contacts, at).where(contacts.c.practice_id == practice_id, contacts.c.account_id == account_id)
    newest = wanted.ext(distinct_on(contact_moves.c.contact_id)).order_by(contact_moves.c.contact_id, contact_moves.c.no.desc())
    return {row.contact_id: _moved(row) for row in await tx.execute(newest)}


async def history(tx: AsyncConnection, practice_id: str, contact_id: str) -> list[Moved]:
    """The newest moves of a contact, the last one first."""
    mine = contact_moves.c.practice_id == practice_id, contact_moves.c.contact_id == contact_id
    return [_moved(row) for row in await tx.execute(select(contact_moves).where(*mine).order_by(contact_moves.c.no.desc()).limit(MOVES_SHOWN))]


async def write(
    tx: AsyncConnection,
    now: datetime,
    before: Contact | None,
    after: Contact,
    move: Move,
    by: str,
    words: str,
    said: Sequence[Outgoing] = (),
) -> Contact:
    """Stores a contact at its next version with the move that led there, and publishes `contact.state` and `said`.

    Refused when the move is not in the table of transitions. Lock the contact first; once per contact and transaction.
    """
    start = before.status if before else after.status
    moved(after.name, start, move, after.status)
    after = replace(after, version=before.version + 1 if before else 1)
    row: dict[str, Any] = asdict(after)
    if before is None:
        await tx.execute(insert(contacts).values(row))
    else:
        at = contacts.c.practice_id == after.practice_id, contacts.c.contact_id == after.contact_id
        await tx.execute(update(contacts).where(*at).values({name: row[name] for name in _FIELDS[2:]}))
    line = {"practice_id": after.practice_id, "contact_id": after.contact_id, "no": after.version, "at": now, "by": by, "words": words}
    await tx.execute(insert(contact_moves).values(line | {"move": move, "from_status": start, "to_status": after.status}))
    await outbox.append(tx, now, [Outgoing(CONTACT_STATE, after.state()), *said])
    return after


async def sending_ended(
    tx: AsyncConnection, practice_id: str, contact_id: str, invite_no: int, outcome: str, reason: str | None, at: datetime
) -> None:
    """Keeps how a mail to this contact ended, unless a newer mail was sent, or a later word on this one came before."""
    mine = contacts.c.practice_id == practice_id, contacts.c.contact_id == contact_id, contacts.c.invite_no == invite_no
    newer = contacts.c.sent_at.is_(None) | (contacts.c.sent_at <= at)
    values = dict(zip(_SENT, (outcome, reason, at), strict=True))
    await tx.execute(update(contacts).where(*mine, newer).values(values))


def _contact(row: Any) -> Contact:
    return Contact(**{**row._mapping, "role": ContactRole(row.role), "status": Status(row.status)})


def _moved(row: Any) -> Moved:
    return Moved(row.no, Move(row.move), Status(row.from_status), Status(row.to_status), row.at, row.by, row.words)
