"""Invoicing on a real PostgreSQL, driven by its handlers: one database for the run, emptied before each test."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from services.invoicing import consumers
from services.invoicing.domain.account import Account
from services.invoicing.handlers import accounts, days, holds, practices, runs
from services.invoicing.handlers.holds import Decision
from services.invoicing.main import build
from services.invoicing.store.practices import every
from services.invoicing.tables import metadata
from shared import ids, migrate
from shared.clock import FixedClock
from shared.db import TECHNICAL
from shared.db import Database as Db
from shared.events import Topic
from shared.events.ingress import CLAIM_BILLED, ClaimBilled
from shared.events.portal import DISPUTE_SUBMITTED, PAYMENT_CAPTURED, DisputeSubmitted, PaidClaim, PaidInvoice, PaymentCaptured
from shared.events.posting import CLAIM_BALANCES, PAYMENT_STATE, PaymentClaim, PaymentState
from shared.events.registry import TOPICS
from shared.events.types import Card
from shared.messages import Message
from tests.conftest import Database as Server
from tests.invoicing.made import NOON, PRACTICE, balances, employer
from tests.staff import environment


@dataclass
class House:
    """Invoicing as its neighbours see it: messages go in, events come out, days pass."""

    worker: Db
    app: Db
    clock: FixedClock
    bills: dict[str, tuple[int, int]] = field(default_factory=dict)

    async def send(self, topic: Topic[Any], *bodies: Any) -> None:
        """One transaction of a consumer with these bodies."""
        messages = [Message(topic, topic.key_of(body), ids.new(), self.clock.now, body, None) for body in bodies]
        async with self.worker.begin() as tx:
            await consumers.handlers(self.clock)[topic](tx, messages)

    async def bill(self, *claims: ClaimBilled) -> None:
        await self.send(CLAIM_BILLED, *claims)

    async def account(self, account: Account, expected: int | None = None) -> Account:
        async with self.app.begin("p1") as tx:
            return await accounts.save(tx, self.clock.now, account, expected)

    async def run(self, *account_ids: str) -> list[runs.Billed]:
        async with self.app.begin("p1") as tx:
            return await runs.run_now(tx, self.clock.now, "p1", account_ids or None, "test")

    async def day(self, days_on: int = 1) -> None:
        """The next day's daily run (or one several days later, as after an outage)."""
        self.clock.now += timedelta(days=days_on)
        async with self.worker.begin() as tx:
            practice = (await every(tx))[0]
        await days.day(self.worker, self.clock.now, practice)

    async def redrop(self, claim_id: str = "c1", **decision: Any) -> None:
        async with self.app.begin("p1") as tx:
            await holds.redrop(tx, self.clock.now, ("p1", claim_id), Decision(**decision), "dokafor")

    async def events(self) -> dict[str, list[Any]]:
        """What was published since the last look, by topic."""
        found: dict[str, list[Any]] = defaultdict(list)
        async with self.worker.begin() as tx:
            for row in await tx.execute(text("DELETE FROM outbox RETURNING id, topic, key, value")):
                topic = TOPICS[row.topic]
                body = topic.decode(row.value)
                assert row.key == topic.key_of(body) or row.topic.endswith("dead_letter")
                found[row.topic].append((row.id, body))
        return {topic: [body for _, body in sorted(rows, key=lambda row: row[0])] for topic, rows in found.items()}

    async def one(self, sql: str, **values: Any) -> Any:
        async with self.worker.begin() as tx:
            return (await tx.execute(text(sql), values)).scalar_one()

    async def invoice(self) -> Any:
        """The newest invoice as last published."""
        from services.invoicing.store import invoices

        invoice_id = await self.one("SELECT invoice_id FROM invoice ORDER BY number DESC LIMIT 1")
        async with self.worker.begin() as tx:
            return (await invoices.find(tx, [("p1", invoice_id)]))["p1", invoice_id].state

    async def line(self, claim_id: str = "c1") -> Any:
        """The claim's newest line as last published."""
        from services.invoicing.store import invoices

        async with self.worker.begin() as tx:
            return max((line.state for line in await invoices.lines_of(tx, [("p1", claim_id)]) if line.state), key=lambda state: state.line_id)

    async def pay(self, *claim_ids: str, payment_id: str = "pay1", part: int = 1, parts: int = 1) -> None:
        """The portal captured what these claims ask."""
        lines = [await self.line(claim_id) for claim_id in claim_ids]
        named = [
            PaidInvoice(
                invoice_id=line.invoice_id,
                number="000123",
                state_version=1,
                amount_cents=line.balance_cents,
                claims=[
                    PaidClaim(
                        line_id=line.line_id,
                        claim_id=line.claim_id,
                        claim_version=line.claim_version,
                        claim_revision=line.claim_revision,
                        payer_id=line.payer_id,
                        amount_cents=line.balance_cents,
                    )
                ],
            )
            for line in lines
        ]
        body = PaymentCaptured(
            practice_id="p1",
            payment_id=payment_id,
            part=part,
            parts=parts,
            account_id="a1",
            contact_id="k1",
            amount_cents=sum(line.balance_cents for line in lines),
            captured_at=self.clock.now,
            local_date=self.clock.now.date(),
            record_number="P-1",
            authorization_number="A1",
            processor="sandbox",
            processor_ref="ch_1",
            card=Card(brand="VI", last4="4242"),
            user_name="PortalDesktop",
            transaction_type="Webportal CC Payment",
            invoices=named,
        )
        await self.send(PAYMENT_CAPTURED, body)

    async def posting(self, body: ClaimBilled, version: int, **more: Any) -> None:
        """Posting's balance of a claim whose first charge was paid or adjusted."""
        await self.send(CLAIM_BALANCES, balances(body, version, **more))

    async def posted(self, payment_id: str = "pay1", *, version: int = 1, parts: int = 1, waiting: int = 0, **claims: tuple[int, int]) -> None:
        """Posting's state of a payment: claim id → (applied cents, balances version)."""
        total = sum(cents for cents, _ in claims.values())
        body = PaymentState(
            practice_id="p1",
            payment_id=payment_id,
            version=version,
            source="portal",
            parts_posted=parts,
            parts=parts,
            amount_cents=total,
            applied_cents=total,
            credited_cents=0,
            waiting_cents=waiting,
            refunded_cents=0,
            batch_id="b1",
            posted_on=self.clock.now.date(),
            claims=[PaymentClaim(claim_id=claim_id, applied_cents=cents, balances_version=v) for claim_id, (cents, v) in claims.items()],
        )
        await self.send(PAYMENT_STATE, body)

    async def dispute(self, claim_id: str = "c1", dispute_id: str = "d1", reason: str = "WA") -> None:
        line = await self.line(claim_id)
        body = DisputeSubmitted(
            practice_id="p1",
            dispute_id=dispute_id,
            claim_id=claim_id,
            line_id=line.line_id,
            line_version=line.version,
            invoice_id=line.invoice_id,
            invoice_number="000123",
            account_id="a1",
            contact_id="k1",
            reason=reason,  # type: ignore[arg-type]
            note="Contracted rate is 165.00",
            disputed_cents=line.balance_cents,
            submitted_at=self.clock.now,
        )
        await self.send(DISPUTE_SUBMITTED, body)


