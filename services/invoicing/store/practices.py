"""Practices, their logos, and documents as rows."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.claim import Refused
from services.invoicing.store import plain
from services.invoicing.tables import MEBIBYTE, document, logo, practice
from shared import ids
from shared.clock import local_date
from shared.db import fetch
from shared.events.invoicing import PracticeState


class Absent(LookupError):
    """No practice has the id that an address names."""


@dataclass(frozen=True, slots=True)
class Practice:
    """A practice: what all services know of it, and what only invoicing keeps."""

    state: PracticeState
    colour: str
    next_number: int
    ran_on: date | None

    def today(self, now: datetime) -> date:
        return local_date(now, self.state.zone)


@dataclass(frozen=True, slots=True)
class Document:
    """A file kept for ever, found by its id."""

    name: str
    media_type: str
    bytes: bytes
    sha256: str


def _practice(row: Any) -> Practice:
    return Practice(msgspec.convert(row.state, PracticeState), row.colour, row.next_number, row.ran_on)


async def find(tx: AsyncConnection, practice_id: str) -> Practice | None:
    row = (await tx.execute(select(practice).where(practice.c.practice_id == practice_id))).one_or_none()
    return _practice(row) if row else None


async def get(tx: AsyncConnection, practice_id: str) -> Practice:
    """The practice that an address names. Raises Absent where it is not there."""
    found = await find(tx, practice_id)
    if found is None:
        raise Absent(f"There is no practice {practice_id}")
    return found


async def lock(tx: AsyncConnection, practice_id: str) -> Practice | None:
    """The practice, held until the end of the transaction: whoever holds it gives out invoice numbers."""
    row = (await tx.execute(select(practice).where(practice.c.practice_id == practice_id).with_for_update())).one_or_none()
    return _practice(row) if row else None


async def of(tx: AsyncConnection, practice_ids: Iterable[str]) -> dict[str, Practice]:
    """Those of the practices that are known."""
    rows = await fetch(tx, "SELECT * FROM practice WHERE practice_id = ANY(CAST(:ids AS text[]))", {"ids": sorted(set(practice_ids))})
    return {row.practice_id: _practice(row) for row in rows}


async def every(tx: AsyncConnection) -> list[Practice]:
    return [_practice(row) for row in await tx.execute(select(practice).order_by(practice.c.practice_id))]


async def save(tx: AsyncConnection, state: PracticeState, colour: str, next_number: int) -> None:
    """Stores a practice; a known one keeps the number its next invoice gets."""
    values: dict[str, Any] = {"version": state.version, "zone": state.zone, "state": plain(state), "colour": colour}
    new = upsert(practice).values(practice_id=state.practice_id, next_number=next_number, **values)
    await tx.execute(new.on_conflict_do_update(index_elements=["practice_id"], set_=values))


async def take_number(tx: AsyncConnection, practice_id: str) -> int:
    """The next invoice's number; the practice is locked, so that a number is missing only if its invoice is."""
    found = await tx.execute(
        update(practice)
        .where(practice.c.practice_id == practice_id)
        .values(next_number=practice.c.next_number + 1)
        .returning(practice.c.next_number - 1)
    )
    return int(found.scalar_one())


async def mark_run(tx: AsyncConnection, practice_id: str, today: date) -> None:
    await tx.execute(update(practice).where(practice.c.practice_id == practice_id).values(ran_on=today))


async def add_document(tx: AsyncConnection, practice_id: str, name: str, media_type: str, content: bytes) -> str:
    """Keeps a file; answers its id. The same bytes under the same name are kept once."""
    if len(content) > 10 * MEBIBYTE:
        raise Refused("A file may have up to 10 MB")
    digest = hashlib.sha256(content).hexdigest()
    document_id = ids.derived(practice_id, name, digest)
    row = {"practice_id": practice_id, "document_id": document_id, "name": name, "media_type": media_type, "bytes": content, "sha256": digest}
    await tx.execute(upsert(document).values(row).on_conflict_do_nothing())
    return document_id


async def get_document(tx: AsyncConnection, practice_id: str, document_id: str) -> Document | None:
    row = (await tx.execute(select(document).where(document.c.practice_id == practice_id, document.c.document_id == document_id))).one_or_none()
    return Document(row.name, row.media_type, row.bytes, row.sha256) if row else None


async def add_logo(tx: AsyncConnection, practice_id: str, document_id: str, alt: str) -> None:
    new = upsert(logo).values(practice_id=practice_id, document_id=document_id, alt=alt)
    await tx.execute(new.on_conflict_do_update(index_elements=["practice_id", "document_id"], set_={"alt": alt}))


async def logos(tx: AsyncConnection, practice_id: str) -> list[Mapping[str, Any]]:
    """The practice's logos, newest first."""
    rows = await tx.execute(
        text(
            "SELECT g.document_id, g.alt, d.name, octet_length(d.bytes) AS size FROM logo g JOIN document d USING (practice_id, document_id)"
            " WHERE g.practice_id = :practice_id ORDER BY d.made_at DESC"
        ),
        {"practice_id": practice_id},
    )
    return [dict(row._mapping) for row in rows]
