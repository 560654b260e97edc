"""The hold queue: the list by act-by date at the left, one case at the right (EP-17, EP-28, EP-29)."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.invoicing.domain import hold as rules
from services.invoicing.domain.claim import Refused
from services.invoicing.handlers import holds
from services.invoicing.pages.case import case_of, decision_of, typed
from services.invoicing.pages.words import counts
from services.invoicing.store import lists, practices
from shared.auth import Staff, staff
from shared.keyset import decode_cursor, make_page
from shared.service import Service
from shared.web import page, redirect
from shared.web.show import plural, short_day

PAGE = 50
Reader = Annotated[Staff, Depends(staff("holds:read"))]
Worker = Annotated[Staff, Depends(staff("holds:work"))]


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/staff/{practice_id}/holds", include_in_schema=False)
    db, clock = service.app, service.clock

    @router.get("")
    async def queue(request: Request, practice_id: str, who: Reader, cursor: str = "") -> Response:
        return await show(request, who, practice_id, None, cursor)

    @router.get("/{claim_id:path}")
    async def case(request: Request, practice_id: str, claim_id: str, who: Reader, cursor: str = "") -> Response:
        return await show(request, who, practice_id, claim_id, cursor)

    async def show(
        request: Request,
        who: Staff,
        practice_id: str,
        claim_id: str | None,
        cursor: str = "",
        form: Mapping[str, str] | None = None,
        errors: dict[str, str] | None = None,
    ) -> Response:
        place = decode_cursor(cursor, date, datetime, str)
        async with db.begin(practice_id) as tx:
            practice = await practices.get(tx, practice_id)
            queue = make_page(await lists.hold_queue(tx, practice_id, PAGE + 1, place), PAGE, place, lists.hold_key)
            first = queue.items[0].claim_id if queue.items else None
            at = claim_id or first
            found = await case_of(tx, practice, (practice_id, at), clock.business(), form) if at else None
            shown = await counts(tx, practice_id)
        today = practice.today(clock.business())
        return page(
            request, "holds.html.j2", status=422 if errors else 200, where="Holds", queue=queue, cursor=cursor, case=found,
            chosen=claim_id is not None, values=typed(found, form) if found else {}, errors=errors or {},
            reasons={code: words for code, (words, _) in rules.REASONS.items()}, acts=lambda due: act_badge(due, today),
            counts=shown, practice_id=practice_id, worker=who.may("holds:work"),
        )  # fmt: skip

    @router.post("/{claim_id:path}")
    async def finish(request: Request, practice_id: str, claim_id: str, who: Worker) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        now, key, cursor = clock.business(), (practice_id, claim_id), form.get("cursor", "")
        async with db.begin(practice_id) as tx:
            found = await case_of(tx, await practices.get(tx, practice_id), key, now, form)
        decision, errors = decision_of(found, form)
        # What was typed for charges that changed meanwhile was about other ones.
        still = {name: words for name, words in form.items() if not name.startswith("charge-")}
        if decision.seen not in (None, found.seen):
            return await show(request, who, practice_id, claim_id, cursor, still, {"": holds.CHANGED})
        if errors or form.get("do") == "show":
            return await show(request, who, practice_id, claim_id, cursor, form, errors)
        try:
            async with db.begin(practice_id) as tx:
                if form.get("do") == "keep":
                    await holds.correct(tx, now, key, decision, who.user_name)
                else:
                    await holds.redrop(tx, now, key, decision, who.user_name)
        except holds.CaseChanged as error:
            return await show(request, who, practice_id, claim_id, cursor, still, {"": str(error)})
        except Refused as error:
            return await show(request, who, practice_id, claim_id, cursor, form, {"": str(error)})
        at = f"?{urlencode({'cursor': cursor})}" if cursor else ""  # the page of the queue that the case was opened from
        if form.get("do") == "keep":
            return redirect(request, f"{request.url.path}{at}", "Saved.", "The claim stays on HOLD until it is re-dropped.")
        again = "The invoice is sent again tomorrow, once posting has the change."
        return redirect(request, f"/staff/{practice_id}/holds{at}", f"Claim {claim_id} is re-dropped.", again)

    return router


def act_badge(due: date, today: date) -> tuple[str, str, str]:
    """Text, tone and drawing of a date to act by: late, near, or later."""
    if due < today:
        return f"{plural((today - due).days, 'day')} late", "overdue", "exclamation-triangle-fill"
    near = (due - today).days <= 1
    return f"Act by {short_day(due)}", "pending" if near else "neutral", "alarm" if near else "calendar3"


