"""Deposits and payment batches in the database: the day's e-payment batch, the staff's own, their lists and closing."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import tables
from services.posting.domain.batch import BatchState, DepositType, NotBalanced, Route, Summary, check_deposit, close
from shared import ids

SYSTEM_USERS = {"portal": "PortalDesktop", "contract": "ContractCharge"}
FIRST_NUMBER = 20001


async def practices(tx: AsyncConnection, practice_ids: Collection[str]) -> dict[str, Any]:
    """Copies of these practices, those that are known."""
    found = await tx.execute(select(tables.practices).where(tables.practices.c.practice_id.in_(sorted(practice_ids))))
    return {row.practice_id: row for row in found}


async def next_number(tx: AsyncConnection, practice_id: str, kind: str) -> int:
    """The next number of this kind at the practice, without gaps: the counter's row is locked until commit.

    A transaction that takes both takes a deposit's before a batch's, so that no two wait for each other.
    """
    return await _count(tx, practice_id, kind, 1)


async def _count(tx: AsyncConnection, practice_id: str, kind: str, by: int) -> int:
    statement = """
    INSERT INTO numbers (practice_id, kind, last) VALUES (:practice_id, :kind, :first)
    ON CONFLICT (practice_id, kind) DO UPDATE SET last = numbers.last + :by RETURNING last
    """
    values = {"practice_id": practice_id, "kind": kind, "by": by, "first": FIRST_NUMBER - 1 + by}
    return int((await tx.execute(text(statement), values)).scalar_one())


async def of_the_day(tx: AsyncConnection, practice: Any, source: str, local_day: date) -> str:
    """The open e-payment batch of this practice, source and local day of capture; opened with its deposit where there is none (RP-20)."""
    batch = tables.payment_batches.c
    place = (batch.practice_id == practice.practice_id, batch.source == source, batch.local_day == local_day)
    open_one = select(batch.batch_id).where(*place, batch.route == Route.EPAYMENT, batch.state == BatchState.OPEN).with_for_update()
    found = (await tx.execute(open_one)).scalar_one_or_none()
    if found is None:
        # The deposits' counter is the lock that keeps two captures from opening two batches of a day. It counts only for the one that opens.
        await _count(tx, practice.practice_id, "deposit", 0)
        found = (await tx.execute(open_one)).scalar_one_or_none()
    if found is not None:
        return str(found)
    deposit = {"deposit_date": local_day, "bank_account_id": practice.portal_bank_account_id, "amount_cents": 0, "type": DepositType.CARD}
    batch_of_it = {"target_cents": 0, "route": Route.EPAYMENT, "check_number": None, "source": source, "local_day": local_day}
    return await _open(tx, practice.practice_id, SYSTEM_USERS[source], deposit | {"by_site": False, "notes": ""}, batch_of_it)


async def raise_by(tx: AsyncConnection, practice_id: str, batch_id: str, payment_id: str, cents: int) -> None:
    """Takes a payment's cents in: posted, target and deposit rise together, so that an e-payment batch is out of balance by 0.00 at every moment."""
    batch, deposit = tables.payment_batches.c, tables.deposits.c
    raised = {"target_cents": batch.target_cents + cents, "posted_cents": batch.posted_cents + cents}
    statement = update(tables.payment_batches).where(batch.practice_id == practice_id, batch.batch_id == batch_id).values(raised)
    deposit_id = (await tx.execute(statement.returning(batch.deposit_id))).scalar_one()
    at = (deposit.practice_id == practice_id, deposit.deposit_id == deposit_id)
    await tx.execute(update(tables.deposits).where(*at).values(amount_cents=deposit.amount_cents + cents))
    await _bring(tx, practice_id, batch_id, payment_id, cents)


async def add_posted(tx: AsyncConnection, practice_id: str, batch_id: str, payment_id: str, cents: int) -> None:
    """Counts a posting toward the batch's target."""
    batch = tables.payment_batches.c
    where = (batch.practice_id == practice_id, batch.batch_id == batch_id)
    await tx.execute(update(tables.payment_batches).where(*where).values(posted_cents=batch.posted_cents + cents))
    await _bring(tx, practice_id, batch_id, payment_id, cents)


