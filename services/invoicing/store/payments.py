"""Captured card payments, and how far posting and our balance copies have them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import msgspec
from sqlalchemy import delete, insert, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.invoice import payment_standing
from services.invoicing.store import WANT, Key, joined, keyed, plain
from services.invoicing.tables import balance, payment, payment_claim, payment_posting, payment_posting_claim
from shared.db import fetch
from shared.events.portal import PaymentCaptured
from shared.events.posting import ClaimBalances, PaymentState
from shared.state import forget, keep_newer

Standing = Literal["pending", "posted"]


@dataclass(frozen=True, slots=True)
class Stands:
    """How a payment stands, and its day."""

    standing: Standing
    on: date


async def add(tx: AsyncConnection, part: PaymentCaptured) -> None:
    """A part of a captured payment; a repeated part changes nothing."""
    head = {name: getattr(part, name) for name in ("practice_id", "payment_id", "part", "parts", "local_date", "account_id", "amount_cents")}
    await tx.execute(upsert(payment).values(head).on_conflict_do_nothing())
    rows = [
        {
            "practice_id": part.practice_id,
            "payment_id": part.payment_id,
            "claim_id": paid.claim_id,
            "invoice_id": of.invoice_id,
            "asked_cents": paid.amount_cents,
        }
        for of in part.invoices
        for paid in of.claims
    ]
    await tx.execute(upsert(payment_claim).on_conflict_do_nothing(), rows)


async def keep_postings(tx: AsyncConnection, states: Sequence[PaymentState]) -> None:
    """Copies of payment.state, and of the claims that the newer ones name."""
    rows = [{"practice_id": s.practice_id, "payment_id": s.payment_id, "version": s.version, "state": plain(s)} for s in states]
    stored = await keep_newer(tx, payment_posting, rows)
    kept = {(row["practice_id"], row["payment_id"]): msgspec.convert(row["state"], PaymentState) for row in stored}
    if kept:
        await tx.execute(
            delete(payment_posting_claim).where(tuple_(payment_posting_claim.c.practice_id, payment_posting_claim.c.payment_id).in_(sorted(kept)))
        )
    claims = [
        {
            "practice_id": state.practice_id,
            "payment_id": state.payment_id,
            "claim_id": each.claim_id,
            "applied_cents": each.applied_cents,
            "balances_version": each.balances_version,
        }
        for state in kept.values()
        for each in state.claims
    ]
    if claims:
        await tx.execute(insert(payment_posting_claim), claims)


async def keep_balances(tx: AsyncConnection, states: Sequence[ClaimBalances]) -> None:
    """Copies of claim.balances.state."""
    rows = [{"practice_id": s.practice_id, "claim_id": s.claim_id, "version": s.version, "state": plain(s)} for s in states]
    await keep_newer(tx, balance, rows)


async def forget_balances(tx: AsyncConnection, keys: Sequence[Key]) -> None:
    await forget(tx, balance, keys)


async def claims_of(tx: AsyncConnection, payments: Iterable[Key]) -> dict[Key, Key]:
    """The claims that these payments name, each with one payment that does."""
    found = f"SELECT p.practice_id, p.claim_id, p.payment_id FROM {WANT}{joined('payment_claim', 'p', 'payment_id')}"
    return {(row.practice_id, row.claim_id): (row.practice_id, row.payment_id) for row in await fetch(tx, found, keyed(payments))}


async def waited_for(tx: AsyncConnection, states: Iterable[ClaimBalances]) -> set[Key]:
    """The payments that wait for these balances: ask before they are kept, and look at such a payment as a whole afterwards."""
    wanted = keyed((state.practice_id, state.claim_id) for state in states)
    rows = await fetch(
        tx,
        f"SELECT DISTINCT c.practice_id, c.payment_id FROM {WANT}{joined('payment_posting_claim', 'c', 'claim_id')}"
        " LEFT JOIN balance b ON b.practice_id = c.practice_id AND b.claim_id = c.claim_id"
        " WHERE coalesce(b.version, 0) < c.balances_version",
        wanted,
    )
    return {(row.practice_id, row.payment_id) for row in rows}


async def standings(tx: AsyncConnection, payments: Iterable[Key]) -> dict[Key, Stands]:
    """How each payment stands: pending until posting is complete and every balance copy has what posting named."""
    wanted = keyed(payments)
    if not wanted["ids"]:
        return {}
    rows = await fetch(
        tx,
        "SELECT p.practice_id, p.payment_id, count(*) AS heard, max(p.parts) AS parts, min(p.local_date) AS on_day,"
        " (array_agg(s.state))[1] AS state,"
        " (SELECT count(*) FROM payment_posting_claim c LEFT JOIN balance b ON b.practice_id = c.practice_id AND b.claim_id = c.claim_id"
        "   WHERE c.practice_id = p.practice_id AND c.payment_id = p.payment_id AND coalesce(b.version, 0) < c.balances_version) AS behind"
        f" FROM {WANT}{joined('payment', 'p', 'payment_id')}"
        " LEFT JOIN payment_posting s ON s.practice_id = p.practice_id AND s.payment_id = p.payment_id"
        " GROUP BY p.practice_id, p.payment_id",
        wanted,
    )
    return {(row.practice_id, row.payment_id): Stands(_standing(row), row.on_day) for row in rows}


def _standing(row: Any) -> Standing:
    state = msgspec.convert(row.state, PaymentState) if row.state else None
    return payment_standing(row.heard, row.parts, state, row.behind)
