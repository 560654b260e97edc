"""Invoices: the list, one with its sendings, lines and entries, its papers, run now (EP-12, EP-27, EP-32, BX-07)."""

from itertools import accumulate
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.invoicing.api_papers import file
from services.invoicing.domain.claim import Refused
from services.invoicing.handlers import holds, runs
from services.invoicing.pages.words import CAUSES, ENTRIES, ISSUES, STATUS, counts
from services.invoicing.papers import paper
from services.invoicing.store import accounts, invoices, lists, practices
from services.invoicing.store import runs as run_store
from services.invoicing.store.lists import InvoiceFilter
from shared.auth import Staff, staff
from shared.events.invoicing import InvoiceLineState, InvoiceState, LineEntry
from shared.http import Problem, whole_number
from shared.keyset import Cursor, decode_cursor, encode_cursor, make_page
from shared.money import usd
from shared.service import Service
from shared.web import page, redirect
from shared.web.show import dollars, plural, staff_moment

PAGE = 50
RUNS = 5
LINES = 200
OPEN = ("due", "overdue", "in_review", "pending", "closed")
Reader = Annotated[Staff, Depends(staff("accounts:read"))]
Biller = Annotated[Staff, Depends(staff("billing:run"))]
Worker = Annotated[Staff, Depends(staff("holds:work"))]


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/staff/{practice_id}/invoices", include_in_schema=False)
    db, clock = service.app, service.clock

    @router.get("")
    async def listed(
        request: Request, practice_id: str, who: Reader, number: str = "", status: str = "", account_id: str = "", cursor: str = ""
    ) -> Response:
        errors = {} if not number.strip() or whole_number(number.strip()) is not None else {"number": "Enter digits only, like 100498"}
        chosen = InvoiceFilter(account_id, status if status in OPEN else "", "" if errors else number.strip())
        at = decode_cursor(cursor, int)
        async with db.begin(practice_id) as tx:
            rows = await lists.invoices(tx, practice_id, chosen, PAGE + 1, at.values[0] if at else None, at.newer if at else False)
            names = await accounts.names(tx, practice_id)
            made = await run_store.newest(tx, practice_id, RUNS) if not cursor else []
            zone = (await practices.get(tx, practice_id)).state.zone
            shown = await counts(tx, practice_id)
        base = f"/staff/{practice_id}/invoices"
        picked = {name: value for name in ("number", "status", "account_id") if (value := getattr(chosen, name))}
        status_words = f"Status {STATUS.get(chosen.status, '')}"
        said = {"number": f"Number {chosen.number}", "status": status_words, "account_id": names.get(account_id, "Account")}
        chips = [(said[name], f"{base}?{urlencode({other: value for other, value in picked.items() if other != name})}") for name in picked]
        return page(
            request, "invoices.html.j2", where="Invoices", listed=make_page(rows, PAGE, at, lambda row: (row.number,)), chosen=chosen, chips=chips,
            base=base, query=urlencode(picked) + ("&" if picked else ""), words=STATUS, statuses=[(name, STATUS[name]) for name in OPEN],
            accounts=sorted(names.items(), key=lambda each: each[1]), errors=errors, runs=made, zone=zone, counts=shown, practice_id=practice_id,
            biller=who.may("billing:run"),
        )  # fmt: skip

    @router.get("/run")
    async def ask_run(request: Request, practice_id: str, who: Biller) -> Response:
        return page(request, "run.html.j2", where="Invoices", base=f"/staff/{practice_id}/invoices")

    @router.post("/run")
    async def run(request: Request, practice_id: str, who: Biller) -> Response:
        async with db.begin(practice_id) as tx:
            made = await runs.run_now(tx, clock.business(), practice_id, None, who.user_name)
        back = f"/staff/{practice_id}/invoices"
        if not made:
            return redirect(request, back, "Nothing to bill.", "No claim waits, or all are held or left out.", kind="info")
        total = dollars(sum(each.total_cents for each in made))
        return redirect(request, back, f"{plural(len(made), 'invoice')} sent.", f"{plural(sum(each.claims for each in made), 'claim')}, {total}.")

    @router.get("/{invoice_id}")
    async def one(request: Request, practice_id: str, invoice_id: str, who: Reader, cursor: str = "") -> Response:
        after = decode_cursor(cursor, str, str)
        async with db.begin(practice_id) as tx:
            found = (await invoices.find(tx, [(practice_id, invoice_id)])).get((practice_id, invoice_id))
            if found is None or found.state is None:
                raise Problem(404)
            account = await accounts.get(tx, (practice_id, found.account_id))
            at = (after.values[0], after.values[1]) if after else ("", "")
            lines = await lists.invoice_lines(tx, (practice_id, invoice_id), LINES + 1, at)
            shown = await counts(tx, practice_id)
        base = f"/staff/{practice_id}/invoices"
        return page(
            request, "invoice.html.j2", where="Invoices", state=found.state, account=account, lines=lines[:LINES], more=next_lines(lines),
            ladder=ladder(found.state), words=STATUS, kinds=ISSUES, base=base, here=f"{base}/{invoice_id}", practice_id=practice_id, counts=shown,
            procedures=procedures, worker=who.may("holds:work"),
        )  # fmt: skip

    @router.get("/{invoice_id}/claims/{claim_id:path}")
    async def claim(request: Request, practice_id: str, invoice_id: str, claim_id: str, who: Reader) -> Response:
        async with db.begin(practice_id) as tx:
            found = (await invoices.find(tx, [(practice_id, invoice_id)])).get((practice_id, invoice_id))
            lines = [each.state for each in await invoices.lines_of(tx, [(practice_id, claim_id)]) if each.invoice_id == invoice_id]
            if found is None or not lines or lines[-1] is None:
                raise Problem(404)
            reads = who.may("holds:read")  # what employer and staff wrote about a dispute is of the case
            notes = await lists.notes(tx, (practice_id, claim_id)) if reads else []
            zone = (await practices.get(tx, practice_id)).state.zone
            shown = await counts(tx, practice_id)
        line = lines[-1]
        return page(
            request, "claim.html.j2", where="Invoices", line=line, number=found.number, entries=running(line.entries), what=what, words=STATUS,
            here=f"/staff/{practice_id}/invoices/{invoice_id}", practice_id=practice_id, counts=shown, worker=who.may("holds:work"),
            reads=reads, history=[(staff_moment(each["at"], zone), each["who"], each["what"], each["move"]) for each in notes],
        )  # fmt: skip

    @router.get("/{invoice_id}/hold")
    async def ask_hold(request: Request, practice_id: str, invoice_id: str, who: Worker, claim_id: str = "") -> Response:
        return hold_page(request, practice_id, invoice_id, claim_id, "", {})

    @router.post("/{invoice_id}/hold")
    async def hold(request: Request, practice_id: str, invoice_id: str, who: Worker) -> Response:
        form = await request.form()
        claim_id, reason = str(form.get("claim_id", "")), str(form.get("reason", ""))
        try:
            async with db.begin(practice_id) as tx:
                await holds.hold_by_staff(tx, clock.business(), (practice_id, claim_id), reason[:200], who.user_name)
        except Refused as error:
            return hold_page(request, practice_id, invoice_id, claim_id, reason, {"reason": str(error)})
        here = f"/staff/{practice_id}/invoices/{invoice_id}"
        return redirect(request, here, f"Claim {claim_id} is on hold.", "The rest of the invoice can be paid.")

    def hold_page(request: Request, practice_id: str, invoice_id: str, claim_id: str, reason: str, errors: dict[str, str]) -> Response:
        here = f"/staff/{practice_id}/invoices/{invoice_id}"
        return page(
            request, "hold_new.html.j2", status=422 if errors else 200, where="Invoices", here=here, claim_id=claim_id, reason=reason, errors=errors
        )

    @router.get("/{invoice_id}/{no}.pdf")
    async def pdf(practice_id: str, invoice_id: str, no: int, who: Reader) -> Response:
        return file(await paper(db, practice_id, invoice_id, no))

    return router


