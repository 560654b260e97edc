"""Bytes that the portal hands on: invoice PDFs to their own account, logos to everybody."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from services.portal.identity.here import Here
from services.portal.identity.session import signed_in
from services.portal.invoices import read
from services.portal.papers import Papers
from shared.http import Problem, public
from shared.service import Service

FOREVER = "public, max-age=31536000, immutable"
PICTURES = ("image/png", "image/jpeg")


def make_router(service: Service, papers: Papers) -> APIRouter:
    """The router of files."""
    router = APIRouter(include_in_schema=False)

    @router.get("/employerportal/invoices/{invoice_id}/pdf/{no}")
    async def invoice_pdf(here: Annotated[Here, Depends(signed_in)], invoice_id: str, no: int) -> Response:
        async with service.app.begin(here.practice_id) as tx:
            number = (await read.numbers(tx, here.practice_id, here.account_id, [invoice_id])).get(invoice_id)
        if number is None:
            raise Problem(404)
        file = await papers.invoice(here.practice_id, invoice_id, no)
        name = f"invoice-{number}-{no}.pdf"
        return Response(file.content, media_type="application/pdf", headers={"Content-Disposition": f'inline; filename="{name}"'})

    @router.get("/employerportal/logo/{practice_id}/{logo_id}", dependencies=[Depends(public)])
    async def logo(practice_id: str, logo_id: str) -> Response:
        async with service.app.begin(practice_id) as tx:
            known = await read.logo(tx, practice_id)
        if known != logo_id:
            raise Problem(404)
        file = await papers.logo(practice_id, logo_id)
        if file.media_type not in PICTURES:
            raise Problem(404)
        return Response(file.content, media_type=file.media_type, headers={"Cache-Control": FOREVER})

    return router
