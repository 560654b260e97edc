"""The work list of claims whose payer id no account has (EP-32)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.invoicing.pages.words import counts
from services.invoicing.store import runs
from shared.auth import Staff, staff
from shared.service import Service
from shared.web import page

PAGE = 100


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/staff/{practice_id}/unpaid", include_in_schema=False)

    @router.get("")
    async def listed(request: Request, practice_id: str, who: Annotated[Staff, Depends(staff("claims:read"))], after: str = "") -> Response:
        async with service.app.begin(practice_id) as tx:
            rows = await runs.nobody_pays(tx, practice_id, PAGE + 1, after)
            shown = await counts(tx, practice_id)
        return page(
            request, "unpaid.html.j2", where="Work list", rows=rows[:PAGE], more=len(rows) > PAGE, counts=shown,
            practice_id=practice_id, writer=who.may("accounts:write"),
        )  # fmt: skip

    return router
