"""Contacts for programs: list, add, change, invite, revoke, grant. The scope is `contacts:write`."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts import access, store
from services.portal.contacts.forms import wanted
from services.portal.contacts.status import Move, Refused
from services.portal.contacts.store import Contact
from services.portal.identity import store as people
from services.portal.identity.gates import letters_of
from services.portal.invoices.tables import accounts
from shared.auth import Staff, staff
from shared.events.portal import ContactRole
from shared.http import Problem
from shared.idempotency import Answer, begin, finish, once_of
from shared.service import Service

Program = Annotated[Staff, Depends(staff("contacts:write"))]


class ContactIn(BaseModel):
    """A contact as it is to be; without an e-mail it can be saved, but not invited."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    title: Annotated[str, Field(max_length=200)] = ""
    email: Annotated[str, Field(max_length=254)] = ""
    phone: Annotated[str, Field(max_length=40)] = ""
    role: ContactRole


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/api/practices/{practice_id}/accounts/{account_id}/contacts", tags=["contacts"])
    letters, clock = letters_of(service), service.clock

    @router.get("")
    async def listed(practice_id: str, account_id: str, who: Program) -> dict[str, Any]:
        async with service.app.begin(practice_id) as tx:
            await _known(tx, practice_id, account_id)
            found = await store.of_account(tx, practice_id, account_id)
        return {"contacts": [_plain(each) for each in found]}

    @router.post("", status_code=201)
    async def create(request: Request, practice_id: str, account_id: str, body: ContactIn, who: Program) -> Response:
        """Adds a contact. With an Idempotency-Key the same request is done once."""
        once = await once_of(request, practice_id, f"contact/{account_id}", required=False)
        async with service.app.begin(practice_id) as tx:
            if once and (kept := await begin(tx, once)):
                return kept.response()
            await _known(tx, practice_id, account_id)
            try:
                made = await access.create(tx, clock.business(), practice_id, account_id, _wanted(body), who.user_name)
            except Refused as refused:
                raise Problem(409, str(refused)) from refused
            answer = Answer(201, await _with_alert(tx, made))
            if once:
                await finish(tx, once, answer)
        return answer.response()

    @router.get("/{contact_id}")
    async def one(practice_id: str, account_id: str, contact_id: str, who: Program) -> dict[str, Any]:
        async with service.app.begin(practice_id) as tx:
            return await _with_alert(tx, await _one(tx, practice_id, account_id, contact_id))

    @router.put("/{contact_id}")
    async def change(practice_id: str, account_id: str, contact_id: str, body: ContactIn, who: Program) -> dict[str, Any]:
        async with service.app.begin(practice_id) as tx:
            await _one(tx, practice_id, account_id, contact_id)
            try:
                return await _with_alert(tx, await access.save(tx, clock.business(), practice_id, contact_id, _wanted(body), who.user_name))
            except Refused as refused:
                raise Problem(409, str(refused)) from refused

    @router.post("/{contact_id}/{move}")
    async def act(
        practice_id: str, account_id: str, contact_id: str, move: Literal["invite", "resend", "revoke", "grant"], who: Program
    ) -> Response:
        async with service.app.begin(practice_id) as tx:
            await _one(tx, practice_id, account_id, contact_id)
            try:
                done = await access.do(tx, clock.business(), letters, practice_id, contact_id, Move(move), who.user_name)
            except Refused as refused:
                raise Problem(409, str(refused)) from refused
        return JSONResponse(_plain(done))

    return router


async def _known(tx: AsyncConnection, practice_id: str, account_id: str) -> None:
    wanted = accounts.c.practice_id == practice_id, accounts.c.account_id == account_id
    if (await tx.execute(select(accounts.c.account_id).where(*wanted))).one_or_none() is None:
        raise Problem(404, "This account is not here yet", "A new account arrives within seconds. Try again.", headers={"Retry-After": "1"})


async def _one(tx: AsyncConnection, practice_id: str, account_id: str, contact_id: str) -> Contact:
    found = await store.find(tx, practice_id, contact_id)
    if found is None or found.account_id != account_id:
        raise Problem(404, "There is no such contact", "Look at the list of this account's contacts.")
    return found


def _wanted(body: ContactIn) -> access.Wanted:
    asked, errors = wanted(body.model_dump())
    if asked is None:
        found = [{"path": name, "message": words} for name, words in errors.items()]
        raise Problem(422, detail="; ".join(f"{each['path']}: {each['message']}" for each in found), errors=found)
    return asked


def _plain(contact: Contact) -> dict[str, Any]:
    names = ("contact_id", "account_id", "version", "name", "title", "email", "phone", "role", "status", "invite_no")
    return {name: getattr(contact, name) for name in names}


async def _with_alert(tx: AsyncConnection, contact: Contact) -> dict[str, Any]:
    """The contact, and in `alert` why its address cannot be invited (EP-03)."""
    alert = people.NOT_HERE if await people.patients_among(tx, [contact.email]) else None
    return _plain(contact) | {"alert": alert}
