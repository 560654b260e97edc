"""The guards of the employers' pages: who has logged in, and for which account they are here."""

from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy import select

from services.portal.contacts.tables import contacts
from services.portal.frame import dress
from services.portal.identity import sessions
from services.portal.identity.gates import gates_of
from services.portal.identity.here import CHOOSE, HOME, LOG_OUT, LOGIN, STAY, Here, Role
from services.portal.identity.sessions import Session
from shared.http import Problem, SeeOther, for_program, guard, way_back
from shared.service import Service
from shared.web import set_cookie

COOKIE = "portal_session"


@guard("any logged-in employer")
async def logged_in(request: Request) -> Session:
    """The session of the cookie, with or without a chosen account; without one, on to log-in and back."""
    service: Service = request.app.state.service
    token = request.cookies.get(COOKIE, "")
    async with service.app.begin() as tx:
        session = await sessions.renew(tx, service.clock.system(), token, gates_of(service).limits) if token else None
    if session is None:
        if for_program(request):
            raise Problem(401, "Please log in")
        ended = "&ended=yes" if token else ""
        raise SeeOther(f"{LOGIN}?next={way_back(request, HOME)}{ended}")
    request.state.session = session
    return session


@guard("an employer's contact at a chosen account")
async def signed_in(request: Request, session: Annotated[Session, Depends(logged_in)]) -> Here:
    """Who is here, for which account. Without a chosen account, or after access to it was revoked, on to the choice of one."""
    service: Service = request.app.state.service
    if session.practice_id is None or session.account_id is None:
        raise SeeOther(f"{CHOOSE}?next={way_back(request, HOME)}")
    async with service.app.begin(session.practice_id) as tx:
        wanted = select(contacts.c.role).where(contacts.c.practice_id == session.practice_id, contacts.c.contact_id == session.contact_id)
        role = (await tx.execute(wanted)).scalar_one()
    here = Here(
        session_id=session.session_id,
        person_id=session.person_id,
        name=session.name,
        email=session.email,
        practice_id=session.practice_id,
        account_id=session.account_id,
        contact_id=str(session.contact_id),
        role=cast(Role, role),
    )
    request.state.here = here
    await dress(request, here)
    return here


def keep(request: Request, token: str) -> None:
    """Gives the browser its session, until it is closed."""
    set_cookie(request, COOKIE, token)


def forget(request: Request) -> None:
    set_cookie(request, COOKIE, "", max_age=0)


def own_page(address: str) -> str:
    """The address if it is a page of the employers' portal, else home: nobody is led elsewhere from here."""
    inside = address.startswith(HOME) and not address.startswith((LOGIN, LOG_OUT, STAY)) and ".." not in address and "\\" not in address
    return address if inside else HOME
