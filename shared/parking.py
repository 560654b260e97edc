"""Parking: a record that cannot be handled is set aside with its error, reported, and handled again on request; its partition goes on.

`python -m services.<name> parked` lists, `… replay [<parked id> …]` handles them again.
"""

import base64
import math
import re
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import msgspec
from aiokafka import ConsumerRecord
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, LargeBinary, Table, Text, delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import ids, telemetry
from shared.db import TECHNICAL, Database
from shared.events.registry import DEAD_LETTERS, DeadLetter
from shared.messages import EVENT_ID, KEY, Message, Unreadable
from shared.outbox import Outgoing

BEHIND = "behind an earlier record of its key"
PAGE = 1000  # records that are read at once
LONGEST_KEY = 600  # bytes: a key that names something has 385 at most (shared/messages.py), and the index takes some 2,700

parked = Table(
    "parked",
    TECHNICAL,
    Column("consumer", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("parked_id", Text, nullable=False, unique=True),
    Column("key", LargeBinary),
    Column("headers", JSONB, nullable=False),
    Column("value", LargeBinary),
    Column("path", Text),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "consumer", "topic", "key"),
)
_ORDER = (parked.c.consumer, parked.c.topic, parked.c.partition, parked.c.offset)


async def park(tx: AsyncConnection, service: str, consumer: str, record: "ConsumerRecord[bytes, bytes]", error: Exception | None) -> Outgoing | None:
    """Sets a record aside (`error` None: only because its key is blocked); returns the report to publish, or None when it was parked before."""
    path, words = _why(error) if error else (None, BEHIND)
    reason = words if error is None or isinstance(error, Unreadable) else f"the handler failed: {type(error).__name__}"
    row = {
        "consumer": consumer,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "parked_id": ids.new(),
        "key": record.key and record.key[:LONGEST_KEY],
        # Header values need not be text; names are, but JSON of the database holds no NUL.
        "headers": [[name.replace("\x00", ""), base64.b64encode(value).decode() if value is not None else None] for name, value in record.headers],
        "value": record.value,
        "path": path,
        "error": words,
    }
    stored = await tx.execute(insert(parked).values(row).on_conflict_do_nothing().returning(parked.c.parked_id))
    if stored.one_or_none() is None:
        return None
    headers = dict(record.headers)
    key = _formed(KEY, record.key)
    trace = telemetry.parse((headers.get("traceparent") or b"").decode(errors="replace"))
    body = DeadLetter(
        practice_id=key.partition("/")[0] if key else None,
        parked_id=row["parked_id"],
        consumer=consumer,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=_formed(EVENT_ID, headers.get("ce_id")),
        path=path,
        reason=reason,
    )
    return Outgoing(DEAD_LETTERS[service], body, telemetry.render(trace) if trace else None, key or row["parked_id"])


def warning(service: str, consumer: str, message: Message[Any], reason: str) -> Outgoing:
    """A report about an event that was taken in all the same; `reason` holds no value of it."""
    body = DeadLetter(
        practice_id=message.practice_id,
        parked_id=None,
        consumer=consumer,
        topic=message.topic.name,
        partition=None,
        offset=None,
        event_id=message.event_id,
        path=None,
        reason=reason,
    )
    return Outgoing(DEAD_LETTERS[service], body, message.trace, message.key)


_BLOCKED = text("SELECT DISTINCT topic, key FROM parked WHERE consumer = :consumer AND key = ANY(CAST(:keys AS bytea[]))")


