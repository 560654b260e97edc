"""HTTP for people and programs: problems in words, guards, limits, headers (shared.application puts them together).

Programs (`/api`, `/v1`, or whoever asks for JSON) get RFC 9457 problems; browsers get the problem page.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import db, telemetry
from shared.web import Web, page

MIB = 1024 * 1024
UPLOAD_LIMIT = 10 * MIB + 64 * 1024  # the file, and the fields beside it
PROGRAMS = ("/api/", "/v1/", "/health/", "/metrics")
QUIET = ("/health/", "/metrics", "/static/")
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
TITLES = {
    400: "This request cannot be read",
    401: "Please sign in",
    403: "You may not do this",
    404: "We cannot show this page",
    405: "This address does not take that kind of request",
    406: "This address has no such form of answer",
    409: "This was changed meanwhile",
    412: "This was changed meanwhile",
    413: "This is too large",
    415: "This kind of content is not taken here",
    422: "Some values cannot be taken",
    429: "Too many tries",
    503: "This is not available right now",
}
DETAILS = {
    404: "The address may be wrong, or it belongs to something you may not see.",
}
log = logging.getLogger(__name__)


class Problem(HTTPException):
    """A refusal in words: `title` is what a person reads first, `detail` what to do; more fields go to programs as they are."""

    def __init__(
        self,
        status: int,
        title: str = "",
        detail: str = "",
        *,
        type: str = "about:blank",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> None:
        self.title = title or TITLES.get(status, TITLES[400])
        self.type = type
        self.fields = fields
        super().__init__(status, detail or DETAILS.get(status, ""), headers)

    def body(self) -> dict[str, Any]:
        """The members of the problem document."""
        return {"type": self.type, "title": self.title, "status": self.status_code, "detail": self.detail} | self.fields


class SeeOther(Exception):
    """Sends the browser elsewhere from inside a dependency, for instance to sign in; an htmx request leaves the page too."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


F = TypeVar("F", bound=Callable[..., Any])


def guard(words: str) -> Callable[[F], F]:
    """Marks a dependency as one that decides who may use a route; `unguarded` looks for the mark."""

    def mark(function: F) -> F:
        function.__guard__ = words  # type: ignore[attr-defined]
        return function

    return mark


@guard("everybody")
def public() -> None:
    """For routes that everybody may use: written down, so that a forgotten guard is not taken for one."""


def uploads(endpoint: F) -> F:
    """Marks an endpoint (under its route decorator) that takes files of up to 10 MiB."""
    endpoint.__body_limit__ = UPLOAD_LIMIT  # type: ignore[attr-defined]
    return endpoint


def for_program(request: Request) -> bool:
    """Whether the asker reads JSON rather than pages."""
    accepted = request.headers.get("accept", "")
    return request.url.path.startswith(PROGRAMS) or ("json" in accepted and "text/html" not in accepted)


def way_back(request: Request, home: str) -> str:
    """This page, or for a form the page it stood on (`home` where that is unknown), as a query value."""
    page = request.url if request.method == "GET" else urlsplit(request.headers.get("referer", home))
    return quote(f"{page.path}?{page.query}" if page.query else page.path, safe="/")


async def answer_problem(request: Request, problem: Problem) -> Response:
    """The problem document or the problem page."""
    headers = dict(problem.headers or {})
    if for_program(request):
        return JSONResponse(problem.body(), problem.status_code, headers, media_type="application/problem+json")
    response = page(request, "problem.html.j2", status=problem.status_code, problem=problem)
    response.headers.update(headers)
    return response


class Gate:
    """Stands around every request: refuses forms from elsewhere and whatever comes before the service can work, sets security headers
    and cookies, answers our own mistakes in words."""

    def __init__(self, app: ASGIApp, web: Web, trouble: Callable[[], str | None], form_targets: tuple[str, ...]) -> None:
        self.app = app
        self.web = web
        self.trouble = trouble
        self.targets = " ".join(["'self'", *("{0.scheme}://{0.netloc}".format(urlsplit(target)) for target in form_targets)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["nonce"] = secrets.token_urlsafe(16)
        state["cookies"] = []
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._finish(MutableHeaders(scope=message), state, scope["path"])
            await send(message)

        request = Request(scope, _limited(scope, receive))
        if request.url.path.startswith(QUIET):
            await self.app(scope, receive, send_guarded)
            return
        with telemetry.span(scope["method"], parent=request.headers.get("traceparent"), kind=SpanKind.SERVER) as span:
            await self._answer(request, send_guarded, lambda: started)
            span.update_name(f"{scope['method']} {_route(scope)}")

    async def _answer(self, request: Request, send: Send, started: Callable[[], bool]) -> None:
        scope, receive = request.scope, request.receive
        try:
            if self.trouble():  # readiness says what it is
                await (await answer_problem(request, _not_now()))(scope, receive, send)
            elif _from_elsewhere(scope["method"], request.headers):
                refusal = Problem(403, "This form was sent from another site", "Open the page here and send it again.")
                await (await answer_problem(request, refusal))(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        except Exception as error:
            if db.unstorable(error) and not started():
                refusal = Problem(422, detail="A text holds a character that cannot be stored, or a number is too large.")
                await (await answer_problem(request, refusal))(scope, receive, send)
                return
            number = mistake_number()
            level, words = (logging.WARNING, "not available") if db.passing(error) else (logging.ERROR, "our mistake")
            log.log(level, "%s %s at %s %s", words, number, scope["method"], _route(scope), exc_info=error)
            if started():
                raise
            await (await answer_problem(request, _our_mistake(error, number)))(scope, receive, send)

    def _finish(self, headers: MutableHeaders, state: Mapping[str, Any], path: str) -> None:
        for cookie in state["cookies"]:
            headers.append("Set-Cookie", cookie)
        headers.setdefault(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{state['nonce']}'; img-src 'self' data:; font-src 'self'; "
            f"connect-src 'self'; form-action {self.targets}; base-uri 'none'; frame-ancestors 'none'",
        )
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cache-Control", "no-store")
        if self.web.secure(path):
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")


def whole_number(text: str) -> int | None:
    """A number as an address, header or hidden field gives it: at most 18 plain digits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def mistake_number() -> str:
    """The number a person quotes on the phone: the start of the trace id, in two groups."""
    digits = telemetry.trace_id()[:8].upper()
    return f"{digits[:4]} {digits[4:]}"


def _not_now(**fields: Any) -> Problem:
    return Problem(503, detail="Please try again in a minute.", headers={"Retry-After": "30"}, **fields)


def _our_mistake(error: Exception, number: str) -> Problem:
    # A database or broker that is away is no mistake of ours; the words promise less and the status tells a program to come back.
    if db.passing(error):
        return _not_now(number=number)
    words = "Please try again. If it happens again, call and give this number."
    return Problem(500, "Something went wrong on our side", words, number=number)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Refuses a body over the limit of its endpoint, by its announced length or once so much has come."""
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        limit = getattr(scope.get("endpoint"), "__body_limit__", MIB)
        too_large = Problem(413, detail=f"Please send less at once: up to {limit // MIB} MB.")
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise too_large
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large
        return message

    return receive_some


def _from_elsewhere(method: str, headers: Headers) -> bool:
    """Whether a browser says that another site (or another port of this one) sent this form. Programs say neither and carry a token."""
    if method in SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _route(scope: Scope) -> str:
    # The pattern, not the path: a path may hold what a log must not.
    return getattr(scope.get("route"), "path", "an unknown address")
