"""What contracts owns and says, from its tables: to be said again to a new reader."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import tables
from services.contracts.handlers.publish import state_of
from shared.events.contracts import CONTRACT_STATE
from shared.service import Service


def register(service: Service) -> None:
    service.own(CONTRACT_STATE, tables.contracts, _contracts)


async def _contracts(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
    return [await state_of(tx, row, row.version) for row in rows]
