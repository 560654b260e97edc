"""*Submit Dispute*: the form as a page, which opens as a dialog where there is script (EP-16, EP-28)."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, Response

from services.portal.disputes import store
from services.portal.identity.here import Here
from services.portal.identity.session import signed_in
from services.portal.roles import must_pay
from shared import ids
from shared.http import Problem
from shared.service import Service
from shared.web import page, redirect

REASONS = {
    "EM": "Incorrect employee/patient",
    "DN": "Additional documentation needed",
    "WA": "Incorrect charge amount",
    "CH": "Incorrect service",
    "AP": "Charge already paid",
    "XX": "Other",
}
LONGEST = 500
Person = Annotated[Here, Depends(signed_in)]
Text = Annotated[str, Form()]


def make_router(service: Service) -> APIRouter:
    """The router of disputes."""
    router = APIRouter(include_in_schema=False)
    address = "/employerportal/invoices/{invoice_id}/claims/{line_id}/dispute"

    @router.get(address)
    async def form(request: Request, here: Person, invoice_id: str, line_id: str) -> Response:
        async with service.app.begin(here.practice_id) as tx:
            await must_pay(tx, here, "dispute")
            found = await store.line(tx, here, invoice_id, line_id)
            if found is None:
                raise Problem(404)
            try:
                await store.check(tx, found)
            except store.Refused as refused:
                raise Problem(409, refused.title, refused.advice) from refused
        return _form(request, found, {}, {"reason": "", "note": ""})

    @router.post(address)
    async def submit(request: Request, here: Person, invoice_id: str, line_id: str, reason: Text = "", note: Text = "", once: Text = "") -> Response:
        note = note.replace("\r\n", "\n").strip()
        errors = {} if reason in REASONS else {"reason": "Choose a dispute reason"}
        if len(note) > LONGEST:
            errors["note"] = f"Enter {LONGEST} characters or fewer. There are {len(note)}"
        dispute_id = ids.derived("dispute", here.practice_id, here.person_id, line_id, once) if once else ids.new()
        now = service.clock.business()
        try:
            async with service.app.begin(here.practice_id) as tx:
                await must_pay(tx, here, "dispute")
                if errors:
                    found = await store.line(tx, here, invoice_id, line_id)
                else:
                    found = await store.submit(tx, now, here, dispute_id, invoice_id, line_id, reason, note.replace("\x00", "") or None)
        except store.Refused as refused:
            raise Problem(409, refused.title, refused.advice) from refused
        if found is None:
            raise Problem(404)
        if errors:
            return _form(request, found, errors, {"reason": reason, "note": note})
        practice = request.state.practice["display_name"]
        words = f"{practice} answers soon; the day stands beside the claim. You can pay the rest of the invoice now."
        return redirect(request, f"/employerportal/invoices/{quote(invoice_id)}", "Dispute sent.", words)

    return router


def _form(request: Request, found: Any, errors: dict[str, str], values: dict[str, str]) -> Response:
    context = {"line": found, "errors": errors, "values": values, "reasons": list(REASONS.items()), "longest": LONGEST}
    return page(request, "disputes/dispute.html.j2", status=422 if errors else 200, where="Home", **context)
