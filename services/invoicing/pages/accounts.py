"""Accounts: the list, a new one, and the tabs Details, Billing and Invoices of one (EP-01)."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import account as rules
from services.invoicing.domain.account import Account
from services.invoicing.domain.claim import Refused
from services.invoicing.handlers import accounts as handlers
from services.invoicing.handlers import runs as billing
from services.invoicing.handlers.accounts import Stale
from services.invoicing.pages.forms import account_form, as_typed, edited, new_account
from services.invoicing.pages.words import STATUS, WEEKDAYS, counts, next_run, rhythm
from services.invoicing.store import accounts, claims, lists, practices, runs
from shared import ids
from shared.auth import Staff, staff
from shared.http import Problem, whole_number
from shared.keyset import Cursor, decode_cursor, make_page
from shared.service import Service
from shared.web import page, redirect
from shared.web.show import dollars, plural

PAGE = 50
DRAFTS = 200
INVOICES = 50
STALE = "Somebody changed this account since you opened it. Your entries are below; check them against the account, then save again"
Reader = Annotated[Staff, Depends(staff("accounts:read"))]
Writer = Annotated[Staff, Depends(staff("accounts:write"))]
Biller = Annotated[Staff, Depends(staff("billing:run"))]


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/staff/{practice_id}/accounts", include_in_schema=False)
    db, clock, links = service.app, service.clock, service.settings.staff_links

    @router.get("")
    async def listed(request: Request, practice_id: str, who: Reader, search: str = "", cursor: str = "") -> Response:
        search, at = search.strip(), decode_cursor(cursor, str, str)
        async with db.begin(practice_id) as tx:
            rows = await lists.accounts(tx, practice_id, search, PAGE + 1, at)
            shown = await counts(tx, practice_id)
        return page(
            request, "accounts.html.j2", where="Accounts", listed=make_page(rows, PAGE, at, lambda row: (row.name, row.account_id)),
            search=search, query=urlencode({"search": search}) + "&" if search else "", counts=shown, writer=who.may("accounts:write"),
        )  # fmt: skip

    @router.get("/new")
    async def new(request: Request, practice_id: str, who: Writer, payer_id: str = "") -> Response:
        return await form_page(request, practice_id, account_form(new_account(practice_id, ids.new(), payer_id)), {})

    @router.post("")
    async def create(request: Request, practice_id: str, who: Writer) -> Response:
        form = dict((await request.form()).items())
        wanted, errors = edited(new_account(practice_id, ids.new()), form, ("details", "billing"))
        if not errors:
            try:
                async with db.begin(practice_id) as tx:
                    made = await handlers.save(tx, clock.business(), wanted, None)
                home = f"/staff/{practice_id}/accounts/{made.account_id}"
                return redirect(request, home, f"{made.name} is saved.", "Its claims are billed from now on.")
            except Refused as error:
                errors = {"": str(error)}
        return await form_page(request, practice_id, as_typed(form), errors)

    async def form_page(request: Request, practice_id: str, values: Mapping[str, Any], errors: dict[str, str]) -> Response:
        async with db.begin(practice_id) as tx:
            shown = await counts(tx, practice_id)
        return page(
            request, "account_new.html.j2", status=422 if errors else 200, where="Accounts", values=values, errors=errors, counts=shown,
            practice_id=practice_id, weekdays=WEEKDAYS,
        )  # fmt: skip

    @router.get("/{account_id}")
    async def details(request: Request, practice_id: str, account_id: str, who: Reader) -> Response:
        return await tab(request, practice_id, account_id, who, "Details")

    @router.get("/{account_id}/billing")
    async def terms(request: Request, practice_id: str, account_id: str, who: Reader) -> Response:
        return await tab(request, practice_id, account_id, who, "Billing")

    @router.get("/{account_id}/invoices")
    async def invoices(request: Request, practice_id: str, account_id: str, who: Reader, cursor: str = "") -> Response:
        return await tab(request, practice_id, account_id, who, "Invoices", at=decode_cursor(cursor, date, str))

    @router.post("/{account_id}")
    async def save_details(request: Request, practice_id: str, account_id: str, who: Writer) -> Response:
        return await save(request, practice_id, account_id, who, "Details")

    @router.post("/{account_id}/billing")
    async def save_terms(request: Request, practice_id: str, account_id: str, who: Writer) -> Response:
        return await save(request, practice_id, account_id, who, "Billing")

    async def save(request: Request, practice_id: str, account_id: str, who: Staff, name: str) -> Response:
        form = dict((await request.form()).items())
        async with db.begin(practice_id) as tx:
            known = await one(tx, practice_id, account_id)
        wanted, errors = edited(known, form, (name.lower(),))
        version = str(form.get("version", ""))
        if not errors:
            try:
                async with db.begin(practice_id) as tx:
                    await handlers.save(tx, clock.business(), wanted, whole_number(version) or 0)
                return redirect(request, request.url.path, "Saved.", "Employers see the change within seconds.")
            except Stale:
                errors = {"": STALE}
                form["version"] = str(known.version)
            except Refused as error:
                errors = {"": str(error)}
        return await tab(request, practice_id, account_id, who, name, form, errors)

    async def tab(
        request: Request,
        practice_id: str,
        account_id: str,
        who: Staff,
        name: str,
        form: Mapping[str, Any] | None = None,
        errors: dict[str, str] | None = None,
        at: Cursor | None = None,
    ) -> Response:
        async with db.begin(practice_id) as tx:
            account = await one(tx, practice_id, account_id)
            practice = await practices.get(tx, practice_id)
            today = practice.today(clock.business())
            figures = await lists.account_figures(tx, (practice_id, account_id))
            context: dict[str, Any] = {"counts": await counts(tx, practice_id)}
            if name == "Invoices":
                billed = await lists.invoices(tx, practice_id, lists.InvoiceFilter(account_id=account_id), INVOICES + 1, None)
                context["invoices"] = make_page(billed, INVOICES, None, lambda row: (row.number,))
                after = (at.values[0], at.values[1]) if at else (date.min, "")
                waiting = await runs.drafts(tx, (practice_id, account_id), DRAFTS + 1, after)
                context["more"] = make_page(waiting, DRAFTS, at, lambda draft: (draft.service_date, draft.claim_id)).older
                context["drafts"] = [(each, left_out(each, account, today)) for each in waiting[:DRAFTS]]
                context["paged"] = bool(at or context["more"])
        base = f"/staff/{practice_id}/accounts/{account_id}"
        tabs = [("Details", base), ("Billing", f"{base}/billing"), ("Invoices", f"{base}/invoices")]
        if "portal" in links and who.may("contacts:read"):
            tabs.insert(2, ("Contacts", f"{links['portal'].rstrip('/')}{base}/contacts"))
        template = {"Details": "account_details.html.j2", "Billing": "account_billing.html.j2", "Invoices": "account_invoices.html.j2"}[name]
        return page(
            request, template, status=422 if errors else 200, where="Accounts", account=account, figures=figures, tabs=tabs, tab=name,
            base=base, practice_id=practice_id, values=account_form(account) if form is None else as_typed(form), errors=errors or {},
            weekdays=WEEKDAYS, rhythm=rhythm(account), next_run=next_run(account), standing=rules.standing(account, today), words=STATUS,
            writer=who.may("accounts:write"), biller=who.may("billing:run"), **context,
        )  # fmt: skip

    @router.post("/{account_id}/run")
    async def run(request: Request, practice_id: str, account_id: str, who: Biller) -> Response:
        back = f"/staff/{practice_id}/accounts/{account_id}/invoices"
        async with db.begin(practice_id) as tx:
            await one(tx, practice_id, account_id)
            made = await billing.run_now(tx, clock.business(), practice_id, [account_id], who.user_name)
        if not made:
            return redirect(request, back, "Nothing to bill.", "No claim waits for this account, or all are held or left out.", kind="info")
        done = made[0]
        return redirect(request, back, f"Invoice {done.number} is sent.", f"{plural(done.claims, 'claim')}, {dollars(done.total_cents)}.")

    @router.post("/{account_id}/leave-out")
    async def leave_out(request: Request, practice_id: str, account_id: str, who: Biller) -> Response:
        form = await request.form()
        key = practice_id, str(form.get("claim_id", ""))
        out = form.get("out") == "yes"
        async with db.begin(practice_id) as tx:
            await claims.lock(tx, [key])
            await claims.set_left_out(tx, key, out)
            words = "Left out of billing runs" if out else "Taken into billing runs again"
            await claims.add_note(tx, key, ids.new(), clock.business(), who.user_name, words)
        return redirect(request, f"/staff/{practice_id}/accounts/{account_id}/invoices", f"Claim {key[1]}:", words.lower() + ".")

    async def one(tx: AsyncConnection, practice_id: str, account_id: str) -> Account:
        found = await accounts.find(tx, (practice_id, account_id))
        if found is None:
            raise Problem(404)
        return found

    return router


def left_out(draft: runs.Draft, account: Account, today: date) -> str | None:
    """Why the account's next run leaves a claim out, in words."""
    run_on = max(account.next_run_on or today, today)
    return rules.why_not_billed(run_on, draft.billed_on, draft.service_date, account, draft.held, draft.left_out)
