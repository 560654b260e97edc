"""Waiting rows: a message whose counterpart has not arrived is kept, and handled again when it has (events: a missing counterpart is a wait)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import Gauge
from sqlalchemy import Column, DateTime, Index, LargeBinary, Table, Text, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import TECHNICAL, Database
from shared.events.registry import TOPICS
from shared.messages import Message

ALARM_AFTER = timedelta(minutes=10)

waiting = Table(
    "waiting",
    TECHNICAL,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("need", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("trace", Text),
    Column("value", LargeBinary, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "consumer", "need"),
)

OVERDUE = Gauge("billfold_waiting_overdue", "Messages that have waited for a counterpart for more than ten minutes", ["consumer"])


async def keep(tx: AsyncConnection, consumer: str, need: str, message: Message[Any]) -> None:
    """Keeps a message until `need` (`practice/195900`, `claim/195900/48213`) is there."""
    row = {
        "consumer": consumer,
        "event_id": message.event_id,
        "need": need,
        "topic": message.topic.name,
        "key": message.key,
        "time": message.time,
        "trace": message.trace,
        "value": message.topic.encode(message.body),
    }
    await tx.execute(insert(waiting).values(row).on_conflict_do_update(index_elements=["consumer", "event_id"], set_={"need": need}))


async def take(tx: AsyncConnection, consumer: str, needs: Collection[str]) -> list[Message[Any]]:
    """Takes out what waited for these, oldest first; the caller handles it again, and keeps it again if need be."""
    if not needs:
        return []
    taken = await tx.execute(delete(waiting).where(waiting.c.consumer == consumer, waiting.c.need.in_(sorted(needs))).returning(waiting))
    return [_message(row) for row in sorted(taken, key=lambda row: row.since)]


async def needs(tx: AsyncConnection, consumer: str, limit: int = 1000) -> list[str]:
    """What is waited for, longest first: for the `run_once` that tries again."""
    found = await tx.execute(
        select(waiting.c.need).where(waiting.c.consumer == consumer).group_by(waiting.c.need).order_by(func.min(waiting.c.since)).limit(limit)
    )
    return list(found.scalars())


async def watch(db: Database, now: datetime) -> int:
    """Shows how many messages wait for too long, by consumer."""
    async with db.begin() as tx:
        counted = await tx.execute(select(waiting.c.consumer, func.count().filter(waiting.c.since < now - ALARM_AFTER)).group_by(waiting.c.consumer))
        late = {consumer: count for consumer, count in counted}
    OVERDUE.clear()  # a consumer for which nothing waits any more has no row
    for consumer, count in late.items():
        OVERDUE.labels(consumer).set(count)
    return sum(late.values())


def _message(row: Any) -> Message[Any]:
    topic = TOPICS[row.topic]
    return Message(topic, row.key, row.event_id, row.time, topic.decode(row.value), row.trace)
