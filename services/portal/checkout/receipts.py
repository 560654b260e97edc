"""An account's card payments and their receipts, on a page and on paper; no patient data (EP-14, EP-15)."""

import logging
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import text

from services.portal.checkout import store
from services.portal.checkout.captured import record
from services.portal.checkout.words import many
from services.portal.identity.here import Here
from services.portal.identity.session import signed_in
from services.portal.invoices import words
from services.portal.papers import Papers
from shared.http import Problem
from shared.keyset import decode_cursor, make_page
from shared.logo import print_with
from shared.money import usd
from shared.service import Service
from shared.web import page
from shared.web.show import address, card, day, moment, phone

log = logging.getLogger(__name__)
PAGE = 25
RECEIPT = Path(__file__).parents[1] / "typst" / "receipt.typ"
Person = Annotated[Here, Depends(signed_in)]
_LIST = (
    "SELECT p.*, n.complete, n.credited_cents, (SELECT string_agg(i.number, ', ' ORDER BY i.number) FROM attempt_invoices i"
    " WHERE i.practice_id = p.practice_id AND i.attempt_id = p.payment_id) AS numbers"
    " FROM payments p LEFT JOIN postings n ON n.practice_id = p.practice_id AND n.payment_id = p.payment_id"
    " WHERE p.practice_id = :practice_id AND p.account_id = :account_id"
)
_DOUBT = text(
    "SELECT attempt_id, person_id, payer_name, amount_cents, submitted_business_at, words FROM attempts"
    " WHERE practice_id = :practice_id AND account_id = :account_id AND state IN ('submitted', 'unknown') ORDER BY submitted_at LIMIT 20"
)


def make_router(service: Service, papers: Papers) -> APIRouter:
    """The router of payments."""
    router = APIRouter(include_in_schema=False)

    @router.get("/employerportal/payments")
    async def payments(request: Request, here: Person, at: str = "") -> Response:
        cursor = decode_cursor(at, int)
        forward = cursor is None or not cursor.newer
        place = f" AND p.record_no {'<' if forward else '>'} :last" if cursor else ""
        order = f" ORDER BY p.record_no {'DESC' if forward else 'ASC'} LIMIT :limit"
        values = {"practice_id": here.practice_id, "account_id": here.account_id, "limit": PAGE + 1}
        async with service.app.begin(here.practice_id) as tx:
            rows = list(await tx.execute(text(_LIST + place + order), values | ({"last": cursor.values[0]} if cursor else {})))
            doubt = list(await tx.execute(_DOUBT, {"practice_id": here.practice_id, "account_id": here.account_id}))
        shown = make_page(rows, PAGE, cursor, lambda row: (row.record_no,))
        zone = request.state.practice["zone"]
        context = {"page": shown, "doubt": doubt, "zone": zone, "record": record, "words": words}
        return page(request, "checkout/payments.html.j2", where="Payments", here=here, **context)

    @router.get("/employerportal/payments/{payment_id}")
    async def receipt(request: Request, here: Person, payment_id: str, paid: str = "") -> Response:
        row, invoices = await _payment(here, payment_id)
        context = {"row": row, "invoices": invoices, "record": record(row.record_no), "withheld": _withheld(invoices)}
        now = ("invoice" if len(invoices) == 1 else many(len(invoices), "invoice")) if paid else ""
        return page(request, "checkout/receipt.html.j2", where="Payments", here=here, now=now, zone=row.practice["zone"], **context)

    @router.get("/employerportal/payments/{payment_id}/receipt.pdf")
    async def paper(here: Person, payment_id: str) -> Response:
        row, invoices = await _payment(here, payment_id)
        logo = await _logo(papers, row.practice)
        content = await print_with(RECEIPT, lambda name: contents(row, invoices, name), logo)
        name = f"receipt-{record(row.record_no)}.pdf"
        return Response(content, media_type="application/pdf", headers={"Content-Disposition": f'inline; filename="{name}"'})

    async def _payment(here: Here, payment_id: str) -> tuple[Any, Any]:
        async with service.app.begin(here.practice_id) as tx:
            values = {"practice_id": here.practice_id, "account_id": here.account_id, "payment_id": payment_id}
            row = (await tx.execute(text(_LIST + " AND p.payment_id = :payment_id"), values)).one_or_none()
            if row is None:
                raise Problem(404)
            return row, await store.invoices_of(tx, here.practice_id, payment_id)

    return router


def contents(row: Any, invoices: Any, logo: str | None) -> dict[str, Any]:
    """What the paper prints: pure."""
    practice = row.practice
    return {
        "practice": {
            "name": practice["display_name"],
            "address": address(practice["postal_address"]),
            "phone": phone(practice["phone"]),
            "accent": practice["brand"]["accent"],
            "logo": logo,
            "logo_alt": practice["brand"]["logo_alt"],
        },
        "number": record(row.record_no),
        "at": moment(row.captured_at, practice["zone"]),
        "amount_cents": row.amount_cents,
        "facts": [
            ["Paid by", row.account_name],
            ["User", row.payer_name],
            ["Card", card(row.card_brand, row.card_last4)],
            ["Record number", record(row.record_no)],
            ["Authorization number", row.authorization_number],
            ["Withheld, in review", _withheld(invoices) or "None"],
        ],
        "invoices": [
            {
                "number": each.number,
                "due": day(each.due_on),
                "withheld_cents": each.withheld_cents,
                "amount_cents": each.amount_cents,
            }
            for each in invoices
        ],
    }


def _withheld(invoices: Any) -> str:
    """What was left out of the payment because it is in review, in words: the sum and the claims; empty where nothing was (EP-15)."""
    claims = [claim for each in invoices for claim in each.withheld_claims]
    cents = sum(each.withheld_cents for each in invoices)
    return " · ".join([usd(cents), *([f"{'claims' if len(claims) > 1 else 'claim'} {', '.join(claims)}"] if claims else [])]) if cents else ""


async def _logo(papers: Papers, practice: dict[str, Any]) -> bytes | None:
    """The logo for the paper; a receipt is printed without it rather than not at all."""
    logo_id = practice["brand"]["logo_id"]
    if not logo_id:
        return None
    try:
        return (await papers.logo(practice["practice_id"], logo_id)).content
    except Problem as problem:
        log.warning("a receipt is printed without its logo: %s", problem.title)
        return None
