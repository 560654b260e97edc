"""Practice settings: the name and look that employers see, with a preview before they are published (EP-19)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import UploadFile

from services.invoicing.api_papers import file
from services.invoicing.domain.claim import Refused
from services.invoicing.handlers.practices import keep_logo, read_logo, rebrand
from services.invoicing.pages.words import counts
from services.invoicing.store import practices
from services.invoicing.store.invoices import number_text
from services.invoicing.tables import MEBIBYTE
from shared.auth import Staff, staff
from shared.http import uploads, whole_number
from shared.service import Service
from shared.web import page, redirect
from shared.web.brand import DEFAULT
from shared.web.brand import brand as safe_brand
from shared.web.show import address, phone, size

FIELDS = ("version", "display_name", "colour", "logo_id", "logo_alt")
Admin = Annotated[Staff, Depends(staff("settings:write"))]


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/staff/{practice_id}", include_in_schema=False)
    db, clock = service.app, service.clock

    @router.get("/settings")
    async def read(request: Request, practice_id: str, who: Admin) -> Response:
        return await show(request, practice_id, None, {})

    @router.post("/settings")
    @uploads
    async def save(request: Request, practice_id: str, who: Admin) -> Response:
        form = await request.form(max_part_size=2 * MEBIBYTE)
        values = {name: str(form.get(name, "")).strip() for name in FIELDS}
        upload = form.get("file")
        try:
            if isinstance(upload, UploadFile) and upload.filename:
                values["logo_id"] = await new_logo(practice_id, upload, values["logo_alt"])
            if form.get("do") == "preview":
                return await show(request, practice_id, values, {})
            async with db.begin(practice_id) as tx:
                version = whole_number(values["version"]) or 0
                wanted = values["display_name"], values["colour"], values["logo_id"] or None, values["logo_alt"]
                await rebrand(tx, clock.business(), practice_id, version, *wanted)
        except Refused as error:
            return await show(request, practice_id, values, {error.field: str(error)})
        return redirect(request, request.url.path, "Published.", "Portal, invoices and mails show it from now on.")

    async def new_logo(practice_id: str, upload: UploadFile, alt: str) -> str:
        logo = await read_logo(await upload.read())
        async with db.begin(practice_id) as tx:
            return await keep_logo(tx, practice_id, logo, alt)

    async def show(request: Request, practice_id: str, typed: dict[str, str] | None, errors: dict[str, str]) -> Response:
        async with db.begin(practice_id) as tx:
            known = await practices.get(tx, practice_id)
            kept = await practices.logos(tx, practice_id)
            shown = await counts(tx, practice_id)
        state = known.state
        values = typed or {
            "version": str(state.version),
            "display_name": state.display_name,
            "colour": known.colour,
            "logo_id": state.brand.logo_id or "",
            "logo_alt": state.brand.logo_alt,
        }
        try:
            brand = safe_brand(values["colour"])
        except ValueError:
            brand = DEFAULT
        logos = [("", "No logo: the name stands alone")] + [(each["document_id"], each["alt"] or each["name"], size(each["size"])) for each in kept]
        facts = [
            ("Legal name", state.legal_name),
            ("Time zone", state.zone),
            ("Address", address(state.postal_address)),
            ("Checks go to", f"{state.remit_to_name}, {address(state.remit_to_address)}"),
            ("Phone", phone(state.phone)),
            ("Hours", state.hours),
            ("Portal", state.portal_address),
            ("Next invoice number", number_text(known.next_number)),
        ]
        return page(
            request, "settings.html.j2", status=422 if errors else 200, where="Settings", values=values, errors=errors, logos=logos, brand=brand,
            state=state, facts=facts, preview=typed is not None, counts=shown, practice_id=practice_id,
        )  # fmt: skip

    @router.get("/logos/{document_id}")
    async def logo(practice_id: str, document_id: str, who: Annotated[Staff, Depends(staff("accounts:read"))]) -> Response:
        async with db.begin(practice_id) as tx:
            return file(await practices.get_document(tx, practice_id, document_id))

    return router
