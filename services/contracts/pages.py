"""Staff pages of contracts: card agreements of the practice, one of them with its charges, and its end."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from sqlalchemy import select

from services.contracts import store, tables
from services.contracts.domain.charge import BEFORE_THE_CALL, UNDER_WAY
from services.contracts.domain.contract import Refused, Status
from services.contracts.handlers import charges as charging
from services.contracts.handlers import contracts as handlers
from shared.auth import Staff, staff
from shared.http import Problem
from shared.keyset import decode_cursor, make_page
from shared.service import Service
from shared.web import page, redirect

PAGE = 50
Reader = Annotated[Staff, Depends(staff("contracts:read"))]
Writer = Annotated[Staff, Depends(staff("contracts:write"))]
WORDS = {
    "awaiting_signature": ("Awaiting signature", "pending"),
    "active": ("Active", "closed"),
    "cancelled": ("Cancelled", "neutral"),
    "used_up": ("Used up", "neutral"),
    "expired": ("Expired", "neutral"),
    "scheduled": ("Notice on its way", "pending"),
    "noticed": ("Noticed", "due"),
    "due": ("Due", "due"),
    "submitted": ("Processing", "pending"),
    "unknown": ("Processing", "pending"),
    "charged": ("Charged", "closed"),
    "failed": ("Failed", "overdue"),
    "withdrawn": ("Withdrawn", "neutral"),
    "paused": ("Paused", "overdue"),
}

STOPPED = {"failed": "Failed", "paused": "Paused", "due": "Waits for another try", "unknown": "In doubt", "charged": "Charged, now credit"}


def make_router(service: Service) -> APIRouter:
    """The router of the contracts' pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/staff/{practice_id}/agreements")
    async def agreements(request: Request, practice_id: str, who: Reader, status: str = "", cursor: str = "") -> Response:
        contract = tables.contracts.c
        at = decode_cursor(cursor or None, int)
        listed = select(tables.contracts).where(contract.practice_id == practice_id)
        if status in set(Status):
            listed = listed.where(contract.status == status)
        if at:
            listed = listed.where(contract.contract_id > at.values[0] if at.newer else contract.contract_id < at.values[0])
        order = contract.contract_id.asc() if at and at.newer else contract.contract_id.desc()
        async with service.app.begin(practice_id) as tx:
            found = make_page((await tx.execute(listed.order_by(order).limit(PAGE + 1))).all(), PAGE, at, lambda row: (row.contract_id,))
        context: dict[str, Any] = {"rows": found.items, "newer": found.newer, "older": found.older, "words": WORDS}
        return page(request, "agreements.html.j2", where="Agreements", chosen=status, **context)

    @router.get("/staff/{practice_id}/agreements/charges")
    async def stopped(request: Request, practice_id: str, who: Reader, status: str = "", cursor: str = "") -> Response:
        at = decode_cursor(cursor or None, str)
        chosen = status if status in STOPPED else ""
        async with service.app.begin(practice_id) as tx:
            rows = await store.stopped_charges(tx, practice_id, chosen, at, PAGE + 1)
        found = make_page(rows, PAGE, at, lambda row: (row.charge_id,))
        context: dict[str, Any] = {"rows": found.items, "newer": found.newer, "older": found.older, "words": WORDS, "states": STOPPED}
        return page(request, "charges.html.j2", where="Agreements", chosen=chosen, **context)

    @router.get("/staff/{practice_id}/agreements/{contract_id}")
    async def agreement(request: Request, practice_id: str, contract_id: int, who: Reader) -> Response:
        return await _agreement(request, practice_id, contract_id, who, {})

    async def _agreement(request: Request, practice_id: str, contract_id: int, who: Staff, errors: dict[str, str]) -> Response:
        contract = tables.contracts.c
        async with service.app.begin(practice_id) as tx:
            where = (contract.practice_id == practice_id, contract.contract_id == contract_id)
            row = (await tx.execute(select(tables.contracts).where(*where))).one_or_none()
            if row is None:
                raise Problem(404)
            charges = await store.charges_of(tx, practice_id, contract_id)
            left = await store.left_cents(tx, row)
        stoppable = row.status in ("awaiting_signature", "active") and not any(each.status in UNDER_WAY for each in charges)
        planned = any(each.status in BEFORE_THE_CALL for each in charges)
        context = {"contract": row, "charges": charges, "left": left, "words": WORDS, "errors": errors, "stoppable": stoppable, "planned": planned}
        return page(request, "agreement.html.j2", status=422 if errors else 200, where="Agreements", who=who, **context)

    @router.post("/staff/{practice_id}/agreements/{contract_id}/cancel")
    async def cancel(request: Request, practice_id: str, contract_id: int, who: Writer, reason: Annotated[str, Form()] = "") -> Response:
        if not reason.strip():
            return await _agreement(request, practice_id, contract_id, who, {"reason": "Enter why this agreement ends"})
        try:
            async with service.app.begin(practice_id) as tx:
                await handlers.cancel(tx, service.clock, practice_id, contract_id, reason.strip()[:500])
        except Refused as error:
            return await _agreement(request, practice_id, contract_id, who, {"reason": str(error)})
        return redirect(request, f"/staff/{practice_id}/agreements/{contract_id}", "Cancelled.", "Nothing more is charged under this agreement.")

    @router.post("/staff/{practice_id}/agreements/{contract_id}/charges/{charge_id}/notice")
    async def notice(request: Request, practice_id: str, contract_id: int, charge_id: str, who: Writer) -> Response:
        async with service.app.begin(practice_id) as tx:
            sent = await charging.notice_again(tx, service.clock, practice_id, charge_id)
        here = f"/staff/{practice_id}/agreements/{contract_id}"
        if not sent:
            return redirect(request, here, "No notice goes out.", "Nothing is owed under it any more, or the charge is not paused.", kind="info")
        return redirect(request, here, "A new notice goes out.", "The charge is made five days after the notice was sent.")

    return router
