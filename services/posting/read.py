"""What posting's pages and programs read: batches with their summaries, transactions, a claim's account."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Row, Select, cast, func, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import tables
from services.posting.domain.batch import Summary
from shared.keyset import Cursor

batch, brought, deposit, claim, entry, payment = (
    tables.payment_batches.c,
    tables.batch_payments.c,
    tables.deposits.c,
    tables.claims.c,
    tables.entries.c,
    tables.payments.c,
)
PAGE = 50


async def batches(tx: AsyncConnection, practice_id: str, state: str | None, cursor: Cursor | None) -> list[Row[Any]]:
    """Payment batches with their deposits, newest first, one more than a page in the cursor's direction."""
    joined = select(
        tables.payment_batches,
        deposit.number.label("deposit_number"),
        deposit.deposit_date,
        deposit.amount_cents,
        deposit.type,
        deposit.bank_account_id,
    ).join_from(tables.payment_batches, tables.deposits, (batch.practice_id == deposit.practice_id) & (batch.deposit_id == deposit.deposit_id))
    joined = joined.where(batch.practice_id == practice_id)
    if state:
        joined = joined.where(batch.state == state)
    return list(await tx.execute(_page(joined, batch.number, cursor)))


async def one_batch(tx: AsyncConnection, practice_id: str, batch_id: str) -> Row[Any] | None:
    """A payment batch with its deposit."""
    joined = select(
        tables.payment_batches,
        deposit.number.label("deposit_number"),
        deposit.deposit_date,
        deposit.amount_cents,
        deposit.type,
        deposit.bank_account_id,
        deposit.by_site,
        deposit.state.label("deposit_state"),
        deposit.notes.label("deposit_notes"),
    ).join_from(tables.payment_batches, tables.deposits, (batch.practice_id == deposit.practice_id) & (batch.deposit_id == deposit.deposit_id))
    return (await tx.execute(joined.where(batch.practice_id == practice_id, batch.batch_id == batch_id))).one_or_none()


def summary(row: Any) -> Summary:
    """RP-07's figures of a batch."""
    return Summary(row.target_cents, row.posted_cents)


async def transactions(tx: AsyncConnection, practice_id: str, batch_id: str, cursor: Cursor | None) -> list[Row[Any]]:
    """What payments brought into a batch, `cents`, and what became of all of each, newest first, one more than a page in the cursor's direction."""
    shares = (
        select(
            cast(func.sum(tables.shares.c.applied_cents), BigInteger).label("applied_cents"),
            cast(func.sum(tables.shares.c.waiting_cents), BigInteger).label("waiting_cents"),
            func.array_agg(aggregate_order_by(tables.shares.c.claim_id, tables.shares.c.claim_id)).label("claim_ids"),
        )
        .where(tables.shares.c.practice_id == practice_id, tables.shares.c.payment_id == payment.payment_id)
        .lateral("of_payment")
    )
    joined = (
        select(tables.payments, brought.cents, shares.c.applied_cents, shares.c.waiting_cents, shares.c.claim_ids)
        .join_from(tables.batch_payments, tables.payments, (brought.practice_id == payment.practice_id) & (brought.payment_id == payment.payment_id))
        .join(shares, true())
        .where(brought.practice_id == practice_id, brought.batch_id == batch_id)
    )
    return list(await tx.execute(_page(joined, brought.payment_id, cursor)))


def _page(listed: Select[Any], by: ColumnElement[Any], cursor: Cursor | None) -> Select[Any]:
    """The rows past the cursor in its direction, highest first, one more than a page."""
    newer = cursor is not None and cursor.newer
    if cursor:
        listed = listed.where(by > cursor.values[0] if newer else by < cursor.values[0])
    return listed.order_by(by.asc() if newer else by.desc()).limit(PAGE + 1)


async def account(tx: AsyncConnection, practice_id: str, claim_id: str) -> Row[Any] | None:
    """A claim's account with the patient's name, where known."""
    known = tables.patients.c
    joined = select(tables.claims, known.given_name, known.family_name, known.birth_date).join_from(
        tables.claims, tables.patients, (claim.practice_id == known.practice_id) & (claim.patient_id == known.patient_id), isouter=True
    )
    return (await tx.execute(joined.where(claim.practice_id == practice_id, claim.claim_id == claim_id))).one_or_none()


async def columns(tx: AsyncConnection, practice_id: str, claim_id: str) -> list[Row[Any]]:
    """A claim's columns by charge and payer."""
    where = (tables.columns.c.practice_id == practice_id, tables.columns.c.claim_id == claim_id)
    return list(await tx.execute(select(tables.columns).where(*where).order_by(tables.columns.c.charge_id, tables.columns.c.kind)))


async def entries(tx: AsyncConnection, practice_id: str, claim_id: str, cursor: Cursor | None) -> list[Row[Any]]:
    """A claim's entries, newest first, one more than a page in the cursor's direction."""
    listed = select(tables.entries).where(entry.practice_id == practice_id, entry.claim_id == claim_id)
    return list(await tx.execute(_page(listed, entry.no, cursor)))


async def practice(tx: AsyncConnection, practice_id: str) -> Row[Any] | None:
    """The copy of a practice."""
    return (await tx.execute(select(tables.practices).where(tables.practices.c.practice_id == practice_id))).one_or_none()


async def awaiting(tx: AsyncConnection, practice_id: str, kind: str, limit: int) -> list[Row[Any]]:
    """Claims asked of payers of this kind with something open, oldest service first: what there is to post."""
    column = tables.columns.c
    open_cents = cast(func.sum(column.balance_cents), BigInteger).label("open_cents")  # a sum of bigint is numeric
    service_date = claim.content["service_date"].astext
    joined = (
        select(claim.claim_id, claim.current_payer_id, open_cents, tables.patients.c.given_name, tables.patients.c.family_name)
        .join_from(tables.claims, tables.columns, (claim.practice_id == column.practice_id) & (claim.claim_id == column.claim_id))
        .join(
            tables.patients, (claim.practice_id == tables.patients.c.practice_id) & (claim.patient_id == tables.patients.c.patient_id), isouter=True
        )
        .where(claim.practice_id == practice_id, claim.current_kind == kind, column.balance_cents > 0)
        .group_by(claim.claim_id, claim.current_payer_id, service_date, tables.patients.c.given_name, tables.patients.c.family_name)
        .order_by(service_date, claim.claim_id)
        .limit(limit)
    )
    return list(await tx.execute(joined))
