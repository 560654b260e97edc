"""A dispute arrives from the portal: it holds its claim, or is closed at once where nothing is left to dispute (EP-16, EP-17)."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import hold as rules
from services.invoicing.handlers.cases import close_dispute, new_case, publish_dispute
from services.invoicing.handlers.holds import put_on_hold
from services.invoicing.handlers.settle import settle
from services.invoicing.store import claims, disputes, invoices
from services.invoicing.store.practices import Practice
from shared.events.portal import DisputeSubmitted
from shared.messages import Message


class Unknown(LookupError):
    """A dispute names a line that was never published."""


async def submitted(tx: AsyncConnection, now: datetime, practice: Practice, message: Message[DisputeSubmitted]) -> None:
    """Takes in a dispute, once. Raises Unknown for a line that is not ours."""
    asked = message.body
    key = asked.practice_id, asked.claim_id
    await claims.lock(tx, [key], [(asked.practice_id, asked.invoice_id)])
    if await disputes.find(tx, (asked.practice_id, asked.dispute_id)):
        return
    line = await invoices.line(tx, (asked.practice_id, asked.line_id))
    if line is None or line.claim_id != asked.claim_id:
        raise Unknown("the dispute names a line that is not there")
    holds, _ = await claims.open_holds(tx, key)
    case = new_case(asked, practice, now)
    if rules.disputable(line.withdrawn, line.balance_cents, holds):
        await disputes.save(tx, case)
        reason = rules.reason_words(asked.reason)
        await put_on_hold(
            tx, now, practice, key, "dispute", asked.reason, reason, note=asked.note, dispute_id=asked.dispute_id, who="Employer", trace=message.trace
        )
        done = await settle(tx, now, [key], traces={key: message.trace})
        await publish_dispute(tx, now, case, done, message.trace)
    else:
        done = await settle(tx, now, [key], traces={key: message.trace})
        await close_dispute(tx, now, case, "not_applicable", practice.today(now), "", done, message.trace)
