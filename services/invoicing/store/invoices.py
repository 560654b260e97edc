"""Invoices, their lines and sendings: what was published last, and what is to be published next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.invoice import Invoice, Totals, Turn
from services.invoicing.domain.money import Money
from services.invoicing.store import WANT, Key, as_json, joined, keyed, rewrite
from services.invoicing.tables import invoice, invoice_line
from shared.db import fetch
from shared.events.invoicing import InvoiceLineState, InvoiceState, Issue, Mask

AMOUNTS = ("charged_cents", "paid_cents", "adjusted_cents", "transferred_in_cents", "transferred_out_cents", "balance_cents")
PUBLISHED = ("status", "dispute_id", *AMOUNTS)


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line as it stands; `state` is None before it was first published."""

    practice_id: str
    line_id: str
    invoice_id: str
    claim_id: str
    payer_id: str
    withdrawn: bool
    held: bool
    dispute_id: str | None
    due_on: date
    mask: Mask
    state: InvoiceLineState | None

    @property
    def claim(self) -> Key:
        return self.practice_id, self.claim_id

    @property
    def invoice(self) -> Key:
        return self.practice_id, self.invoice_id


def number_text(number: int) -> str:
    """Invoice numbers have at least six digits."""
    return f"{number:06d}"


async def lines_of(tx: AsyncConnection, claims: Iterable[Key]) -> list[LineRow]:
    """All lines of these claims, withdrawn ones too."""
    # The lines come first: with few statistics, as of a young table, the planner goes through all lines of every invoice instead.
    rows = await fetch(
        tx,
        f"WITH l AS MATERIALIZED (SELECT l.* FROM {WANT}{joined('invoice_line', 'l', 'claim_id')}) SELECT l.*, i.due_on, a.mask FROM l"
        " JOIN invoice i ON i.practice_id = l.practice_id AND i.invoice_id = l.invoice_id"
        " JOIN account a ON a.practice_id = i.practice_id AND a.account_id = i.account_id"
        " ORDER BY l.practice_id, l.line_id",
        keyed(claims),
    )
    return [_line(row) for row in rows]


def _line(row: Any) -> LineRow:
    return LineRow(
        row.practice_id, row.line_id, row.invoice_id, row.claim_id, row.payer_id, row.withdrawn, row.held, row.dispute_id, row.due_on,
        msgspec.convert(row.mask, Mask), msgspec.convert(row.state, InvoiceLineState) if row.state else None,
    )  # fmt: skip


async def claims_on(tx: AsyncConnection, invoices: Iterable[Key]) -> set[Key]:
    """The claims that have a line on these invoices."""
    rows = await fetch(
        tx,
        f"SELECT l.practice_id, l.claim_id FROM {WANT}{joined('invoice_line', 'l', 'invoice_id')}",
        keyed(invoices),
    )
    return {(row.practice_id, row.claim_id) for row in rows}


async def save_lines(tx: AsyncConnection, changed: Sequence[tuple[LineRow, InvoiceLineState]]) -> None:
    """Lines with what is published of them."""
    rows = []
    for line, state in changed:
        same = {"practice_id": line.practice_id, "line_id": line.line_id, "withdrawn": line.withdrawn, "held": line.held}
        rows.append(same | {name: getattr(state, name) for name in PUBLISHED} | {"state": state})
    await rewrite(tx, invoice_line, rows)


INVOICE = (
    "i.*, a.overdue_again_days, CASE WHEN a.reissue_restarts_terms THEN a.net_days END AS restart_days,"
    " (SELECT jsonb_agg(jsonb_build_object('no', s.no, 'kind', s.kind, 'on', s.on, 'total_cents', s.total_cents) ORDER BY s.no)"
    "  FROM issue s WHERE s.practice_id = i.practice_id AND s.invoice_id = i.invoice_id) AS issues"
)
FROM_INVOICE = (
    f" FROM {WANT}{joined('invoice', 'i', 'invoice_id')}"
    " JOIN account a ON a.practice_id = i.practice_id AND a.account_id = i.account_id"
)


async def find(tx: AsyncConnection, invoices: Iterable[Key]) -> dict[Key, Invoice]:
    """Invoices as they stand."""
    rows = await fetch(tx, f"SELECT {INVOICE}{FROM_INVOICE} ORDER BY i.practice_id, i.invoice_id", keyed(invoices))
    return {(row.practice_id, row.invoice_id): _invoice(row) for row in rows}


