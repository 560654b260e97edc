"""Posting for programs: deposits, posting a payer's answer, closing, and a claim's balances."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from services.posting import batches, read
from services.posting.domain.batch import DepositType, NotBalanced
from services.posting.domain.payment import LineAnswer, Refused
from services.posting.handlers.remittance import post_payment
from shared.auth import Staff, staff
from shared.clock import local_date
from shared.events.types import PRINTABLE
from shared.http import Problem
from shared.idempotency import Answer, begin, finish, once_of
from shared.service import Service

Id = Annotated[str, Field(max_length=64, pattern=PRINTABLE)]
Cents = Annotated[int, Field(ge=0, le=10**12)]
Reader = Annotated[Staff, Depends(staff("payments:read"))]
Poster = Annotated[Staff, Depends(staff("payments:post"))]


class NewDeposit(BaseModel):
    """A deposit with its one payment batch."""

    deposit_date: date
    bank_account_id: Id | None = None
    amount_cents: Cents
    type: DepositType
    checks_deposited_by_site: bool = False
    notes: Annotated[str, Field(max_length=500)] = ""
    target_cents: Cents
    check_number: Annotated[str, Field(max_length=40)] | None = None


class Line(BaseModel):
    """What the payer says about one charge."""

    charge_id: Id
    paid_cents: Cents
    adjusted_cents: Cents = 0
    group: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "CO"
    code: Annotated[str, Field(pattern="^[A-Z0-9]{1,5}$")] = "45"


class NewPayment(BaseModel):
    """A payer's answer on one claim. `balances_version`: that of the balances it was read against; where they changed, nothing is posted."""

    claim_id: Id
    balances_version: int | None = None
    lines: Annotated[list[Line], Field(min_length=1, max_length=500)]


def make_router(service: Service) -> APIRouter:
    """The router of posting's API."""
    router = APIRouter(prefix="/api/practices/{practice_id}", tags=["posting"])

    @router.post("/deposits", status_code=201)
    async def create_deposit(request: Request, practice_id: str, body: NewDeposit, who: Poster) -> Response:
        once = await once_of(request, practice_id, "deposit")
        async with service.app.begin(practice_id) as tx:
            if kept := await begin(tx, once):
                return kept.response()
            home = await read.practice(tx, practice_id)
            if home is None:
                raise Problem(404)
            try:
                batch_id = await batches.create_deposit(
                    tx,
                    practice_id,
                    deposit_date=body.deposit_date,
                    today=local_date(service.clock.business(), home.zone),
                    bank_account_id=body.bank_account_id,
                    amount_cents=body.amount_cents,
                    kind=body.type,
                    by_site=body.checks_deposited_by_site,
                    notes=body.notes,
                    target_cents=body.target_cents,
                    check_number=body.check_number,
                    user=who.user_name,
                )
            except NotBalanced as error:
                raise Problem(422, "The deposit cannot be saved", str(error)) from error
            return await _answer(tx, once, 201, {"batch_id": batch_id})

    @router.post("/batches/{batch_id}/payments", status_code=201)
    async def post(request: Request, practice_id: str, batch_id: str, body: NewPayment, who: Poster) -> Response:
        once = await once_of(request, practice_id, f"post {batch_id}")
        lines = [LineAnswer(line.charge_id, line.paid_cents, line.adjusted_cents, line.group, line.code) for line in body.lines]
        async with service.app.begin(practice_id) as tx:
            if kept := await begin(tx, once):
                return kept.response()
            try:
                claim = await post_payment(tx, service.clock, practice_id, batch_id, body.claim_id, lines, who.user_name, body.balances_version)
            except Refused as error:
                raise Problem(422, "This payment cannot be posted", str(error)) from error
            answer = {"claim_id": claim.claim_id, "open_cents": claim.open_cents, "patient_balance_cents": claim.patient_balance_cents}
            return await _answer(tx, once, 201, answer)

    @router.post("/batches/{batch_id}/close")
    async def close(request: Request, practice_id: str, batch_id: str, who: Poster) -> Response:
        once = await once_of(request, practice_id, f"close {batch_id}")
        async with service.app.begin(practice_id) as tx:
            if kept := await begin(tx, once):
                return kept.response()
            try:
                await batches.close_batch(tx, practice_id, batch_id, service.clock.business())
            except NotBalanced as error:
                raise Problem(409, "The payment batch stays open", str(error)) from error
            return await _answer(tx, once, 200, {"state": "closed"})

    @router.get("/batches/{batch_id}")
    async def batch(practice_id: str, batch_id: str, who: Reader) -> dict[str, Any]:
        async with service.app.begin(practice_id) as tx:
            row = await read.one_batch(tx, practice_id, batch_id)
        if row is None:
            raise Problem(404)
        return {
            "batch_id": row.batch_id,
            "number": row.number,
            "route": row.route,
            "state": row.state,
            "target_cents": row.target_cents,
            "payments_cents": row.posted_cents,
            "out_of_balance_cents": read.summary(row).out_of_balance_cents,
        }

    @router.get("/claims/{claim_id:path}/balances")
    async def balances(practice_id: str, claim_id: str, who: Annotated[Staff, Depends(staff("claims:read"))]) -> dict[str, Any]:
        async with service.app.begin(practice_id) as tx:
            account = await read.account(tx, practice_id, claim_id)
            lines = await read.columns(tx, practice_id, claim_id)
        if account is None or account.content is None:
            raise Problem(404)
        return {
            "claim_id": claim_id,
            "version": account.version,
            "payer": {"kind": account.current_kind, "payer_id": account.current_payer_id},
            "adjudicated": account.adjudicated,
            "open_cents": sum(line.balance_cents for line in lines),
            "lines": [
                {"charge_id": line.charge_id, "kind": line.kind, "payer_id": line.payer_id, "balance_cents": line.balance_cents} for line in lines
            ],
        }

    return router


async def _answer(tx: Any, once: Any, status: int, body: dict[str, Any]) -> Response:
    answer = Answer(status, body)
    await finish(tx, once, answer)
    return answer.response()
