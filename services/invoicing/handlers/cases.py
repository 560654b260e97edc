"""Disputes as cases: taken in from the portal, closed by a re-drop; `dispute.state` names the versions that contain them (EP-16, EP-17)."""

from dataclasses import replace
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import hold as rules
from services.invoicing.handlers.settle import Settled
from services.invoicing.store import disputes, invoices
from services.invoicing.store.disputes import Dispute
from services.invoicing.store.practices import Practice
from shared import outbox
from shared.events.invoicing import DISPUTE_STATE, DisputeOutcome, DisputeState
from shared.events.portal import DisputeSubmitted
from shared.outbox import Outgoing


async def publish_dispute(tx: AsyncConnection, now: datetime, dispute: Dispute, done: Settled, trace: str | None) -> None:
    """Saves a case at its next version, naming the versions of line and invoice that contain it, and publishes it."""
    state = dispute.state
    line_version = done.lines.get((state.practice_id, state.line_id))
    if line_version is None:
        line_version = await invoices.line_version(tx, (state.practice_id, state.line_id))
    invoice_version = done.invoices.get((state.practice_id, state.invoice_id))
    if invoice_version is None:
        invoice_version = await invoices.version(tx, (state.practice_id, state.invoice_id))
    state = replace(state, version=state.version + 1, line_version=line_version, invoice_version=invoice_version)
    await disputes.save(tx, replace(dispute, state=state))
    await outbox.append(tx, now, [Outgoing(DISPUTE_STATE, state, trace)])


async def close_dispute(
    tx: AsyncConnection, now: datetime, dispute: Dispute, outcome: DisputeOutcome, today: date, answer: str, done: Settled, trace: str | None
) -> None:
    """Ends a case with its outcome and the answer to the employer."""
    state = replace(dispute.state, status="closed", outcome=outcome, closed_on=today)
    await publish_dispute(tx, now, replace(dispute, state=state, answer=answer.strip() or dispute.answer), done, trace)


def new_case(asked: DisputeSubmitted, practice: Practice, now: datetime) -> Dispute:
    """The case that a submitted dispute opens."""
    today = practice.today(now)
    state = DisputeState(
        practice_id=asked.practice_id,
        dispute_id=asked.dispute_id,
        version=0,
        claim_id=asked.claim_id,
        line_id=asked.line_id,
        line_version=0,
        invoice_id=asked.invoice_id,
        invoice_version=0,
        account_id=asked.account_id,
        contact_id=asked.contact_id,
        status="open",
        reason=asked.reason,
        disputed_cents=asked.disputed_cents,
        submitted_at=asked.submitted_at,
        act_by=rules.act_by(today, practice.state.holidays),
        outcome=None,
        closed_on=None,
    )
    return Dispute(state, asked.note, None)
