"""The portal's billing rooms on a real database and the real sandbox processor, without a broker."""

import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.local import children
from deploy.local.places import ROOT, free_port
from services.portal import consumers
from services.portal.checkout.pay import Checkout
from services.portal.frame import dress
from services.portal.identity.here import Here
from services.portal.identity.session import signed_in
from services.portal.main import build
from shared import ids
from shared.clock import FixedClock
from shared.db import Database
from shared.events import Topic
from shared.events.invoicing import ACCOUNT_STATE, INVOICE_LINE_STATE, INVOICE_STATE, PRACTICE_STATE
from shared.events.registry import TOPICS
from shared.gateway import SandboxGateway
from shared.http import guard
from shared.kafka import Consumption
from shared.messages import Message
from tests.portal.made import Shown, account, practice

SECRET = "secret-of-the-tests"
VISA, AMEX, DECLINED, LATE = "4242 4242 4242 4242", "3782 822463 10005", "4000 0000 0000 0002", "4000 0000 0000 0341"
PAULA = Here("s1", "person-1", "Paula Schaefer", "paula@employer.example", "7", "a1", "c1", "payer")
LEE = Here("s2", "person-2", "Lee Okonkwo-Barrett", "lee@employer.example", "7", "a1", "c2", "owner")


@dataclass
class Portal:
    """The service without a broker: `give` handles messages as one batch, `said` reads what it published, `run` runs a job, `browser` opens pages."""

    app: Database
    worker: Database
    clock: FixedClock
    gateway: SandboxGateway
    web: FastAPI
    consumptions: dict[Topic[Any], Consumption]

    @property
    def till(self) -> Checkout:
        """Paying as pages do it."""
        return Checkout(self.app, self.clock, self.gateway)

    @property
    def job(self) -> Checkout:
        """Paying as the job does it."""
        return Checkout(self.worker, self.clock, self.gateway)

    async def give(self, topic: Topic[Any], *bodies: Any) -> None:
        async with self.worker.begin() as tx:
            await self.take(tx, topic, *bodies)

    async def take(self, tx: AsyncConnection, topic: Topic[Any], *bodies: Any) -> None:
        """The same inside a transaction, as a replica that has not committed yet."""
        messages = [Message(topic, topic.key_of(body), ids.new(), self.clock.business(), body, None) for body in bodies]
        await self.consumptions[topic].handlers[topic](tx, messages)

    async def run(self, name: str) -> int:
        """One round of a job of the service."""
        [job] = [each for each in self.web.state.service.jobs if each.name == name]
        return await job.run_once()

    async def show(self, *invoices: Shown) -> None:
        """The states of these invoices and of their lines."""
        await self.give(INVOICE_STATE, *(each.header for each in invoices))
        await self.give(INVOICE_LINE_STATE, *(line for each in invoices for line in each.lines))

    async def said(self, topic: Topic[Any]) -> list[Any]:
        async with self.worker.begin() as tx:
            rows = await tx.exec_driver_sql("SELECT topic, value FROM outbox ORDER BY id")
            return [TOPICS[row.topic].decode(row.value) for row in rows if row.topic == topic.name]

    async def rows(self, sql: str) -> list[Any]:
        async with self.worker.begin() as tx:
            return list(await tx.exec_driver_sql(sql))

    async def value(self, sql: str) -> Any:
        return (await self.rows(sql))[0][0]

    def browser(self, here: Here = PAULA) -> httpx.AsyncClient:
        """A browser without script in which this person is logged in; it does not follow redirects by itself."""
        headers = {"accept": "text/html", "x-who": here.person_id}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.web), base_url="http://portal.test", headers=headers, timeout=60)

    async def taken(self) -> list[tuple[str, int]]:
        """What really moved, by the processor's own ledger: (key, cents)."""
        async with httpx.AsyncClient(base_url=self.gateway._client.base_url, headers={"Authorization": f"Bearer {SECRET}"}) as client:
            entries = (await client.get("/ledger")).raise_for_status().json()["entries"]
        known = {row.attempt_id for row in await self.rows("SELECT attempt_id FROM attempts")}
        return [(each["key"], each["amount_cents"]) for each in entries if each["key"] in known]

    async def faults(self, **settings: Any) -> None:
        async with httpx.AsyncClient(base_url=self.gateway._client.base_url, headers={"Authorization": f"Bearer {SECRET}"}) as client:
            (await client.post("/control", json=settings)).raise_for_status()


