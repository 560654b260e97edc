"""Contracts on a real database, charging at the real sandbox processor."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pypdf
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import consumers
from services.contracts.charging import Charging
from services.contracts.handlers import charges, contracts
from services.contracts.handlers.contracts import Wanted
from services.contracts.main import build
from shared import ids, sealing, timers
from shared.clock import FixedClock
from shared.db import Database
from shared.events import Topic
from shared.events.contracts import CHARGE_DUE, CHARGE_SCHEDULED
from shared.events.ingress import DEPARTMENT_STATE, PATIENT_STATE, DepartmentState, PatientState
from shared.events.invoicing import PRACTICE_STATE
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT, NotificationCause, NotificationEnded
from shared.events.posting import ClaimBalances
from shared.events.practices import MerchantLocation
from shared.events.registry import TOPICS
from shared.gateway import Card, SandboxGateway
from shared.messages import Message
from tests.deploy.conftest import SECRET, tool
from tests.notifier.conftest import practice
from tests.staff import environment

__all__ = ["tool"]
TODAY = date(2026, 11, 20)
BEARER = {"Authorization": f"Bearer {SECRET}"}


@dataclass
class Contracts:
    app: Database
    worker: Database
    clock: FixedClock
    handlers: dict[Topic[Any], Any]
    gateway: SandboxGateway
    control: str
    key: str
    private: str

    async def give(self, topic: Topic[Any], *bodies: Any) -> None:
        async with self.worker.begin() as tx:
            await self.hand(tx, topic, *bodies)

    async def hand(self, tx: AsyncConnection, topic: Topic[Any], *bodies: Any) -> None:
        """The same in a transaction that the test ends."""
        await self.handlers[topic](tx, [self.message(topic, body) for body in bodies])

    def message(self, topic: Topic[Any], body: Any) -> Message[Any]:
        return Message(topic, topic.key_of(body), ids.new(), self.clock.business(), body, None)

    async def said(self, topic: Topic[Any]) -> list[Any]:
        async with self.worker.begin() as tx:
            rows = await tx.exec_driver_sql("SELECT topic, value FROM outbox ORDER BY id")
            return [TOPICS[row.topic].decode(row.value) for row in rows if row.topic == topic.name]

    async def make(self, patient_id: str = "p1", limit: int = 10_000, token: str = "tok_1") -> Any:
        card = Card("VI", "4242", 12, 2030)
        wanted = Wanted(patient_id, "d1", None, "ana@example.org", limit, token, card)
        async with self.app.begin("7") as tx:
            return await contracts.create(tx, self.clock, self.key, "7", wanted, "mchen")

    async def sign(self, made: Any, data: bytes) -> Any:
        async with self.app.begin("7") as tx:
            return await contracts.sign(tx, self.clock, "7", made.patient_id, made.epayment_id, data, "mchen")

    async def fire(self) -> int:
        async def due(tx: Any, timer: Any) -> None:
            await charges.on_due(tx, timer, self.clock, None)

        async def unsigned(tx: Any, timer: Any) -> None:
            await contracts.unsigned(tx, timer, self.clock)

        async def expiry(tx: Any, timer: Any) -> None:
            await contracts.expire(tx, timer, self.clock)

        return await timers.fire(self.worker, self.clock, {charges.TIMER: due, contracts.UNSIGNED: unsigned, contracts.EXPIRY: expiry})

    async def charge(self) -> int:
        return await Charging(self.worker, self.clock, self.gateway).run_once()

    async def faults(self, *names: str | None) -> None:
        async with httpx.AsyncClient(headers=BEARER) as http:
            (await http.post(f"{self.control}/control", json={"next": list(names), "late_ms": 300})).raise_for_status()

    async def taken(self) -> list[tuple[str, int]]:
        """What the processor really took, by attempt."""
        async with httpx.AsyncClient(headers=BEARER) as http:
            rows = (await http.get(f"{self.control}/ledger")).json()["entries"]
            return [(row["key"], row["amount_cents"]) for row in rows if row["kind"] == "capture"]

    async def rows(self, query: str) -> list[Any]:
        async with self.worker.begin() as tx:
            return list(await tx.exec_driver_sql(query))


class _Service:
    def __init__(self, clock: FixedClock) -> None:
        self.clock, self.handlers = clock, dict[Topic[Any], Any]()

    def consume(self, group: str, handlers: Any, *, batch: int = 500, lock: Any = None) -> None:
        self.handlers |= handlers


@pytest.fixture
async def desk(postgres: Any, tool: Any) -> AsyncIterator[Contracts]:
    url, _ = tool("gateway", GATEWAY_SECRET=SECRET)
    urls = await postgres.migrated("contracts")
    app, worker = Database(urls.app, "contracts-app"), Database(urls.worker, "contracts-worker")
    clock = FixedClock(datetime(2026, 11, 20, 15, tzinfo=UTC))
    service: Any = _Service(clock)
    consumers.register(service)
    gateway = SandboxGateway(url, SECRET, timeout_seconds=2)
    made = Contracts(app, worker, clock, service.handlers, gateway, url, *sealing.new_keys())
    place = MerchantLocation(
        merchant_location_id="m1",
        retail_merchant_id="R1",
        card_not_present_merchant_id="N1",
        accepted_cards=["VI"],
        single_appointment_max_cents=15_000,
        one_year_max_cents=150_000,
        auto_contract_department_id="d1",
    )
    await made.give(PRACTICE_STATE, replace(practice(), merchant_locations=[place]))
    await made.give(DEPARTMENT_STATE, department())
    await made.give(PATIENT_STATE, patient("p1"), patient("p2"))
    yield made
    await gateway.close()
    await app.close()
    await worker.close()


@pytest.fixture
async def app(desk: Contracts, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    more = {"GATEWAY_URL": desk.control, "GATEWAY_SECRET": SECRET, "SEALING_PUBLIC_KEY": desk.key}
    environment("contracts", postgres.urls("contracts"), monkeypatch, more)
    made = build()
    yield made
    for close in made.state.service.closers:
        await close()
    await made.state.service.app.close()
    await made.state.service.worker.close()


def department(**changes: Any) -> DepartmentState:
    made = DepartmentState(
        practice_id="7", department_id="d1", version=1, name="Main", provider_group_id="1", merchant_location_id="m1", accepted_cards=["VI"],
        ecommerce_cards=["VI"], auto_contract=True, zone=None,
    )  # fmt: skip
    return replace(made, **changes)


def patient(patient_id: str) -> PatientState:
    return PatientState(
        practice_id="7", patient_id=patient_id, version=1, given_name="Ana", family_name="Diaz", birth_date=date(1988, 4, 12), address=None,
        email=None, phone=None, guarantor=None, identifiers=[],
    )  # fmt: skip


def balances(version: int, cents: int, claim_id: str = "c1", **changes: Any) -> ClaimBalances:
    made = ClaimBalances(
        practice_id="7", claim_id=claim_id, version=version, claim_version=1, claim_revision=0, voided=False, patient_id="p1", appointment_id=None,
        service_date=TODAY, department_id="d1", provider_group_id="1", adjudicated=True, adjudication_no=1, patient_balance_cents=cents, lines=[],
        write_offs=[], entries_total=0, entries=[],
    )  # fmt: skip
    return replace(made, **changes)


def outcome(scheduled: Any, outcome: str = "sent") -> tuple[Topic[Any], NotificationEnded]:
    """Notifier's word on a notice."""
    cause = NotificationCause(kind="contract_notice", contract_id=scheduled.contract_id, charge_id=scheduled.charge_id, notice_no=scheduled.notice_no)
    body = NotificationEnded(
        practice_id="7", notification_id=ids.new(), template="contract_notice", channel="email", outcome=outcome, reason=None,  # type: ignore[arg-type]
        sent_on=TODAY, sent_at=datetime(2026, 11, 20, 15, tzinfo=UTC), cause=cause,
    )  # fmt: skip
    return (NOTIFICATION_SENT if outcome == "sent" else NOTIFICATION_FAILED), body


def pdf(text: str = "signed") -> bytes:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.add_metadata({"/Title": text})
    data = io.BytesIO()
    writer.write(data)
    return data.getvalue()


async def token(desk: Contracts, number: str = "4242424242424242") -> str:
    """A token made at the sandbox, as a terminal would."""
    async with httpx.AsyncClient(headers=BEARER) as http:
        body = {"number": number, "exp_month": 12, "exp_year": 2030}
        answer = await http.post(f"{desk.control}/tokens", json=body)
        return str(answer.json()["token"])


async def signed(desk: Contracts, number: str = "4242424242424242", limit: int = 10_000) -> Any:
    made = await desk.make(limit=limit, token=await token(desk, number))
    return await desk.sign(made, pdf())


async def due(desk: Contracts) -> Any:
    """Notice sent, five days gone by: the word that wakes the charge."""
    topic, body = outcome((await desk.said(CHARGE_SCHEDULED))[-1])
    await desk.give(topic, body)
    desk.clock.now = datetime(2026, 11, 25, 5, tzinfo=UTC)
    await desk.fire()
    return (await desk.said(CHARGE_DUE))[-1]


async def charge_rows(desk: Contracts) -> list[Any]:
    return await desk.rows("SELECT * FROM charges ORDER BY made_at")
