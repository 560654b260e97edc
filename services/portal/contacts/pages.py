"""Staff pages: the contacts of an account, one contact with its history, and locked log-ins (EP-02, EP-03, EP-06, EP-25)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.checkout import store as payments
from services.portal.contacts import access, show, store
from services.portal.contacts.forms import ROLES, values_of, wanted
from services.portal.contacts.show import Account
from services.portal.contacts.status import Move, Refused
from services.portal.contacts.store import Contact
from services.portal.identity import failures
from services.portal.identity import store as people
from services.portal.identity.gates import letters_of
from services.portal.identity.places import home
from shared.auth import Staff, staff
from shared.http import Problem
from shared.service import Service
from shared.web import page, redirect

Reader = Annotated[Staff, Depends(staff("contacts:read"))]
Writer = Annotated[Staff, Depends(staff("contacts:write"))]
CONTACTS = "/staff/{practice_id}/accounts/{account_id}/contacts"
DONE = {
    Move.INVITE: ("Invited.", "The mail may take 5 to 10 minutes; after that, ask them to look in spam."),
    Move.RESEND: ("Invited again.", "The links of earlier mails go on working."),
    Move.REVOKE: ("Revoked.", "Links no longer work, and whoever was logged in for this account is out."),
    Move.GRANT: ("Granted.", "A mail says so."),
}


def make_router(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    letters, clock = letters_of(service), service.clock
    invoicing = service.settings.staff_links.get("invoicing", "").rstrip("/")

    async def known(tx: AsyncConnection, practice_id: str, account_id: str) -> Account:
        found = await show.account(tx, practice_id, account_id, clock.business())
        if found is None:
            raise Problem(404, "This account is not here yet", "A new account arrives within seconds. Open the page again.")
        return found

    async def one(tx: AsyncConnection, practice_id: str, account_id: str, contact_id: str) -> Contact:
        found = await store.find(tx, practice_id, contact_id)
        if found is None or found.account_id != account_id:
            raise Problem(404)
        return found

    @router.get(CONTACTS)
    async def listed(request: Request, practice_id: str, account_id: str, who: Reader) -> Response:
        return await list_page(request, practice_id, account_id, who, {})

    async def list_page(request: Request, practice_id: str, account_id: str, who: Staff, errors: dict[str, str]) -> Response:
        async with service.app.begin(practice_id) as tx:
            account = await known(tx, practice_id, account_id)
            rows = await show.rows(tx, practice_id, account_id, account.home.zone)
            differing = await payments.of_another_amount(tx, practice_id, account_id)
        at = f"{invoicing}/staff/{practice_id}/accounts"
        own = f"/staff/{practice_id}/accounts/{account_id}/contacts"
        base = f"{at}/{account_id}"
        tabs = [("Details", base), ("Billing", f"{base}/billing"), ("Contacts", own), ("Invoices", f"{base}/invoices")]
        return page(
            request,
            "contacts/listed.html.j2",
            status=409 if errors else 200,
            where="Accounts",
            account=account,
            rows=rows,
            differing=differing,
            missing=[(each.contact.name, each.missing) for each in rows if each.missing],
            back=(at, "Accounts"),
            tabs=tabs if invoicing else tabs[2:3],
            own=own,
            buttons=show.BUTTONS,
            login=letters.page("login"),
            writer=who.may("contacts:write"),
            errors=errors,
        )

    @router.get(CONTACTS + "/new")
    async def new(request: Request, practice_id: str, account_id: str, who: Writer) -> Response:
        return await form_page(request, practice_id, account_id, None, values_of(None), {}, who)

    @router.post(CONTACTS + "/new")
    async def create(request: Request, practice_id: str, account_id: str, who: Writer) -> Response:
        return await save(request, practice_id, account_id, None, who)

    @router.get(CONTACTS + "/{contact_id}")
    async def shown(request: Request, practice_id: str, account_id: str, contact_id: str, who: Reader) -> Response:
        async with service.app.begin(practice_id) as tx:
            contact = await one(tx, practice_id, account_id, contact_id)
        return await form_page(request, practice_id, account_id, contact, values_of(contact), {}, who)

    @router.post(CONTACTS + "/{contact_id}")
    async def change(request: Request, practice_id: str, account_id: str, contact_id: str, who: Writer) -> Response:
        return await save(request, practice_id, account_id, contact_id, who)

    async def save(request: Request, practice_id: str, account_id: str, contact_id: str | None, who: Staff) -> Response:
        """Saved also when the address is a patient's, with the alert: the contact is kept, but cannot be invited (EP-03)."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        asked, errors = wanted(form)
        contact: Contact | None = None
        async with service.app.begin(practice_id) as tx:
            await known(tx, practice_id, account_id)
            contact = await one(tx, practice_id, account_id, contact_id) if contact_id else None
        if asked:
            try:
                async with service.app.begin(practice_id) as tx:
                    by = who.user_name
                    if contact is None:
                        saved = await access.create(tx, clock.business(), practice_id, account_id, asked, by)
                    else:
                        saved = await access.save(tx, clock.business(), practice_id, contact.contact_id, asked, by)
                    alert = bool(await people.patients_among(tx, [saved.email])) and saved.person_id is None
                back = CONTACTS.format(practice_id=practice_id, account_id=account_id)
                if alert:
                    return redirect(request, back, f"{saved.name} is saved, but cannot be invited.", f"{people.NOT_HERE}.", kind="warn")
                return redirect(request, back, f"{saved.name} is saved.")
            except Refused as refused:
                errors = {"email": str(refused)}
        return await form_page(request, practice_id, account_id, contact, values_of(contact) | form, errors, who)

    async def form_page(
        request: Request, practice_id: str, account_id: str, contact: Contact | None, values: dict[str, str], errors: dict[str, str], who: Staff
    ) -> Response:
        async with service.app.begin(practice_id) as tx:
            account = await known(tx, practice_id, account_id)
            moves = await store.history(tx, practice_id, contact.contact_id) if contact else []
        return page(
            request,
            "contacts/contact.html.j2",
            status=422 if errors else 200,
            where="Accounts",
            account=account,
            contact=contact,
            values=values,
            errors=errors,
            roles=ROLES,
            status_word=show.STATUS_WORDS[contact.status] if contact else "",
            timeline=show.timeline(moves, account.home.zone),
            own=CONTACTS.format(practice_id=practice_id, account_id=account_id),
            writer=who.may("contacts:write"),
        )

    @router.get(CONTACTS + "/{contact_id}/revoke")
    async def ask(request: Request, practice_id: str, account_id: str, contact_id: str, who: Writer) -> Response:
        async with service.app.begin(practice_id) as tx:
            account = await known(tx, practice_id, account_id)
            contact = await one(tx, practice_id, account_id, contact_id)
        own = CONTACTS.format(practice_id=practice_id, account_id=account_id)
        return page(request, "contacts/revoke.html.j2", where="Accounts", account=account, contact=contact, own=own)

    @router.post(CONTACTS + "/{contact_id}/{move}")
    async def act(request: Request, practice_id: str, account_id: str, contact_id: str, move: str, who: Writer) -> Response:
        wanted_move = next((each for each in show.BUTTONS if each.value == move), None)
        if wanted_move is None:
            raise Problem(404)
        try:
            async with service.app.begin(practice_id) as tx:
                name = (await one(tx, practice_id, account_id, contact_id)).name
                await access.do(tx, clock.business(), letters, practice_id, contact_id, wanted_move, who.user_name)
        except Refused as refused:
            return await list_page(request, practice_id, account_id, who, {"": str(refused)})
        title, text = DONE[wanted_move]
        return redirect(request, CONTACTS.format(practice_id=practice_id, account_id=account_id), f"{name}: {title.lower()}", text)

    @router.get("/staff/{practice_id}/log-ins")
    async def log_ins(request: Request, practice_id: str, who: Writer) -> Response:
        return await log_ins_page(request, practice_id, {})

    async def log_ins_page(request: Request, practice_id: str, errors: dict[str, str]) -> Response:
        async with service.app.begin(practice_id) as tx:
            here = await home(tx, practice_id)
            contacts = await store.registered_here(tx, practice_id)
            locked = await failures.locked_among(tx, [each.email for each in contacts])
            shut = [each for each in contacts if each.address in locked]
            accounts = {each.account_id: await known(tx, practice_id, each.account_id) for each in shut}
        rows = [(each, accounts[each.account_id].name, locked[each.address]) for each in shut]
        context = {"rows": rows, "zone": here.zone, "practice_id": practice_id, "errors": errors}
        return page(request, "contacts/log_ins.html.j2", status=409 if errors else 200, where="Log-ins", **context)

    @router.post("/staff/{practice_id}/log-ins/{contact_id}/unlock")
    async def unlock(request: Request, practice_id: str, contact_id: str, who: Writer) -> Response:
        try:
            async with service.app.begin(practice_id) as tx:
                opened = await access.unlock(tx, clock, practice_id, contact_id, who.user_name)
        except access.NotThere as missing:
            raise Problem(404) from missing
        except Refused as refused:
            return await log_ins_page(request, practice_id, {"": str(refused)})
        return redirect(request, f"/staff/{practice_id}/log-ins", "Unlocked.", f"{opened.name} can log in again with the same password.")

    return router
