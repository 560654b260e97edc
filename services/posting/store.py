"""Posting's books: claim accounts and payments as they stand, loaded under lock in sorted key order, and what a transaction changed in them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, Table, column, func, select, text, tuple_, values
from sqlalchemy import Text as SqlText
from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import rows, tables
from services.posting.domain.claim import Account, Claim, Column, Entry, Kind, Payer, legs
from services.posting.domain.payment import Payment, Share
from shared import ids
from shared.clock import local_date
from shared.db import copy, write_changes

Key = tuple[str, str]
NEWEST = 100  # entries that claim.balances.state carries


@dataclass(frozen=True, slots=True)
class Posted:
    """An entry with its place in the books."""

    entry_id: str
    key: Key
    entry: Entry
    batch_id: str | None


@dataclass
class Books:
    """What one transaction works on. `claims` and `payments` are as now, the `stored_` ones as loaded."""

    days: Mapping[str, date]
    claims: dict[Key, Claim] = field(default_factory=dict)
    payments: dict[Key, Payment] = field(default_factory=dict)
    shares: dict[Key, dict[str, Share]] = field(default_factory=dict)
    traces: dict[Key, str | None] = field(default_factory=dict)
    posted: list[Posted] = field(default_factory=list)
    money_legs: list[dict[str, Any]] = field(default_factory=list)
    details: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    stored_claims: dict[Key, Claim] = field(default_factory=dict)
    stored_payments: dict[Key, Payment] = field(default_factory=dict)
    stored_shares: dict[Key, dict[str, Share]] = field(default_factory=dict)
    totals: dict[Key, int] = field(default_factory=dict)

    def enter(self, key: Key, claim: Claim, entries: Iterable[Entry], batch_id: str | None = None) -> None:
        """Takes in a claim's new account and the entries that led there; money that left a claim is credit of its payment."""
        self.claims[key] = claim
        for entry in entries:
            self.posted.append(Posted(ids.new(), key, entry, batch_id))
            if entry.kind is Kind.PAYMENT and entry.counter is Account.CREDIT and entry.payment_id:
                at = key[0], entry.payment_id
                self.payments[at] = replace(self.payments[at], credited_cents=self.payments[at].credited_cents - entry.amount_cents)

    def move(self, payment: Key, batch_id: str, debit: Account, credit: Account, cents: int) -> None:
        """Moves money between two ledger accounts without touching a claim."""
        if cents:
            leg = {"practice_id": payment[0], "payment_id": payment[1], "batch_id": batch_id, "on": self.days[payment[0]]}
            self.money_legs += [leg | {"account": debit, "amount_cents": cents}, leg | {"account": credit, "amount_cents": -cents}]

    def credit(self, payment: Key, batch_id: str, source: Account, cents: int) -> None:
        """Holds money of a payment as its payer's credit."""
        self.move(payment, batch_id, source, Account.CREDIT, cents)
        self.payments[payment] = replace(self.payments[payment], credited_cents=self.payments[payment].credited_cents + cents)

    def changed(self) -> list[Key]:
        """Claims whose account differs from what was loaded."""
        return sorted(key for key, claim in self.claims.items() if claim != self.stored_claims[key])


async def load(tx: AsyncConnection, keys: Collection[Key], payment_keys: Collection[Key], now: datetime) -> Books:
    """Locks and loads these claims and payments, and the payments that have a share in one of the claims."""
    books = Books(await local_days(tx, {practice_id for practice_id, _ in (*keys, *payment_keys)}, now))
    ordered = sorted(set(keys))
    if ordered:
        await _claims_there(tx, ordered)
        await load_claims(tx, books, ordered)
    with_money = {(at[0], at[1]) for claim in books.claims.values() for at in ((claim.practice_id, payment_id) for payment_id, _, _ in claim.applied)}
    await load_payments(tx, books, await _with_share(tx, ordered) | with_money | set(payment_keys))
    return books


async def lock(tx: AsyncConnection, keys: Collection[Key], payment_keys: Collection[Key]) -> None:
    """Locks all that `load` locks for these, in its order, and loads nothing: for what several loads of one transaction are about."""
    ordered = sorted(set(keys))
    if ordered:
        await _claims_there(tx, ordered)
        await tx.execute(_locked(tables.claims, ordered).with_only_columns(tables.claims.c.claim_id))
    paid = await _with_share(tx, ordered) | set(payment_keys)
    await tx.execute(_locked(tables.payments, paid, "payment_id").with_only_columns(tables.payments.c.payment_id))


async def _claims_there(tx: AsyncConnection, ordered: Sequence[Key]) -> None:
    """Rows of claims that nobody named before: there is something to lock."""
    await tx.execute(text(_CLAIM_THERE), [{"practice_id": practice_id, "claim_id": claim_id} for practice_id, claim_id in ordered])