def next_lines(lines: list[InvoiceLineState]) -> str:
    """The cursor of the next page of an invoice's lines; nothing on the last."""
    if len(lines) <= LINES:
        return ""
    last = lines[LINES - 1]
    return encode_cursor(Cursor((last.service_date.isoformat(), last.line_id)))


def ladder(state: InvoiceState) -> list[tuple[str, str, str]]:
    """From the invoice's total to what is payable now."""
    changed = state.charged_cents - state.original_cents
    moved = state.transferred_in_cents - state.transferred_out_cents
    rows = [("Invoice total (original)", usd(state.original_cents), "")]
    rows += [("Changed since", usd(changed, sign=True), "")] if changed else []
    rows += [("Payments", usd(-state.paid_cents), "")]
    rows += [("Transfers in and out", usd(moved, sign=True), "")] if moved else []
    rows += [("Adjustments", usd(-state.adjusted_cents), ""), ("Remaining total", usd(state.balance_cents), "sum")]
    rows += [("On HOLD", usd(-state.held_cents), "")] if state.held_cents else []
    rows += [("Payments pending", usd(-state.pending_cents), "")] if state.pending_cents else []
    return [*rows, ("Payable now", dollars(state.payable_cents), "tot")]


def what(entry: LineEntry, line: InvoiceLineState) -> str:
    """What happened, in words, and to which procedure."""
    words = f"{ENTRIES.get(entry.kind, entry.kind)} {CAUSES.get(entry.cause or '', '')}".strip()
    named = next((f"{each.procedure_code} {each.description}".strip() for each in line.charges if each.charge_id == entry.charge_id), "")
    return f"{words}: {named}" if named else words


def running(entries: list[LineEntry]) -> list[tuple[LineEntry, int]]:
    """Each entry with the balance after it."""
    return list(zip(entries, accumulate(entry.change_cents for entry in entries), strict=True))


def procedures(line: InvoiceLineState) -> str:
    """The first procedure, and how many more."""
    if not line.charges:
        return "–"
    first, more = line.charges[0], len(line.charges) - 1
    return f"{first.procedure_code} {first.description}" + (f" and {more} more" if more else "")
