"""The v1 interface, with the field names, form bodies and dates of an existing check-in integration (CF-02 to CF-04, for one-year contracts)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import StringConstraints
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import UploadFile

from services.contracts import store, tables, terms
from services.contracts.domain.contract import Kind, Refused, check_account_number, check_email
from services.contracts.handlers import contracts as handlers
from services.contracts.handlers import copies
from services.contracts.handlers.contracts import Wanted
from services.contracts.receipts import customer_copy, merchant_copy
from services.contracts.settings import Settings
from services.contracts.uploads import check_pdf
from shared import money
from shared.auth import Staff, staff
from shared.clock import local_date
from shared.events.types import NO_NUL, PRACTICE_ID, PRINTABLE
from shared.gateway import Gateway, Unknown
from shared.http import Problem, uploads
from shared.idempotency import Answer, answered, begin, finish, once_of
from shared.service import Service

Writer = Annotated[Staff, Depends(staff("contracts:write"))]
Reader = Annotated[Staff, Depends(staff("contracts:read"))]
Practice = Annotated[str, StringConstraints(pattern=PRACTICE_ID)]
Id = Annotated[str, StringConstraints(max_length=64, pattern=PRINTABLE)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Field = Annotated[str, Form(max_length=300, pattern=NO_NUL)]
FILE = "attachmentcontents"
FILE_FORM = {
    "type": "object",
    "required": [FILE],
    "properties": {FILE: {"type": "string", "contentMediaType": "application/pdf"}},
}
SIGNED_FORM = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FILE_FORM}}}}
CLASSES = {Kind.ONE_YEAR: "ONEYEAR", Kind.SINGLE_APPOINTMENT: "SINGLEAPPOINTMENT"}


def make_router(service: Service, settings: Settings, gateway: Gateway) -> APIRouter:
    """The router of `/v1`."""
    router = APIRouter(prefix="/v1/{practiceid}", tags=["contracts"])
    readers = asyncio.Semaphore(2)  # of uploads

    @router.get("/departments")
    async def departments(practiceid: Practice, who: Reader) -> dict[str, Any]:
        """Card types, contract maxima (blank: not offered) and provider group of each department."""
        async with service.app.begin(practiceid) as tx:
            practice = await store.body(tx, tables.practices, practiceid)
            found = list((await tx.execute(select(tables.departments.c.body).order_by(tables.departments.c.department_id))).scalars())
        if practice is None:
            raise Problem(404)
        return {"totalcount": len(found), "departments": [_department(practice, each) for each in found]}

    @router.get("/misc/oneyearcontractterms")
    async def oneyear_terms(practiceid: Practice, who: Reader) -> dict[str, str]:
        async with service.app.begin(practiceid) as tx:
            practice = await store.body(tx, tables.practices, practiceid)
        if practice is None:
            raise Problem(404)
        today = local_date(service.clock.business(), practice["zone"])
        return {"terms": terms.one_year(practice["display_name"], practice["phone"], today)}

    @router.post("/patients/{patientid}/collectpayment/oneyear")
    @router.post("/patients/{patientid}/collectpayment/oneyear/{appointmentid}")
    async def create(
        request: Request,
        practiceid: Practice,
        patientid: Id,
        who: Writer,
        appointmentid: Id | None = None,
        departmentid: Field = "",
        accountnumber: Field = "",
        trackdata: Field = "",
        cardsecuritycode: Field = "",
        email: Field = "",
        maxamount: Field = "",
    ) -> Response:
        """A contract that waits for its signature, made once per Idempotency-Key (optional, as in v1).

        The card is a token; what looks like a card is refused, and kept nowhere.
        """
        sent = "\0".join((appointmentid or "", departmentid, accountnumber, email, maxamount)).encode()
        once = await once_of(request, practiceid, f"contract {patientid}", required=False, body=sent)
        try:
            if trackdata or cardsecuritycode:
                raise Refused("Send the token that the card processor gave for the card, with neither trackdata nor cardsecuritycode")
            token = check_account_number(accountnumber.strip())
            address = check_email(email)
            limit = _limit(maxamount)
            if once:  # before the processor is asked: what was made is answered while it is away
                async with service.app.begin(practiceid) as tx:
                    if kept := await answered(tx, once):
                        return kept.response()
            card = await gateway.card(token)
            if card is None:
                raise Refused("The card processor does not know this token. Give the card again")
            async with service.app.begin(practiceid) as tx:
                if once and (kept := await begin(tx, once)):
                    return kept.response()
                if limit is None:
                    offer, _ = await handlers.offer(tx, practiceid, departmentid, Kind.ONE_YEAR)
                    limit = offer.max_cents or 0
                wanted = Wanted(patientid, departmentid, appointmentid, address, limit, token, card)
                row = await handlers.create(tx, service.clock, settings.sealing_public_key, practiceid, wanted, who.user_name)
                answer = _made(row)
                if once:
                    await finish(tx, once, answer)
        except Refused as error:
            raise _problem(error) from error
        except Unknown as error:
            raise Problem(503, "The card processor does not answer", "No contract was made. Please try again.", error="gateway") from error
        return answer.response()

    @router.get("/patients/{patientid}/collectpayment/oneyear")
    @router.get("/patients/{patientid}/collectpayment/oneyear/{appointmentid}")
    async def listed(practiceid: Practice, patientid: Id, who: Reader, appointmentid: Id | None = None) -> dict[str, Any]:
        contract = tables.contracts.c
        where = (contract.practice_id == practiceid, contract.patient_id == patientid, contract.kind == Kind.ONE_YEAR)
        async with service.app.begin(practiceid) as tx:
            rows = (await tx.execute(select(tables.contracts).where(*where).order_by(contract.contract_id.desc()).limit(100))).all()
            found = [_contract(row, await store.left_cents(tx, row)) for row in rows if appointmentid in (None, row.appointment_id)]
        return {"totalcount": len(found), "contracts": found}

    @router.get("/patients/{patientid}/receipts/{epaymentid}")
    async def receipt(
        practiceid: Practice, patientid: Id, epaymentid: Number, who: Reader, merchantversion: bool = False, customerversion: bool = False
    ) -> dict[str, Any]:
        """The copies that are asked for, as HTML to print; the merchant's has the line to sign on."""
        async with service.app.begin(practiceid) as tx:
            row = await _by_epayment(tx, practiceid, patientid, epaymentid)
            practice = await store.body(tx, tables.practices, practiceid)
            signed = await _signed(tx, practiceid, epaymentid)
        assert practice is not None
        text = terms.one_year(practice["display_name"], practice["phone"], row.contract_date)
        answer: dict[str, Any] = {"epaymentid": epaymentid, "contractid": row.contract_id, "type": "CONTRACT", "signed": signed is not None}
        if merchantversion:
            answer["merchantversion"] = merchant_copy(service.web, practice, row, text)
        if customerversion:
            answer["customerversion"] = customer_copy(service.web, practice, row, text)
        return answer

    @router.post("/patients/{patientid}/receipts/{epaymentid}/signed", openapi_extra=SIGNED_FORM)
    @uploads
    async def sign(request: Request, practiceid: Practice, patientid: Id, epaymentid: Number, who: Writer) -> dict[str, Any]:
        """The signed receipt as PDF. It activates the contract; the same file again changes nothing."""
        # Not a parameter: those are read, large files to disk, before the guard is asked.
        async with request.form(max_files=1, max_fields=10) as form:
            upload = form.get(FILE)
            if not isinstance(upload, UploadFile):
                raise _problem(Refused(f"{FILE} is missing. Send the signed receipt as a file", 422))
            data = await upload.read()
        try:
            await check_pdf(data, readers)
            async with service.app.begin(practiceid) as tx:
                row = await handlers.sign(tx, service.clock, practiceid, patientid, epaymentid, data, who.user_name)
        except Refused as error:
            raise _problem(error) from error
        return {"epaymentid": epaymentid, "contractid": row.contract_id, "status": row.status, "success": "true"}

    @router.get("/patients/{patientid}/receipts/{epaymentid}/signed")
    async def signed(practiceid: Practice, patientid: Id, epaymentid: Number, who: Reader) -> Response:
        async with service.app.begin(practiceid) as tx:
            await _by_epayment(tx, practiceid, patientid, epaymentid)
            document = await _signed(tx, practiceid, epaymentid)
        if document is None:
            raise Problem(404, "No signed receipt is stored", "It is stored when the desk uploads it.")
        return Response(document.bytes, media_type=document.type)

    async def mailed(request: Request, practice_id: str, route: str, sent: str, ask: Callable[[AsyncConnection], Awaitable[Any]]) -> JSONResponse:
        """Asks for a mail, once per Idempotency-Key; as in v1 the key may be left out, and then each request is a mail of its own."""
        once = await once_of(request, practice_id, route, required=False, body=sent.encode())
        try:
            async with service.app.begin(practice_id) as tx:
                if once and (kept := await begin(tx, once)):
                    return kept.response()
                row = await ask(tx)
                answer = _made(row)
                if once:
                    await finish(tx, once, answer)
        except Refused as error:
            raise _problem(error) from error
        return answer.response()

    @router.post("/patients/{patientid}/collectpayment/oneyear/{contractid}/emailagreement")
    async def email_agreement(
        request: Request, practiceid: Practice, patientid: Id, contractid: Number, who: Writer, departmentid: Field = "", email: Field = ""
    ) -> Response:
        """Mails the agreement to this address; the contract keeps its own."""

        async def ask(tx: AsyncConnection) -> Any:
            return await copies.mail_agreement(tx, service.clock, settings.sealing_public_key, practiceid, patientid, contractid, departmentid, email)

        return await mailed(request, practiceid, f"email agreement {patientid}/{contractid}", f"{departmentid}\n{email}", ask)

    @router.post("/patients/{patientid}/receipts/{epaymentid}/email")
    async def email_receipt(request: Request, practiceid: Practice, patientid: Id, epaymentid: Number, who: Writer, email: Field = "") -> Response:
        """Mails the customer's copy of the receipt to this address; the contract keeps its own."""

        async def ask(tx: AsyncConnection) -> Any:
            return await copies.mail_receipt(tx, service.clock, settings.sealing_public_key, practiceid, patientid, epaymentid, email)

        return await mailed(request, practiceid, f"email receipt {patientid}/{epaymentid}", email, ask)

    return router