async def _with_share(tx: AsyncConnection, keys: Collection[Key]) -> set[Key]:
    share = tables.shares.c
    return {(row[0], row[1]) for row in await tx.execute(select(share.practice_id, share.payment_id).where(_among(tables.shares, keys)).distinct())}


def _locked(table: Table, keys: Collection[Key], name: str = "claim_id") -> Select[Any]:
    return select(table).where(_among(table, keys, name)).order_by(table.c.practice_id, table.c[name]).with_for_update()


_CLAIM_THERE = """
INSERT INTO claims (practice_id, claim_id, void_version, answered, adjudicated, adjudication_no, version, write_offs, entries_total)
VALUES (:practice_id, :claim_id, 0, '[]', false, 0, 0, '{}', 0) ON CONFLICT DO NOTHING
"""


def _among(table: Table, keys: Collection[Key], name: str = "claim_id") -> Any:
    wanted = values(column("practice_id", SqlText), column(name, SqlText), name="wanted").data(sorted(keys) or [("", "")])
    return tuple_(table.c.practice_id, table.c[name]).in_(select(wanted))


async def load_claims(tx: AsyncConnection, books: Books, keys: list[Key]) -> None:
    """Locks and loads claims."""
    locked = await tx.execute(_locked(tables.claims, keys))
    columns: dict[Key, dict[tuple[str, Payer], Column]] = {}
    for row in await tx.execute(_ordered(tables.columns, keys)):
        at = (row.charge_id, Payer(row.kind, row.payer_id))
        sums = Column(row.charged_cents, row.paid_cents, row.adjusted_cents, row.transferred_in_cents, row.transferred_out_cents)
        columns.setdefault((row.practice_id, row.claim_id), {})[at] = sums
    applied: dict[Key, dict[tuple[str, str, Payer], int]] = {}
    for row in await tx.execute(select(tables.applied).where(_among(tables.applied, keys), tables.applied.c.cents > 0).order_by(tables.applied.c.no)):
        at_payment = row.payment_id, row.charge_id, Payer(row.kind, row.payer_id)
        applied.setdefault((row.practice_id, row.claim_id), {})[at_payment] = row.cents
    for row in locked:
        key = row.practice_id, row.claim_id
        books.totals[key] = row.entries_total
        books.traces[key] = row.trace
        books.claims[key] = Claim(
            *key,
            content=rows.content_of(row.content),
            void_version=row.void_version,
            current=Payer(row.current_kind, row.current_payer_id) if row.current_kind else None,
            answered=frozenset(Payer(*each) for each in row.answered),
            adjudicated=row.adjudicated,
            adjudication_no=row.adjudication_no,
            version=row.version,
            columns=columns.get(key, {}),
            applied=applied.get(key, {}),
            write_offs=tuple(row.write_offs),
        )
    books.stored_claims = dict(books.claims)


def _ordered(table: Table, keys: list[Key]) -> Select[Any]:
    return select(table).where(_among(table, keys)).order_by(*table.primary_key)


async def load_payments(tx: AsyncConnection, books: Books, keys: Collection[Key]) -> None:
    """Locks and loads payments with all their shares."""
    if not keys:
        return
    for row in await tx.execute(_locked(tables.payments, keys, "payment_id")):
        key = row.practice_id, row.payment_id
        payer = Payer(row.payer_kind, row.payer_id)
        parts = frozenset(row.parts_posted)
        books.payments[key] = Payment(*key, row.source, payer, row.amount_cents, row.parts, row.batch_id, parts, row.credited_cents, row.version)
        books.shares[key] = {}
        books.details[key] = dict(row._mapping)
    for row in await tx.execute(select(tables.shares).where(_among(tables.shares, keys, "payment_id"))):
        seen = row.seen_version, row.seen_revision
        whose = row.payer_id, row.given_cents or 0
        share = Share(row.claim_id, row.applied_cents, row.waiting_cents, seen, row.balances_version, *whose)
        books.shares[row.practice_id, row.payment_id][row.claim_id] = share
    books.stored_payments = dict(books.payments)
    books.stored_shares = {key: dict(found) for key, found in books.shares.items()}


