"""What staff pages list: accounts, invoices, holds, each in one query."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.store import Key
from services.invoicing.store.invoices import number_text
from shared.events.invoicing import InvoiceLineState
from shared.keyset import Cursor


@dataclass(frozen=True, slots=True)
class InvoiceFilter:
    """What a list of invoices is narrowed to; empty text narrows nothing."""

    account_id: str = ""
    status: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class InvoiceListed:
    """An invoice in a list; amounts in cents."""

    invoice_id: str
    number: int
    account_id: str
    account: str
    status: str
    first_billed_on: date
    due_on: date
    original_cents: int
    paid_cents: int
    held_cents: int
    balance_cents: int

    @property
    def number_text(self) -> str:
        return number_text(self.number)


@dataclass(frozen=True, slots=True)
class AccountListed:
    """An account in the list of accounts; amounts in cents."""

    account_id: str
    name: str
    payer_ids: str
    frequency: str
    next_run_on: date | None
    open_invoices: int
    overdue_cents: int
    balance_cents: int


@dataclass(frozen=True, slots=True)
class HoldListed:
    """A claim in the hold queue, by its earliest date to act."""

    claim_id: str
    act_by: date
    held_at: datetime
    code: str
    reason: str
    source: str
    account: str
    balance_cents: int
    holds: int


INVOICES = """
SELECT i.invoice_id, i.number, i.account_id, a.name AS account, i.status, i.first_billed_on, i.due_on, i.original_cents,
  (i.state->>'paid_cents')::bigint AS paid_cents, (i.state->>'held_cents')::bigint AS held_cents, i.balance_cents
FROM invoice i JOIN account a ON a.practice_id = i.practice_id AND a.account_id = i.account_id
WHERE i.practice_id = :practice_id AND (:account_id = '' OR i.account_id = :account_id) AND (:status = '' OR i.status = :status)
  AND (:number = '' OR i.number = CAST(nullif(:number, '') AS bigint))
"""


async def invoices(
    tx: AsyncConnection, practice_id: str, chosen: InvoiceFilter, limit: int, after: int | None, newer: bool = False
) -> list[InvoiceListed]:
    """Invoices, the highest number first; from `after` towards older ones, or read upwards towards newer ones."""
    sql = INVOICES + ("" if after is None else f" AND i.number {'>' if newer else '<'} :after")
    values: dict[str, Any] = {"practice_id": practice_id, "account_id": chosen.account_id, "status": chosen.status, "number": chosen.number}
    rows = await tx.execute(
        text(f"{sql} ORDER BY i.number {'ASC' if newer else 'DESC'} LIMIT :limit"),
        values | {"limit": limit} | ({} if after is None else {"after": after}),
    )
    return [InvoiceListed(*row) for row in rows]


async def accounts(tx: AsyncConnection, practice_id: str, search: str, limit: int, at: Cursor | None) -> list[AccountListed]:
    """Accounts by name, found by name or payer id, with what they owe; from `at` (name, account id) on, or back from it."""
    past, order, values = _past(at, "a.name", "a.account_id")
    rows = await tx.execute(
        text(
            "SELECT a.account_id, a.name, coalesce(p.ids, '') AS payer_ids, a.frequency, a.next_run_on, i.open_invoices, i.overdue_cents,"
            " i.balance_cents FROM account a"
            " CROSS JOIN LATERAL (SELECT string_agg(payer_id, ', ' ORDER BY payer_id) AS ids FROM account_payer"
            "  WHERE practice_id = a.practice_id AND account_id = a.account_id) p"
            " CROSS JOIN LATERAL (SELECT count(*)::int AS open_invoices, coalesce(sum(balance_cents), 0)::bigint AS balance_cents,"
            "   coalesce(sum(balance_cents) FILTER (WHERE status = 'overdue'), 0)::bigint AS overdue_cents"
            "  FROM invoice WHERE practice_id = a.practice_id AND account_id = a.account_id AND status <> 'closed') i"
            " WHERE a.practice_id = :practice_id AND (:search = '' OR a.name ILIKE '%' || :search || '%' OR p.ids LIKE '%' || :search || '%')"
            f" AND {past} ORDER BY {order} LIMIT :limit"
        ),
        {"practice_id": practice_id, "search": search, "limit": limit, **values},
    )
    return [AccountListed(*row) for row in rows]


def _past(at: Cursor | None, *by: str) -> tuple[str, str, dict[str, Any]]:
    """Condition, order and parameters of a list in rising order from a cursor on, or from its newer side backwards."""
    back = at is not None and at.newer
    order = ", ".join(f"{each} DESC" if back else each for each in by)
    if at is None:
        return "true", order, {}
    names = [f"past{n}" for n in range(len(by))]
    condition = f"({', '.join(by)}) {'<' if back else '>'} ({', '.join(':' + name for name in names)})"
    return condition, order, dict(zip(names, at.values, strict=True))


async def account_figures(tx: AsyncConnection, account: Key) -> dict[str, int]:
    """An account's balance, what of it is overdue, and how many of its claims are on HOLD."""
    row = (
        await tx.execute(
            text(
                "SELECT coalesce(sum(balance_cents), 0)::bigint AS balance, coalesce(sum(balance_cents) FILTER (WHERE status = 'overdue'), 0)::bigint"
                " AS overdue, coalesce(sum((state->>'held_claims')::int), 0)::int AS held FROM invoice"
                " WHERE practice_id = :p AND account_id = :a AND status <> 'closed'"
            ),
            {"p": account[0], "a": account[1]},
        )
    ).one()
    return dict(row._mapping)