async def blocked(tx: AsyncConnection, consumer: str, keys: Collection[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    """Those (topic, key) of a batch that have something parked."""
    at = {key for _, key in keys}
    if not at:
        return set()
    # By the engine, which begins the transaction with its first statement; the driver would need one more.
    found = await tx.execute(_BLOCKED, {"consumer": consumer, "keys": list(at)})
    return {(row.topic, row.key) for row in found} & set(keys)


class _Version(msgspec.Struct):
    """How things of versioned topics are ordered, whatever else is said of them."""

    version: int
    revision: int = 0


async def replaced(tx: AsyncConnection, consumer: str, taken: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
    """Forgets parked records of versioned topics whose key came again, no older, and is taken in: an older repeat replaces nothing."""
    for record in sorted(taken, key=lambda record: (record.topic, record.key)):
        same = (parked.c.consumer == consumer, parked.c.topic == record.topic, parked.c.key == record.key)
        for row in await tx.execute(select(parked.c.parked_id, parked.c.value).where(*same).with_for_update()):
            if _version(row.value) <= _version(record.value):
                await tx.execute(delete(parked).where(parked.c.parked_id == row.parked_id))


def _version(value: bytes | None) -> tuple[float, int]:
    if value is None:  # it deletes, whatever was before
        return math.inf, 0
    try:
        found = msgspec.json.decode(value, type=_Version)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # of no version that anybody can read
        return -math.inf, 0
    return found.version, found.revision


async def page(tx: AsyncConnection, consumers: Sequence[str], parked_ids: Collection[str] = (), after: Any = None) -> list[Any]:
    """Up to PAGE parked records of these consumers in replay order, only `parked_ids` where given; `after` is the last row of the page before."""
    found = select(parked).where(parked.c.consumer.in_(consumers)).order_by(*_ORDER).limit(PAGE)
    if parked_ids:
        found = found.where(parked.c.parked_id.in_(parked_ids))
    if after:
        found = found.where(tuple_(*_ORDER) > tuple_(*(after._mapping[column] for column in _ORDER)))
    return list(await tx.execute(found))


async def pages(db: Database, consumers: Sequence[str], parked_ids: Collection[str] = ()) -> AsyncIterator[list[Any]]:
    """All of them, page by page; each page is read in a transaction of its own."""
    after = None
    while True:
        async with db.begin() as tx:
            rows = await page(tx, consumers, parked_ids, after)
        if not rows:
            return
        yield rows
        after = rows[-1]


async def still_parked(tx: AsyncConnection, rows: Sequence[Any]) -> list[Any]:
    """Topic and key of those of these records that are parked still."""
    these = parked.c.parked_id.in_([row.parked_id for row in rows])
    return list(await tx.execute(select(parked.c.topic, parked.c.key).where(these)))


async def take(tx: AsyncConnection, row: Any) -> bool:
    """Takes a parked row out; of two replays one has it."""
    return (await tx.execute(delete(parked).where(parked.c.parked_id == row.parked_id))).rowcount == 1


async def note_failure(tx: AsyncConnection, row: Any, error: Exception) -> None:
    """Notes that a replay failed too."""
    path, words = _why(error)
    again = {"attempts": parked.c.attempts + 1, "path": path, "error": words}
    await tx.execute(update(parked).where(parked.c.parked_id == row.parked_id).values(again))


def _why(error: Exception) -> tuple[str | None, str]:
    """Where in a record, and the words that operators read; they may hold a value where the handler failed, so they stay in this table."""
    if isinstance(error, Unreadable):
        return error.path, error.reason
    return None, f"the handler failed: {type(error).__name__}: {error}".replace("\x00", "")[:2000]


def record_of(row: Any) -> "ConsumerRecord[bytes, bytes]":
    """The record as it was read."""
    headers = tuple((name, base64.b64decode(value) if value is not None else None) for name, value in row.headers)
    return ConsumerRecord(row.topic, row.partition, row.offset, 0, 0, row.key, row.value, None, 0, len(row.value or b""), headers)


def _formed(pattern: re.Pattern[str], value: bytes | None) -> str | None:
    """A key or an id; None where it is not one. It may be a person's name then, and reports are open to other systems."""
    text = (value or b"").decode(errors="ignore")
    return text if pattern.fullmatch(text) and text.encode() == value else None
