"""Odd values for every route of a service: whatever is asked, the answer is never a mistake of ours.

Routes come from the application's own table and the shapes of bodies from its OpenAPI, so a new route is asked without a word here.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.params import Form
from fastapi.routing import APIRoute, iter_route_contexts

# Of shared, not of a service: these ask the provider or say how the service is; neither is here.
ELSEWHERE = ("/health", "/staff/sign-in")
# Percent-encoded, for addresses and forms: NUL, half a character, no UTF-8 at all, digits that are no digits, huge numbers, the last day.
TEXTS = (
    "", "%00", "%ED%A0%80", "%FF", "%D9%A3", "%C2%B2", "-1", "9" * 19, "9" * 400, "12%2F31%2F9999", "..%2f%27%22%3C%7B%7B%25s", "x" * 20_000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (None, True, -1, 10**400, 0.1, "", "\x00", "\ud800", "x" * 100_000, "9999-12-31", [], {"a": [[]]})
BODIES = (
    b"", b"{", b"null", b"[]", b'"x"', b"NaN", b"\xff\xfe\x00", b"1" * 5000, b'{"a": "\\ud800"}', b"[" * 1000 + b"]" * 1000,
    b'{"a":' * 1000 + b"1" + b"}" * 1000, b'{"a": "' + b"x" * 1_000_000 + b'"}', b'{"a": "' + b"x" * 2_000_000 + b'"}',
)  # fmt: skip
FORM = "application/x-www-form-urlencoded"
FORMS = (
    (b"", "multipart/form-data"),
    (b"--x\r\n", "multipart/form-data; boundary=x"),
    (b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x"),
    (b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff"\r\n\r\n\x00\r\n--x--', "multipart/form-data; boundary=x"),
    (b"a=" + b"x" * 1_000_000, FORM),
    (b"&".join(b"a%d=1" % n for n in range(2000)), FORM),
    (b"%", FORM),
    (b"{}", "text/plain"),
)


@dataclass(frozen=True)
class Service:
    """How to ask a service: a fresh browser each time, an id that is there for each name of a path, and the fields of its forms filled well."""

    app: FastAPI
    browser: Callable[[], httpx.AsyncClient]
    ids: Mapping[str, str]
    filled: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """One request; `headers` beside those of every request."""

    method: str
    address: str
    content: bytes = b""
    type: str = ""


async def mistakes(service: Service) -> list[str]:
    """What of the service answered 5xx, with the start of what was sent."""
    found, keys = [], count()
    for route, path, methods in routes(service):
        async with service.browser() as http:
            http.follow_redirects = False
            cookies = dict(http.cookies)
            for method in methods:
                for asked in requests(service, route, path, method):
                    number = next(keys)
                    # A page is asked as a browser and as a program would, in turn.
                    accept = "application/json" if number % 2 or path.startswith(("/api", "/v1")) else "text/html"
                    headers = {"accept": accept, "idempotency-key": f"odd {number}", "if-match": '"1"'}
                    if asked.type:
                        headers["content-type"] = asked.type
                    http.cookies = httpx.Cookies(cookies)  # a log-out, and whatever else came
                    answer = await http.request(asked.method, asked.address, content=asked.content, headers=headers)
                    if answer.status_code >= 500:
                        found.append(f"{method} {path} {answer.status_code}: {asked.address[:120]} {asked.content[:120]!r}")
    return found


def routes(service: Service) -> Iterator[tuple[APIRoute, str, list[str]]]:
    """Every route of the service's own with its path and methods."""
    for context in iter_route_contexts(service.app.routes):
        route = context.original_route
        path = re.sub(r":\w+}", "}", str(context.path))
        if isinstance(route, APIRoute) and not path.startswith((*ELSEWHERE, *service.left_out)):
            yield route, path, sorted(route.methods)


def requests(service: Service, route: APIRoute, path: str, method: str) -> Iterator[Asked]:
    """Odd ids, odd questions, odd bodies: one thing odd at a time, the rest as it should be."""
    names = re.findall(r"{(\w+)}", path)
    good = re.sub(r"{(\w+)}", lambda name: service.ids.get(name[1], "1"), path)
    yield Asked(method, good)
    for name in names:
        for text in TEXTS:
            yield Asked(method, re.sub(r"{(\w+)}", lambda at: text if at[1] == name else service.ids.get(at[1], "1"), path))  # noqa: B023
    for param in route.dependant.query_params:
        for text in TEXTS:
            yield Asked(method, f"{good}?{param.alias}={text}")
    if method not in ("POST", "PUT", "PATCH", "DELETE"):
        return
    for body in BODIES:
        yield Asked(method, good, body, "application/json")
    for content, kind in FORMS:
        yield Asked(method, good, content, kind)
    shape = shape_of(service.app, path, method)
    if shape is not None:
        yield from (Asked(method, good, dumped(each), "application/json") for each in odd(sample(service.app, shape)))
        return
    named = [param.alias for param in route.dependant.body_params if isinstance(param.field_info, Form)]
    filled = {name: service.filled.get(name, "") for name in named} or service.filled
    for place, name in enumerate(filled):
        # A form whose fields the table does not name is asked with all that the service's forms have: there each gets a third of the texts.
        for text in TEXTS if named else TEXTS[place % 3 :: 3]:
            sent = "&".join(f"{each}={text if each == name else value}" for each, value in filled.items())
            yield Asked(method, good, sent.encode(), FORM)


def shape_of(app: FastAPI, path: str, method: str) -> dict[str, Any] | None:
    """The JSON schema of a route's body."""
    known = app.openapi()["paths"].get(path, {}).get(method.lower(), {})
    content = known.get("requestBody", {}).get("content", {})
    found: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    return found


def sample(app: FastAPI, schema: Mapping[str, Any]) -> Any:
    """A body that fits this schema."""
    if "$ref" in schema:
        return sample(app, app.openapi()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in schema:
        return sample(app, schema["anyOf"][0])
    match schema:
        case {"enum": [first, *_]} | {"const": first}:
            return first
        case {"type": "object"}:
            return {name: sample(app, each) for name, each in schema.get("properties", {}).items()}
        case {"type": "array"}:
            return [sample(app, schema["items"])]
        case {"format": "date"}:
            return "2026-11-20"
        case {"type": "string"}:
            return "CO" if "pattern" in schema else "c1"
        case {"type": "boolean"}:
            return False
    return 1


def odd(whole: Any) -> Iterator[Any]:
    """The body with each of its values, at every depth, made odd in turn."""
    yield from VALUES
    if isinstance(whole, dict):
        for name, value in whole.items():
            yield {each: inner for each, inner in whole.items() if each != name}
            yield from (whole | {name: each} for each in odd(value))
    elif isinstance(whole, list):
        yield whole * 2
        yield from ([each] for value in whole for each in odd(value))


def dumped(body: Any) -> bytes:
    return json.dumps(body).encode()
