"""A person's own pages: profile, security, sessions and devices (EP-08)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response

from services.portal.identity import sessions, signin
from services.portal.identity import store as people
from services.portal.identity.addresses import masked_phone
from services.portal.identity.gates import gates_of
from services.portal.identity.here import CHOOSE, LOGIN, Here
from services.portal.identity.invitations import places_of
from services.portal.identity.password import WORDS
from services.portal.identity.places import choices
from services.portal.identity.session import forget, signed_in
from shared.http import Problem
from shared.service import Service
from shared.web import page, redirect

Me = Annotated[Here, Depends(signed_in)]
LONGEST_NAME = 120


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/employerportal", include_in_schema=False)
    gates = gates_of(service)

    @router.get("/profile")
    async def profile(request: Request, here: Me) -> Response:
        return await _profile_page(request, here, here.name, {})

    async def _profile_page(request: Request, here: Here, name: str, errors: dict[str, str]) -> Response:
        async with service.app.begin() as tx:
            open_to = await choices(tx, await places_of(tx, here.person_id))
        status = 422 if errors else 200
        return page(request, "identity/profile.html.j2", status=status, here=here, name=name, errors=errors, open_to=open_to, choose=CHOOSE)

    @router.post("/profile")
    async def rename(request: Request, here: Me, name: Annotated[str, Form()] = "") -> Response:
        wanted = " ".join(name.split())
        if words := _wrong_with(wanted):
            return await _profile_page(request, here, name, {"name": words})
        async with service.app.begin() as tx:
            await people.rename(tx, here.person_id, wanted)
        return redirect(request, "/employerportal/profile", "Saved.")

    @router.get("/security")
    async def security(request: Request, here: Me) -> Response:
        return await _security_page(request, here, {})

    async def _security_page(request: Request, here: Here, errors: dict[str, str]) -> Response:
        async with service.app.begin() as tx:
            recovery = await people.recovery(tx, here.person_id)
        to = recovery.phone if recovery else None
        words = f"Code by text message to {masked_phone(to)}" if to else "Security question"
        return page(request, "identity/security.html.j2", status=422 if errors else 200, here=here, errors=errors, recovery=words, hint=WORDS)

    @router.post("/security")
    async def change(
        request: Request, here: Me, current: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
    ) -> Response:
        if errors := await signin.change_password(gates, here.person_id, here.session_id, current, password):
            return await _security_page(request, here, errors)
        return redirect(request, "/employerportal/security", "Your password is changed.", "You were logged out on every other device.")

    @router.get("/sessions")
    async def devices(request: Request, here: Me) -> Response:
        async with service.app.begin() as tx:
            mine = await sessions.of_person(tx, service.clock.system(), here.person_id, gates.limits)
        zone = request.state.practice["zone"]
        return page(request, "identity/sessions.html.j2", here=here, sessions=mine, zone=zone, limits=gates.limits)

    @router.post("/sessions/{session_id}/end")
    async def end(request: Request, here: Me, session_id: str) -> Response:
        async with service.app.begin() as tx:
            if not await sessions.end(tx, here.person_id, session_id):
                raise Problem(404, "This session has ended already", "Open the list again.")
        if session_id == here.session_id:
            forget(request)
            return redirect(request, LOGIN, "You are logged out.")
        return redirect(request, "/employerportal/sessions", "Ended.", "That device has to log in again.")

    @router.post("/sessions/end-others")
    async def end_others(request: Request, here: Me) -> Response:
        async with service.app.begin() as tx:
            await sessions.end_others(tx, here.person_id, here.session_id)
        return redirect(request, "/employerportal/sessions", "Ended.", "Every other device has to log in again.")

    return router


def _wrong_with(name: str) -> str:
    if not name:
        return "Enter your name"
    if not name.isprintable():
        return "Use letters, digits and signs only"
    return f"Use up to {LONGEST_NAME} characters for your name" if len(name) > LONGEST_NAME else ""