def _invoice(row: Any) -> Invoice:
    return Invoice(
        row.practice_id, row.invoice_id, number_text(row.number), row.account_id, row.status, row.first_billed_on, row.last_billed_on, row.due_on,
        row.overdue_on, row.overdue_told_on, row.closing_no, row.original_cents, row.overdue_again_days, row.restart_days, row.trace,
        msgspec.convert(row.state, InvoiceState) if row.state else None,
        tuple(msgspec.convert(row.issues, list[Issue])) if row.issues else (),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Named:
    """A payment that names an invoice, or a claim which now lives on it: money follows the claim."""

    payment_id: str
    asked_cents: int
    applied_cents: int


@dataclass(frozen=True, slots=True)
class Whole:
    """An invoice, the sums over its live lines (pending payments not yet subtracted), and the payments that name it."""

    invoice: Invoice
    totals: Totals
    named: tuple[Named, ...]


# All that decides about an invoice in one statement: every batch asks it.
WHOLE = f"""
SELECT {INVOICE}, sums.*,
  (SELECT jsonb_agg(each ORDER BY each.payment_id) FROM (
     SELECT n.payment_id, sum(n.asked_cents) AS asked_cents, coalesce(sum(c.applied_cents), 0) AS applied_cents
     FROM (SELECT p.payment_id, p.claim_id, p.asked_cents FROM payment_claim p
           WHERE p.practice_id = i.practice_id AND p.invoice_id = i.invoice_id
           UNION SELECT p.payment_id, p.claim_id, p.asked_cents
           FROM invoice_line l JOIN payment_claim p ON p.practice_id = l.practice_id AND p.claim_id = l.claim_id
           WHERE l.practice_id = i.practice_id AND l.invoice_id = i.invoice_id AND l.moved AND NOT l.withdrawn) n
     LEFT JOIN payment_posting_claim c ON c.practice_id = i.practice_id AND c.payment_id = n.payment_id AND c.claim_id = n.claim_id
     GROUP BY n.payment_id) each) AS named
{FROM_INVOICE}
CROSS JOIN LATERAL (
  SELECT count(*) AS claims, count(*) FILTER (WHERE l.held) AS held_claims,
    coalesce(sum(l.charged_cents), 0)::bigint AS charged, coalesce(sum(l.paid_cents), 0)::bigint AS paid,
    coalesce(sum(l.adjusted_cents), 0)::bigint AS adjusted, coalesce(sum(l.transferred_in_cents), 0)::bigint AS moved_in,
    coalesce(sum(l.transferred_out_cents), 0)::bigint AS moved_out, coalesce(sum(l.balance_cents) FILTER (WHERE l.held), 0)::bigint AS held
  FROM invoice_line l WHERE l.practice_id = i.practice_id AND l.invoice_id = i.invoice_id AND NOT l.withdrawn) sums
ORDER BY i.practice_id, i.invoice_id
"""


async def whole(tx: AsyncConnection, invoices: Iterable[Key]) -> dict[Key, Whole]:
    """Invoices with their sums and payments."""
    rows = await fetch(tx, WHOLE, keyed(invoices))
    return {(row.practice_id, row.invoice_id): _whole(row) for row in rows}


def _whole(r: Any) -> Whole:
    money = Money(r.charged, r.paid, r.adjusted, r.moved_in, r.moved_out)
    return Whole(_invoice(r), Totals(r.claims, r.held_claims, money, r.held), tuple(msgspec.convert(r.named or (), list[Named])))


async def save(tx: AsyncConnection, turns: Sequence[Turn]) -> None:
    """Headers of invoices with what is published of them."""
    rows = [
        {
            "practice_id": turn.state.practice_id,
            "invoice_id": turn.state.invoice_id,
            "status": turn.state.status,
            "last_billed_on": turn.state.last_billed_on,
            "due_on": turn.state.due_on,
            "overdue_on": turn.state.overdue_on,
            "overdue_told_on": turn.told_on,
            "closing_no": turn.state.closing_no,
            "balance_cents": turn.state.balance_cents,
            "state": turn.state,
        }
        for turn in turns
    ]
    await rewrite(tx, invoice, rows)


async def stop_reissues(tx: AsyncConnection, closing: Iterable[Key]) -> None:
    """A closing invoice is not sent again: its re-dropped claims wait no longer."""
    wanted = keyed(closing)
    lines = f"{WANT}{joined('invoice_line', 'l', 'invoice_id')} AND NOT l.withdrawn"
    await fetch(
        tx,
        "UPDATE claim SET redrop_version = NULL, redrop_revision = NULL, redrop_write_offs = NULL, reissue_on = NULL"
        f" WHERE reissue_on IS NOT NULL AND (practice_id, claim_id) IN (SELECT l.practice_id, l.claim_id FROM {lines})",
        wanted,
    )
    await fetch(
        tx,
        f"UPDATE invoice_line SET held = false WHERE (practice_id, line_id) IN (SELECT l.practice_id, l.line_id FROM {lines} AND l.held)"
        " AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.practice_id = invoice_line.practice_id AND h.claim_id = invoice_line.claim_id"
        "  AND h.closed_at IS NULL)",
        wanted,
    )


async def freeze(tx: AsyncConnection, key: Key, issue: Issue, head: Mapping[str, object]) -> None:
    """A sending with everything its paper shows: `head`, and the live lines as they are published now."""
    await fetch(
        tx,
        'INSERT INTO issue (practice_id, invoice_id, no, kind, "on", total_cents, frozen)'
        " SELECT :practice_id, :invoice_id, :no, :kind, :on, :total_cents, CAST(:head AS jsonb) || jsonb_build_object('lines',"
        " (SELECT coalesce(jsonb_agg(l.state ORDER BY l.state->>'service_date', l.claim_id), '[]') FROM invoice_line l"
        "  WHERE l.practice_id = :practice_id AND l.invoice_id = :invoice_id AND NOT l.withdrawn))",
        {
            "practice_id": key[0],
            "invoice_id": key[1],
            "no": issue.no,
            "kind": issue.kind,
            "on": issue.on,
            "total_cents": issue.total_cents,
            "head": as_json(head),
        },
    )


async def add(tx: AsyncConnection, new: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    """A new invoice with its lines, all of which `settle` fills in and publishes in the same transaction."""
    await tx.execute(insert(invoice).values(status="due", last_billed_on=new["first_billed_on"], closing_no=0, balance_cents=0, **new))
    empty = {"withdrawn": False, "held": False, "status": "closed", **dict.fromkeys(AMOUNTS, 0)}
    await tx.execute(insert(invoice_line), [{**line, **empty} for line in lines])


async def past_due(tx: AsyncConnection, practice_id: str, today: date) -> list[Key]:
    """Open invoices whose due-by has passed."""
    rows = await fetch(
        tx,
        "SELECT invoice_id FROM invoice WHERE practice_id = :practice_id AND status <> 'closed' AND due_on < :today ORDER BY invoice_id",
        {"practice_id": practice_id, "today": today},
    )
    return [(practice_id, row.invoice_id) for row in rows]


@dataclass(frozen=True, slots=True)
class At:
    """Where a claim is: its line and invoice."""

    line_id: str
    invoice_id: str
    number: str
    claim_id: str
    withdrawn: bool
    balance_cents: int


AT = (
    "SELECT l.line_id, l.invoice_id, i.number, l.claim_id, l.withdrawn, l.balance_cents"
    " FROM invoice_line l JOIN invoice i USING (practice_id, invoice_id)"
)


def _at(rows: Sequence[Any]) -> At | None:
    return next((At(row.line_id, row.invoice_id, number_text(row.number), row.claim_id, row.withdrawn, row.balance_cents) for row in rows), None)


async def live_line(tx: AsyncConnection, claim: Key) -> At | None:
    """The claim's one live line."""
    found = f"{AT} WHERE l.practice_id = :practice_id AND l.claim_id = :id AND NOT l.withdrawn"
    return _at(await fetch(tx, found, {"practice_id": claim[0], "id": claim[1]}))


async def line(tx: AsyncConnection, key: Key) -> At | None:
    """A line by its own id."""
    found = f"{AT} WHERE l.practice_id = :practice_id AND l.line_id = :id"
    return _at(await fetch(tx, found, {"practice_id": key[0], "id": key[1]}))


async def line_version(tx: AsyncConnection, key: Key) -> int:
    """The version of a line as last published; 0 for none."""
    found = "SELECT state->'version' AS version FROM invoice_line WHERE practice_id = :practice_id AND line_id = :id"
    return next((int(row.version or 0) for row in await fetch(tx, found, {"practice_id": key[0], "id": key[1]})), 0)


async def version(tx: AsyncConnection, key: Key) -> int:
    """The version of an invoice as last published; 0 for none."""
    found = "SELECT state->'version' AS version FROM invoice WHERE practice_id = :practice_id AND invoice_id = :id"
    return next((int(row.version or 0) for row in await fetch(tx, found, {"practice_id": key[0], "id": key[1]})), 0)


async def of_account(tx: AsyncConnection, account: Key) -> list[Key]:
    """All invoices of an account."""
    found = "SELECT invoice_id FROM invoice WHERE practice_id = :practice_id AND account_id = :id ORDER BY invoice_id"
    return [(account[0], row.invoice_id) for row in await fetch(tx, found, {"practice_id": account[0], "id": account[1]})]
