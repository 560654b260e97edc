"""The portal's own marks on claims: a captured payment, a dispute. They go only when their owner's state names them, whatever else comes."""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import Database, fetch

_PAID = (
    "DELETE FROM payment_marks m USING lines l, invoices i"
    " WHERE i.practice_id = m.practice_id AND i.invoice_id = m.invoice_id AND m.payment_id = ANY(i.payment_ids)"
    " AND l.practice_id = m.practice_id AND l.line_id = m.line_id AND m.payment_id = ANY(l.payment_ids)"
)
_PAID_ON = f"{_PAID} AND (m.practice_id, m.invoice_id) IN (SELECT * FROM unnest(CAST(:practices AS text[]), CAST(:invoices AS text[])))"
_DISPUTED = (
    "DELETE FROM dispute_marks m USING cases c, lines l, invoices i"
    " WHERE c.practice_id = m.practice_id AND c.dispute_id = m.dispute_id"
    " AND l.practice_id = c.practice_id AND l.line_id = c.line_id AND l.version >= c.line_version"
    " AND i.practice_id = c.practice_id AND i.invoice_id = c.invoice_id AND i.version >= c.invoice_version"
)


async def drop_paid(tx: AsyncConnection, invoices: Collection[tuple[str, str]]) -> None:
    """Drops the payment marks on these invoices that both the invoice and the line name now."""
    if invoices:
        ordered = sorted(invoices)
        await fetch(tx, _PAID_ON, {"practices": [practice for practice, _ in ordered], "invoices": [invoice for _, invoice in ordered]})


async def drop_disputed(tx: AsyncConnection) -> None:
    """Drops the dispute marks whose case is here together with the versions of line and invoice that it names."""
    await fetch(tx, _DISPUTED, {})


async def run_once(db: Database) -> int:
    """Drops every mark that its owner names, on whatever invoice; returns how many went.

    Two replicas may keep a line and its invoice at the same moment: neither sees the other's copy yet, so each leaves the mark.
    """
    async with db.begin() as tx:
        return sum([(await tx.execute(text(each))).rowcount for each in (_PAID, _DISPUTED)])
