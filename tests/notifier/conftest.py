"""The notifier on a real database, its sender at the real sink for mails and texts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import httpx
import msgspec
import pytest

from deploy.local.places import free_port
from services.notifier import consumers, digest
from services.notifier.render import make_env
from services.notifier.sender import Sender
from shared import ids, sealing
from shared.clock import FixedClock
from shared.db import Database
from shared.events import Topic
from shared.events.invoicing import (
    AccountState,
    InvoiceFact,
    InvoicePayment,
    InvoiceState,
    Issue,
    Mask,
    PracticeState,
)
from shared.events.portal import ContactState
from shared.events.registry import TOPICS
from shared.events.types import Address
from shared.messages import Message
from tests.deploy.conftest import tool

__all__ = ["tool"]
ADDRESS = Address(line1="1 Harbor Road", city="Boston", state="MA", zip="02110")
TODAY = date(2026, 11, 20)


@dataclass
class Settings:
    """What the sender needs of its environment."""

    smtp_host: str
    smtp_port: int
    sms_url: str
    sealing_private_key: str
    mail_sender: str = "mail@billfold.example"
    portal_url: str = "http://portal.example"
    staff_links: dict[str, str] = field(default_factory=lambda: {"contracts": "http://contracts.example/"})

    def smtp_options(self) -> dict[str, Any]:
        return {"hostname": self.smtp_host, "port": self.smtp_port}


@dataclass
class Notifier:
    worker: Database
    clock: FixedClock
    sender: Sender
    handlers: dict[Topic[Any], Any]
    box: str
    public_key: str

    async def give(self, topic: Topic[Any], *bodies: Any) -> None:
        async with self.worker.begin() as tx:
            await self.handlers[topic](tx, [Message(topic, topic.key_of(b), ids.new(), self.clock.business(), b, None) for b in bodies])

    async def digests(self) -> int:
        return await digest.run_once(self.worker, self.clock)

    async def send(self) -> int:
        return await self.sender.run_once()

    async def mails(self, to: str = "") -> list[dict[str, Any]]:
        async with httpx.AsyncClient() as http:
            found: list[dict[str, Any]] = (await http.get(f"{self.box}/api/messages", params={"to": to})).json()
            return found

    async def said(self, topic: Topic[Any]) -> list[Any]:
        async with self.worker.begin() as tx:
            rows = await tx.exec_driver_sql("SELECT topic, value FROM outbox ORDER BY id")
            return [TOPICS[row.topic].decode(row.value) for row in rows if row.topic == topic.name]

    async def rows(self, query: str) -> list[Any]:
        async with self.worker.begin() as tx:
            return list(await tx.exec_driver_sql(query))


class _Service:
    def __init__(self, clock: FixedClock) -> None:
        self.clock, self.handlers = clock, dict[Topic[Any], Any]()

    def consume(self, group: str, handlers: Any, *, batch: int = 500) -> None:
        self.handlers |= handlers


@pytest.fixture
async def notifier(postgres: Any, tool: Any) -> AsyncIterator[Notifier]:
    smtp = free_port()
    box, _ = tool("mail", "--smtp-port", str(smtp))
    urls = await postgres.migrated("notifier")
    worker, clock = Database(urls.worker, "notifier"), FixedClock(datetime(2026, 11, 20, 14, tzinfo=UTC))
    public, private = sealing.new_keys()
    service: Any = _Service(clock)
    consumers.register(service)
    async with httpx.AsyncClient() as http:
        settings: Any = Settings("127.0.0.1", smtp, f"{box}/sms", private)
        yield Notifier(worker, clock, Sender(worker, clock, settings, make_env(), http), service.handlers, box, public)
    await worker.close()


def practice(**changes: Any) -> PracticeState:
    made = msgspec.convert(
        {
            "practice_id": "7",
            "version": 1,
            "zone": "America/New_York",
            "holidays": [],
            "legal_name": "Salt, P.C.",
            "display_name": "Saltmarsh",
            "brand": {name: "#0B5E6B" for name in ("accent", "accent_on", "accent_edge", "accent_soft")} | {"logo_id": None, "logo_alt": ""},
            "postal_address": msgspec.to_builtins(ADDRESS),
            "remit_to_name": "Salt",
            "remit_to_address": msgspec.to_builtins(ADDRESS),
            "phone": "555-010-0142",
            "hours": "8 to 5",
            "portal_address": "http://portal.example",
            "npis": [],
            "tax_ids": [],
            "bank_accounts": [],
            "portal_bank_account_id": "1",
            "merchant_locations": [],
            "contracts_on": True,
            "digest_at": "08:00",
            "staff_addresses": {"billing": "billing@salt.example"},
        },
        PracticeState,
    )
    return replace(made, **changes)


def account() -> AccountState:
    return AccountState(
        practice_id="7", account_id="a1", version=1, name="McDermott & Sons", address=ADDRESS, phone="", net_days=30, payer_ids=["E"], po_number=None,
        frequency="weekly", weekday=0, month_day=None, next_run_on=None, effective_on=None, expires_on=None, show_adjustments=True, mask=Mask(),
    )  # fmt: skip


def contact(number: int = 1, **changes: Any) -> ContactState:
    made = ContactState(
        practice_id="7", contact_id=f"k{number}", version=1, account_id="a1", name=f"Frank{number} Mejía", title=None,
        email=f"frank{number}-{ids.new()[-6:]}@employer.example", phone=None, role="payer", status="registered", invite_no=1, invite_open=False,
    )  # fmt: skip
    return replace(made, **changes)


def invoice(invoice_id: str = "i1", **changes: Any) -> InvoiceState:
    made = InvoiceState(
        practice_id="7", invoice_id=invoice_id, version=1, number=f"1000{invoice_id[1:]}", account_id="a1", status="due", first_billed_on=TODAY,
        last_billed_on=TODAY, due_on=date(2026, 12, 20), overdue_on=None, closing_no=0, issues=[Issue(no=1, kind="new", on=TODAY, total_cents=100)],
        claims=1, held_claims=0, original_cents=100, charged_cents=100, paid_cents=0, adjusted_cents=0, transferred_in_cents=0,
        transferred_out_cents=0, balance_cents=100, held_cents=0, pending_cents=0, payable_cents=100, payments=[],
    )  # fmt: skip
    return replace(made, **changes)


def issued(invoice_id: str = "i1", **changes: Any) -> InvoiceFact:
    made = InvoiceFact(
        practice_id="7", invoice_id=invoice_id, state_version=1, account_id="a1", number=f"1000{invoice_id[1:]}", kind="new", issue_no=1,
        closing_no=0, on=TODAY, due_on=date(2026, 12, 20), total_cents=100, balance_cents=100,
    )  # fmt: skip
    return replace(made, **changes)


def paid(payment_id: str = "p1") -> InvoicePayment:
    return InvoicePayment(payment_id=payment_id, asked_cents=100, applied_cents=0, credited_cents=0, refunded_cents=0, state="pending", on=TODAY)

