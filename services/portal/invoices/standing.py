"""Reads and locks what decides whether invoices can be paid: copies and own marks, in a fixed number of statements."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.invoices.payable import Header, Line, Marks, Payable, payable

_LINES = text(
    "SELECT line_id, claim_id, claim_version, claim_revision, payer_id, invoice_id, status, balance_cents, payment_ids, payment_pending"
    " FROM lines WHERE practice_id = :practice_id AND invoice_id IN :invoices ORDER BY claim_id, line_id"
).bindparams(bindparam("invoices", expanding=True))
# Own marks of the claims now on these invoices. Captured payments come from the attempts, not from the marks: a mark may be gone already
# while a line that came later does not name the payment yet.
_MARKS = text(
    "WITH here AS (SELECT DISTINCT claim_id FROM lines WHERE practice_id = :practice_id AND invoice_id IN :invoices AND status <> 'withdrawn')"
    " SELECT 'captured' AS kind, c.claim_id AS id, a.attempt_id AS by FROM here JOIN attempt_claims c ON c.practice_id = :practice_id"
    "  AND c.claim_id = here.claim_id JOIN attempts a ON a.practice_id = c.practice_id AND a.attempt_id = c.attempt_id AND a.state = 'captured'"
    " UNION ALL SELECT 'claim', c.claim_id, c.attempt_id FROM here JOIN live_claims c ON c.practice_id = :practice_id AND c.claim_id = here.claim_id"
    " UNION ALL SELECT 'invoice', invoice_id, attempt_id FROM live_invoices WHERE practice_id = :practice_id AND invoice_id IN :invoices"
    " UNION ALL SELECT 'disputed', m.claim_id, '' FROM here JOIN dispute_marks m ON m.practice_id = :practice_id AND m.claim_id = here.claim_id"
    " UNION ALL SELECT 'case', k.claim_id, '' FROM here JOIN cases k ON k.practice_id = :practice_id AND k.claim_id = here.claim_id"
    "  AND k.status = 'open'"
).bindparams(bindparam("invoices", expanding=True))
_INVOICES = text(
    "SELECT invoice_id, account_id, number, version, status, due_on, balance_cents, payable_cents, payment_ids FROM invoices"
    " WHERE practice_id = :practice_id AND invoice_id IN :invoices ORDER BY invoice_id"
).bindparams(bindparam("invoices", expanding=True))
# Code points decide the order, as they do for the consumer that writes these rows.
_LOCK_INVOICES = text(
    "SELECT 1 FROM invoices WHERE practice_id = :practice_id AND invoice_id IN :invoices ORDER BY invoice_id COLLATE \"C\" FOR UPDATE"
).bindparams(bindparam("invoices", expanding=True))
# All lines of a claim stand for the claim: whoever wants it, by whatever line, meets there. Lines are locked in the order in which
# the consumer writes them.
_LOCK_CLAIMS = text(
    "SELECT 1 FROM lines WHERE practice_id = :practice_id AND claim_id = ANY(:claims) ORDER BY line_id COLLATE \"C\" FOR UPDATE"
).bindparams(bindparam("claims", type_=ARRAY(Text)))


async def lock(tx: AsyncConnection, practice_id: str, invoices: Collection[str], claims: Collection[str]) -> None:
    """Locks invoices, then claims, in id order, as every command that takes or disputes a claim does."""
    await tx.execute(_LOCK_INVOICES, {"practice_id": practice_id, "invoices": sorted(invoices)})
    await tx.execute(_LOCK_CLAIMS, {"practice_id": practice_id, "claims": sorted(claims)})


async def read(tx: AsyncConnection, practice_id: str, invoices: Collection[str]) -> dict[str, tuple[Any, Payable]]:
    """Each invoice's row and what of it can be paid; an invoice that is not there is left out."""
    if not invoices:
        return {}
    where = {"practice_id": practice_id, "invoices": sorted(invoices)}
    rows = list(await tx.execute(_INVOICES, where))
    by_invoice: dict[str, list[Line]] = {}
    for row in await tx.execute(_LINES, where):
        by_invoice.setdefault(row.invoice_id, []).append(_line(row))
    marks = await _marks(tx, where)
    return {row.invoice_id: (row, payable(_header(row), by_invoice.get(row.invoice_id, []), marks)) for row in rows}


async def _marks(tx: AsyncConnection, where: dict[str, Any]) -> Marks:
    found: dict[str, dict[str, set[str]]] = {"captured": {}, "claim": {}, "invoice": {}, "disputed": {}, "case": {}}
    for row in await tx.execute(_MARKS, where):
        found[row.kind].setdefault(row.id, set()).add(row.by)
    return Marks(found["invoice"], found["claim"], found["captured"], found["disputed"], found["case"])


def _header(row: Any) -> Header:
    return Header(row.invoice_id, row.version, row.status, row.payable_cents, frozenset(row.payment_ids))


def _line(row: Any) -> Line:
    return Line(
        row.line_id,
        row.claim_id,
        row.claim_version,
        row.claim_revision,
        row.payer_id,
        row.status,
        row.balance_cents,
        frozenset(row.payment_ids),
        row.payment_pending,
    )
