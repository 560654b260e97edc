"""What the notifier reads: copies, and facts that become items of a digest or mails of their own."""

from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import copies, tables
from shared import ids, state
from shared.clock import local_date
from shared.events.contracts import (
    CHARGE_FAILED,
    CHARGE_SCHEDULED,
    CONTRACT_CHARGED,
    CONTRACT_STATE,
    COPY_REQUESTED,
    ChargeFailed,
    ChargeScheduled,
    ContractCharged,
    CopyRequested,
)
from shared.events.invoicing import (
    ACCOUNT_STATE,
    DISPUTE_STATE,
    INVOICE_CLOSED,
    INVOICE_ISSUED,
    INVOICE_OVERDUE,
    INVOICE_REISSUED,
    INVOICE_STATE,
    PRACTICE_STATE,
    DisputeState,
    InvoiceFact,
)
from shared.events.portal import (
    CONTACT_INVITED,
    CONTACT_STATE,
    PASSWORD_RESET_REQUESTED,
    PAYMENT_CAPTURED,
    SIGNIN_CODE_REQUESTED,
    ContactInvited,
    PasswordResetRequested,
    PaymentCaptured,
    SigninCodeRequested,
)
from shared.messages import Message, each
from shared.service import Service

PAID = ("number", "amount_cents", "withheld_cents", "withheld_claims")


def register(service: Service) -> None:
    """One subscription for copies, one for facts."""
    service.consume(
        "copies",
        {
            PRACTICE_STATE: state.keeper(tables.practices, "practice_id"),
            ACCOUNT_STATE: state.keeper(tables.accounts, "account_id"),
            INVOICE_STATE: state.keeper(tables.invoices, "invoice_id"),
            CONTACT_STATE: state.keeper(tables.contacts, "contact_id", "account_id"),
            CONTRACT_STATE: state.keeper(tables.contracts, "contract_id"),
            DISPUTE_STATE: _disputed,
        },
    )
    clock = service.clock

    async def invited(tx: AsyncConnection, message: Message[ContactInvited]) -> None:
        body = message.body
        cause = {"kind": body.kind, "contact_id": body.contact_id, "invite_no": body.invite_no}
        facts = {"kind": body.kind, "account_id": body.account_id, "sealed": body.sealed}
        await _mail(tx, clock.system(), message, body.kind, f"{body.contact_id}/{body.invite_no}", "email", cause, facts, body.invited_at)

    async def code(tx: AsyncConnection, message: Message[SigninCodeRequested]) -> None:
        body = message.body
        cause = {"kind": "code", "person_id": body.person_id, "code_id": body.code_id}
        facts = {"purpose": body.purpose, "sealed": body.sealed}
        await _mail(tx, clock.system(), message, "code", body.code_id, body.channel, cause, facts, message.time, body.expires_at)

    async def reset(tx: AsyncConnection, message: Message[PasswordResetRequested]) -> None:
        body = message.body
        cause = {"kind": "password_reset", "person_id": body.person_id}
        await _mail(
            tx, clock.system(), message, "password_reset", body.reset_id, "email", cause, {"sealed": body.sealed}, message.time, body.expires_at
        )

    async def captured(tx: AsyncConnection, message: Message[PaymentCaptured]) -> None:
        body = message.body
        await copies.named(tx, [], [(body.practice_id, paid.invoice_id, body.payment_id) for paid in body.invoices])
        if body.part > 1:
            return
        facts = {
            "contact_id": body.contact_id,
            "account_id": body.account_id,
            "amount_cents": body.amount_cents,
            "record_number": body.record_number,
            "authorization_number": body.authorization_number,
            "card": {"brand": body.card.brand, "last4": body.card.last4},
            "captured_at": body.captured_at,
            # The first of several parts has not all invoices: the mail then names none.
            "invoices": [] if body.parts > 1 else [{name: getattr(paid, name) for name in PAID} for paid in body.invoices],
        }
        cause = {"kind": "receipt", "payment_id": body.payment_id}
        await _mail(tx, clock.system(), message, "receipt", body.payment_id, "email", cause, facts, body.captured_at)

    async def scheduled(tx: AsyncConnection, message: Message[ChargeScheduled]) -> None:
        body = message.body
        cause = {"kind": "contract_notice", "contract_id": body.contract_id, "charge_id": body.charge_id, "notice_no": body.notice_no}
        facts = {"contract_version": body.contract_version, "noticed_cents": body.noticed_cents}
        key = f"{body.contract_id}/{body.charge_id}/{body.notice_no}"
        await _mail(tx, clock.system(), message, "contract_notice", key, "email", cause, facts, message.time)

    async def charged(tx: AsyncConnection, message: Message[ContractCharged]) -> None:
        body = message.body
        facts = {
            "amount_cents": body.amount_cents,
            "record_number": body.record_number,
            "authorization_number": body.authorization_number,
            "card": {"brand": body.card.brand, "last4": body.card.last4},
            "captured_at": body.captured_at,
        }
        cause = {"kind": "contract_receipt", "contract_id": body.contract_id, "charge_id": body.charge_id, "payment_id": body.payment_id}
        await _mail(tx, clock.system(), message, "contract_receipt", body.payment_id, "email", cause, facts, body.captured_at)

    async def declined(tx: AsyncConnection, message: Message[ChargeFailed]) -> None:
        body = message.body
        facts = {"contract_version": body.contract_version, "amount_cents": body.amount_cents, "retry_on": body.retry_on}
        for template in ("contract_declined", "contract_declined_staff"):
            cause = {"kind": template, "contract_id": body.contract_id, "charge_id": body.charge_id, "payment_id": body.payment_id}
            await _mail(tx, clock.system(), message, template, body.payment_id, "email", cause, facts, body.failed_at)

    async def copy_requested(tx: AsyncConnection, message: Message[CopyRequested]) -> None:
        body = message.body
        facts = {
            "contract_version": body.contract_version,
            "copy": body.copy,
            "epayment_id": body.epayment_id,
            "terms": body.terms,
            "sealed": body.sealed,
        }
        cause = {"kind": "contract_copy", "contract_id": body.contract_id}
        await _mail(tx, clock.system(), message, "contract_copy", body.request_id, "email", cause, facts, body.requested_at)

    service.consume(
        "facts",
        {
            INVOICE_ISSUED: _invoice_facts,
            INVOICE_REISSUED: _invoice_facts,
            INVOICE_OVERDUE: _invoice_facts,
            INVOICE_CLOSED: _invoice_facts,
            CONTACT_INVITED: each(invited),
            SIGNIN_CODE_REQUESTED: each(code),
            PASSWORD_RESET_REQUESTED: each(reset),
            PAYMENT_CAPTURED: each(captured),
            CHARGE_SCHEDULED: each(scheduled),
            CONTRACT_CHARGED: each(charged),
            CHARGE_FAILED: each(declined),
            COPY_REQUESTED: each(copy_requested),
        },
    )


