"""A service's whole application in a test, and browsers of people with roles."""

import html
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

OTHERS = ("invoicing", "portal", "posting", "contracts", "notifier")
SIZES = [1, 2, 4, 5]  # of the pages of a list of four
MOST_PAGES = 100  # of any list in a test


def environment(service: str, urls: Any, patch: pytest.MonkeyPatch, more: Mapping[str, str] | None = None) -> None:
    """Sets what the service needs to be put together; nothing is connected but its database."""
    links = ", ".join(f'"{name}": "http://{name}"' for name in OTHERS)
    base = {
        "KAFKA_SERVERS": "127.0.0.1:1",
        "DATABASE_APP_URL": urls.app,
        "DATABASE_WORKER_URL": urls.worker,
        "HTTP_PORT": "1",
        "PUBLIC_URL": f"http://{service}",
        "OIDC_ISSUER": "http://oidc",
        "OIDC_CLIENT_ID": service,
        "OIDC_CLIENT_SECRET": "secret",
        "SESSION_SECRET": "secret-of-the-tests",
        "PORTAL_URL": "http://portal",
        "STAFF_LINKS": f"{{{links}}}",
    }
    for name, value in (base | dict(more or {})).items():
        patch.setenv(name, value)


def signed_in(app: FastAPI, *roles: str, practices: Any = "*") -> httpx.AsyncClient:
    """A browser of a person with these roles; for API routes too."""
    service = app.state.service.name
    session = {"sub": "s1", "name": "Dayo Okafor", "preferred_username": "dokafor", "roles": roles, "practices": practices, "began": int(time.time())}
    cookies = {f"{service}_staff": str(app.state.auth.sessions.dumps(session))}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{service}", cookies=cookies, follow_redirects=True)


async def walk(http: httpx.AsyncClient, address: str, rel: str = "next") -> list[httpx.Response]:
    """The pages of a list from this one on, by their links to the next (or, with `prev`, the one before)."""
    pages = []
    while address:
        assert len(pages) < MOST_PAGES, "the list goes round in circles"
        pages.append((await http.get(address)).raise_for_status())
        link = re.search(rf'href="([^"]+)" rel="{rel}"', pages[-1].text)
        address = urljoin(str(pages[-1].url), html.unescape(link[1])) if link else ""
    return pages


async def there_and_back(http: httpx.AsyncClient, address: str, pattern: str) -> list[list[str]]:
    """What matches on each page of a list, going on to its end; going back shows the same pages."""
    on = await walk(http, address)
    found = [re.findall(pattern, page.text) for page in on]
    back = await walk(http, str(on[-1].url), "prev")
    assert [re.findall(pattern, page.text) for page in reversed(back)] == found
    return found


def parts(items: list[str], size: int) -> list[list[str]]:
    """The pages of a list."""
    return [items[start : start + size] for start in range(0, len(items), size)]
