"""Papers and documents for the other services, which fetch their bytes here."""

from fastapi import APIRouter, Depends, Response

from services.invoicing.papers import paper
from services.invoicing.store import practices
from services.invoicing.store.practices import Document
from shared.auth import staff
from shared.http import Problem
from shared.service import Service


def make_router(service: Service) -> APIRouter:
    """Routes below `/api/practices/{practice_id}` for `invoices:read`."""
    router = APIRouter(prefix="/api/practices/{practice_id}", dependencies=[Depends(staff("invoices:read"))])

    @router.get("/invoices/{invoice_id}/issues/{no}.pdf")
    async def issue_pdf(practice_id: str, invoice_id: str, no: int) -> Response:
        return file(await paper(service.app, practice_id, invoice_id, no))

    @router.get("/documents/{document_id}")
    async def document(practice_id: str, document_id: str) -> Response:
        async with service.app.begin(practice_id) as tx:
            return file(await practices.get_document(tx, practice_id, document_id))

    return router


def file(found: Document | None) -> Response:
    """A document's bytes under its own name. Problem 404."""
    if found is None:
        raise Problem(404)
    headers = {"Content-Disposition": f'inline; filename="{found.name}"', "ETag": f'"{found.sha256}"'}
    return Response(found.bytes, media_type=found.media_type, headers=headers)
