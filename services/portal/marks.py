"""The portal's own marks on claims: a captured payment, a dispute. They go only when their owner's state names them, whatever else comes."""

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import fetch

_PAID = (
    "DELETE FROM payment_marks m USING lines l, invoices i,"
    " unnest(CAST(:practices AS text[]), CAST(:invoices AS text[])) AS want(practice_id, invoice_id)"
    " WHERE m.practice_id = want.practice_id AND m.invoice_id = want.invoice_id"
    " AND i.practice_id = m.practice_id AND i.invoice_id = m.invoice_id AND m.payment_id = ANY(i.payment_ids)"
    " AND l.practice_id = m.practice_id AND l.line_id = m.line_id AND m.payment_id = ANY(l.payment_ids)"
)
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
        await fetch(tx, _PAID, {"practices": [practice for practice, _ in ordered], "invoices": [invoice for _, invoice in ordered]})


async def drop_disputed(tx: AsyncConnection) -> None:
    """Drops the dispute marks whose case is here together with the versions of line and invoice that it names."""
    await fetch(tx, _DISPUTED, {})
