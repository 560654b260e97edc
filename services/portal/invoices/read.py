"""Lists and single things of the read model, as pages and the API show them. One statement each."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.invoicing import InvoiceLineState, InvoiceState
from shared.keyset import Cursor

PAGE = 25
CLAIMS_PAGE = 50
SORTS = {"date": "first_billed_on", "due": "due_on", "number": "number", "total": "original_cents", "balance": "balance_cents"}
SORT_TYPES: dict[str, type] = {"date": date, "due": date, "number": str, "total": int, "balance": int}
STATUSES = ("due", "overdue", "in_review", "pending", "closed")

# Own marks, by claim, on whatever invoice the claim is now. They are few: they live for seconds, or while a charge is unknown.
_OWN = (
    "WITH taken AS (SELECT l.invoice_id FROM lines l JOIN (SELECT practice_id, claim_id FROM live_claims WHERE practice_id = :practice_id"
    "  UNION ALL SELECT practice_id, claim_id FROM payment_marks WHERE practice_id = :practice_id) m"
    "  ON m.practice_id = l.practice_id AND m.claim_id = l.claim_id WHERE l.status <> 'withdrawn'"
    "  UNION SELECT invoice_id FROM live_invoices WHERE practice_id = :practice_id),"
    " own_disputes AS (SELECT l.invoice_id, sum(l.balance_cents)::bigint AS cents FROM dispute_marks m"
    "  JOIN lines l ON l.practice_id = m.practice_id AND l.claim_id = m.claim_id"
    "  WHERE m.practice_id = :practice_id AND l.status IN ('due', 'overdue') GROUP BY l.invoice_id),"
    " shown AS NOT MATERIALIZED (SELECT i.*, coalesce(d.cents, 0) AS own_held_cents,"
    "  CASE WHEN i.status = 'closed' THEN 'closed' WHEN i.status = 'pending' OR t.invoice_id IS NOT NULL THEN 'pending'"
    "   WHEN d.invoice_id IS NOT NULL THEN 'in_review' ELSE i.status END AS shown_status"
    "  FROM invoices i LEFT JOIN taken t ON t.invoice_id = i.invoice_id LEFT JOIN own_disputes d ON d.invoice_id = i.invoice_id"
    "  WHERE i.practice_id = :practice_id AND i.account_id = :account_id)"
)
_SUMMARY = text(
    _OWN + " SELECT count(*) AS invoices,"
    " coalesce(sum(balance_cents), 0)::bigint AS open_cents,"
    " count(*) FILTER (WHERE shown_status = 'overdue') AS overdue,"
    " coalesce(sum(balance_cents) FILTER (WHERE shown_status = 'overdue'), 0)::bigint AS overdue_cents,"
    " count(*) FILTER (WHERE shown_status = 'pending') AS pending,"
    " coalesce(sum(balance_cents) FILTER (WHERE shown_status = 'pending'), 0)::bigint AS pending_cents,"
    " count(*) FILTER (WHERE shown_status = 'in_review') AS in_review,"
    " coalesce(sum(held_cents + own_held_cents) FILTER (WHERE shown_status = 'in_review'), 0)::bigint AS in_review_cents,"
    " (SELECT min(act_by) FROM cases k WHERE k.practice_id = :practice_id AND k.account_id = :account_id AND k.status = 'open') AS act_by,"
    " (SELECT coalesce(sum(c.credit_cents), 0)::bigint FROM credits c JOIN accounts a ON a.practice_id = c.practice_id"
    "   WHERE c.practice_id = :practice_id AND a.account_id = :account_id AND c.kind = 'corporate' AND c.payer_id = ANY(a.payer_ids)) AS credit_cents"
    " FROM shown WHERE balance_cents > 0"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What of an account's invoices is wanted, and in which order; `down` is largest or newest first."""

    status: str = ""
    since: date | None = None
    until: date | None = None
    number: str = ""
    sort: str = "date"
    down: bool = True


async def invoices(tx: AsyncConnection, practice_id: str, account_id: str, person_id: str, wanted: Filter, at: Cursor | None) -> list[Any]:
    """One page of invoices and one row more, with `in_cart`, and `total`: how many match (counted up to 1,001)."""
    column = SORTS[wanted.sort]
    forward = wanted.down != (at is not None and at.newer)
    conditions, values = ["true"], {"practice_id": practice_id, "account_id": account_id, "person_id": person_id, "limit": PAGE + 1}
    for condition, name, value in (
        ("shown_status = :status", "status", wanted.status),
        ("first_billed_on >= :since", "since", wanted.since),
        ("first_billed_on <= :until", "until", wanted.until),
        ("starts_with(number, :number)", "number", wanted.number),
    ):
        if value:
            conditions.append(condition)
            values[name] = value
    matching = " AND ".join(conditions)
    place = f"({column}, invoice_id) {'<' if forward else '>'} (:value, :id)" if at else "true"
    if at:
        values |= {"value": at.values[0], "id": at.values[1]}
    order = "DESC" if forward else "ASC"
    rows = await tx.execute(
        text(
            _OWN + f" SELECT s.*, EXISTS (SELECT 1 FROM carts c WHERE c.practice_id = s.practice_id AND c.person_id = :person_id"
            " AND c.account_id = s.account_id AND c.invoice_id = s.invoice_id) AS in_cart,"
            f" (SELECT count(*) FROM (SELECT 1 FROM shown WHERE {matching} LIMIT 1001) AS matching) AS total"
            f" FROM shown s WHERE {matching} AND {place} ORDER BY {column} {order}, invoice_id {order} LIMIT :limit"
        ),
        values,
    )
    return list(rows)


