"""HTTP for programs: accounts, billing runs, work on holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.account import Account
from services.invoicing.domain.claim import Refused
from services.invoicing.handlers import accounts as account_handlers
from services.invoicing.handlers import holds, runs
from services.invoicing.handlers.accounts import Stale
from services.invoicing.handlers.holds import Decision
from services.invoicing.store import accounts, lists, plain
from shared import ids
from shared.auth import Staff, staff
from shared.events.invoicing import Mask
from shared.events.types import PRINTABLE, Address, InvoiceStatus
from shared.http import Problem, whole_number
from shared.idempotency import Answer, begin, finish, once_of
from shared.keyset import decode_cursor, make_page
from shared.service import Service

PAGE = 100
Id = Annotated[str, Field(max_length=64, pattern=PRINTABLE)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Cents = Annotated[int, Field(ge=0, le=10**12)]


class AddressIn(BaseModel):
    line1: Text
    line2: Annotated[str, Field(max_length=200)] | None = None
    city: Text
    state: Annotated[str, Field(min_length=1, max_length=40)]
    zip: Annotated[str, Field(max_length=10)] | None = None


class MaskIn(BaseModel):
    birth_date: bool = False
    diagnosis: bool = False
    employee_id: bool = False
    hide_procedures: bool = False


class AccountIn(BaseModel):
    """An account as it is to be. `weekday` 0 is Monday. Without `reissue_restarts_terms` that stays as it is; a new account's is false."""

    name: Text
    address: AddressIn
    phone: Annotated[str, Field(max_length=40)] = ""
    net_days: int = 30
    reissue_restarts_terms: bool | None = None  # programs older than it do not name it
    payer_ids: Annotated[list[Id], Field(max_length=100)]
    po_number: Annotated[str, Field(max_length=60)] | None = None
    frequency: Literal["daily", "weekly", "monthly"] = "weekly"
    weekday: int | None = 0
    month_day: int | None = None
    effective_on: date | None = None
    expires_on: date | None = None
    show_adjustments: bool = True
    overdue_again_days: int = 60
    cover_sheet: bool = False
    mask: MaskIn = MaskIn()

    def account(self, practice_id: str, account_id: str, known: Account | None) -> Account:
        same = set(type(self).model_fields) - {"address", "mask", "payer_ids", "weekday", "month_day", "reissue_restarts_terms"}
        restarts = self.reissue_restarts_terms
        return Account(
            practice_id=practice_id,
            account_id=account_id,
            version=0,
            next_run_on=None,
            address=Address(**self.address.model_dump()),
            mask=Mask(**self.mask.model_dump()),
            reissue_restarts_terms=bool(known and known.reissue_restarts_terms) if restarts is None else restarts,
            payer_ids=tuple(dict.fromkeys(self.payer_ids)),
            weekday=self.weekday if self.frequency == "weekly" else None,
            month_day=self.month_day if self.frequency == "monthly" else None,
            **{name: getattr(self, name) for name in same},
        )


class RunIn(BaseModel):
    """Which accounts to bill now; none means the whole practice."""

    account_ids: Annotated[list[Id], Field(max_length=1000)] | None = None


class CorrectionIn(BaseModel):
    charge_id: Id
    amount_cents: Cents


class WriteOffIn(BaseModel):
    charge_id: Id
    amount_cents: Cents
    reason: Text


class DecisionIn(BaseModel):
    """How staff end a case."""

    corrections: list[CorrectionIn] = []
    write_offs: list[WriteOffIn] = []
    answer: Annotated[str, Field(max_length=500)] = ""

    def decision(self) -> Decision:
        return Decision(
            corrections={each.charge_id: each.amount_cents for each in self.corrections},
            write_offs=[(each.charge_id, each.amount_cents, each.reason) for each in self.write_offs],
            answer=self.answer,
        )


class HoldIn(BaseModel):
    reason: Text


