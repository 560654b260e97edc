"""The notifier's staff page: every mail with its outcome (NT-02: parked and visible)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import func, select

from services.notifier import copies, tables
from shared.auth import Staff, staff
from shared.keyset import decode_cursor, make_page
from shared.service import Service
from shared.web import page

PAGE = 50
NAMES = {
    "invoice_digest": "Invoices",
    "invitation": "Invitation",
    "access_granted": "Access granted",
    "code": "Code",
    "password_reset": "Password reset",
    "receipt": "Receipt",
    "contract_notice": "Charge notice",
    "contract_receipt": "Charge receipt",
    "contract_copy": "Copy of an agreement",
    "contract_declined": "Declined charge",
    "contract_declined_staff": "Declined charge, to staff",
}


def make_router(service: Service) -> APIRouter:
    """The router of the notifier's pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/staff/{practice_id}/mails")
    async def mails(
        request: Request, practice_id: str, who: Annotated[Staff, Depends(staff("mails:read"))], state: str = "", cursor: str = ""
    ) -> Response:
        mail = tables.mails.c
        at = decode_cursor(cursor or None, str)
        listed = select(tables.mails).where(mail.practice_id == practice_id)
        if state in tables.STATES:
            listed = listed.where(mail.state == state)
        if at:
            listed = listed.where(mail.mail_id > at.values[0] if at.newer else mail.mail_id < at.values[0])
        order = mail.mail_id.asc() if at and at.newer else mail.mail_id.desc()
        item = tables.items.c
        counted = select(item.ended, func.count().label("count")).where(item.practice_id == practice_id, item.ended.like("skipped%"))
        async with service.app.begin(practice_id) as tx:
            found = make_page((await tx.execute(listed.order_by(order).limit(PAGE + 1))).all(), PAGE, at, lambda row: (row.mail_id,))
            practice = await copies.practice(tx, practice_id)
            skipped = {row.ended.partition(": ")[2]: row.count for row in await tx.execute(counted.group_by(item.ended))}
        zone = practice["zone"] if practice else "UTC"
        context: dict[str, Any] = {"rows": found.items, "newer": found.newer, "older": found.older, "names": NAMES, "skipped": skipped, "zone": zone}
        return page(request, "mails.html.j2", where="Mails", state=state, **context)

    return router