async def _bring(tx: AsyncConnection, practice_id: str, batch_id: str, payment_id: str, cents: int) -> None:
    """Notes what a payment brought into the batch; parts that come into the same one add up."""
    statement = """
    INSERT INTO batch_payments (practice_id, batch_id, payment_id, cents) VALUES (:practice_id, :batch_id, :payment_id, :cents)
    ON CONFLICT (practice_id, batch_id, payment_id) DO UPDATE SET cents = batch_payments.cents + excluded.cents
    """
    await tx.execute(text(statement), {"practice_id": practice_id, "batch_id": batch_id, "payment_id": payment_id, "cents": cents})


async def _open(tx: AsyncConnection, practice_id: str, user: str, deposit: dict[str, Any], batch: dict[str, Any]) -> str:
    """A deposit with its one payment batch, both open, with these values of their columns; returns the batch."""
    deposit_id, batch_id = ids.new(), ids.new()
    deposit |= {"practice_id": practice_id, "deposit_id": deposit_id, "number": await next_number(tx, practice_id, "deposit")}
    await tx.execute(insert(tables.deposits).values(deposit | {"state": BatchState.OPEN, "created_by": user}))
    batch |= {"practice_id": practice_id, "batch_id": batch_id, "number": await next_number(tx, practice_id, "batch")}
    batch |= {"deposit_id": deposit_id, "seq": 1, "posted_cents": 0, "paper": False, "notes": deposit["notes"]}
    await tx.execute(insert(tables.payment_batches).values(batch | {"state": BatchState.OPEN, "opened_by": user}))
    return batch_id


async def create_deposit(
    tx: AsyncConnection,
    practice_id: str,
    *,
    deposit_date: date,
    today: date,
    bank_account_id: str | None,
    amount_cents: int,
    kind: DepositType,
    by_site: bool,
    notes: str,
    target_cents: int,
    check_number: str | None,
    user: str,
) -> str:
    """A deposit with its one payment batch, for money not yet recorded (RP-01, RP-06); returns the batch. Raises NotBalanced."""
    home = (await practices(tx, [practice_id]))[practice_id]
    accounts = {each["bank_account_id"] for each in home.bank_accounts}
    check_deposit(amount_cents, target_cents, bank_account_id, accounts, deposit_date, today)
    deposit = {"deposit_date": deposit_date, "bank_account_id": bank_account_id, "amount_cents": amount_cents, "type": kind}
    batch = {"target_cents": target_cents, "route": Route.MANUAL, "check_number": check_number}
    return await _open(tx, practice_id, user, deposit | {"by_site": by_site, "notes": notes}, batch)


async def close_batch(tx: AsyncConnection, practice_id: str, batch_id: str, now: datetime) -> None:
    """Closes a payment batch at exactly 0.00; its deposit closes with the last one (RP-07, RP-10). Raises NotBalanced."""
    batch, deposit = tables.payment_batches.c, tables.deposits.c
    where = (batch.practice_id == practice_id, batch.batch_id == batch_id)
    row = (await tx.execute(select(tables.payment_batches).where(*where).with_for_update())).one_or_none()
    if row is None:
        raise NotBalanced("There is no such payment batch")
    state = close(BatchState(row.state), Summary(row.target_cents, row.posted_cents))
    await tx.execute(update(tables.payment_batches).where(*where).values(state=state, closed_at=now))
    others = select(func.count()).where(batch.practice_id == practice_id, batch.deposit_id == row.deposit_id, batch.state == BatchState.OPEN)
    if not (await tx.execute(others)).scalar_one():
        at = (deposit.practice_id == practice_id, deposit.deposit_id == row.deposit_id)
        await tx.execute(update(tables.deposits).where(*at).values(state=BatchState.CLOSED))


async def past_days(tx: AsyncConnection, practice_id: str, today: date) -> list[str]:
    """Open e-payment batches of days that are over at the practice, locked: one that another replica closes meanwhile is not among them."""
    batch = tables.payment_batches.c
    over = (batch.practice_id == practice_id, batch.route == Route.EPAYMENT, batch.state == BatchState.OPEN, batch.local_day < today)
    return list((await tx.execute(select(batch.batch_id).where(*over).order_by(batch.batch_id).with_for_update())).scalars())
