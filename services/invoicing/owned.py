"""What invoicing owns and says, from its tables: to be said again to a new reader."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing import tables
from services.invoicing.handlers.accounts import state_of
from services.invoicing.store import accounts, claims
from shared.events.invoicing import ACCOUNT_STATE, CLAIM_CORRECTED, DISPUTE_STATE, INVOICE_LINE_STATE, INVOICE_STATE, PRACTICE_STATE
from shared.republish import stored
from shared.service import Service


def register(service: Service) -> None:
    """Practices first, as others wait for them."""
    service.own(PRACTICE_STATE, tables.practice, stored(PRACTICE_STATE))
    service.own(ACCOUNT_STATE, tables.account, _accounts)
    service.own(CLAIM_CORRECTED, tables.claim, _corrected)
    service.own(INVOICE_STATE, tables.invoice, stored(INVOICE_STATE))
    service.own(INVOICE_LINE_STATE, tables.invoice_line, stored(INVOICE_LINE_STATE))
    service.own(DISPUTE_STATE, tables.dispute, stored(DISPUTE_STATE))


async def _accounts(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
    return [state_of(await accounts.get(tx, (row.practice_id, row.account_id))) for row in rows]


async def _corrected(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
    found = await claims.load(tx, [(row.practice_id, row.claim_id) for row in rows if row.revision])
    return [found[key].claim for key in sorted(found)]
