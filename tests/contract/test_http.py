"""The one place where a service asks another by HTTP: the portal's client against invoicing's application, with tokens of a provider."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from joserfc.jwk import RSAKey

from deploy.docs import application
from deploy.local import oidc
from deploy.local.places import ROOT, SAMPLE, free_port
from services.invoicing.handlers import practices
from services.invoicing.main import build
from services.invoicing.papers import paper
from services.portal.papers import SCOPE, Papers, make_papers
from shared import telemetry
from shared.clock import FixedClock
from shared.http import Problem
from shared.oidc import Provider, ServiceToken
from tests.conftest import Database as Server
from tests.contract.released import resolved
from tests.contract.schemas import EVENTS
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, PRACTICE, claim, employer
from tests.staff import environment

LOGO = next((SAMPLE / "logos").glob("*.png")).read_bytes()
NOWHERE = "http://127.0.0.1:1"
ASKING = r"\bhttpx\b"
PAPER, LOGO_OF = "/api/practices/{practice_id}/invoices/{invoice_id}/issues/{no}.pdf", "/api/practices/{practice_id}/documents/{document_id}"
RELEASED = sorted((EVENTS / "released").glob("*/openapi/invoicing.json"))
OUTSIDE = {"notifier/main.py", "notifier/sender.py"}  # texts, by a company that sends them


@dataclass(frozen=True)
class Street:
    """Invoicing at its address with one invoice and a logo, and the provider; `asked` is what came in, as (path, headers)."""

    url: str
    issuer: str
    invoice_id: str
    logo_id: str
    paper: bytes
    asked: list[tuple[str, dict[str, str]]]

    def papers(self, client_id: str = "portal", url: str = "", issuer: str = "") -> Papers:
        """The portal's client."""
        return make_papers(url or self.url, issuer or self.issuer, client_id, "secret")


