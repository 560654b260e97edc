"""Forgot Password (EP-07): the mailed link and the recovery factor, then a new password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response

from services.portal.identity import signin
from services.portal.identity.addresses import masked_phone, wrong_with
from services.portal.identity.gates import gates_of
from services.portal.identity.here import LOGIN
from services.portal.identity.password import WORDS
from services.portal.identity.places import welcome
from services.portal.identity.session import forget
from shared.http import Problem, public
from shared.service import Service
from shared.web import page, redirect

FORGOT = "/employerportal/forgot"
RESET = "/employerportal/reset/{token}"


def make_router(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False, dependencies=[Depends(public)])
    gates = gates_of(service)

    @router.get(FORGOT)
    async def forgot(request: Request) -> Response:
        await welcome(request)
        return page(request, "identity/forgot.html.j2", errors={}, email="", asked="")

    @router.post(FORGOT)
    async def ask(request: Request, email: Annotated[str, Form()] = "") -> Response:
        await welcome(request)
        if words := wrong_with(email):
            return page(request, "identity/forgot.html.j2", status=422, errors={"email": words}, email=email, asked="")
        await signin.forgot(gates, email)
        return page(request, "identity/forgot.html.j2", errors={}, email=email, asked=email.strip())

    @router.get(RESET)
    async def opened(request: Request, token: str) -> Response:
        return await _reset_page(request, token, {}, "")

    async def _reset_page(request: Request, token: str, errors: dict[str, str], proof: str) -> Response:
        found = await signin.open_reset(gates, token)
        home = await welcome(request, found.practice_id if found else None)
        if found is None:
            raise Problem(410, signin.DEAD, f"It works once, for 60 minutes. Ask for a new one at {gates.letters.page('login')}, Forgot Password.")
        to = found.recovery.phone
        return page(
            request,
            "identity/reset.html.j2",
            status=422 if errors else 200,
            home=home,
            errors=errors,
            proof=proof,
            question=found.recovery.question,
            number=masked_phone(to) if to else "",
            sent=found.sent_to == to,
            hint=WORDS,
            here=request.url.path.removesuffix("/code"),
        )

    @router.post(RESET + "/code")
    async def send(request: Request, token: str) -> Response:
        if wrong := await signin.send_reset_code(gates, token):
            return await _reset_page(request, token, {"proof": wrong}, "")
        return redirect(request, RESET.format(token=token), "The code is on its way.", "It is good for 10 minutes.")

    @router.post(RESET)
    async def reset(
        request: Request, token: str, proof: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
    ) -> Response:
        if errors := await signin.reset(gates, token, proof, password):
            return await _reset_page(request, token, errors, proof)
        forget(request)
        return redirect(request, LOGIN, "Your password is changed.", "Log in with it now. You were logged out everywhere else.")

    return router
