"""Sending a dispute: one open one per claim, and none of a claim that is being paid (EP-16)."""

from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.disputes.tables import dispute_marks, disputes
from services.portal.identity.here import Here
from services.portal.invoices import standing
from shared import outbox
from shared.events.portal import DISPUTE_SUBMITTED, DisputeSubmitted
from shared.outbox import Outgoing

_LINE = text(
    "SELECT l.*, i.number, i.status AS invoice_status, i.account_id FROM lines l"
    " JOIN invoices i ON i.practice_id = l.practice_id AND i.invoice_id = l.invoice_id"
    " WHERE l.practice_id = :practice_id AND l.invoice_id = :invoice_id AND l.line_id = :line_id AND i.account_id = :account_id"
)
_AGAINST = text(
    "SELECT EXISTS (SELECT 1 FROM dispute_marks m WHERE m.practice_id = :practice_id AND m.claim_id = :claim_id)"
    "  OR EXISTS (SELECT 1 FROM cases k WHERE k.practice_id = :practice_id AND k.claim_id = :claim_id AND k.status = 'open') AS disputed,"
    " EXISTS (SELECT 1 FROM live_claims v WHERE v.practice_id = :practice_id AND v.claim_id = :claim_id)"
    "  OR EXISTS (SELECT 1 FROM attempt_claims c JOIN attempts a ON a.practice_id = c.practice_id AND a.attempt_id = c.attempt_id"
    "   LEFT JOIN postings n ON n.practice_id = a.practice_id AND n.payment_id = a.attempt_id"
    "   WHERE c.practice_id = :practice_id AND c.claim_id = :claim_id AND a.state = 'captured'"
    "   AND (n.payment_id IS NULL OR NOT n.complete OR NOT c.claim_id = ANY(n.claim_ids))) AS paying"
)


class Refused(ValueError):
    """A dispute that cannot be sent now: what is so, and what to do."""

    def __init__(self, title: str, advice: str) -> None:
        super().__init__(title)
        self.title, self.advice = title, advice


async def line(tx: AsyncConnection, here: Here, invoice_id: str, line_id: str) -> Any:
    """A claim's line on an invoice of this account, with the invoice's number; or None."""
    values = {"practice_id": here.practice_id, "account_id": here.account_id, "invoice_id": invoice_id, "line_id": line_id}
    return (await tx.execute(_LINE, values)).one_or_none()


async def check(tx: AsyncConnection, found: Any) -> None:
    """Whether this line can be disputed now. Raises Refused."""
    if found.invoice_status == "closed" or found.status not in ("due", "overdue", "in_review") or found.balance_cents <= 0:
        raise Refused("There is nothing to dispute", "This claim has no balance on this invoice.")
    against = (await tx.execute(_AGAINST, {"practice_id": found.practice_id, "claim_id": found.claim_id})).one()
    if against.disputed or found.status == "in_review":
        raise Refused("This claim is in review already", "It can be disputed again after the practice has answered.")
    if against.paying:
        raise Refused("This claim is being paid", "It can be disputed once the payment is posted.")


async def submit(
    tx: AsyncConnection, now: datetime, here: Here, dispute_id: str, invoice_id: str, line_id: str, reason: str, note: str | None
) -> Any:
    """Records a dispute and its mark, and tells invoicing; the same `dispute_id` again changes nothing. Its line; None where there is none.

    Takes the locks that a payment takes, so that of the two only one goes through. Raises Refused.
    """
    found = await line(tx, here, invoice_id, line_id)
    if found is None:
        return None
    await standing.lock(tx, here.practice_id, [invoice_id], [found.claim_id])
    sent = select(disputes.c.dispute_id).where(disputes.c.practice_id == here.practice_id, disputes.c.dispute_id == dispute_id)
    if (await tx.execute(sent)).one_or_none():
        return found
    found = await line(tx, here, invoice_id, line_id)
    await check(tx, found)
    key: dict[str, Any] = {"practice_id": here.practice_id, "dispute_id": dispute_id}
    at: dict[str, Any] = {"claim_id": found.claim_id, "line_id": line_id, "invoice_id": invoice_id}
    said: dict[str, Any] = {"reason": reason, "note": note, "disputed_cents": found.balance_cents, "submitted_at": now}
    who: dict[str, Any] = {"account_id": here.account_id, "contact_id": here.contact_id}
    await tx.execute(insert(disputes).values(**key, **at, **who, **said))
    await tx.execute(insert(dispute_marks).values(**key, **at))
    body = DisputeSubmitted(**key, **at, **who, **said, line_version=found.version, invoice_number=found.number)
    await outbox.append(tx, now, [Outgoing(DISPUTE_SUBMITTED, body)])
    return found
