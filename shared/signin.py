"""The pages of staff sign-in: to the provider, back from it, out, and the choice of a practice."""

import secrets

import itsdangerous
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from shared.auth import Auth, session_of, start_session
from shared.http import Problem, SeeOther, guard, public
from shared.oidc import BadToken, ProviderTrouble
from shared.web import page, redirect, set_cookie, use
from shared.web.areas import first_area
from shared.web.frame import Desk

TRY_SECONDS = 600
router = APIRouter(prefix="/staff", include_in_schema=False)


def install_auth(app: FastAPI, auth: Auth) -> None:
    """Gives the service its staff sign-in, and `staff(...)` what it needs to know people by."""
    app.state.auth = auth
    app.include_router(router)


@guard("any signed-in staff")
async def _signed_in(request: Request) -> None:
    if session_of(request) is None:
        raise SeeOther("/staff/sign-in?next=/staff")


@router.get("", dependencies=[Depends(_signed_in)])
async def choose_practice(request: Request) -> Response:
    """The practices a person works at; with just one, straight to its first area."""
    auth: Auth = request.app.state.auth
    who = session_of(request)
    assert who is not None
    path = first_area(auth.web.service, who.may)
    found = [(number, name) for number, name in sorted((await auth.practices()).items(), key=lambda each: each[1]) if who.works_at(number)]
    if len(found) == 1 and path:
        return RedirectResponse(f"/staff/{found[0][0]}/{path}", 303)
    use(request, Desk(person=who.user_name))
    return page(request, "practices.html.j2", found=found, path=path)


@router.get("/sign-in", dependencies=[Depends(public)])
async def sign_in(request: Request, next: str = "/staff") -> Response:
    """To the provider, with a state, a nonce and a PKCE verifier that only this browser's cookie knows."""
    auth: Auth = request.app.state.auth
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    # Only our own pages: an address that names a host would send people elsewhere after signing in.
    back = next if next.startswith("/") and not next.startswith(("//", "/\\")) else "/staff"
    text = str(auth.web.signer("sign-in").dumps([state, nonce, verifier, back]))
    set_cookie(request, _cookie(auth), text, max_age=TRY_SECONDS)
    try:
        return RedirectResponse(await auth.provider.sign_in_url(_callback(auth), state, nonce, verifier), 303)
    except ProviderTrouble as error:
        raise Problem(503, "Signing in is not possible right now", "The sign-in provider does not answer. Please try again.") from error


@router.get("/callback", dependencies=[Depends(public)])
async def callback(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
    """Back from the provider: a session for the person, if this is the answer to this browser's own question."""
    auth: Auth = request.app.state.auth
    again = "Open the page again and sign in once more."
    try:
        text = request.cookies.get(_cookie(auth), "")
        wanted, nonce, verifier, back = auth.web.signer("sign-in").loads(text, max_age=TRY_SECONDS)
    except itsdangerous.BadData:
        raise Problem(400, "This sign-in has ended", again) from None
    set_cookie(request, _cookie(auth), "", max_age=0)
    if error or not code or not secrets.compare_digest(state.encode(), wanted.encode()):
        raise Problem(400, "Signing in did not work", again)
    try:
        claims = await auth.provider.exchange(code, _callback(auth), verifier, nonce)
    except BadToken as trouble:
        raise Problem(400, "Signing in did not work", again) from trouble
    except ProviderTrouble as trouble:
        raise Problem(503, "Signing in is not possible right now", "The sign-in provider does not answer. Please try again.") from trouble
    start_session(request, claims)
    return redirect(request, back)


@router.post("/sign-out", dependencies=[Depends(public)])
async def sign_out(request: Request) -> Response:
    """Ends the session of this service; the provider's own session ends at the provider."""
    auth: Auth = request.app.state.auth
    set_cookie(request, auth.cookie, "", max_age=0)
    return redirect(request, "/staff/signed-out")


@router.get("/signed-out", dependencies=[Depends(public)])
async def signed_out(request: Request) -> Response:
    return page(request, "signed_out.html.j2")


def _cookie(auth: Auth) -> str:
    return f"{auth.web.service}_sign_in"


def _callback(auth: Auth) -> str:
    return f"{auth.public_url.rstrip('/')}/staff/callback"
