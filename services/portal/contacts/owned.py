"""What contacts own and say, from their table: to be said again to a new reader."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts import store
from services.portal.contacts.tables import contacts
from shared.events.portal import CONTACT_STATE
from shared.service import Service


def register(service: Service) -> None:
    service.own(CONTACT_STATE, contacts, _contacts)


async def _contacts(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
    found = [await store.find(tx, row.practice_id, row.contact_id) for row in rows]
    return [contact.state() for contact in found if contact]
