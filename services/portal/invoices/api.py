"""The read model for programs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from services.portal.invoices import read
from services.portal.invoices.read import PAGE, Filter
from shared.auth import Staff, staff
from shared.http import Problem
from shared.keyset import decode_cursor, make_page
from shared.service import Service

Reader = Annotated[Staff, Depends(staff("accounts:read"))]


def make_router(service: Service) -> APIRouter:
    """The router of the API."""
    router = APIRouter(prefix="/api/practices/{practice_id}", tags=["portal"])

    @router.get("/accounts/{account_id}/invoices")
    async def invoices(
        practice_id: str, account_id: str, who: Reader, status: str = "", number: str = "", cursor: str = ""
    ) -> dict[str, Any]:
        """An account's invoices as its people see them, newest first, a page at a time; `next` is the cursor of the next page."""
        if status and status not in read.STATUSES:
            raise Problem(422, detail=f"status is one of: {', '.join(read.STATUSES)}")
        at = decode_cursor(cursor, read.SORT_TYPES["date"], str)
        async with service.app.begin(practice_id) as tx:
            sums = await read.summary(tx, practice_id, account_id)
            rows = await read.invoices(tx, practice_id, account_id, "", Filter(status=status, number=number), at)
        page = make_page(rows, PAGE, at, lambda row: (row.first_billed_on, row.invoice_id))
        return {
            "account_balance_cents": sums.open_cents - sums.credit_cents,
            "open_invoices": sums.invoices,
            "invoices": [_shown(row) for row in page.items],
            "next": page.older,
        }

    return router


def _shown(row: Any) -> dict[str, Any]:
    names = ("invoice_id", "number", "version", "first_billed_on", "due_on", "original_cents", "paid_cents", "balance_cents", "held_cents")
    return {name: getattr(row, name) for name in names} | {"status": row.shown_status, "claims": row.body["claims"]}