async def hold_queue(tx: AsyncConnection, practice_id: str, limit: int, at: Cursor | None) -> Sequence[HoldListed]:
    """Claims on HOLD, the one to act on first at the top; from `at` (act by, held at, claim) on, or back from it."""
    past, order, values = _past(at, "q.act_by", "q.held_at", "q.claim_id")
    rows = await tx.execute(
        text(
            "SELECT q.claim_id, q.act_by, q.held_at, q.code, q.reason, q.source, coalesce(a.name, '') AS account,"
            " coalesce(l.balance_cents, c.total_cents, 0) AS balance_cents, q.holds FROM"
            " (SELECT practice_id, claim_id, min(act_by) AS act_by, min(held_at) AS held_at, count(*)::int AS holds,"
            "   (array_agg(kick_code ORDER BY act_by, hold_no))[1] AS code, (array_agg(reason ORDER BY act_by, hold_no))[1] AS reason,"
            "   (array_agg(source ORDER BY act_by, hold_no))[1] AS source"
            "  FROM hold WHERE practice_id = :practice_id AND closed_at IS NULL GROUP BY practice_id, claim_id) q"
            " LEFT JOIN claim c ON c.practice_id = q.practice_id AND c.claim_id = q.claim_id"
            " LEFT JOIN invoice_line l ON l.practice_id = q.practice_id AND l.claim_id = q.claim_id AND NOT l.withdrawn"
            " LEFT JOIN account_payer p ON p.practice_id = c.practice_id AND p.payer_id = c.payer_id AND c.payer_kind = 'corporate'"
            " LEFT JOIN account a ON a.practice_id = p.practice_id AND a.account_id = p.account_id"
            f" WHERE {past} ORDER BY {order} LIMIT :limit"
        ),
        {"practice_id": practice_id, "limit": limit, **values},
    )
    return [HoldListed(*row) for row in rows]


def hold_key(row: HoldListed) -> tuple[date, datetime, str]:
    """A claim's place in the hold queue."""
    return row.act_by, row.held_at, row.claim_id


async def hold_count(tx: AsyncConnection, practice_id: str) -> int:
    """How many claims wait for staff: the number in the header."""
    found = text("SELECT count(DISTINCT claim_id) FROM hold WHERE practice_id = :p AND closed_at IS NULL")
    return int((await tx.execute(found, {"p": practice_id})).scalar_one())


async def notes(tx: AsyncConnection, claim: Key) -> list[dict[str, Any]]:
    """What happened to a claim, newest first."""
    found = text("SELECT at, who, what, move FROM claim_note WHERE practice_id = :p AND claim_id = :c ORDER BY at DESC, note_id DESC LIMIT 100")
    return [dict(row._mapping) for row in await tx.execute(found, {"p": claim[0], "c": claim[1]})]


async def invoice_lines(tx: AsyncConnection, invoice: Key, limit: int, after: tuple[str, str] = ("", "")) -> list[InvoiceLineState]:
    """The lines of an invoice as they were last published, by service date and claim; from `after` (date, line id) on."""
    found = text(
        "SELECT state FROM invoice_line WHERE practice_id = :p AND invoice_id = :i AND (state->>'service_date', line_id) > (:on, :line)"
        " ORDER BY state->>'service_date', line_id LIMIT :limit"
    )
    values = {"p": invoice[0], "i": invoice[1], "on": after[0], "line": after[1], "limit": limit}
    return [msgspec.convert(row.state, InvoiceLineState) for row in await tx.execute(found, values)]
