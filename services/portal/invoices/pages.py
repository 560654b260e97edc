"""Home with the latest invoices, the invoice page, a claim and why it costs what it does (EP-09, EP-11, BX-07)."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.portal.identity.here import Here
from services.portal.identity.session import signed_in
from services.portal.invoices import read, standing, words
from services.portal.invoices.read import CLAIMS_PAGE, PAGE, SORT_TYPES, SORTS, STATUSES, Filter
from shared.clock import local_date
from shared.http import Problem
from shared.keyset import decode_cursor, make_page
from shared.service import Service
from shared.web import page
from shared.web.show import day, parse_day

Person = Annotated[Here, Depends(signed_in)]
DIRECTIONS = {True: "descending", False: "ascending"}


def make_router(service: Service) -> APIRouter:
    """The router of the invoice pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/employerportal/")
    async def home(
        request: Request,
        here: Person,
        q: str = "",
        status: str = "",
        since: str = "",
        until: str = "",
        sort: str = "date",
        dir: str = "down",
        at: str = "",
    ) -> Response:
        values = {"q": q.strip(), "status": status, "since": since, "until": until}
        wanted, errors = _filter(values, sort, dir)
        cursor = decode_cursor(at, SORT_TYPES[wanted.sort], str)
        async with service.app.begin(here.practice_id) as tx:
            sums = await read.summary(tx, here.practice_id, here.account_id)
            rows = await read.invoices(tx, here.practice_id, here.account_id, here.person_id, wanted, cursor)
        column = SORTS[wanted.sort]
        shown = make_page(rows, PAGE, cursor, lambda row: (getattr(row, column), row.invoice_id))
        return page(
            request,
            "invoices/home.html.j2",
            status=422 if errors else 200,
            where="Home",
            here=here,
            sums=sums,
            points=words.open_points(sums),
            page=shown,
            total=rows[0].total if rows else 0,
            columns=_columns(values, wanted),
            values=values,
            errors=errors,
            chosen=_chosen(values),
            newer=_url(values, wanted, shown.newer) if shown.newer else "",
            older=_url(values, wanted, shown.older) if shown.older else "",
            here_url=_url(values, wanted, at),
            statuses=[("", "All"), *((each, words.STATUS[each]) for each in STATUSES)],
            words=words,
            today=_today(request, service),
            in_cart=request.state.frame.cart.count,
            cart_cents=request.state.cart_cents,
        )

    @router.get("/employerportal/invoices/{invoice_id}")
    async def invoice(request: Request, here: Person, invoice_id: str, after: str = "", why: str = "") -> Response:
        cursor = decode_cursor(after, str, str)
        async with service.app.begin(here.practice_id) as tx:
            row = await _found(tx, here, invoice_id)
            _, can = (await standing.read(tx, here.practice_id, [invoice_id]))[invoice_id]
            lines = await read.claims(tx, here.practice_id, invoice_id, (cursor.values[0], cursor.values[1]) if cursor else None)
        state = read.state_of(row)
        claims = [_claim(line) for line in lines[:CLAIMS_PAGE]]
        more = make_page(lines, CLAIMS_PAGE, cursor, lambda line: (line.claim_id, line.line_id)).older
        disputed = sum(claim["disputed"] for claim in claims)
        return page(
            request,
            "invoices/invoice.html.j2",
            where="Home",
            here=here,
            row=row,
            state=state,
            can=can,
            account=row.account,
            practice=request.state.practice,
            claims=claims,
            first_page=not after,
            older=f"?{urlencode({'after': more})}" if more else "",
            why=why,
            lead=words.lead(row.shown_status, can.why, state, disputed if row.own_held_cents else 0),
            ladder=words.ladder(state, row.own_held_cents, can.cents, row.shown_status == "pending"),
            words=words,
            today=_today(request, service),
        )

    @router.get("/employerportal/invoices/{invoice_id}/claims/{line_id}")
    async def claim(request: Request, here: Person, invoice_id: str, line_id: str) -> Response:
        async with service.app.begin(here.practice_id) as tx:
            row = await _found(tx, here, invoice_id)
            lines = await read.claims(tx, here.practice_id, invoice_id, None, line_id)
        if not lines:
            raise Problem(404)
        return page(request, "invoices/claim.html.j2", where="Home", here=here, row=row, claim=_claim(lines[0]), words=words)

    @router.get("/employerportal/help")
    async def help(request: Request, here: Person) -> Response:
        return page(request, "invoices/help.html.j2", where="Help", here=here, practice=request.state.practice, words=words)

    return router


async def _found(tx: Any, here: Here, invoice_id: str) -> Any:
    row = await read.invoice(tx, here.practice_id, here.account_id, invoice_id, here.person_id)
    if row is None:
        raise Problem(404)
    return row


def _claim(row: Any) -> dict[str, Any]:
    """A claim's line as the pages show it, under our own marks."""
    line = read.line_of(row)
    status = "in_review" if line.status in ("due", "overdue") and row.disputed else line.status
    asked = status in ("due", "overdue") and line.balance_cents > 0
    story, codes = words.story(line)
    return {
        "line": line,
        "status": status,
        "disputed": row.disputed,
        "act_by": row.act_by,
        "disputable": asked and not row.paying and not row.payment_pending and row.act_by is None,
        "story": story,
        "codes": codes,
    }


def _filter(values: dict[str, str], sort: str, direction: str) -> tuple[Filter, dict[str, str]]:
    errors, days = {}, {}
    for name in ("since", "until"):
        try:
            days[name] = parse_day(values[name]) if values[name].strip() else None
        except ValueError as error:
            errors[name], days[name] = str(error), None
    sort = sort if sort in SORTS else "date"
    status = values["status"] if values["status"] in STATUSES else ""
    return Filter(status, days["since"], days["until"], values["q"], sort, direction != "up"), errors


def _url(values: dict[str, str], wanted: Filter, at: str | None = None, **changed: str) -> str:
    order = {"sort": wanted.sort if wanted.sort != "date" else "", "dir": "" if wanted.down else "up"}
    query = {name: value for name, value in (values | order | {"at": at or ""} | changed).items() if value}
    return "/employerportal/" + (f"?{urlencode(query)}" if query else "")


def _columns(values: dict[str, str], wanted: Filter) -> list[dict[str, Any]]:
    def head(text: str, sort: str, **more: Any) -> dict[str, Any]:
        now = wanted.sort == sort
        turned = "up" if now and wanted.down else ""
        link = {"text": text, "sort": _url(values, wanted, sort=sort if sort != "date" else "", dir=turned), **more}
        return link | ({"dir": DIRECTIONS[wanted.down]} if now else {})

    return [
        {"text": "Action"},
        {"text": "Invoice", "select": "Select all invoices on this page"},
        head("Invoice Date", "date"),
        head("Due By", "due"),
        {"text": "Status"},
        head("Original Invoice Total", "total", num=True),
        {"text": "Payments", "num": True},
        head("Remaining Balance", "balance", num=True),
    ]


def _chosen(values: dict[str, str]) -> str:
    """The filter in words, for a list that it leaves empty."""
    parts = [f"Status {words.STATUS[values['status']]}" if values["status"] in STATUSES else "", f"invoice {values['q']}" if values["q"] else ""]
    for name, word in (("since", "from"), ("until", "to")):
        try:
            parts.append(f"{word} {day(parse_day(values[name]))}" if values[name].strip() else "")
        except ValueError:
            continue
    text = ", ".join(part for part in parts if part)
    return text[:1].upper() + text[1:]


def _today(request: Request, service: Service) -> Any:
    return local_date(service.clock.business(), request.state.practice["zone"])
