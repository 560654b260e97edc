"""Codes of six digits and links of one hour (EP-07): made here, kept as hashes, counted down. Times are the system clock's."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity.sessions import token_hash
from services.portal.identity.tables import codes, resets
from shared import ids
from shared.web.show import plural

CODE_GOOD = timedelta(minutes=10)
RESET_GOOD = timedelta(minutes=60)
TRIES = 5
MOST_AN_HOUR = 5
NO_MORE = "This code was tried five times. Send a new one"
TOO_OLD = "This code is older than 10 minutes. Send a new one"
NONE_SENT = "Send a code to this number first"
MISSING = "Enter the code from the message"
TOO_MANY = "Five codes were sent within an hour. Use the newest, or send the next one later"


@dataclass(frozen=True)
class Code:
    """A code to be sent; the digits are nowhere else in plain text."""

    code_id: str
    digits: str
    expires_at: datetime


@dataclass(frozen=True)
class Reset:
    """A reset link that works now."""

    reset_id: str
    person_id: str
    tries_left: int


def wrong(tries_left: int) -> str:
    """The words for a code that is not right."""
    if tries_left == 0:
        return NO_MORE
    return f"The code is not right. {tries(tries_left)}"


def tries(left: int) -> str:
    return f"{plural(left, 'try', 'tries')} {'is' if left == 1 else 'are'} left"


async def make(tx: AsyncConnection, now: datetime, secret: str, person_id: str, purpose: str, phone: str) -> Code | None:
    """A new code for this purpose, which ends the older ones; none when five were made within the hour."""
    recent = select(func.count()).where(codes.c.person_id == person_id, codes.c.purpose == purpose, codes.c.made_at > now - timedelta(hours=1))
    if (await tx.execute(recent)).scalar_one() >= MOST_AN_HOUR:
        return None
    code = Code(ids.new(), f"{secrets.randbelow(10**6):06}", now + CODE_GOOD)
    row = {"code_id": code.code_id, "person_id": person_id, "purpose": purpose, "phone": phone, "made_at": now, "expires_at": code.expires_at}
    await tx.execute(insert(codes).values(row | {"code_hash": _hash(secret, code.code_id, code.digits), "tries_left": TRIES}))
    return code


async def newest_phone(tx: AsyncConnection, now: datetime, person_id: str, purpose: str) -> str | None:
    """The number to which a code that is still good was sent."""
    row = await _newest(tx, person_id, purpose)
    return row.phone if row and row.used_at is None and row.expires_at > now else None


async def check(tx: AsyncConnection, now: datetime, secret: str, person_id: str, purpose: str, phone: str, typed: str) -> str | None:
    """None when the digits are right: the code stays good until `use`. Else the words; a wrong try counts once this commits."""
    row = await _newest(tx, person_id, purpose)
    if row is None or row.phone != phone or row.used_at is not None:
        return NONE_SENT
    if row.tries_left == 0:
        return NO_MORE
    if row.expires_at <= now:
        return TOO_OLD
    digits = "".join(each for each in typed if each.isdecimal())
    if not digits:
        return MISSING
    if hmac.compare_digest(_hash(secret, row.code_id, digits), row.code_hash):
        return None
    await tx.execute(update(codes).where(codes.c.code_id == row.code_id).values(tries_left=row.tries_left - 1))
    return wrong(row.tries_left - 1)


async def use(tx: AsyncConnection, now: datetime, person_id: str, purpose: str) -> None:
    """Ends the codes of this purpose: each works once."""
    mine = codes.c.person_id == person_id, codes.c.purpose == purpose, codes.c.used_at.is_(None)
    await tx.execute(update(codes).where(*mine).values(used_at=now))


async def make_reset(tx: AsyncConnection, now: datetime, person_id: str) -> tuple[str, str] | None:
    """A new reset link as (token, reset id); none when five were asked for within the hour."""
    recent = select(func.count()).where(resets.c.person_id == person_id, resets.c.asked_at > now - timedelta(hours=1))
    if (await tx.execute(recent)).scalar_one() >= MOST_AN_HOUR:
        return None
    token, reset_id = secrets.token_urlsafe(32), ids.new()
    row = {"token_hash": token_hash(token), "reset_id": reset_id, "person_id": person_id, "asked_at": now, "expires_at": now + RESET_GOOD}
    await tx.execute(insert(resets).values(row | {"tries_left": TRIES}))
    return token, reset_id


async def reset_of(tx: AsyncConnection, now: datetime, token: str) -> Reset | None:
    """The reset of this link, locked for this transaction; none once it was used, tried out, or 60 minutes old."""
    mine = resets.c.token_hash == token_hash(token), resets.c.used_at.is_(None), resets.c.expires_at > now, resets.c.tries_left > 0
    row = (await tx.execute(select(resets.c.reset_id, resets.c.person_id, resets.c.tries_left).where(*mine).with_for_update())).one_or_none()
    return Reset(**row._mapping) if row else None


async def count_try(tx: AsyncConnection, reset: Reset) -> int:
    """A wrong answer to the security question; returns how many tries are left."""
    await tx.execute(update(resets).where(resets.c.reset_id == reset.reset_id).values(tries_left=reset.tries_left - 1))
    return reset.tries_left - 1


async def use_resets(tx: AsyncConnection, now: datetime, person_id: str) -> None:
    """Ends every reset link of the person: each works once, and none survives a reset."""
    await tx.execute(update(resets).where(resets.c.person_id == person_id, resets.c.used_at.is_(None)).values(used_at=now))


async def sweep(tx: AsyncConnection, now: datetime) -> int:
    """Forgets codes and links that ended a day ago."""
    gone = 0
    for table in (codes, resets):
        gone += (await tx.execute(table.delete().where(table.c.expires_at < now - timedelta(days=1)))).rowcount
    return gone


async def _newest(tx: AsyncConnection, person_id: str, purpose: str) -> Any:
    mine = select(codes).where(codes.c.person_id == person_id, codes.c.purpose == purpose)
    return (await tx.execute(mine.order_by(codes.c.made_at.desc(), codes.c.code_id.desc()).limit(1).with_for_update())).one_or_none()


def _hash(secret: str, code_id: str, digits: str) -> str:
    # Six digits are soon guessed from a plain hash; the key is not in the database.
    return hmac.new(secret.encode(), f"code/{code_id}/{digits}".encode(), hashlib.sha256).hexdigest()
