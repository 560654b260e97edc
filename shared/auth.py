"""Who may do what (PF-08): roles and their permissions as data, staff sessions after OpenID Connect, bearer tokens of programs.

Every route names its permission; the default is to refuse. `unguarded` lists the routes that do not.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import itsdangerous
from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from shared.http import PROGRAMS, Problem, SeeOther, for_program, guard, way_back
from shared.oidc import BadToken, Provider, ProviderTrouble
from shared.web import Web, set_cookie, use
from shared.web.areas import areas
from shared.web.frame import Desk

IDLE_SECONDS = 15 * 60
SESSION_SECONDS = 12 * 3600
RENEW_SECONDS = 60
AUDIENCE = "billfold"
SCHEME = "Bearer "

ROLES: Mapping[str, frozenset[str]] = {
    role: frozenset(permissions.split())
    for role, permissions in {
        "billing_admin": "accounts:read accounts:write holds:read holds:work billing:run contacts:read contacts:write claims:read"
        " payments:read contracts:read mails:read",
        "poster": "accounts:read claims:read payments:read payments:post",
        "posting_manager": "accounts:read claims:read payments:read payments:post mails:read",
        "front_desk": "accounts:read contracts:read contracts:write payments:read",
        "auditor": "accounts:read holds:read contacts:read claims:read payments:read contracts:read mails:read",
        "practice_admin": "accounts:read accounts:write billing:run contacts:read contacts:write settings:write claims:read"
        " payments:read contracts:read mails:read",
    }.items()
}


@dataclass(frozen=True)
class Staff:
    """A person of a practice's staff, or a program: then `sub` is its client and there are no roles. `practices` None means all."""

    sub: str
    name: str
    user_name: str
    roles: tuple[str, ...]
    practices: frozenset[str] | None
    permissions: frozenset[str]

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    def works_at(self, practice_id: str) -> bool:
        return self.practices is None or str(practice_id) in self.practices


@dataclass(frozen=True)
class Auth:
    """How staff and programs are known to one service; kept at `app.state.auth`. `practices` answers id → name for the header."""

    web: Web
    provider: Provider
    public_url: str
    links: Mapping[str, str]
    practices: Callable[[], Awaitable[Mapping[str, str]]]

    @property
    def cookie(self) -> str:
        return f"{self.web.service}_staff"

    @property
    def sessions(self) -> itsdangerous.URLSafeTimedSerializer:
        return self.web.signer("staff")


def staff(permission: str) -> Callable[[Request], Awaitable[Staff]]:
    """A dependency: the person or program that holds this permission at the practice of the path.

    Without a session a browser goes to sign in and a program gets 401; without the permission or the practice it is 403 in words.
    """

    @guard(permission)
    async def check(request: Request) -> Staff:
        who = await _who(request)
        practice_id = request.path_params.get("practice_id", request.path_params.get("practiceid"))  # as the contracts' API of old spells it
        if practice_id is not None and not who.works_at(practice_id):
            raise Problem(403, "This practice is not one of yours", "Choose another practice, or ask its practice admin for access.")
        if not who.may(permission):
            raise Problem(403, "Your role does not allow this", _who_could(who, permission))
        request.state.staff = who
        return who

    return check


async def _who(request: Request) -> Staff:
    header = request.headers.get("authorization", "")
    auth: Auth = request.app.state.auth
    if header.startswith(SCHEME):
        who: Staff | None = await _program(auth, header.removeprefix(SCHEME))
    else:
        who = session_of(request)
    if who is None:
        if for_program(request):
            raise Problem(401, "Please sign in", "Send a bearer token of the provider.", headers={"WWW-Authenticate": "Bearer"})
        raise SeeOther(f"/staff/sign-in?next={way_back(request, '/staff')}")
    if not request.url.path.startswith(PROGRAMS):  # a page is a page, also for a program that asks for it
        await _dress(request, auth, who)
    return who


