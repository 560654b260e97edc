"""The identity and contacts rooms on a real database, without a broker: two practices with three accounts, staff, and browsers without script."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from services.portal import consumers
from services.portal.contacts import access
from services.portal.contacts import consumers as contacts_consumers
from services.portal.contacts.access import Wanted
from services.portal.contacts.letters import Letters
from services.portal.contacts.status import ContactRole
from services.portal.contacts.store import Contact
from services.portal.identity import password as password_rule
from services.portal.identity import signin
from services.portal.identity.gates import Gates, gates_of
from services.portal.main import build
from shared import ids
from shared.clock import FixedClock
from shared.db import Database
from shared.events import Topic
from shared.events.invoicing import ACCOUNT_STATE, PRACTICE_STATE
from shared.events.portal import CONTACT_INVITED
from shared.events.registry import TOPICS
from shared.messages import Message
from shared.sealing import new_keys, open_sealed
from tests.portal.conftest import FakeService, environment
from tests.portal.made import account, practice

PASSWORD = "Tidewater-Road-214"
OTHER = "Wexcombe-Harbor-88"
ANSWER = "Rex the Third"
QUESTION = "What was the name of your first pet?"
NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)


@dataclass
class Rooms:
    """The portal's rooms of people; `staff` and `browser` open its pages, `letters` opens what was sealed for the notifier."""

    app: Database
    worker: Database
    clock: FixedClock
    web: FastAPI
    private_key: str
    handlers: dict[Topic[Any], Any]
    opened: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def gates(self) -> Gates:
        return gates_of(self.web.state.service)

    @property
    def mail(self) -> Letters:
        return self.gates.letters

    async def give(self, topic: Topic[Any], *bodies: Any) -> None:
        async with self.worker.begin() as tx:
            messages = [Message(topic, topic.key_of(body), ids.new(), self.clock.business(), body, None) for body in bodies]
            await self.handlers[topic](tx, messages)

    async def rows(self, sql: str) -> list[Any]:
        async with self.worker.begin() as tx:
            return list(await tx.exec_driver_sql(sql))

    async def rows_changed(self, sql: str) -> None:
        async with self.worker.begin() as tx:
            await tx.exec_driver_sql(sql)

    async def value(self, sql: str) -> Any:
        return (await self.rows(sql))[0][0]

    async def said(self, topic: Topic[Any]) -> list[Any]:
        rows = await self.rows(f"SELECT value FROM outbox WHERE topic = '{topic.name}' ORDER BY id")
        return [TOPICS[topic.name].decode(row.value) for row in rows]

    async def letters(self, topic: Topic[Any]) -> list[dict[str, Any]]:
        """What only the notifier could read, oldest first."""
        return [open_sealed(self.private_key, each.sealed) for each in await self.said(topic)]

    def browser(self, agent: str = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36") -> httpx.AsyncClient:
        """A browser of nobody yet; it follows redirects."""
        headers = {"accept": "text/html", "user-agent": agent}
        transport = httpx.ASGITransport(self.web)
        client = httpx.AsyncClient(transport=transport, base_url="http://portal.test", headers=headers, follow_redirects=True, timeout=60)
        self.opened.append(client)
        return client

    def staff(self, role: str = "billing_admin", practices: str = "*", name: str = "dokafor") -> httpx.AsyncClient:
        """A browser in which a person of the staff has signed in."""
        client = self.browser()
        person = {"sub": name, "name": name, "preferred_username": name, "roles": [role], "practices": practices}
        session = person | {"began": int(datetime.now(UTC).timestamp())}
        client.cookies.set("portal_staff", str(self.web.state.web.signer("staff").dumps(session)))
        return client

    async def contact(
        self, email: str = "paula@kuvalis.example", name: str = "Paula Schaefer", account_id: str = "a1", practice_id: str = "7", role: str = "payer"
    ) -> Contact:
        wanted = Wanted(name, None, email, None, ContactRole(role))
        async with self.app.begin(practice_id) as tx:
            return await access.create(tx, self.clock.business(), practice_id, account_id, wanted, "dokafor")

    async def move(self, contact: Contact, move: str) -> Contact:
        """One of the four buttons."""
        async with self.app.begin(contact.practice_id) as tx:
            return await access.do(tx, self.clock.business(), self.mail, contact.practice_id, contact.contact_id, access.Move(move), "dokafor")

    async def invited(self, *args: Any, **more: Any) -> tuple[Contact, str]:
        """A new contact who is invited, with the path of the link."""
        contact = await self.move(await self.contact(*args, **more), "invite")
        return contact, await self.link()

    async def link(self, at: int = -1) -> str:
        """The path of a mailed invitation, by default the newest."""
        return str((await self.letters(CONTACT_INVITED))[at]["link"]).removeprefix("http://portal.test")

    async def register(self, link: str, password: str = PASSWORD) -> httpx.AsyncClient:
        """Goes through the whole registration with a security question; the browser is logged in afterwards."""
        browser = self.browser()
        for step, form in (
            ("email", {}),
            ("password", {"password": password}),
            ("recovery", {"method": "question", "question": QUESTION, "answer": ANSWER}),
            ("terms", {"agree": "yes"}),
        ):
            answer = await browser.post(f"{link}/{step}", data=form)
            assert answer.status_code == 200, words(answer)
        return browser

    async def registered(self, *args: Any, **more: Any) -> tuple[Contact, httpx.AsyncClient]:
        contact, link = await self.invited(*args, **more)
        return contact, await self.register(link)

    async def log_in(self, email: str = "paula@kuvalis.example", password: str = PASSWORD) -> str:
        """`in`, or why not: through the function, which knows no addresses of browsers."""
        token, why = await signin.log_in(self.gates, email, password, "A browser")
        return "in" if token else str(why)


@pytest.fixture
async def rooms(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rooms]:
    urls = await postgres.migrated("portal")
    public, private = new_keys()
    for name, value in (environment(urls, "http://127.0.0.1:9") | {"SEALING_PUBLIC_KEY": public}).items():
        monkeypatch.setenv(name, value)
    # Quick hashes: how slow real ones are is the library's matter; that nobody's is as slow is tried on its own.
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(password_rule, "_hasher", quick)
    monkeypatch.setattr(password_rule, "_NOBODY", quick.hash("nobody's password"))
    clock = FixedClock(NOON)
    monkeypatch.setattr("shared.service.SystemClock", lambda _: clock)
    web = build()
    app, worker = Database(urls.app, "portal-app", pool_size=20), Database(urls.worker, "portal-worker")
    service: Any = FakeService(worker, clock)
    consumers.register(service)
    contacts_consumers.register(service)
    handlers = {topic: handler for consumption in service.consumptions for topic, handler in consumption.handlers.items()}
    made = Rooms(app, worker, clock, web, private, handlers)
    await made.give(PRACTICE_STATE, practice(), replace(practice(), practice_id="8", display_name="Harbor Clinic", phone="(555) 010-0200"))
    await made.give(ACCOUNT_STATE, account(), account("a2", "Tidewater Marine"), replace(account("b1", "Kuvalis North"), practice_id="8"))
    yield made
    for client in made.opened:
        await client.aclose()
    service = web.state.service
    for database in (app, worker, service.app, service.worker):
        await database.close()
    for close in service.closers:
        await close()


def words(answer: httpx.Response) -> str:
    """What a page says, without its markup."""
    body = re.sub(r"<(script|style|head).*?</\1>", " ", answer.text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))
    return text.replace("&#39;", "'").replace("&amp;", "&").replace("\u00a0", " ").replace("\u2011", "-")
