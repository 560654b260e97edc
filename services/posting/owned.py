"""What posting owns and says, from its tables: to be said again to a new reader."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import store, tables
from services.posting.handlers.publish import balances_of, credit_of, payment_of
from shared.events.posting import CLAIM_BALANCES, CREDIT_STATE, PAYMENT_STATE
from shared.service import Service


def register(service: Service) -> None:
    """Balances first, as payments name their versions."""
    service.own(CLAIM_BALANCES, tables.claims, _balances)
    service.own(PAYMENT_STATE, tables.payments, _payments)
    service.own(CREDIT_STATE, tables.credits, _credits)


async def _balances(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
    known = [(row.practice_id, row.claim_id) for row in rows if row.version]
    books = store.Books({})
    await store.load_claims(tx, books, known)
    entries = await store.newest_entries(tx, known)
    return [balances_of(books.claims[key], entries.get(key, []), books.totals[key]) for key in known]


async def _payments(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
    books = store.Books({})
    await store.load_payments(tx, books, [(row.practice_id, row.payment_id) for row in rows if row.source != "check"])
    return [payment_of(books, key) for key in sorted(books.payments)]


async def _credits(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
    return [credit_of(row.practice_id, row.holder, row.version, row.credit_cents) for row in rows]
