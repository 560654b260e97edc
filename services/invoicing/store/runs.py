"""What a billing run finds: claims that nobody was asked for yet. And the list of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.store import Key
from services.invoicing.tables import billing_run

# Corporate claims on no live line that the other system did not withdraw.
OPEN = """
FROM claim c
LEFT JOIN claim_mark m ON m.practice_id = c.practice_id AND m.claim_id = c.claim_id
{payer} JOIN account_payer p ON p.practice_id = c.practice_id AND p.payer_id = c.payer_id
WHERE c.practice_id = :practice_id AND c.payer_kind = 'corporate' AND c.total_cents > 0 AND coalesce(m.void_version, 0) <= c.version
  AND NOT EXISTS (SELECT 1 FROM invoice_line l WHERE l.practice_id = c.practice_id AND l.claim_id = c.claim_id AND NOT l.withdrawn)
"""
HELD = "EXISTS (SELECT 1 FROM hold h WHERE h.practice_id = c.practice_id AND h.claim_id = c.claim_id AND h.closed_at IS NULL)"


@dataclass(frozen=True, slots=True)
class Draft:
    """A claim before its invoice, for previews and work lists."""

    claim_id: str
    payer_id: str
    patient: str
    service_date: date
    billed_on: date
    total_cents: int
    held: bool
    left_out: bool


async def candidates(tx: AsyncConnection, account: Key, today: date, first: date, last: date) -> list[Key]:
    """Claims that a run of this day takes for an account, before their open money is looked at."""
    found = text(
        f"SELECT c.claim_id {OPEN.format(payer='')} AND p.account_id = :account_id AND NOT c.left_out AND NOT {HELD}"
        " AND c.billed_on <= :today AND c.service_date BETWEEN :first AND :last ORDER BY c.claim_id"
    )
    values = {"practice_id": account[0], "account_id": account[1], "today": today, "first": first, "last": last}
    return [(account[0], row.claim_id) for row in await tx.execute(found, values)]


async def drafts(tx: AsyncConnection, account: Key, limit: int, after: tuple[date, str] = (date.min, "")) -> list[Draft]:
    """Claims that wait for this account's runs, those too that the next one leaves out; from `after` (service date, claim) on."""
    which = OPEN.format(payer="") + " AND p.account_id = :account_id AND (c.service_date, c.claim_id) > (:day, :claim)"
    return await _drafts(tx, which, account[0], limit, {"account_id": account[1], "day": after[0], "claim": after[1]})


async def nobody_pays(tx: AsyncConnection, practice_id: str, limit: int, after: str = "") -> list[Draft]:
    """Corporate claims whose payer id no account has."""
    return await _drafts(
        tx, OPEN.format(payer="LEFT") + " AND p.payer_id IS NULL AND c.claim_id > :after", practice_id, limit, {"after": after}, "c.claim_id"
    )


async def _drafts(
    tx: AsyncConnection, which: str, practice_id: str, limit: int, values: dict[str, Any], order: str = "c.service_date, c.claim_id"
) -> list[Draft]:
    rows = await tx.execute(
        text(
            "SELECT c.claim_id, c.payer_id, c.given_name || ' ' || c.family_name AS patient, c.service_date, c.billed_on, c.total_cents,"
            f" {HELD} AS held, c.left_out {which} ORDER BY {order} LIMIT :limit"
        ),
        {"practice_id": practice_id, "limit": limit, **values},
    )
    return [Draft(*row) for row in rows]


async def add(tx: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Notes a run; the daily one of a day grows by what is added to it."""
    new = insert(billing_run).values(**values)
    grown = {name: billing_run.c[name] + new.excluded[name] for name in ("invoices", "claims", "total_cents")}
    await tx.execute(new.on_conflict_do_update(index_elements=["practice_id", "local_date"], index_where=text("kind = 'daily'"), set_=grown))


async def newest(tx: AsyncConnection, practice_id: str, limit: int) -> Sequence[dict[str, Any]]:
    """The last runs that made invoices."""
    rows = await tx.execute(
        text("SELECT * FROM billing_run WHERE practice_id = :p AND invoices > 0 ORDER BY at DESC LIMIT :limit"), {"p": practice_id, "limit": limit}
    )
    return [dict(row._mapping) for row in rows]
