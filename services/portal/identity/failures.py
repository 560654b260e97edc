"""Failed log-ins by what was typed as the address, whether anybody has it or not: ten in a row lock (EP-06)."""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity.addresses import comparable
from services.portal.identity.tables import failures, persons, unlocks

LOCKED_AT = 10
FORGOTTEN_AFTER = timedelta(days=90)
UNLOCKS, UNLOCKS_IN = 2, timedelta(days=1)  # by staff of all practices together: whoever adds a contact could else unlock anybody for ever


class UnlockedOften(Exception):
    """Staff have unlocked this address as often as they may for now; a reset is the way that stays."""


async def count(tx: AsyncConnection, email: str, *, lock: bool = False) -> int:
    """Failures in a row; `lock` keeps others from counting until this transaction ends."""
    wanted = select(failures.c.count).where(failures.c.address_hash == _hash(email))
    return (await tx.execute(wanted.with_for_update() if lock else wanted)).scalar_one_or_none() or 0


async def add(tx: AsyncConnection, now: datetime, email: str) -> int:
    """One more; returns how many there are in a row."""
    new = insert(failures).values(address_hash=_hash(email), count=1, last_at=now)
    again = new.on_conflict_do_update(index_elements=["address_hash"], set_={"count": failures.c.count + 1, "last_at": now})
    return int((await tx.execute(again.returning(failures.c.count))).scalar_one())


async def clear(tx: AsyncConnection, email: str) -> bool:
    """Starts anew after a log-in or a reset; whether the log-in was locked."""
    gone = await tx.execute(delete(failures).where(failures.c.address_hash == _hash(email)).returning(failures.c.count))
    return (gone.scalar_one_or_none() or 0) >= LOCKED_AT


async def unlock(tx: AsyncConnection, now: datetime, email: str) -> bool:
    """*Unlock* by staff; whether the log-in was locked. Raises UnlockedOften after two within a day."""
    # Of two who unlock at once, the second waits here and then finds nothing to unlock.
    if await count(tx, email, lock=True) < LOCKED_AT:
        return False
    earlier = select(func.count()).where(unlocks.c.address_hash == _hash(email), unlocks.c.at > now - UNLOCKS_IN)
    if (await tx.execute(earlier)).scalar_one() >= UNLOCKS:
        raise UnlockedOften
    await tx.execute(insert(unlocks).values(address_hash=_hash(email), at=now))
    return await clear(tx, email)


async def locked_among(tx: AsyncConnection, emails: Collection[str]) -> dict[str, datetime]:
    """Those of the addresses whose log-in is locked, with the time of the last try."""
    by_hash = {_hash(email): comparable(email) for email in emails if email}
    wanted = select(failures.c.address_hash, failures.c.last_at).where(failures.c.address_hash.in_(by_hash), failures.c.count >= LOCKED_AT)
    return {by_hash[row.address_hash]: row.last_at for row in await tx.execute(wanted)}


async def sweep(tx: AsyncConnection, now: datetime) -> int:
    """Forgets old counts of addresses that nobody has, so that guessing cannot fill the table, and unlocks that no longer matter."""
    await tx.execute(delete(unlocks).where(unlocks.c.at <= now - UNLOCKS_IN))
    old = select(failures.c.address_hash).where(failures.c.last_at < now - FORGOTTEN_AFTER)
    stale = set((await tx.execute(old)).scalars())
    known = {_hash(email) for email in (await tx.execute(select(persons.c.address))).scalars()} if stale else set()
    return (await tx.execute(delete(failures).where(failures.c.address_hash.in_(stale - known)))).rowcount


def _hash(email: str) -> str:
    return hashlib.sha256(comparable(email).encode()).hexdigest()
