"""The application of a service: static files, health, metrics, refusals in words, and the gate around every request."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from shared.events.types import NO_NUL, PRINTABLE
from shared.http import Gate, Problem, SeeOther, answer_problem, public
from shared.web import Web

WHOLE, YES_NO, DATE = "Give a whole number", "Give true or false", "Give a date like 2026-11-17"
# A validator's kind of error → our words.
WORDS = {
    "missing": "This is required",
    "string_type": "Give a text",
    "string_too_long": "Use up to {max_length} characters",
    "string_too_short": "Use at least {min_length} characters",
    "too_long": "Give up to {max_length} items",
    "too_short": "Give at least {min_length} items",
    "greater_than": "Give more than {gt}",
    "greater_than_equal": "Give {ge} or more",
    "less_than": "Give less than {lt}",
    "less_than_equal": "Give {le} or less",
    "literal_error": "Give {expected}",
    "enum": "Give {expected}",
    "json_invalid": "This is not JSON",
    "list_type": "Give a list",
    "model_attributes_type": "Give an object with fields",
    "dict_type": "Give an object with fields",
} | {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), WHOLE),
    **dict.fromkeys(("bool_type", "bool_parsing"), YES_NO),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"), DATE),
}

Check = Callable[[], Awaitable[str | None]]
"""Says in words what is wrong, or None when all is well."""


def make_app(
    web: Web,
    *,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    checks: Mapping[str, Check] | None = None,
    trouble: Callable[[], str | None] = lambda: None,
    form_targets: Sequence[str] = (),
) -> FastAPI:
    """The application of one service, with static files, `/health/live`, `/health/ready`, `/metrics` and every guard against misuse.

    `checks` are asked by readiness; while `trouble` names something, all but health, metrics and static files is 503.
    `form_targets` are other origins to which a form may lead (the card processor, the sign-in provider).
    Bodies may have 1 MiB; `@uploads` on an endpoint allows files of 10 MiB.
    """
    app = FastAPI(title=web.service, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.web = web
    app.add_exception_handler(HTTPException, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_bad_values)
    app.add_exception_handler(SeeOther, _on_see_other)
    app.add_middleware(Gate, web=web, trouble=trouble, form_targets=tuple(form_targets))

    everybody = [Depends(public)]

    @app.get("/health/live", dependencies=everybody, include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/health/ready", dependencies=everybody, include_in_schema=False)
    async def ready() -> JSONResponse:
        found = {name: await _ask(check) for name, check in (checks or {}).items()}
        well = not any(found.values())
        words = {name: wrong or "well" for name, wrong in found.items()}
        return JSONResponse({"status": "ready" if well else "not ready", "checks": words}, 200 if well else 503)

    @app.get("/metrics", dependencies=everybody, include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/static/{digest}/{name}", dependencies=everybody, include_in_schema=False)
    async def static(request: Request, digest: str, name: str) -> Response:
        found = web.static.answer(request, digest, name)
        if found is None:
            raise Problem(404)
        return found

    return app


async def _on_refusal(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return await answer_problem(request, error)
    assert isinstance(error, HTTPException)
    # Frameworks say "Not Found"; the same in our words.
    return await answer_problem(request, Problem(error.status_code, headers=dict(error.headers or {})))


async def _on_bad_values(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"path": _path(each["loc"]), "message": _message(each)} for each in error.errors()]
    if all(each["loc"][0] == "path" for each in error.errors()):
        return await answer_problem(request, Problem(404))
    status = 400 if any(each["type"] == "json_invalid" for each in error.errors()) else 422
    words = "; ".join(f"{each['path']}: {each['message']}" for each in found)
    return await answer_problem(request, Problem(status, detail=words, errors=found))


async def _on_see_other(request: Request, error: Exception) -> Response:
    assert isinstance(error, SeeOther)
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": error.url})
    return Response(status_code=303, headers={"Location": error.url})


def _path(place: Sequence[int | str]) -> str:
    inner = [str(part) for part in place[1:]]
    return ".".join(inner) or str(place[0])


def _message(error: Mapping[str, Any]) -> str:
    """What is wrong with a value, in our words; kinds that nobody sends get the validator's."""
    kind, text, found = str(error["type"]), str(error["msg"]), error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return "Use plain text" if found["pattern"] in (NO_NUL, PRINTABLE) else "This does not have the form that is expected here"
    if "Expected UploadFile" in text:
        return "Send a file"
    if words := WORDS.get(kind):
        said = words.format(**{name: f"{value:,}" if isinstance(value, int) else value for name, value in found.items()})
        return said.removesuffix("s") if 1 in (found.get("min_length"), found.get("max_length")) else said
    text = re.sub(r"^(Value error, |Input should be )", lambda start: "Give " if "Input" in start[0] else "", text)
    return text[:1].upper() + text[1:]


async def _ask(check: Check) -> str | None:
    try:
        return await check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