async def summary(tx: AsyncConnection, practice_id: str, account_id: str) -> Any:
    """An account's open points: counts and sums of its open invoices by shown status, its credit, when the next answer is due."""
    return (await tx.execute(_SUMMARY, {"practice_id": practice_id, "account_id": account_id})).one()


async def invoice(tx: AsyncConnection, practice_id: str, account_id: str, invoice_id: str, person_id: str) -> Any:
    """One invoice of this account as it is shown, or None."""
    rows = await tx.execute(
        text(
            _OWN + " SELECT s.*, EXISTS (SELECT 1 FROM carts c WHERE c.practice_id = s.practice_id AND c.person_id = :person_id"
            " AND c.account_id = s.account_id AND c.invoice_id = s.invoice_id) AS in_cart,"
            " (SELECT body FROM accounts a WHERE a.practice_id = s.practice_id AND a.account_id = s.account_id) AS account"
            " FROM shown s WHERE invoice_id = :invoice_id"
        ),
        {"practice_id": practice_id, "account_id": account_id, "invoice_id": invoice_id, "person_id": person_id},
    )
    return rows.one_or_none()


async def claims(tx: AsyncConnection, practice_id: str, invoice_id: str, after: tuple[str, str] | None, line_id: str = "") -> list[Any]:
    """Claims of an invoice in the order of their numbers, one page and one row more; or only the one of `line_id`.

    `disputed` and `paying` are our own marks, `act_by` the day by which an open dispute is answered.
    """
    place = "(l.claim_id, l.line_id) > (:claim_id, :last)" if after else "l.line_id = :line_id" if line_id else "true"
    rows = await tx.execute(
        text(
            "SELECT l.*,"
            " EXISTS (SELECT 1 FROM dispute_marks m WHERE m.practice_id = l.practice_id AND m.claim_id = l.claim_id) AS disputed,"
            " EXISTS (SELECT 1 FROM live_claims v WHERE v.practice_id = l.practice_id AND v.claim_id = l.claim_id)"
            "  OR EXISTS (SELECT 1 FROM payment_marks m WHERE m.practice_id = l.practice_id AND m.claim_id = l.claim_id) AS paying,"
            " (SELECT min(act_by) FROM cases k WHERE k.practice_id = l.practice_id AND k.claim_id = l.claim_id AND k.status = 'open') AS act_by"
            f" FROM lines l WHERE l.practice_id = :practice_id AND l.invoice_id = :invoice_id AND {place}"
            " ORDER BY l.claim_id, l.line_id LIMIT :limit"
        ),
        {"practice_id": practice_id, "invoice_id": invoice_id, "limit": CLAIMS_PAGE + 1}
        | ({"claim_id": after[0], "last": after[1]} if after else {})
        | ({"line_id": line_id} if line_id and not after else {}),
    )
    return list(rows)


async def numbers(tx: AsyncConnection, practice_id: str, account_id: str, invoice_ids: list[str]) -> dict[str, str]:
    """Id → number of those of these invoices that belong to the account."""
    found = text(
        "SELECT invoice_id, number FROM invoices WHERE practice_id = :practice_id AND account_id = :account_id AND invoice_id IN :ids"
    ).bindparams(bindparam("ids", expanding=True))
    rows = await tx.execute(found, {"practice_id": practice_id, "account_id": account_id, "ids": invoice_ids})
    return {row.invoice_id: row.number for row in rows}


def state_of(row: Any) -> InvoiceState:
    """The published state behind an invoice's row."""
    return msgspec.convert(row.body, InvoiceState)


def line_of(row: Any) -> InvoiceLineState:
    """The published state behind a line's row."""
    return msgspec.convert(row.body, InvoiceLineState)


async def logo(tx: AsyncConnection, practice_id: str) -> str | None:
    """The id of a practice's logo: the only document that everybody may see."""
    found = text("SELECT body -> 'brand' ->> 'logo_id' FROM practices WHERE practice_id = :practice_id")
    return (await tx.execute(found, {"practice_id": practice_id})).scalar_one_or_none()