async def _program(auth: Auth, token: str) -> Staff:
    try:
        claims = await auth.provider.verify(token, AUDIENCE)
    except BadToken as error:
        wrong = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise Problem(401, "This token is not valid here", f"{error}. Fetch a new one from the provider.", headers=wrong) from error
    except ProviderTrouble as error:
        raise Problem(503, "Tokens cannot be checked right now", "Please try again in a minute.", headers={"Retry-After": "30"}) from error
    client = str(claims.get("client_id") or claims.get("azp") or claims["sub"])
    scopes = frozenset(str(claims.get("scope", "")).split())
    return Staff(client, client, client, (), _practices(claims.get("practices")), scopes)


def start_session(request: Request, claims: Mapping[str, Any]) -> Staff:
    """A new session for a person with these claims of the provider; its cookie goes out with the answer. Problem 403 without a role."""
    auth: Auth = request.app.state.auth
    person = {name: claims.get(name, "") for name in ("sub", "name", "preferred_username")}
    roles = [role for role in _texts(claims.get("roles")) if role in ROLES]
    if not roles:
        raise Problem(403, "You have no role here yet", "Ask the practice admin of your practice to give you one.")
    return _keep(request, auth, {**person, "roles": roles, "practices": claims.get("practices", []), "began": int(time.time())})


def session_of(request: Request) -> Staff | None:
    """The person of the session cookie; None without one, 15 minutes after the last request, or 12 hours after signing in."""
    auth: Auth = request.app.state.auth
    try:
        session, seen = auth.sessions.loads(request.cookies.get(auth.cookie, ""), max_age=IDLE_SECONDS, return_timestamp=True)
    except itsdangerous.BadData:
        return None
    now = time.time()
    if now - session["began"] > SESSION_SECONDS:
        return None
    return _keep(request, auth, session) if now - seen.timestamp() > RENEW_SECONDS else _person(session)


def _keep(request: Request, auth: Auth, session: dict[str, Any]) -> Staff:
    set_cookie(request, auth.cookie, str(auth.sessions.dumps(session)))
    return _person(session)


def _person(session: Mapping[str, Any]) -> Staff:
    roles = tuple(session["roles"])
    permissions = frozenset().union(*(ROLES[role] for role in roles if role in ROLES))
    name = session["name"] or session["preferred_username"] or session["sub"]
    return Staff(session["sub"], name, session["preferred_username"] or name, roles, _practices(session["practices"]), permissions)


def _practices(claim: Any) -> frozenset[str] | None:
    return None if claim == "*" or claim == ["*"] else frozenset(_texts(claim))


def _texts(claim: Any) -> list[str]:
    return [str(each) for each in claim] if isinstance(claim, Iterable) and not isinstance(claim, str) else str(claim or "").split()


def role_words(roles: Iterable[str]) -> str:
    """`billing admin, poster`: roles as people say them."""
    return ", ".join(role.replace("_", " ") for role in roles)


def _who_could(who: Staff, permission: str) -> str:
    if not who.roles:
        return f"The scope {permission} is needed."
    holders = [role for role, permissions in ROLES.items() if permission in permissions]
    return f"You are signed in as {role_words(who.roles)}. This is for: {role_words(holders) or 'nobody yet'}."


async def _dress(request: Request, auth: Auth, who: Staff) -> None:
    practice_id = request.path_params.get("practice_id")
    if practice_id is None:
        use(request, Desk(person=who.user_name, roles=role_words(who.roles)))
        return
    names = await auth.practices()
    name = names.get(str(practice_id), f"Practice {practice_id}")
    use(request, Desk(name, areas=areas(practice_id, auth.links, who.may), person=who.user_name, roles=role_words(who.roles)))


def unguarded(app: FastAPI) -> list[str]:
    """Routes without a guard, as `GET /path`; each service's test asserts that there are none."""
    found = []
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, APIRoute) or not _has_guard(context.dependant or route.dependant):
            found.append(f"{','.join(sorted(getattr(route, 'methods', None) or ['*']))} {context.path or route}")
    return found


def _has_guard(dependant: Dependant) -> bool:
    return any(hasattr(each.call, "__guard__") or _has_guard(each) for each in dependant.dependencies)
