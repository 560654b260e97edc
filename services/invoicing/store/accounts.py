"""Corporate accounts and the payer ids they pay."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.account import Account
from services.invoicing.domain.claim import Refused
from services.invoicing.store import Key, plain
from services.invoicing.tables import account, account_payer

COLUMNS = tuple(field.name for field in fields(Account) if field.name != "payer_ids")


def _select() -> Any:
    payers = (
        select(func.array_agg(account_payer.c.payer_id).label("ids"))
        .where(account_payer.c.practice_id == account.c.practice_id, account_payer.c.account_id == account.c.account_id)
        .scalar_subquery()
    )
    return select(account, payers.label("payer_ids"))


def _account(row: Any) -> Account:
    return msgspec.convert({name: getattr(row, name) for name in COLUMNS} | {"payer_ids": sorted(row.payer_ids or ())}, Account)


async def find(tx: AsyncConnection, key: Key, *, lock: bool = False) -> Account | None:
    chosen = _select().where(account.c.practice_id == key[0], account.c.account_id == key[1])
    row = (await tx.execute(chosen.with_for_update(of=account, key_share=True) if lock else chosen)).one_or_none()
    return _account(row) if row else None


async def get(tx: AsyncConnection, key: Key) -> Account:
    """An account that has to be there. Raises Refused where it is not."""
    found = await find(tx, key)
    if found is None:
        raise Refused(f"There is no account {key[1]}")
    return found


async def due(tx: AsyncConnection, practice_id: str, today: date) -> list[str]:
    """Accounts whose billing day has come."""
    rows = await tx.execute(
        select(account.c.account_id).where(account.c.practice_id == practice_id, account.c.next_run_on <= today).order_by(account.c.account_id)
    )
    return list(rows.scalars())


async def all_ids(tx: AsyncConnection, practice_id: str) -> list[str]:
    rows = await tx.execute(select(account.c.account_id).where(account.c.practice_id == practice_id).order_by(account.c.account_id))
    return list(rows.scalars())


async def save(tx: AsyncConnection, new: Account) -> bool:
    """Stores an account and its payer ids, new or known; false where an account saved at this moment has got one of them."""
    values = {name: getattr(new, name) for name in COLUMNS} | {"address": plain(new.address), "mask": plain(new.mask)}
    changed = {name: value for name, value in values.items() if name not in ("practice_id", "account_id")}
    await tx.execute(upsert(account).values(values).on_conflict_do_update(index_elements=["practice_id", "account_id"], set_=changed))
    mine = account_payer.c.practice_id == new.practice_id, account_payer.c.account_id == new.account_id
    await tx.execute(delete(account_payer).where(*mine))
    # In one order: of two accounts with the same ids, one waits for the other and not each for the other.
    rows = [{"practice_id": new.practice_id, "payer_id": payer_id, "account_id": new.account_id} for payer_id in sorted({*new.payer_ids})]
    return (await tx.execute(upsert(account_payer).values(rows).on_conflict_do_nothing())).rowcount == len(rows)


async def holders(tx: AsyncConnection, practice_id: str, payer_ids: Iterable[str], but: str) -> Sequence[tuple[str, str]]:
    """Which other accounts pay for these payer ids: (payer id, account name), in order of the ids."""
    rows = await tx.execute(
        select(account_payer.c.payer_id, account.c.name)
        .join(account, (account.c.practice_id == account_payer.c.practice_id) & (account.c.account_id == account_payer.c.account_id))
        .where(account_payer.c.practice_id == practice_id, account_payer.c.payer_id.in_(sorted(payer_ids)), account.c.account_id != but)
        .order_by(account_payer.c.payer_id)
    )
    return [(row.payer_id, row.name) for row in rows]


async def names(tx: AsyncConnection, practice_id: str) -> dict[str, str]:
    rows = await tx.execute(text("SELECT account_id, name FROM account WHERE practice_id = :p"), {"p": practice_id})
    return {row.account_id: row.name for row in rows}


async def listed(tx: AsyncConnection, practice_id: str, limit: int, after: tuple[str, str] = ("", "")) -> list[Account]:
    """Accounts of a practice by name, from `after` (name, account id) on."""
    by = account.c.name, account.c.account_id
    wanted = _select().where(account.c.practice_id == practice_id, tuple_(*by) > after).order_by(*by).limit(limit)
    return [_account(row) for row in await tx.execute(wanted)]


async def of_payer(tx: AsyncConnection, practice_id: str, payer_id: str) -> tuple[str, str] | None:
    """The account that pays for a payer id: (account id, name)."""
    row = (
        await tx.execute(
            select(account.c.account_id, account.c.name)
            .join(account_payer, (account.c.practice_id == account_payer.c.practice_id) & (account.c.account_id == account_payer.c.account_id))
            .where(account_payer.c.practice_id == practice_id, account_payer.c.payer_id == payer_id)
        )
    ).one_or_none()
    return (row.account_id, row.name) if row else None