async def save(tx: AsyncConnection, books: Books) -> None:
    """Writes what changed: accounts, columns, applied money, entries, ledger legs, payments and shares."""
    changed = books.changed()
    counted = dict(books.totals)
    new_entries = []
    for posted in books.posted:
        counted[posted.key] += 1
        new_entries.append(rows.entry_row(posted.key, posted.entry_id, posted.entry, posted.batch_id, counted[posted.key], books.days[posted.key[0]]))
    stored = {key: rows.claim_row(books.stored_claims[key], books.totals[key], None) for key in changed}
    after = {key: rows.claim_row(books.claims[key], counted[key], books.traces.get(key)) for key in changed}
    await write_changes(tx, tables.claims, stored, after)
    for table, made in ((tables.columns, rows.column_rows), (tables.applied, rows.applied_rows)):
        old = {at: row for key in changed for at, row in made(books.stored_claims[key]).items()}
        new = {at: row for key in changed for at, row in made(books.claims[key]).items()}
        if table is tables.applied:  # money that left a claim stays as a row of 0
            new |= {at: row | {"cents": 0} for at, row in old.items() if at not in new}
        await write_changes(tx, table, old, new)
    await copy(tx, tables.entries, new_entries)
    await copy(tx, tables.legs, _leg_rows(books))
    stored_payments = {key: rows.payment_row(payment, books.details[key]) for key, payment in books.stored_payments.items()}
    await write_changes(
        tx, tables.payments, stored_payments, {key: rows.payment_row(each, books.details[key]) for key, each in books.payments.items()}
    )
    await write_changes(tx, tables.shares, rows.share_rows(books.stored_shares), rows.share_rows(books.shares))


def _leg_rows(books: Books) -> list[dict[str, Any]]:
    """One ledger transaction per claim or payment touched by this database transaction."""
    found = []
    for posted in books.posted:
        for account, entry, cents in legs([posted.entry]):
            found.append(
                {
                    "practice_id": posted.key[0],
                    "account": account,
                    "amount_cents": cents,
                    "claim_id": posted.key[1],
                    "entry_id": posted.entry_id,
                    "payment_id": entry.payment_id,
                    "batch_id": posted.batch_id,
                    "on": books.days[posted.key[0]],
                }
            )
    found += [leg | {"claim_id": None, "entry_id": None} for leg in books.money_legs]
    transactions: dict[str, str] = {}
    names = list(found[0]) if found else []
    return [
        {"transaction_id": transactions.setdefault(f"{row['practice_id']}/{row['claim_id'] or row['payment_id']}", ids.new()), "no": number}
        | {name: row[name] for name in names}
        for number, row in enumerate(found)
    ]


async def local_days(tx: AsyncConnection, practice_ids: Collection[str], now: datetime) -> dict[str, date]:
    """The date at each practice; UTC's where the practice is not known yet."""
    known = await tx.execute(select(tables.practices.c.practice_id, tables.practices.c.zone).where(tables.practices.c.practice_id.in_(practice_ids)))
    zones = {row.practice_id: row.zone for row in known}
    return {practice_id: local_date(now, zones.get(practice_id, "UTC")) for practice_id in practice_ids}


async def newest_entries(tx: AsyncConnection, keys: Collection[Key]) -> dict[Key, list[Any]]:
    """The newest entries of each claim, newest first."""
    ranked = select(
        tables.entries,
        func.row_number()
        .over(partition_by=(tables.entries.c.practice_id, tables.entries.c.claim_id), order_by=tables.entries.c.no.desc())
        .label("rank"),
    ).where(_among(tables.entries, keys))
    inner = ranked.subquery()
    found: dict[Key, list[Any]] = {}
    for row in await tx.execute(select(inner).where(inner.c.rank <= NEWEST).order_by(inner.c.rank)):
        found.setdefault((row.practice_id, row.claim_id), []).append(row)
    return found


async def next_credit(tx: AsyncConnection, practice_id: str, payer: Payer, holder: str) -> tuple[int, int]:
    """The next version of a payer's credit, and what is held for it beyond what it owed.

    A payment's credit is its own payer's, but for what is left of the shares that were another's money.
    """
    row = {"practice_id": practice_id, "holder": holder, "kind": payer.kind, "payer_id": payer.payer_id}
    # Two statements: the second sees what others committed until the first had the row's lock. Summed up before, their money would be missed.
    version = (await tx.execute(text(_NEXT_CREDIT), row)).scalar_one()
    cents = (await tx.execute(text(_SUM_UP), row)).scalar_one()
    return int(version), int(cents)


_NEXT_CREDIT = """
INSERT INTO credits (practice_id, holder, version, credit_cents) VALUES (:practice_id, :holder, 1, 0)
ON CONFLICT (practice_id, holder) DO UPDATE SET version = credits.version + 1 RETURNING version
"""
_SUM_UP = """
UPDATE credits SET credit_cents = (
  SELECT coalesce(sum(cents), 0) FROM (
    SELECT credited_cents AS cents FROM payments WHERE practice_id = :practice_id AND payer_kind = :kind AND payer_id = :payer_id
    UNION ALL
    SELECT (s.given_cents - s.applied_cents - s.waiting_cents) * CASE WHEN s.payer_id = :payer_id THEN 1 ELSE -1 END
    FROM shares s JOIN payments p USING (practice_id, payment_id)
    WHERE s.practice_id = :practice_id AND s.payer_id IS NOT NULL AND s.given_cents > s.applied_cents + s.waiting_cents
      AND p.payer_kind = :kind AND :payer_id IN (s.payer_id, p.payer_id)
  ) AS held
) WHERE practice_id = :practice_id AND holder = :holder RETURNING credit_cents
"""
