"""Copies of what others say, and what has been said of an invoice: a mail is decided from these when it is sent (BX-01)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import tables


async def named(tx: AsyncConnection, versions: Sequence[tuple[str, str, int]], payments: Sequence[tuple[str, str, str]] = ()) -> None:
    """Notes versions (practice, invoice, version) that a fact or dispute has named, and payments (practice, invoice, payment) read as captured."""
    statement = text(_NAMED)
    rows = [{"practice_id": p, "invoice_id": i, "version": v, "payments": []} for p, i, v in versions]
    rows += [{"practice_id": p, "invoice_id": i, "version": 0, "payments": [payment]} for p, i, payment in payments]
    for row in sorted(rows, key=lambda row: (row["practice_id"], row["invoice_id"])):
        await tx.execute(statement, row | {"payments": msgspec.json.encode(row["payments"]).decode()})


_NAMED = """
INSERT INTO known (practice_id, invoice_id, version, payments) VALUES (:practice_id, :invoice_id, :version, CAST(:payments AS jsonb))
ON CONFLICT (practice_id, invoice_id) DO UPDATE SET version = greatest(known.version, excluded.version),
  payments = CASE WHEN known.payments @> excluded.payments THEN known.payments ELSE known.payments || excluded.payments END
"""


async def body(tx: AsyncConnection, table: Table, practice_id: str, *key: str) -> dict[str, Any] | None:
    """A copy, or None while it has not arrived."""
    where = [column == value for column, value in zip(table.primary_key, (practice_id, *key), strict=True)]
    found: dict[str, Any] | None = (await tx.execute(select(table.c.body).where(*where))).scalar_one_or_none()
    return found


async def practice(tx: AsyncConnection, practice_id: str) -> dict[str, Any] | None:
    """The copy of a practice."""
    return await body(tx, tables.practices, practice_id)


async def recipients(tx: AsyncConnection, practice_id: str, account_id: str) -> list[dict[str, Any]]:
    """The contacts of an account who are registered now."""
    contact = tables.contacts.c
    found = await tx.execute(
        select(contact.body).where(contact.practice_id == practice_id, contact.account_id == account_id).order_by(contact.contact_id)
    )
    return [each for each in found.scalars() if each["status"] == "registered"]


def caught_up(invoice: Mapping[str, Any] | None, known: Any) -> bool:
    """Whether the copy has the highest version that anything has named, and names every payment whose capture was read."""
    if invoice is None:
        return False
    there = {payment["payment_id"] for payment in invoice["payments"]}
    return known is None or (invoice["version"] >= known.version and there >= set(known.payments))
