"""Sessions of employers as rows: begun at log-in, renewed by each request, over when idle for long, or after half a day (EP-08).

Times are the system clock's. The cookie holds a random token; the row holds its hash only.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity.tables import memberships, persons, sessions
from shared import ids

WARNED = timedelta(minutes=2)  # so long before the end the page warns
BROWSERS = (("Edge", "Edg/"), ("Opera", "OPR/"), ("Firefox", "Firefox/|FxiOS/"), ("Chrome", "Chrom(e|ium)/|CriOS/"), ("Safari", "Safari/"))
SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac", "Mac OS|Macintosh"), ("Linux", "Linux"))


@dataclass(frozen=True)
class Limits:
    """When a session ends by itself (EP-08): after so long without a request, and after so long in all."""

    idle: timedelta = timedelta(minutes=15)
    absolute: timedelta = timedelta(hours=12)


@dataclass(frozen=True)
class Session:
    """A live session and its person; practice, account and contact are none until an account is chosen."""

    session_id: str
    person_id: str
    name: str
    email: str
    device: str
    began_at: datetime
    seen_at: datetime
    practice_id: str | None
    account_id: str | None
    contact_id: str | None


def token_hash(token: str) -> str:
    """What is kept of a random token."""
    return hashlib.sha256(token.encode()).hexdigest()


async def begin(tx: AsyncConnection, now: datetime, person_id: str, device: str) -> str:
    """A new session; returns the token for the cookie."""
    token = secrets.token_urlsafe(32)
    row = {"token_hash": token_hash(token), "session_id": ids.new(), "person_id": person_id, "device": device, "began_at": now, "seen_at": now}
    await tx.execute(insert(sessions).values(row))
    return token


async def renew(tx: AsyncConnection, now: datetime, token: str, limits: Limits) -> Session | None:
    """The live session of this token, its idle time counted from now; none when it is over, ended, or was never there."""
    mine = (sessions.c.token_hash == token_hash(token)) & _live(now, limits)
    found = await tx.execute(update(sessions).where(mine).values(seen_at=func.greatest(sessions.c.seen_at, now)).returning(sessions.c.session_id))
    session_id = found.scalar_one_or_none()
    if session_id is None:
        return None
    row = (await tx.execute(_sessions().where(sessions.c.session_id == session_id))).one()
    return Session(**row._mapping)


async def of_person(tx: AsyncConnection, now: datetime, person_id: str, limits: Limits) -> list[Session]:
    """A person's live sessions, the newest used first."""
    rows = await tx.execute(_sessions().where(sessions.c.person_id == person_id, _live(now, limits)).order_by(sessions.c.seen_at.desc()))
    return [Session(**row._mapping) for row in rows]


async def choose(tx: AsyncConnection, session_id: str, person_id: str, practice_id: str, contact_id: str) -> bool:
    """Sets the account the session works for; False where the person has no access to it."""
    open_to = select(memberships).where(
        memberships.c.practice_id == practice_id, memberships.c.contact_id == contact_id, memberships.c.person_id == person_id
    )
    if (await tx.execute(open_to)).one_or_none() is None:
        return False
    await tx.execute(update(sessions).where(sessions.c.session_id == session_id).values(practice_id=practice_id, contact_id=contact_id))
    return True


async def end(tx: AsyncConnection, person_id: str, session_id: str) -> bool:
    """Ends one session of this person."""
    return bool((await tx.execute(delete(sessions).where(sessions.c.person_id == person_id, sessions.c.session_id == session_id))).rowcount)


async def end_others(tx: AsyncConnection, person_id: str, keep: str | None = None) -> int:
    """Ends every session of this person but the one kept."""
    others = delete(sessions).where(sessions.c.person_id == person_id, sessions.c.session_id != (keep or ""))
    return (await tx.execute(others)).rowcount


async def end_of_contact(tx: AsyncConnection, practice_id: str, contact_id: str) -> int:
    """Ends every session that works for this contact's account (EP-02, *Revoke Access*)."""
    return (await tx.execute(delete(sessions).where(sessions.c.practice_id == practice_id, sessions.c.contact_id == contact_id))).rowcount


async def sweep(tx: AsyncConnection, now: datetime, limits: Limits) -> int:
    """Forgets sessions that are over."""
    return (await tx.execute(delete(sessions).where(~_live(now, limits)))).rowcount


def device_words(agent: str) -> str:
    """`Chrome on Windows`: the device as its owner would call it, from what the browser says of itself."""
    browser = next((name for name, mark in BROWSERS if re.search(mark, agent)), "A browser")
    system = next((name for name, mark in SYSTEMS if re.search(mark, agent)), "")
    return f"{browser} on {system}" if system else browser


def _live(now: datetime, limits: Limits) -> Any:
    return (sessions.c.seen_at > now - limits.idle) & (sessions.c.began_at > now - limits.absolute)


def _sessions() -> Any:
    at = (memberships.c.practice_id == sessions.c.practice_id) & (memberships.c.contact_id == sessions.c.contact_id)
    columns = [sessions.c[name] for name in ("session_id", "person_id", "device", "began_at", "seen_at", "practice_id", "contact_id")]
    joined = sessions.join(persons, persons.c.person_id == sessions.c.person_id).outerjoin(memberships, at)
    return select(*columns, persons.c.name, persons.c.email, memberships.c.account_id).select_from(joined)
