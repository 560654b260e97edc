"""Posting on a real database, with its handlers fed as consumption feeds them."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import consumers
from services.posting.main import build
from shared import ids, migrate
from shared.clock import FixedClock
from shared.db import Database
from shared.events import Topic
from shared.events.ingress import CLAIM_BILLED, CLAIM_VOIDED, Charge, ClaimBilled, ClaimPatient, ClaimVoided, Payer
from shared.events.portal import PaidClaim, PaidInvoice, PaymentCaptured
from shared.events.registry import TOPICS
from shared.events.types import Card
from shared.kafka import Consumption
from shared.messages import Message
from tests.staff import environment

DEPOSITED = datetime.now(UTC).date() - timedelta(days=2)  # pages and API go by the real day; a deposit is of the last year
BANK = [{"bank_account_id": "b1", "name": "Operating", "last4": "1111"}]


@dataclass
class Posting:
    """The service without a broker: `give` handles messages as one batch, `said` reads what it published."""

    app: Database
    worker: Database
    clock: FixedClock
    consumptions: dict[Topic[Any], Consumption]

    async def give(self, topic: Topic[Any], *bodies: Any) -> None:
        async with self.worker.begin() as tx:
            await self.hand(tx, topic, *bodies)

    async def hand(self, tx: AsyncConnection, topic: Topic[Any], *bodies: Any) -> None:
        """The same in a transaction that the test ends."""
        messages = [Message(topic, topic.key_of(b), ids.new(), self.clock.business(), b, None) for b in bodies]
        await self.consumptions[topic].handlers[topic](tx, messages)

    async def said(self, topic: Topic[Any]) -> list[Any]:
        async with self.worker.begin() as tx:
            rows = await tx.exec_driver_sql("SELECT topic, value FROM outbox ORDER BY id")
            return [TOPICS[row.topic].decode(row.value) for row in rows if row.topic == topic.name]

    async def newest(self, topic: Topic[Any]) -> dict[str, Any]:
        """The newest state by key, as compaction keeps it."""
        return {topic.key_of(body): body for body in await self.said(topic)}

    async def ledger_total(self) -> dict[str, int]:
        async with self.worker.begin() as tx:
            rows = await tx.exec_driver_sql("SELECT account, sum(amount_cents)::bigint AS cents FROM legs GROUP BY account")
            return {row.account: row.cents for row in rows if row.cents}


class FakeService:
    """Collects what `register` asks for."""

    def __init__(self, worker: Database, clock: FixedClock) -> None:
        self.worker, self.clock, self.consumptions = worker, clock, list[Consumption]()

    def consume(self, group: str, handlers: Any, *, batch: int = 500, lock: Any = None) -> None:
        self.consumptions.append(Consumption("posting", f"posting.{group}", self.worker, self.clock, handlers, lock=lock))


@pytest.fixture
async def posting(postgres: Any) -> AsyncIterator[Posting]:
    urls = await postgres.fresh("posting")
    await migrate.migrate("posting", urls.owner)
    app, worker = Database(urls.app, "posting-app"), Database(urls.worker, "posting-worker")
    clock = FixedClock(datetime(2026, 11, 20, 15, tzinfo=UTC))
    service: Any = FakeService(worker, clock)
    consumers.register(service)
    by_topic = {topic: consumption for consumption in service.consumptions for topic in consumption.handlers}
    async with worker.begin() as tx:
        await tx.exec_driver_sql(
            "INSERT INTO practices (practice_id, version, display_name, zone, portal_bank_account_id, bank_accounts)"
            f" VALUES ('7', 1, 'Practice', 'America/New_York', 'b1', '{json.dumps(BANK)}')"
        )
    yield Posting(app, worker, clock, by_topic)
    await app.close()
    await worker.close()


@pytest.fixture
async def app(posting: Posting, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    """The whole application, with one claim that waits for its insurance."""
    await posting.give(CLAIM_BILLED, billed("c1", 1, (10000,), (INSURANCE, PATIENT)))
    environment("posting", postgres.urls("posting"), monkeypatch)
    made = build()
    yield made
    await made.state.service.app.close()
    await made.state.service.worker.close()


EMPLOYER = Payer(order=1, kind="corporate", payer_id="E")
SECOND = Payer(order=1, kind="corporate", payer_id="F")
INSURANCE = Payer(order=1, kind="insurance", payer_id="I")
PATIENT = Payer(order=2, kind="patient", payer_id="p1")


def billed(
    claim_id: str = "c1", version: int = 1, cents: tuple[int, ...] = (100,), payers: tuple[Payer, ...] = (EMPLOYER,), to: int = 1
) -> ClaimBilled:
    """A claim with charges of these amounts."""
    charges = [
        Charge(charge_id=f"{claim_id}-{n}", procedure_code="99203", modifiers=[], description="Visit", units=1, amount_cents=c, diagnosis_codes=[])  # type: ignore[arg-type]
        for n, c in enumerate(cents, 1)
    ]
    day = date(2026, 11, 2)
    patient = ClaimPatient(patient_id="p1", given_name="Ana", family_name="Diaz", birth_date=date(1988, 4, 12))
    return ClaimBilled(
        practice_id="7",
        claim_id=claim_id,
        version=version,
        service_date=day,
        billed_on=day,
        department_id="d1",
        provider_group_id=None,
        appointment_id=None,
        rendering_provider=None,
        patient=patient,
        payers=list(payers),
        billed_to=to,
        charges=charges,
    )


def voided(claim_id: str, version: int) -> ClaimVoided:
    return ClaimVoided(practice_id="7", claim_id=claim_id, version=version, voided_on=date(2026, 11, 20))


def captured(
    payment_id: str,
    claims: dict[str, int],
    *,
    part: int = 1,
    parts: int = 1,
    total: int | None = None,
    version: int = 1,
    payers: Mapping[str, str] = {},  # of claims that are not of E
) -> PaymentCaptured:
    paid = [
        PaidClaim(line_id=f"l-{c}", claim_id=c, claim_version=version, claim_revision=0, payer_id=payers.get(c, "E"), amount_cents=cents)
        for c, cents in claims.items()
    ]
    amount = total or sum(claims.values())
    return PaymentCaptured(
        practice_id="7",
        payment_id=payment_id,
        part=part,
        parts=parts,
        account_id="a1",
        contact_id="k1",
        amount_cents=amount,
        captured_at=datetime(2026, 11, 20, 15, tzinfo=UTC),
        local_date=date(2026, 11, 20),
        record_number="P-000001",
        authorization_number="A1",
        processor="sandbox",
        processor_ref="ch_1",
        card=Card(brand="VI", last4="4242"),
        user_name="PortalDesktop",
        transaction_type="Webportal CC Payment",
        invoices=[PaidInvoice(invoice_id="i1", number="100001", state_version=1, amount_cents=amount, claims=paid)],
    )


__all__ = ["CLAIM_BILLED", "CLAIM_VOIDED", "Posting", "billed", "captured", "voided"]
