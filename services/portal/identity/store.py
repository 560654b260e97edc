"""Persons, their passwords, recovery factors and signed terms: rows in, rows out. Times are the system clock's."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity.addresses import comparable
from services.portal.identity.password import REMEMBERED
from services.portal.identity.tables import Factor, Kind, factors, passwords, persons, terms_signed
from shared import ids

NOT_HERE = "This address cannot be used here. Please ask for a business e-mail"


class AddressTaken(Exception):
    """The e-mail address belongs to the other side (EP-03); the words name no practice and no person."""

    def __init__(self) -> None:
        super().__init__(NOT_HERE)


@dataclass(frozen=True)
class Person:
    """Somebody with an e-mail address; registered once the terms were signed."""

    person_id: str
    kind: Kind
    name: str
    email: str
    address: str
    registered_at: datetime | None
    start_practice_id: str | None
    start_contact_id: str | None


@dataclass(frozen=True)
class Recovery:
    """The second proof of a reset: a telephone, or a question with its hashed answer."""

    kind: Factor
    phone: str | None
    question: str | None
    answer_hash: str | None


_PERSON = select(*(persons.c[name] for name in Person.__dataclass_fields__))


async def find(tx: AsyncConnection, email: str) -> Person | None:
    """The person with this e-mail address, however it is written."""
    row = (await tx.execute(_PERSON.where(persons.c.address == comparable(email)))).one_or_none()
    return Person(**{**row._mapping, "kind": Kind(row.kind)}) if row else None


async def get(tx: AsyncConnection, person_id: str) -> Person:
    row = (await tx.execute(_PERSON.where(persons.c.person_id == person_id))).one()
    return Person(**{**row._mapping, "kind": Kind(row.kind)})


async def add(tx: AsyncConnection, now: datetime, kind: Kind, email: str, name: str) -> Person:
    """The person of this address, made where there is none. AddressTaken when the address is on the other side."""
    row = {"person_id": ids.new(), "kind": kind, "name": name, "email": email.strip(), "address": comparable(email), "began_at": now}
    # Two who come at once: one makes the row, the other waits here and then finds it.
    await tx.execute(insert(persons).values(row).on_conflict_do_nothing(index_elements=["address"]))
    person = await find(tx, email)
    assert person is not None
    if person.kind is not kind:
        raise AddressTaken
    return person


async def patients_among(tx: AsyncConnection, emails: Collection[str]) -> set[str]:
    """Those of the addresses (as compared) that belong to patient-side users."""
    wanted = {comparable(email) for email in emails if email}
    found = select(persons.c.address).where(persons.c.address.in_(wanted), persons.c.kind == Kind.PATIENT)
    return set((await tx.execute(found)).scalars())


async def employers_among(tx: AsyncConnection, emails: Collection[str]) -> dict[str, str]:
    """Registered employer users by address (as compared), for those of the addresses that belong to one."""
    wanted = {comparable(email) for email in emails if email}
    known = persons.c.address.in_(wanted), persons.c.kind == Kind.EMPLOYER, persons.c.registered_at.is_not(None)
    return {row.address: row.person_id for row in await tx.execute(select(persons.c.address, persons.c.person_id).where(*known))}


async def rename(tx: AsyncConnection, person_id: str, name: str) -> None:
    await tx.execute(update(persons).where(persons.c.person_id == person_id).values(name=name))


async def start_at(tx: AsyncConnection, person_id: str, practice_id: str | None, contact_id: str | None) -> None:
    """Keeps where home is to open after registration."""
    await tx.execute(update(persons).where(persons.c.person_id == person_id).values(start_practice_id=practice_id, start_contact_id=contact_id))


async def lock(tx: AsyncConnection, person_id: str) -> Person:
    """The person, locked until this transaction ends."""
    await tx.execute(select(persons.c.person_id).where(persons.c.person_id == person_id).with_for_update(key_share=True))
    return await get(tx, person_id)


async def registered(tx: AsyncConnection, now: datetime, person_id: str) -> None:
    await tx.execute(update(persons).where(persons.c.person_id == person_id).values(registered_at=now))


async def set_password(tx: AsyncConnection, now: datetime, person_id: str, hash: str) -> None:
    """The newest password; the four newest are kept, so that none of them can be used again."""
    await tx.execute(select(persons.c.person_id).where(persons.c.person_id == person_id).with_for_update(key_share=True))
    newest = select(func.coalesce(func.max(passwords.c.no), 0)).where(passwords.c.person_id == person_id)
    no = (await tx.execute(newest)).scalar_one() + 1
    await tx.execute(insert(passwords).values(person_id=person_id, no=no, hash=hash, set_at=now))
    await tx.execute(passwords.delete().where(passwords.c.person_id == person_id, passwords.c.no <= no - REMEMBERED))


async def password_hashes(tx: AsyncConnection, person_id: str) -> list[str]:
    """Hashes of the passwords that are remembered, the current one first."""
    wanted = select(passwords.c.hash).where(passwords.c.person_id == person_id).order_by(passwords.c.no.desc())
    return list((await tx.execute(wanted)).scalars())


async def set_recovery(tx: AsyncConnection, now: datetime, person_id: str, recovery: Recovery) -> None:
    values = {"kind": recovery.kind, "phone": recovery.phone, "question": recovery.question, "answer_hash": recovery.answer_hash, "set_at": now}
    new = insert(factors).values(person_id=person_id, **values)
    await tx.execute(new.on_conflict_do_update(index_elements=["person_id"], set_=values))


async def recovery(tx: AsyncConnection, person_id: str) -> Recovery | None:
    row = (await tx.execute(select(factors).where(factors.c.person_id == person_id))).one_or_none()
    return Recovery(Factor(row.kind), row.phone, row.question, row.answer_hash) if row else None


async def sign_terms(tx: AsyncConnection, now: datetime, person_id: str, terms: str) -> None:
    """Once per person and version of the terms."""
    await tx.execute(insert(terms_signed).values(person_id=person_id, terms=terms, signed_at=now).on_conflict_do_nothing())


async def has_signed(tx: AsyncConnection, person_id: str, terms: str) -> bool:
    found = select(terms_signed.c.terms).where(terms_signed.c.person_id == person_id, terms_signed.c.terms == terms)
    return (await tx.execute(found)).one_or_none() is not None
