"""A toy service for the tests of the ground: it copies every fact it takes in to a table and to the outbox."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy import BigInteger, Column, Identity, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import create_async_engine

from shared import ids, outbox, technical, topics  # noqa: F401 declares every technical table
from shared.clock import FixedClock
from shared.db import TECHNICAL, Database, copy, new_metadata, secure
from shared.events import Topic

metadata = new_metadata()
seen = Table(
    "seen",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("position", BigInteger, Identity(), primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
)
copies = Table(
    "copies",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("thing_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("body", JSONB),
)
people = Table("people", metadata, Column("person_id", Text, primary_key=True))
entries = Table("entries", metadata, Column("practice_id", Text, primary_key=True), Column("cents", BigInteger, primary_key=True))


@dataclass
class Toy:
    """The toy service's database and broker."""

    url: str
    worker: Database
    app: Database
    kafka: str
    clock: FixedClock

    async def keep(self, tx: Any, messages: list[Any]) -> None:
        """Its handler: refuses a body that says so."""
        for message in messages:
            if getattr(message.body, "reason", None) == "refuse":
                raise ValueError("this one is refused")
        rows = [{"practice_id": m.practice_id, "event_id": m.event_id, "topic": m.topic.name, "key": m.key} for m in messages]
        await copy(tx, seen, rows)

    async def rows(self) -> list[Any]:
        async with self.worker.begin() as tx:
            return list(await tx.execute(seen.select().order_by(seen.c.position)))


@dataclass
class Base:
    """The toy service's database by role; `people` belong to no practice, `entries` are never edited."""

    owner: Database
    app: Database
    worker: Database


@pytest.fixture
async def base(postgres: Any) -> AsyncIterator[Base]:
    urls = await postgres.fresh("toy")
    owner = create_async_engine(urls.owner)
    async with owner.begin() as tx:
        await tx.run_sync(TECHNICAL.create_all)
        await tx.run_sync(metadata.create_all)
        await tx.exec_driver_sql("CREATE TABLE alembic_version (version_num text)")
    await owner.dispose()
    await secure(urls.owner, "toy", ("people",), ("entries",), outbox.TRIGGERS)
    made = Base(Database(urls.owner, "toy"), Database(urls.app, "toy"), Database(urls.worker, "toy"))
    yield made
    for database in (made.owner, made.app, made.worker):
        await database.close()


@pytest.fixture
async def toy(base: Base, kafka: str) -> Toy:
    return Toy(base.worker.url, base.worker, base.app, kafka, FixedClock(datetime(2026, 11, 20, 15, tzinfo=UTC)))


@pytest.fixture
async def fresh_topics(kafka: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[Topic[Any]], Any]]:
    """Gives a declared topic a name of its own on the broker, so that tests do not meet each other's records."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()

    async def make(topic: Topic[Any]) -> Topic[Any]:
        own = Topic(f"{topic.name}.t{ids.new()[-8:]}", topic.body, topic.key, topic.writer, topic.versioned, topic.restricted)
        monkeypatch.setitem(outbox_topics(), own.name, own)
        await admin.create_topics([NewTopic(own.name, 3, 1, topic_configs=own.config)])
        return own

    yield make
    await admin.close()


def outbox_topics() -> dict[str, Topic[Any]]:
    from shared.events.registry import TOPICS

    return TOPICS


KEY = b"7/bad"
Bad = tuple[dict[str, bytes | None], bytes | None, bytes | None, str]
# What is wrong → headers that differ, key, body, and the place that the answer names; it is wrong on whatever topic.
MALFORMED: dict[str, Bad] = {
    "not JSON": ({}, KEY, b"{", "$"),
    "not an object": ({}, KEY, b"[]", "$"),
    "fields missing": ({}, KEY, b"{}", "$"),
    "a wrong type": ({}, KEY, b'{"practice_id": 5}', "$.practice_id"),
    "a key without a practice": ({}, b"bad", b"{}", "key"),
    "a key that is not UTF-8": ({}, b"\xff/1", b"{}", "key"),
    "no id": ({"ce_id": None}, KEY, b"{}", "headers.ce_id"),
    "another type": ({"ce_type": b"other"}, KEY, b"{}", "headers.ce_type"),
    "an unknown major": ({"ce_dataschema": b"urn:billfold:x:9"}, KEY, b"{}", "headers.ce_dataschema"),
    "a time without a zone": ({"ce_time": b"2026-11-20T15:00:00"}, KEY, b"{}", "headers.ce_time"),
}


def envelope(topic: Topic[Any], **changes: bytes | None) -> list[tuple[str, bytes]]:
    """The headers of a good record, with changes; None leaves one out."""
    headers: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": ids.new().encode(),
        "ce_type": topic.name.encode(),
        "ce_source": b"/test",
        "ce_time": b"2026-11-20T15:00:00Z",
    }
    return [(name, value) for name, value in (headers | changes).items() if value is not None]


@pytest.fixture
async def producer(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, max_request_size=8 * 1024 * 1024)
    await made.start()
    yield made
    await made.stop()
