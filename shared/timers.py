"""Durable timers: a row that says what is due when, on the business or the system clock."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Column, Date, DateTime, Index, Table, Text, func, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import telemetry
from shared.clock import Clock
from shared.db import TECHNICAL, Database, passing

Which = Literal["business", "system"]
AT_ONCE = 200
log = logging.getLogger(__name__)

timers = Table(
    "timers",
    TECHNICAL,
    Column("kind", Text, primary_key=True),
    Column("practice_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("clock", Text, nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("trace", Text),
    Index(None, "clock", "due_at"),
)
# Nothing writes it any more; it goes once 0.2.0, which does, runs beside no release.
daily_runs = Table(
    "daily_runs",
    TECHNICAL,
    Column("practice_id", Text, primary_key=True),
    Column("local_date", Date, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that is due."""

    kind: str
    practice_id: str
    key: str
    due_at: datetime
    payload: dict[str, Any]


TimerHandler = Callable[[AsyncConnection, Timer], Awaitable[None]]


async def set_timer(
    tx: AsyncConnection,
    kind: str,
    practice_id: str,
    key: str,
    due_at: datetime,
    payload: Mapping[str, Any] | None = None,
    clock: Which = "business",
) -> None:
    """Sets or moves the timer of this kind and key; it continues the current trace when it fires."""
    values = {"clock": clock, "due_at": due_at, "payload": dict(payload or {}), "trace": telemetry.traceparent()}
    new = insert(timers).values(kind=kind, practice_id=practice_id, key=key, **values)
    await tx.execute(new.on_conflict_do_update(index_elements=["kind", "practice_id", "key"], set_=values))


async def cancel_timer(tx: AsyncConnection, kind: str, practice_id: str, key: str) -> None:
    """Removes a timer that is no longer wanted; one that has fired is gone already, and one that fires at this moment is left to its handler.

    So a handler decides under the lock of what the timer is about, as the caller does here.
    """
    # Not waited for: whoever fires it has its row and waits for what the caller has locked.
    await tx.execute(text(_CANCEL), {"kind": kind, "practice_id": practice_id, "key": key})


_CANCEL = """
DELETE FROM timers WHERE (kind, practice_id, key) IN (
  SELECT kind, practice_id, key FROM timers WHERE kind = :kind AND practice_id = :practice_id AND key = :key FOR UPDATE SKIP LOCKED
)
"""


async def fire(db: Database, clock: Clock, handlers: Mapping[str, TimerHandler]) -> int:
    """Fires what is due, each in a transaction of its own with its effect. One that fails stays due and holds up no other."""
    due = (timers.c.clock == "business") & (timers.c.due_at <= clock.business())
    due |= (timers.c.clock == "system") & (timers.c.due_at <= clock.system())
    chosen = select(timers).where(due, timers.c.kind.in_(handlers)).order_by(timers.c.due_at).limit(AT_ONCE)
    async with db.begin() as tx:
        rows = (await tx.execute(chosen)).all()
    return sum([await _fire_one(db, row, handlers[row.kind]) for row in rows])


async def _fire_one(db: Database, row: Any, handler: TimerHandler) -> bool:
    same = (timers.c.kind == row.kind) & (timers.c.practice_id == row.practice_id) & (timers.c.key == row.key) & (timers.c.due_at == row.due_at)
    try:
        async with db.begin() as tx:
            taken = await tx.execute(select(timers).where(same).with_for_update(skip_locked=True))
            if taken.one_or_none() is None:  # another replica has it, or it was moved or cancelled meanwhile
                return False
            with telemetry.span(f"timer {row.kind}", parent=row.trace):
                await cancel_timer(tx, row.kind, row.practice_id, row.key)
                await handler(tx, Timer(row.kind, row.practice_id, row.key, row.due_at, row.payload))
        return True
    except Exception as error:
        level = logging.WARNING if passing(error) else logging.ERROR
        log.log(level, "timer %s of practice %s failed; it stays due", row.kind, row.practice_id, exc_info=error)
        return False