def _made(contract: Any) -> Answer:
    return Answer(200, {"epaymentid": contract.epayment_id, "contractid": contract.contract_id, "success": "true", "errortext": ""})


def _department(practice: dict[str, Any], department: dict[str, Any]) -> dict[str, Any]:
    year, single = (handlers.offer_of(practice, department, kind) for kind in (Kind.ONE_YEAR, Kind.SINGLE_APPOINTMENT))

    def maximum(offer: Any) -> str:
        return "" if offer.shortcomings else _plain(offer.max_cents)

    return {
        "departmentid": department["department_id"],
        "name": department["name"],
        "providergroupid": department["provider_group_id"] or "",
        "creditcardtypes": department["accepted_cards"],
        "ecommercecreditcardtypes": department["ecommerce_cards"],
        "oneyearcontractmax": maximum(year),
        "singleappointmentcontractmax": maximum(single),
    }


def _contract(row: Any, left_cents: int) -> dict[str, Any]:
    return {
        "contractid": row.contract_id,
        "epaymentid": row.epayment_id,
        "contractclass": CLASSES[Kind(row.kind)],
        "status": row.status,
        "maxamount": _plain(row.limit_cents),
        "availablebalance": _plain(left_cents),
        "contractdate": _us(row.contract_date),
        "expirationdate": _us(row.expires_on),
        "departmentid": row.department_id,
        "providergroupid": row.provider_group_id or "",
        "appointmentid": row.appointment_id or "",
        "cardtypeabbreviation": row.card_brand,
        "cardnumberlast4digits": row.card_last4,
    }


def _plain(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _us(day: date) -> str:
    return f"{day:%m/%d/%Y}"


def _limit(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return money.parse(text)
    except money.BadAmount as error:
        raise Refused(f"maxamount: {error}") from error


def _problem(error: Refused) -> Problem:
    title = {404: "Not found", 409: "This cannot be done now", 413: "This is too large"}.get(error.status, "Some values cannot be taken")
    return Problem(error.status, title, str(error), error=str(error))


async def _by_epayment(tx: Any, practice_id: str, patient_id: str, epayment_id: int) -> Any:
    contract = tables.contracts.c
    where = (contract.practice_id == practice_id, contract.patient_id == patient_id, contract.epayment_id == epayment_id)
    row = (await tx.execute(select(tables.contracts).where(*where))).one_or_none()
    if row is None:
        raise Problem(404)
    return row


async def _signed(tx: Any, practice_id: str, epayment_id: int) -> Any:
    document = tables.documents.c
    where = (document.practice_id == practice_id, document.epayment_id == epayment_id, document.kind == "signed")
    return (await tx.execute(select(tables.documents).where(*where))).one_or_none()
