"""Log-in at its one lasting address, the choice of an account, the terms, staying and leaving (EP-06, EP-08, EP-23)."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity import invitations, sessions, signin
from services.portal.identity import store as people
from services.portal.identity.gates import gates_of
from services.portal.identity.here import CHOOSE, LOG_OUT, LOGIN, STAY
from services.portal.identity.password import WORDS
from services.portal.identity.places import Choice, Home, choices, remember, welcome
from services.portal.identity.session import COOKIE, forget, keep, logged_in, own_page
from services.portal.identity.sessions import Session
from services.portal.identity.terms import TERMS, VERSION
from shared.http import Problem, public
from shared.service import Service
from shared.web import page, redirect

Someone = Annotated[Session, Depends(logged_in)]
TERMS_PAGE = "/employerportal/terms"
GUIDE = "/employerportal/guide"


def make_router(service: Service) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    gates = gates_of(service)

    @router.get(LOGIN, dependencies=[Depends(public)])
    async def login(request: Request, next: str = "", ended: str = "") -> Response:
        token = request.cookies.get(COOKIE, "")
        async with service.app.begin() as tx:
            if token and await sessions.renew(tx, service.clock.system(), token, gates.limits):
                return redirect(request, own_page(next))
        if token:
            forget(request)
        return _login_page(request, await welcome(request), {}, "", next, timed_out=bool(ended))

    @router.post(LOGIN, dependencies=[Depends(public)])
    async def log_in(
        request: Request, email: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "", next: Annotated[str, Form()] = ""
    ) -> Response:
        token, why = await signin.log_in(gates, email, password, sessions.device_words(request.headers.get("user-agent", "")))
        if token is None:
            home = await welcome(request)
            words = {"wrong": signin.WRONG, "unfinished": signin.UNFINISHED, "locked": _locked(home)}[why or "wrong"]
            return _login_page(request, home, {"email": words}, email, next)
        keep(request, token)
        return redirect(request, _then(CHOOSE, next))

    @router.post(LOG_OUT, dependencies=[Depends(public)])
    async def log_out(request: Request) -> Response:
        async with service.app.begin() as tx:
            session = await sessions.renew(tx, service.clock.system(), request.cookies.get(COOKIE, ""), gates.limits)
            if session:
                await sessions.end(tx, session.person_id, session.session_id)
        forget(request)
        return redirect(request, LOGIN, "You are logged out.", "Your cart is kept.")

    @router.post(STAY, dependencies=[Depends(public)])
    async def stay(request: Request) -> Response:
        """One press of *Stay logged in*. It says 401 when it came too late: a redirect would look like an answer to the script."""
        async with service.app.begin() as tx:
            session = await sessions.renew(tx, service.clock.system(), request.cookies.get(COOKIE, ""), gates.limits)
        return Response(status_code=204 if session else 401)

    @router.get(GUIDE, dependencies=[Depends(public)])
    async def guide(request: Request) -> Response:
        """One page for who cannot get in (EP-25); what stands behind the log-in has its own help."""
        return page(request, "identity/guide.html.j2", home=await welcome(request), hint=WORDS)

    @router.get(CHOOSE)
    async def choose(request: Request, session: Someone, next: str = "", practice: str = "") -> Response:
        """Location, then account; what there is only one of is not asked. `practice` is the location that was chosen."""
        async with service.app.begin() as tx:
            if not await people.has_signed(tx, session.person_id, VERSION):
                return redirect(request, _then(TERMS_PAGE, next))
            open_to = await _open_to(tx, session)
            if len(open_to) == 1:
                return await _enter(request, tx, session, open_to[0], next)
        locations = list({each.practice_id: each.practice for each in open_to}.items())
        location = practice if practice in dict(locations) else locations[0][0] if len(locations) == 1 else ""
        here = [each for each in open_to if each.practice_id == location]
        home = await welcome(request, location or session.practice_id)
        if not open_to:
            return page(request, "identity/no_account.html.j2", home=home)
        if here:
            return page(
                request, "identity/choose_account.html.j2", accounts=here, next=own_page(next), several=len(locations) > 1, current=session.contact_id
            )
        return page(request, "identity/choose_location.html.j2", locations=locations, next=own_page(next), current=session.practice_id)

    @router.post(CHOOSE)
    async def chosen(
        request: Request,
        session: Someone,
        practice_id: Annotated[str, Form()] = "",
        contact_id: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "",
    ) -> Response:
        """A location, or an account; a location with one account is both."""
        async with service.app.begin() as tx:
            if not await people.has_signed(tx, session.person_id, VERSION):
                return redirect(request, _then(TERMS_PAGE, next))
            open_to = await _open_to(tx, session)
            wanted = [each for each in open_to if practice_id == each.practice_id or contact_id == each.contact_id]
            if not wanted:
                raise Problem(404)
            if len(wanted) == 1:
                return await _enter(request, tx, session, wanted[0], next)
        return redirect(request, f"{_then(CHOOSE, next)}&practice={quote(practice_id, safe='')}")

    @router.get(TERMS_PAGE)
    async def terms(request: Request, session: Someone, next: str = "") -> Response:
        return await _terms_page(request, next, {})

    async def _terms_page(request: Request, next: str, errors: dict[str, str]) -> Response:
        await welcome(request)
        status = 422 if errors else 200
        return page(request, "identity/terms.html.j2", status=status, terms=TERMS, version=VERSION, errors=errors, next=own_page(next))

    @router.post(TERMS_PAGE)
    async def sign(request: Request, session: Someone, agree: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "") -> Response:
        if not agree:
            return await _terms_page(request, next, {"agree": "Agree to the terms to continue"})
        async with service.app.begin() as tx:
            await people.sign_terms(tx, service.clock.system(), session.person_id, VERSION)
        return redirect(request, _then(CHOOSE, next))

    def _login_page(request: Request, home: Home, errors: dict[str, str], email: str, next: str, timed_out: bool = False) -> Response:
        minutes = int(gates.limits.idle.total_seconds()) // 60
        shown = {"home": home, "errors": errors, "email": email, "next": next, "timed_out": timed_out, "minutes": minutes}
        return page(request, "identity/login.html.j2", status=422 if errors else 200, **shown)

    async def _enter(request: Request, tx: AsyncConnection, session: Session, to: Choice, next: str) -> Response:
        if not await sessions.choose(tx, session.session_id, session.person_id, to.practice_id, to.contact_id):
            raise Problem(404)
        remember(request, to.practice_id)
        return redirect(request, own_page(next))

    return router


def _then(path: str, next: str) -> str:
    return f"{path}?next={quote(own_page(next), safe='/')}"


async def _open_to(tx: AsyncConnection, session: Session) -> list[Choice]:
    return await choices(tx, await invitations.places_of(tx, session.person_id))


def _locked(home: Home) -> str:
    return f"This log-in is locked after ten failed tries. Reset your password, or call {home.call or 'the practice that invited you'}"
