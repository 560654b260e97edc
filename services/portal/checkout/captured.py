"""Money was taken: the payment with its record number, its marks, and the fact with every claim in it, all in one transaction (EP-15)."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.checkout import store
from services.portal.checkout.states import Attempt
from services.portal.checkout.tables import carts
from services.portal.invoices.tables import accounts, practices
from shared import outbox
from shared.clock import Clock, local_date
from shared.events.portal import PAYMENT_CAPTURED, PaidClaim, PaidInvoice, PaymentCaptured
from shared.events.types import Card
from shared.gateway import Answer
from shared.outbox import Outgoing

PART_CLAIMS, PART_BYTES = 5_000, 700_000  # of one message, so that it fits on its topic with all its invoices
PROCESSOR = "sandbox"


def record(number: int) -> str:
    """`P-000412`."""
    return f"P-{number:06d}"


async def keep(tx: AsyncConnection, attempt: Any, answer: Answer, clock: Clock) -> None:
    """Turns a live attempt, whose row is locked and of which just its amount was taken, into a payment; the fact continues the current span."""
    key = attempt.practice_id, attempt.attempt_id
    practice, account_name = await _names(tx, attempt)
    at = clock.business()
    on = local_date(at, practice["zone"])
    number = await store.record_number(tx, attempt.practice_id)
    card = _card(attempt, answer)
    authorization = answer.authorization_number or attempt.authorization_number or ""
    await store.to(tx, attempt, Attempt.CAPTURED, next_ask_at=None, authorization_number=authorization, processor_ref=answer.processor_ref)
    await store.free(tx, *key)
    await store.add_payment(
        tx,
        {
            "practice_id": attempt.practice_id,
            "payment_id": attempt.attempt_id,
            "record_no": number,
            "account_id": attempt.account_id,
            "payer_name": attempt.payer_name,
            "amount_cents": attempt.amount_cents,
            "captured_at": at,
            "local_date": on,
            "card_brand": card.brand,
            "card_last4": card.last4,
            "authorization_number": authorization,
            "practice": practice,
            "account_name": account_name,
        },
    )
    asked = await store.invoices_of(tx, *key)
    paid = [row.invoice_id for row in asked]
    await tx.execute(delete(carts).where(carts.c.practice_id == attempt.practice_id, carts.c.invoice_id.in_(paid)))
    facts = _facts(attempt, answer, card, authorization, at, on, record(number), asked, await store.claims_of(tx, *key))
    await outbox.append(tx, at, [Outgoing(PAYMENT_CAPTURED, fact) for fact in facts])


def _card(attempt: Any, answer: Answer) -> Card:
    if answer.card:
        return Card(brand=answer.card.brand, last4=answer.card.last4)
    return Card(brand=attempt.card_brand, last4=attempt.card_last4)


async def _names(tx: AsyncConnection, attempt: Any) -> tuple[dict[str, Any], str]:
    """The practice and the account as they were called when the money was taken."""
    both = accounts.join(practices, practices.c.practice_id == accounts.c.practice_id)
    mine = accounts.c.practice_id == attempt.practice_id, accounts.c.account_id == attempt.account_id
    row = (await tx.execute(select(practices.c.body, accounts.c.name).select_from(both).where(*mine))).one()
    return row.body, row.name


def _facts(
    attempt: Any,
    answer: Answer,
    card: Card,
    authorization: str,
    at: Any,
    on: date,
    number: str,
    invoices: Sequence[Any],
    claims: Sequence[Any],
) -> Iterator[PaymentCaptured]:
    heads = {row.invoice_id: row for row in invoices}
    ordered = sorted(claims, key=lambda row: (heads[row.invoice_id].number, row.invoice_id, row.claim_id))
    parts = cut([_claim(row) for row in ordered])
    where = {row.line_id: row.invoice_id for row in ordered}
    for no, part in enumerate(parts, 1):
        yield PaymentCaptured(
            practice_id=attempt.practice_id,
            payment_id=attempt.attempt_id,
            part=no,
            parts=len(parts),
            account_id=attempt.account_id,
            contact_id=attempt.contact_id,
            amount_cents=attempt.amount_cents,
            captured_at=at,
            local_date=on,
            record_number=number,
            authorization_number=authorization,
            processor=PROCESSOR,
            processor_ref=answer.processor_ref or attempt.processor_ref or "",
            card=card,
            user_name="PortalDesktop",
            transaction_type="Webportal CC Payment",
            invoices=[_invoice(heads[invoice_id], list(paid)) for invoice_id, paid in groupby(part, key=lambda claim: where[claim.line_id])],
        )


def cut(claims: Sequence[PaidClaim]) -> list[list[PaidClaim]]:
    """The claims of a payment, part by part; ids of other systems may be long."""
    parts: list[list[PaidClaim]] = [[]]
    room = PART_BYTES
    for claim in claims:
        size = len(PAYMENT_CAPTURED.encode(claim))
        if len(parts[-1]) == PART_CLAIMS or size > room:
            parts.append([])
            room = PART_BYTES
        parts[-1].append(claim)
        room -= size
    return parts


def _claim(row: Any) -> PaidClaim:
    return PaidClaim(
        line_id=row.line_id,
        claim_id=row.claim_id,
        claim_version=row.claim_version,
        claim_revision=row.claim_revision,
        payer_id=row.payer_id,
        amount_cents=row.amount_cents,
    )


def _invoice(head: Any, claims: list[PaidClaim]) -> PaidInvoice:
    return PaidInvoice(
        invoice_id=head.invoice_id,
        number=head.number,
        state_version=head.state_version,
        amount_cents=sum(claim.amount_cents for claim in claims),
        claims=claims,
        withheld_cents=head.withheld_cents,
        withheld_claims=head.withheld_claims,
    )