@asynccontextmanager
async def serving(app: Any, port: int) -> AsyncIterator[str]:
    """An application on a port of its own, without what runs beside it."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=20)) as client:
        await client.get(f"http://127.0.0.1:{port}/health/live")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


@pytest.fixture(scope="module")
async def street(postgres: Server) -> AsyncIterator[Street]:
    urls, ports, asked = await postgres.migrated("invoicing"), (free_port(), free_port()), []
    issuer = f"http://127.0.0.1:{ports[0]}"
    clients = {name: oidc.Client(name, "secret", None, scopes) for name, scopes in {"portal": (SCOPE,), "other": ("accounts:read",)}.items()}
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        environment("invoicing", urls, patch, {"OIDC_ISSUER": issuer})
        app = build()
        stack.push_async_callback(app.state.service.worker.close)
        stack.push_async_callback(app.state.service.app.close)
        house = House(app.state.service.worker, app.state.service.app, FixedClock(NOON))
        logo = await practices.read_logo(LOGO)
        async with house.worker.begin() as tx:
            state = await practices.set_up(tx, NOON, PRACTICE | {"logo_alt": "A marsh"}, logo, "https://portal.example/employerportal/login")
        await house.account(employer())
        await house.bill(claim())
        await house.run()
        invoice_id = (await house.invoice()).invoice_id
        printed = await paper(house.app, "p1", invoice_id, 1)

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            asked.append((scope["path"], {name.decode(): value.decode() for name, value in scope["headers"]}))
            await app(scope, receive, send)

        await stack.enter_async_context(serving(oidc.make_app(issuer, clients, [], RSAKey.generate_key(2048, auto_kid=True)), ports[0]))
        url = await stack.enter_async_context(serving(noting, ports[1]))
        yield Street(url, issuer, invoice_id, str(state.brand.logo_id), printed.bytes, asked)


@pytest.fixture
async def papers(street: Street) -> AsyncIterator[Papers]:
    made = street.papers()
    yield made
    await made.close()


async def refused(papers: Papers, *asked: Any) -> Problem:
    with pytest.raises(Problem) as found:
        await papers.invoice(*asked)
    return found.value


def test_no_service_asks_another_but_the_portal_for_papers() -> None:
    base = ROOT / "services"
    asking = {str(file.relative_to(base)) for file in base.rglob("*.py") if re.search(ASKING, file.read_text())}
    assert asking == {"portal/papers.py", *OUTSIDE}


@pytest.mark.req("PF-03")
async def test_the_portal_gets_from_invoicing_the_bytes_of_a_paper_and_of_a_logo(street: Street, papers: Papers) -> None:
    file = await papers.invoice("p1", street.invoice_id, 1)
    assert (file.content, file.media_type) == (street.paper, "application/pdf")
    logo = await papers.logo("p1", street.logo_id)
    assert (logo.content, logo.media_type) == (LOGO, "image/png")


def operation(document: Any, path: str) -> Any:
    """The parameters and answers of what is asked there, without words; KeyError where nothing is."""
    found = document["paths"][path]["get"]
    return resolved({"parameters": found["parameters"], "responses": found["responses"], "$defs": document["components"]["schemas"]})


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.parts[-3])
@pytest.mark.req("PF-03")
async def test_what_the_portal_asks_of_invoicing_is_what_a_release_of_either_asks_and_answers(street: Street, papers: Papers, file: Path) -> None:
    before, now = json.loads(file.read_text()), application("invoicing").openapi()
    known = len(street.asked)
    await papers.invoice("p1", street.invoice_id, 1)
    await papers.logo("p1", street.logo_id)
    for path, (came, _) in zip((PAPER, LOGO_OF), street.asked[known:], strict=True):
        assert re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), came)
        assert operation(now, path) == operation(before, path)


@pytest.mark.req("PF-03")
async def test_what_invoicing_does_not_have_is_absent_at_the_portal(street: Street, papers: Papers) -> None:
    for asked in (("p1", street.invoice_id, 2), ("p1", "none", 1), ("p2", street.invoice_id, 1), ("p1", f"../p1/invoices/{street.invoice_id}", 1)):
        assert (await refused(papers, *asked)).status_code == 404, asked
    with pytest.raises(Problem) as found:
        await papers.logo("p1", "no such logo")
    assert found.value.status_code == 404


@pytest.mark.req("PF-03")
async def test_invoicing_gives_papers_to_programs_with_their_scope_only(street: Street, papers: Papers) -> None:
    path = f"{street.url}/api/practices/p1/invoices/{street.invoice_id}/issues/1.pdf"
    async with httpx.AsyncClient() as client:
        assert (await client.get(path)).status_code == 401
        other = await ServiceToken(Provider(street.issuer, "other", "secret"), "accounts:read").headers()
        answer = await client.get(path, headers=other)
        assert (answer.status_code, answer.json()["detail"]) == (403, f"The scope {SCOPE} is needed.")
    without = street.papers("other")
    assert (await refused(without, "p1", street.invoice_id, 1)).status_code == 503, "the provider gives it no token of that scope"
    await without.close()
    await papers.invoice("p1", street.invoice_id, 1)
    assert street.asked[-1][1]["authorization"].startswith("Bearer ")


@pytest.mark.req("PF-03")
@pytest.mark.parametrize("away", ["url", "issuer"])
async def test_while_invoicing_or_the_provider_is_away_the_portal_says_so_and_shows_the_logos_it_has(street: Street, away: str) -> None:
    papers = street.papers(**{away: NOWHERE})
    problem = await refused(papers, "p1", street.invoice_id, 1)
    assert (problem.status_code, problem.title) == (503, "This paper cannot be fetched right now") and problem.headers
    papers.url, papers.token = street.url, street.papers().token
    logo = await papers.logo("p1", street.logo_id)
    papers.url = NOWHERE
    assert await papers.logo("p1", street.logo_id) == logo
    await papers.close()


@pytest.mark.req("PF-04", part="where the portal asks invoicing for a paper")
async def test_the_trace_of_a_request_goes_on_at_invoicing(street: Street, papers: Papers) -> None:
    with telemetry.span("a page"):
        await papers.invoice("p1", street.invoice_id, 1)
        assert street.asked[-1][1]["traceparent"].split("-")[1] == telemetry.trace_id()
