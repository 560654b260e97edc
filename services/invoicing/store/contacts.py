"""Copies of the employers' contacts: who disputed."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.tables import contact
from shared.events.portal import ContactState
from shared.state import keep_newer


async def keep_contacts(tx: AsyncConnection, states: Sequence[ContactState]) -> None:
    rows = [{"practice_id": s.practice_id, "contact_id": s.contact_id, "version": s.version, "name": s.name} for s in states]
    await keep_newer(tx, contact, rows)


async def names(tx: AsyncConnection, practice_id: str, contact_ids: Iterable[str]) -> dict[str, str]:
    """Names by contact id, as far as they have arrived."""
    wanted = contact.c.practice_id == practice_id, contact.c.contact_id.in_(sorted(set(contact_ids)))
    found = select(contact.c.contact_id, contact.c.name).where(*wanted)
    return {row.contact_id: row.name for row in await tx.execute(found)}
