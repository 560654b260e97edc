"""Copies of what others own, taken in by version; our own marks go when their owner names them. A few statements per batch."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal import marks
from services.portal.disputes.tables import cases
from services.portal.invoices import tables
from shared.events.invoicing import AccountState, DisputeState, InvoiceLineState, InvoiceState, PracticeState
from shared.events.posting import CreditState, PaymentState
from shared.messages import Message
from shared.state import forget, keep_newer


async def practices(tx: AsyncConnection, messages: list[Message[PracticeState]]) -> None:
    rows = [
        {"practice_id": s.practice_id, "version": s.version, "display_name": s.display_name, "zone": s.zone, "body": s}
        for s in (message.body for message in messages if message.body)
    ]
    await keep_newer(tx, tables.practices, rows)


async def accounts(tx: AsyncConnection, messages: list[Message[AccountState]]) -> None:
    await forget(tx, tables.accounts, _deleted(messages))
    rows = [
        {"practice_id": s.practice_id, "account_id": s.account_id, "version": s.version, "name": s.name, "payer_ids": s.payer_ids, "body": s}
        for s in (message.body for message in messages if message.body)
    ]
    await keep_newer(tx, tables.accounts, rows)


async def invoices(tx: AsyncConnection, messages: list[Message[InvoiceState]]) -> None:
    await forget(tx, tables.invoices, _deleted(messages))
    kept = await keep_newer(tx, tables.invoices, [_invoice(message.body) for message in messages if message.body])
    await marks.drop_paid(tx, {(row["practice_id"], row["invoice_id"]) for row in kept if row["payment_ids"]})
    await marks.drop_disputed(tx)


async def lines(tx: AsyncConnection, messages: list[Message[InvoiceLineState]]) -> None:
    await forget(tx, tables.lines, _deleted(messages))
    kept = await keep_newer(tx, tables.lines, [_line(message.body, message.trace) for message in messages if message.body])
    await marks.drop_paid(tx, {(row["practice_id"], row["invoice_id"]) for row in kept if row["payment_ids"]})
    await marks.drop_disputed(tx)


async def disputes(tx: AsyncConnection, messages: list[Message[DisputeState]]) -> None:
    await forget(tx, cases, _deleted(messages))
    names = [column.name for column in cases.c]
    await keep_newer(tx, cases, [{name: getattr(message.body, name) for name in names} for message in messages if message.body])
    await marks.drop_disputed(tx)


async def payments(tx: AsyncConnection, messages: list[Message[PaymentState]]) -> None:
    """How posting has the payments of employers; those of patients are not ours."""
    await forget(tx, tables.postings, _deleted(messages))
    await keep_newer(tx, tables.postings, [_posting(message.body) for message in messages if message.body and message.body.source == "portal"])


async def credits(tx: AsyncConnection, messages: list[Message[CreditState]]) -> None:
    await forget(tx, tables.credits, _deleted(messages))
    names = [column.name for column in tables.credits.c]
    await keep_newer(tx, tables.credits, [{name: getattr(message.body, name) for name in names} for message in messages if message.body])


def _deleted(messages: list[Message[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(message.key.split("/", 1)) for message in messages if message.body is None]


def _invoice(s: InvoiceState) -> dict[str, Any]:
    return {
        "practice_id": s.practice_id,
        "invoice_id": s.invoice_id,
        "version": s.version,
        "account_id": s.account_id,
        "number": s.number,
        "status": s.status,
        "first_billed_on": s.first_billed_on,
        "due_on": s.due_on,
        "original_cents": s.original_cents,
        "paid_cents": s.paid_cents,
        "balance_cents": s.balance_cents,
        "held_cents": s.held_cents,
        "payable_cents": s.payable_cents,
        "payment_ids": [each.payment_id for each in s.payments],
        "body": s,
    }


def _line(s: InvoiceLineState, trace: str | None) -> dict[str, Any]:
    return {
        "practice_id": s.practice_id,
        "line_id": s.line_id,
        "version": s.version,
        "invoice_id": s.invoice_id,
        "claim_id": s.claim_id,
        "claim_version": s.claim_version,
        "claim_revision": s.claim_revision,
        "payer_id": s.payer_id,
        "status": s.status,
        "charged_cents": s.charged_cents,
        "balance_cents": s.balance_cents,
        "payment_ids": [each.payment_id for each in s.payments],
        "payment_pending": any(each.state == "pending" for each in s.payments),
        "trace": trace,
        "body": s,
    }


def _posting(s: PaymentState) -> dict[str, Any]:
    return {
        "practice_id": s.practice_id,
        "payment_id": s.payment_id,
        "version": s.version,
        "complete": s.parts_posted >= s.parts and s.waiting_cents == 0,
        "claim_ids": [each.claim_id for each in s.claims],
        "credited_cents": s.credited_cents,
    }