async def _disputed(tx: AsyncConnection, messages: list[Message[DisputeState]]) -> None:
    await copies.named(tx, [(m.practice_id, m.body.invoice_id, m.body.invoice_version) for m in messages if m.body])


async def _invoice_facts(tx: AsyncConnection, messages: list[Message[InvoiceFact]]) -> None:
    await copies.named(tx, [(m.practice_id, m.body.invoice_id, m.body.state_version) for m in messages])
    rows = [_item(message) for message in messages if message.body.kind != "closed"]
    for row in rows:
        await tx.execute(insert(tables.items).values(row).on_conflict_do_nothing())


def _item(message: Message[InvoiceFact]) -> dict[str, Any]:
    body = message.body
    return {
        "practice_id": body.practice_id,
        "invoice_id": body.invoice_id,
        "kind": body.kind,
        "issue_no": body.issue_no,
        "account_id": body.account_id,
        "on": body.on,
        "at": message.time,
        "trace": message.trace,
    }


async def _mail(
    tx: AsyncConnection,
    system_now: datetime,
    message: Message[Any],
    template: str,
    key: str,
    channel: str,
    cause: dict[str, Any],
    facts: dict[str, Any],
    about: datetime,
    expires_at: datetime | None = None,
) -> None:
    """A mail to send at once. Its key is its template and business key, never the event's id: a repeated fact is the same mail."""
    row = {
        "practice_id": message.practice_id,
        "mail_id": ids.new(),
        "key": f"{template}/{key}",
        "template": template,
        "channel": channel,
        "cause": cause,
        "facts": facts,
        "state": "waiting",
        "attempts": 0,
        "next_try_at": system_now,
        "expires_at": expires_at,
        "on": local_date(about, "UTC"),
        "created_at": system_now,
        "trace": message.trace,
    }
    await tx.execute(insert(tables.mails).values(row).on_conflict_do_nothing())