class FakeService:
    """Collects what `register` asks for."""

    def __init__(self, worker: Database, clock: FixedClock) -> None:
        self.worker, self.clock, self.consumptions = worker, clock, list[Consumption]()

    def consume(self, group: str, handlers: Any, *, batch: int = 500) -> None:
        self.consumptions.append(Consumption("portal", f"portal.{group}", self.worker, self.clock, handlers))


@pytest.fixture(scope="session")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sandbox card processor as a process of its own."""
    port, log = free_port(), tmp_path_factory.mktemp("logs") / "gateway.log"
    argv: list[str | Path] = [sys.executable, "-m", "deploy.local.gateway", "--port", str(port), "--data", tmp_path_factory.mktemp("gateway")]
    process = children.spawn(argv, log, env=dict(os.environ) | {"GATEWAY_SECRET": SECRET}, cwd=ROOT)
    children.wait_until(lambda: _ready(port), "gateway", process, log, within=20)
    yield f"http://127.0.0.1:{port}"
    children.end(process)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
async def portal(postgres: Any, processor: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Portal]:
    urls = await postgres.migrated("portal")
    for name, value in environment(urls, processor).items():
        monkeypatch.setenv(name, value)
    clock = FixedClock(datetime(2026, 11, 20, 15, tzinfo=UTC))
    monkeypatch.setattr("shared.service.SystemClock", lambda offset_file: clock)
    web = build()
    web.dependency_overrides[signed_in] = as_header
    app, worker = Database(urls.app, "portal-app", pool_size=20), Database(urls.worker, "portal-worker")
    service: Any = FakeService(worker, clock)
    consumers.register(service)
    by_topic = {topic: consumption for consumption in service.consumptions for topic in consumption.handlers}
    gateway = SandboxGateway(processor, SECRET)
    made = Portal(app, worker, clock, gateway, web, by_topic)
    await made.faults(next=[], rates={})
    await made.give(PRACTICE_STATE, practice())
    await made.give(ACCOUNT_STATE, account())
    yield made
    await web.state.service.app.close()
    await web.state.service.worker.close()
    for close in web.state.service.closers:
        await close()
    await gateway.close()
    await app.close()
    await worker.close()


def environment(urls: Any, processor: str) -> dict[str, str]:
    return {
        "KAFKA_SERVERS": "127.0.0.1:1",
        "DATABASE_APP_URL": urls.app,
        "DATABASE_WORKER_URL": urls.worker,
        "HTTP_PORT": "1",
        "PUBLIC_URL": "http://portal.test",
        "PORTAL_URL": "http://portal.test",
        "OIDC_ISSUER": "http://127.0.0.1:9",
        "OIDC_CLIENT_ID": "portal",
        "OIDC_CLIENT_SECRET": "x",
        "SESSION_SECRET": "session-secret-of-the-tests",
        "STAFF_LINKS": "{}",
        "GATEWAY_URL": processor,
        "GATEWAY_SECRET": SECRET,
        "SEALING_PUBLIC_KEY": "A" * 43 + "=",
        "INVOICING_URL": "http://127.0.0.1:9",
    }


PEOPLE = {each.person_id: each for each in (PAULA, LEE)}


@guard("a person of the tests")
async def as_header(request: Request) -> Here:
    """Stands in for the session: who is here, by a header."""
    who = request.headers["x-who"]
    here = replace(PEOPLE[who.removesuffix("-viewer")], role="viewer") if who.endswith("-viewer") else PEOPLE[who]
    request.state.here = here
    await dress(request, here)
    return here


async def enter_card(address: str, number: str = VISA) -> str:
    """Fills the processor's page; where it leads back to."""
    async with httpx.AsyncClient() as client:
        form = {"number": number, "expires": "04/31", "code": "1234" if number == AMEX else "123", "name": "Paula Schaefer"}
        return (await client.post(address, data=form)).headers["location"]


async def authorised(portal: Portal, *invoices: str, here: Here = PAULA, number: str = VISA) -> str:
    """An attempt of this person for these invoices, up to the confirm page; its id."""
    async with portal.browser(here) as browser:
        assert (await browser.post("/employerportal/cart/add", data={"invoice": list(invoices)})).status_code == 303
        started = await browser.post("/employerportal/cart/pay", data={"once": ids.new()})
        back = await enter_card(started.headers["location"], number)
        await browser.get(back)
        return back.rsplit("/", 1)[1]


def words(answer: httpx.Response) -> str:
    """What a page says, without its markup."""
    body = re.sub(r"<(script|style|head).*?</\1>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


Make = Callable[..., Any]