def make_router(service: Service) -> APIRouter:
    """Routes below `/api/practices/{practice_id}`."""
    router = APIRouter(prefix="/api/practices/{practice_id}")
    db, clock = service.app, service.clock

    @router.get("/accounts", dependencies=[Depends(staff("accounts:read"))])
    async def list_accounts(practice_id: str, cursor: str = "") -> dict[str, Any]:
        """Accounts by name, a page at a time; `next` is the cursor of the next page, null on the last."""
        at = decode_cursor(cursor, str, str)
        async with db.begin(practice_id) as tx:
            rows = await accounts.listed(tx, practice_id, PAGE + 1, (at.values[0], at.values[1]) if at else ("", ""))
        found = make_page(rows, PAGE, at, lambda each: (each.name, each.account_id))
        return {"accounts": [plain(each) for each in found.items], "next": found.older}

    @router.post("/accounts", dependencies=[Depends(staff("accounts:write"))], status_code=201)
    async def create_account(practice_id: str, body: AccountIn, request: Request) -> Response:
        """Adds an account. With an Idempotency-Key the same request is done once."""
        key = await once_of(request, practice_id, "accounts", required=False)
        async with saving(practice_id) as tx:
            if key and (kept := await begin(tx, key)):
                return kept.response()
            made = await account_handlers.save(tx, clock.business(), body.account(practice_id, ids.new(), None), None)
            said = Answer(201, plain(made), {"ETag": etag(made)})
            if key:
                await finish(tx, key, said)
        return said.response()

    @router.get("/accounts/{account_id}", dependencies=[Depends(staff("accounts:read"))])
    async def read_account(practice_id: str, account_id: str, response: Response) -> dict[str, Any]:
        async with db.begin(practice_id) as tx:
            found = await accounts.find(tx, (practice_id, account_id))
        if found is None:
            raise Problem(404)
        return answer(found, response)

    @router.put("/accounts/{account_id}", dependencies=[Depends(staff("accounts:write"))])
    async def edit_account(
        practice_id: str, account_id: str, body: AccountIn, response: Response, if_match: Annotated[str | None, Header()] = None
    ) -> dict[str, Any]:
        expected = whole_number((if_match or "").strip('"'))
        if expected is None:
            raise Problem(428, "Say which version you read", 'Send the ETag you got as If-Match, for instance "3".')
        async with saving(practice_id) as tx:
            asked = body.account(practice_id, account_id, await accounts.find(tx, (practice_id, account_id)))
            return answer(await account_handlers.save(tx, clock.business(), asked, expected), response)

    @asynccontextmanager
    async def saving(practice_id: str) -> AsyncIterator[AsyncConnection]:
        """The transaction that saves an account; a refusal is answered in words and leaves nothing."""
        try:
            async with db.begin(practice_id) as tx:
                yield tx
        except Stale as error:
            raise Problem(412, "Somebody changed this account since you read it", "Read it again, then send your change.") from error
        except Refused as error:
            raise Problem(422, "This account cannot be saved", f"{error}.") from error

    @router.post("/runs", dependencies=[Depends(staff("billing:run"))])
    async def run_now(practice_id: str, body: RunIn, request: Request) -> Response:
        async def bill(tx: AsyncConnection) -> Any:
            made = await runs.run_now(tx, clock.business(), practice_id, body.account_ids, who(request))
            return {"invoices": [plain(each) for each in made]}

        return await once(request, practice_id, "runs", bill)

    @router.get("/invoices", dependencies=[Depends(staff("accounts:read"))])
    async def list_invoices(practice_id: str, account_id: str = "", status: InvoiceStatus | None = None, cursor: str = "") -> dict[str, Any]:
        """Invoices, the newest first, a page at a time; `next` is the cursor of the next page, null on the last."""
        at = decode_cursor(cursor, int)
        chosen = lists.InvoiceFilter(account_id=account_id, status=status or "")
        async with db.begin(practice_id) as tx:
            rows = await lists.invoices(tx, practice_id, chosen, PAGE + 1, at.values[0] if at else None)
        found = make_page(rows, PAGE, at, lambda row: (row.number,))
        return {"invoices": [plain(row) for row in found.items], "next": found.older}

    @router.get("/holds", dependencies=[Depends(staff("holds:work"))])
    async def list_holds(practice_id: str, cursor: str = "") -> dict[str, Any]:
        """Claims on HOLD, the one to act on first at the top, a page at a time; `next` is the cursor of the next page, null on the last."""
        at = decode_cursor(cursor, date, datetime, str)
        async with db.begin(practice_id) as tx:
            found = make_page(await lists.hold_queue(tx, practice_id, PAGE + 1, at), PAGE, at, lists.hold_key)
        return {"holds": [plain(row) for row in found.items], "next": found.older}

    @router.post("/claims/{claim_id:path}/holds", dependencies=[Depends(staff("holds:work"))], status_code=204)
    async def hold_claim(practice_id: str, claim_id: str, body: HoldIn, request: Request) -> None:
        try:
            async with db.begin(practice_id) as tx:
                await holds.hold_by_staff(tx, clock.business(), (practice_id, claim_id), body.reason, who(request))
        except Refused as error:
            raise Problem(409, "The claim was not put on hold", f"{error}.") from error

    @router.post("/claims/{claim_id:path}/redrop", dependencies=[Depends(staff("holds:work"))])
    async def redrop(practice_id: str, claim_id: str, body: DecisionIn, request: Request) -> Response:
        async def decide(tx: AsyncConnection) -> Any:
            await holds.redrop(tx, clock.business(), (practice_id, claim_id), body.decision(), who(request))
            return {"claim_id": claim_id}

        return await once(request, practice_id, f"redrop {claim_id}", decide)

    async def once(request: Request, practice_id: str, route: str, work: Any) -> Response:
        """Does the work once per Idempotency-Key; a refusal in words is 409 and leaves nothing."""
        key = await once_of(request, practice_id, route)
        assert key is not None
        try:
            async with db.begin(practice_id) as tx:
                if said := await begin(tx, key):
                    return said.response()
                said = Answer(200, await work(tx))
                await finish(tx, key, said)
                return said.response()
        except Refused as error:
            raise Problem(409, "This was not done", f"{error}.") from error

    return router


def who(request: Request) -> str:
    """The name under which history keeps what a person or program did."""
    person: Staff = request.state.staff
    return person.user_name


def etag(account: Account) -> str:
    return f'"{account.version}"'


def answer(account: Account, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = etag(account)
    body: dict[str, Any] = plain(account)
    return body