@pytest.fixture
async def app(house: House, postgres: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FastAPI]:
    """The whole application, at noon."""
    clock = tmp_path / "clock"
    clock.write_text(str(int((NOON - datetime.now(UTC)).total_seconds())))
    environment("invoicing", postgres.urls("invoicing"), monkeypatch, {"CLOCK_FILE": str(clock), "PORTAL_URL": "http://portal"})
    made = build()
    yield made
    await made.state.service.app.close()
    await made.state.service.worker.close()


@pytest.fixture(scope="session")
async def invoicing_database(postgres: Server) -> AsyncIterator[tuple[Db, Db]]:
    urls = await postgres.fresh("invoicing")
    await migrate.migrate("invoicing", urls.owner)
    worker, app = Db(urls.worker, "test-worker"), Db(urls.app, "test-app")
    yield worker, app
    await worker.close()
    await app.close()


@pytest.fixture
async def house(invoicing_database: tuple[Db, Db], postgres: Server) -> House:
    """A practice with one account, at noon on a Wednesday, with nothing published yet."""
    worker, app = invoicing_database
    owner = Db(postgres.urls("invoicing").owner, "test-owner")
    names = ", ".join(f'"{table}"' for table in [*metadata.tables, *TECHNICAL.tables])
    async with owner.begin() as tx:
        await tx.execute(text(f"TRUNCATE {names}"))
    await owner.close()
    made = House(worker, app, FixedClock(NOON))
    async with worker.begin() as tx:
        await practices.set_up(tx, NOON, PRACTICE, None, "https://portal.example/employerportal/login")
    await made.account(employer())
    await made.events()
    return made
