"""Idempotency keys: the same request sent twice is answered twice and done once. The answer commits with its effect."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, overload

from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import Column, DateTime, Integer, Table, Text, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import ids
from shared.db import TECHNICAL, Database
from shared.http import Problem

LONGEST_KEY = 200
KEPT = timedelta(days=30)

idempotency = Table(
    "idempotency",
    TECHNICAL,
    Column("practice_id", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_hash", Text, nullable=False),
    Column("status", Integer),
    Column("headers", JSONB),
    Column("body", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
)


@dataclass(frozen=True)
class Once:
    """One request that must be done once. `body` is what was sent, byte for byte; `route` names the action.

    A person sees the last answer only, and what was done has to be in it: who presses a button twice `waits` for the first press.
    """

    practice_id: str
    route: str
    key: str
    body: bytes
    waits: bool = False


class Reused(Problem):
    """The key came before, with another body: 422 for a program; a page has words of its own for it."""

    def __init__(self) -> None:
        super().__init__(422, "This Idempotency-Key was used for something else", "Use a new key for a new request.")


@dataclass(frozen=True)
class Answer:
    """What was answered, or will be, as JSON."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


@overload
async def once_of(request: Request, practice_id: str, route: str) -> Once: ...
@overload
async def once_of(request: Request, practice_id: str, route: str, *, required: bool, body: bytes | None = None) -> Once | None: ...
async def once_of(request: Request, practice_id: str, route: str, *, required: bool = True, body: bytes | None = None) -> Once | None:
    """From the header `Idempotency-Key`: Problem 400 where it is required and missing, None where it is optional and missing.

    `body` stands for what was sent where it was read as a form: a form's bytes are gone once its fields are known.
    """
    key = request.headers.get("idempotency-key", "").strip()
    if len(key) > LONGEST_KEY:
        raise Problem(400, "The Idempotency-Key is too long", f"Use up to {LONGEST_KEY} characters.")
    if key:
        return Once(practice_id, route, key, await request.body() if body is None else body)
    if required:
        raise Problem(400, "An Idempotency-Key is missing", "Send one key per payment or change, and the same key when you try again.")
    return None


def pressed(practice_id: str, route: str, fields: Iterable[tuple[str, str]], sub: str) -> Once:
    """A press of a form's button by this person. The field `once` is its key; without one each press is its own."""
    sent = [(name, value) for name, value in fields if name != "once"]
    key = dict(fields).get("once", "")[:LONGEST_KEY]
    return Once(practice_id, route, key or ids.new(), json.dumps([sub, sent]).encode(), waits=True)


async def begin(tx: AsyncConnection, once: Once) -> Answer | None:
    """First thing in the transaction. None: go on, then `finish`. An answer: give it again and change nothing.

    Reused when the key came with another body; Problem 409 while the first request is still being worked on: in this transaction's
    rival, unless it `waits` for that, or committed as begun but not finished yet (an unknown outcome that a job is settling).
    """
    place = hashlib.sha256("\0".join((once.practice_id, once.route, once.key)).encode()).digest()
    lock = int.from_bytes(place[:8], signed=True)
    if once.waits:
        await tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
    elif not (await tx.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": lock})).scalar_one():
        raise _running()
    kept = await answered(tx, once)
    if kept is None:
        values = {"practice_id": once.practice_id, "route": once.route, "key": once.key, "body_hash": _hash(once)}
        await tx.execute(insert(idempotency).values(values))
    return kept


async def answered(tx: AsyncConnection, once: Once) -> Answer | None:
    """The answer that this request got before, None for its first time; for those that ask somebody else before they `begin`."""
    row = (await tx.execute(select(idempotency).where(*_is(once)))).one_or_none()
    if row is None:
        return None
    if row.body_hash != _hash(once):
        raise Reused
    if row.status is None:
        raise _running()
    return Answer(row.status, row.body, row.headers)


async def finish(tx: AsyncConnection, once: Once, answer: Answer) -> None:
    """Keeps the answer, in the transaction that commits the effect (or a later one that settles it)."""
    kept = {"status": answer.status, "headers": answer.headers, "body": answer.body}
    await tx.execute(update(idempotency).where(*_is(once)).values(kept))


async def sweep(db: Database, now: datetime) -> int:
    """Removes answers that nobody will ask for again; unfinished ones stay. Returns how many went."""
    old = delete(idempotency).where(idempotency.c.created_at < now - KEPT, idempotency.c.status.is_not(None))
    async with db.begin() as tx:
        return (await tx.execute(old)).rowcount


def _is(once: Once) -> tuple[Any, ...]:
    row = idempotency.c
    return row.practice_id == once.practice_id, row.route == once.route, row.key == once.key


def _hash(once: Once) -> str:
    return hashlib.sha256(once.body).hexdigest()


def _running() -> Problem:
    words = "Send it again with the same key in a moment to get the answer."
    return Problem(409, "This request is still being worked on", words, headers={"Retry-After": "2"})
