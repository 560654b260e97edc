"""The outbox: events are rows of the transaction that made them; the relay publishes what was committed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, LargeBinary, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import ids, telemetry
from shared.db import TECHNICAL, copy
from shared.events import MAX_BYTES, Topic

LARGEST = MAX_BYTES - 16 * 1024  # leaves room for what every record has

outbox = Table(
    "outbox",
    TECHNICAL,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("trace", Text),
    Column("value", LargeBinary),
)

# One notice per statement wakes the relay without a round trip of its own; PostgreSQL sends equal notices of a transaction once.
TRIGGERS = (
    "CREATE OR REPLACE FUNCTION wake_relay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY outbox; RETURN NULL; END $$",
    "CREATE OR REPLACE TRIGGER wake_relay AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION wake_relay()",
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event to publish; `trace` is the traceparent it continues (none: the current span's), `key` stands in for the body's own."""

    topic: Topic[Any]
    body: object
    trace: str | None = None
    key: str | None = None


async def append(tx: AsyncConnection, now: datetime, events: Iterable[Outgoing]) -> None:
    """Puts events into the transaction. Lock what they are about first, so that the order of a key is the order of commits."""
    current = telemetry.traceparent()
    rows: list[dict[str, Any]] = [
        {
            "topic": out.topic.name,
            "key": out.key or out.topic.key_of(out.body),
            "event_id": ids.new(),
            "time": now,
            "trace": out.trace or current,
            "value": Topic.encode(out.body),
        }
        for out in events
    ]
    for row in rows:
        size = sum(len(row[part] or b"") for part in ("value", "key", "trace"))
        if size > LARGEST:  # such a row would stop the relay; here it fails the one transaction that made it
            raise ValueError(f"an event on {row['topic']} has {size} bytes; readers take {MAX_BYTES}")
    await copy(tx, outbox, rows)
