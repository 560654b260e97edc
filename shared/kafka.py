"""Consumption, decided once: every subscriber of the product is made here (measured and reasoned in docs/decisions/consumption.md).

A batch is one transaction: inbox, handlers and outbox commit together, then the offsets. A batch that fails is halved until one
record stands alone; that one is parked. Trouble of database or broker is waited out, never parked.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage
from faststream.middlewares import AckPolicy
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from opentelemetry.trace import Span
from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import inbox, outbox, parking, telemetry
from shared.clock import Clock
from shared.db import Database, cause, passing
from shared.events import Topic
from shared.messages import Handler, Message, read
from shared.reader import Reader
from shared.settings import Kafka

log = logging.getLogger(__name__)
COMMIT_SECONDS = 5
BUSY_SECONDS = 0.005  # a batch that follows another so soon was fetched while that one was stored
FETCH_MS = 5
LOGINS = {"SCRAM-SHA-512": SASLScram512, "SCRAM-SHA-256": SASLScram256, "PLAIN": SASLPlaintext}

TAKEN = Counter("billfold_records", "Records taken in", ["consumer", "topic"])
PARKED = Counter("billfold_parked", "Records parked", ["consumer", "topic"])
BATCH = Histogram("billfold_batch_seconds", "Seconds from a batch's arrival to its commit", ["consumer"])
RETRIES = Counter("billfold_batch_retries", "Batches that had to wait for database or broker", ["consumer"])
MOVED = Gauge("billfold_consumer_moved", "When a consumer last committed, in seconds of the epoch", ["consumer"])


@dataclass
class Consumption:
    """One consumer group's work: its topics with their handlers, `batch` records at a time, and where it stands.

    `lock` locks what a batch of several messages is about, at once: handlers that lock one after the other would cross other transactions.
    """

    service: str
    group: str
    db: Database
    clock: Clock
    handlers: Mapping[Topic[Any], Handler]
    batch: int = 500
    lock: Handler | None = None
    subscriber: Any = None
    moved_at: float = field(default_factory=time.monotonic)
    commits: "asyncio.Task[None] | None" = None

    @property
    def topics(self) -> dict[str, Topic[Any]]:
        return {topic.name: topic for topic in self.handlers}

    async def take(self, records: Sequence[Any]) -> None:
        """FastStream's handler. It never returns, and never raises, before the batch is stored: what it steps over is lost."""
        began, pause = time.monotonic(), 0.1
        records = [*records, *await self._newest(self.batch - len(records))]
        while True:
            try:
                await self.store(records)
                break
            except Exception as error:
                level = logging.WARNING if passing(error) else logging.ERROR
                log.log(level, "consumer %s waits to store %d records", self.group, len(records), exc_info=error)
                RETRIES.labels(self.group).inc()
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 spreads retries, guards nothing
                pause = min(pause * 2, 10)
        self.moved_at = time.monotonic()
        MOVED.labels(self.group).set_to_current_time()
        BATCH.labels(self.group).observe(self.moved_at - began)
        await self.finish()
        # The next batch is stored while these offsets travel; always explicit ones, since positions include records not stored yet.
        self.commits = asyncio.create_task(self._commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}))

    async def _newest(self, room: int) -> list[Any]:
        """What came while the batch before was stored. The records at hand were fetched before that; these need not wait for one more batch."""
        if room <= 0 or time.monotonic() - self.moved_at > BUSY_SECONDS:
            return []
        try:
            found = await self.subscriber.consumer.getmany(timeout_ms=FETCH_MS, max_records=room)
        except Exception as error:  # whatever it is, the records at hand are stored
            log.warning("%s could not look for newer records: %r", self.group, error)
            return []
        return [record for records in found.values() for record in records]

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            async with asyncio.timeout(COMMIT_SECONDS):  # a consumer stopped meanwhile never answers
                await self.subscriber.consumer.commit(offsets)
        except (KafkaError, TimeoutError, AttributeError) as error:  # at a stop there may be no consumer any more
            log.warning("offsets of %s not committed, the records come again: %r", self.group, error)

    async def finish(self) -> None:
        """Waits for the offsets under way."""
        if self.commits:
            await self.commits

    async def store(self, records: Sequence[Any], again: bool = True) -> None:
        """Stores a batch, or its halves, or parks the one record that cannot be stored."""
        try:
            await self.transact(records)
        except Exception as error:
            if passing(error):
                raise
            if len(records) > 1:
                middle = len(records) // 2
                await self.store(records[:middle])
                await self.store(records[middle:])
            elif again and isinstance(cause(error), asyncpg.UniqueViolationError):
                # The member that had the partition before may have stored the same row at this moment; the second look sees it.
                await self.store(records, again=False)
            else:
                await self._park(records[0], error)

    async def _park(self, record: Any, error: Exception) -> None:
        trace = (dict(record.headers).get("traceparent") or b"").decode(errors="replace")
        with telemetry.span(f"park {record.topic}", parent=trace):  # so that the log line names the record's own trace
            where = (self.group, record.topic, record.partition, record.offset)
            log.warning("%s parks %s/%d/%d: %s", *where, type(error).__name__, exc_info=error)
        try:
            await self._set_aside(record, error)
        except Exception as trouble:
            if passing(trouble):
                raise
            # Nobody stands behind a record that cannot even be parked: its place and its bytes can be.
            log.error("%s parks %s/%d/%d without key and headers", *where, exc_info=trouble)
            await self._set_aside(replace(record, key=None, headers=()), error)

    async def _set_aside(self, record: Any, error: Exception) -> None:
        async with self.db.begin() as tx:
            if report := await parking.park(tx, self.service, self.group, record, error):
                await outbox.append(tx, self.clock.business(), [report])
                PARKED.labels(self.group, record.topic).inc()

    async def transact(self, records: Sequence[Any]) -> None:
        """One transaction for a batch."""
        read_ones: list[tuple[Any, Message[Any], Span]] = []
        try:
            for record in records:
                message, span = read(record, self.topics[record.topic])
                read_ones.append((record, message, span))
            with telemetry.transaction(self.db.name, [span for _, _, span in read_ones]):
                async with self.db.begin() as tx:
                    await self.handle(tx, [(record, message) for record, message, _ in read_ones])
        finally:
            for _, _, span in read_ones:
                span.end()
        for topic in self.topics:
            TAKEN.labels(self.group, topic).inc(sum(record.topic == topic for record in records))

    async def handle(self, tx: AsyncConnection, batch: Sequence[tuple[Any, Message[Any]]]) -> None:
        """Admits facts that are new, sets those aside whose key is blocked, and gives each topic's messages to its handler in order."""
        stuck = await parking.blocked(tx, self.group, {(record.topic, record.key) for record, _ in batch})
        new = await inbox.admit(tx, self.group, [message.event_id for _, message in batch if not message.topic.versioned])
        reports, go = [], []
        for record, message in batch:
            if message.topic.versioned:
                go.append(message)
            elif message.event_id in new:
                new.discard(message.event_id)  # a repeat in the same batch keeps its first place only
                if (record.topic, record.key) in stuck:
                    reports.append(await parking.park(tx, self.service, self.group, record, None))
                else:
                    go.append(message)
        again = [record for record, message in batch if message.topic.versioned and (record.topic, record.key) in stuck]
        await parking.replaced(tx, self.group, again)
        if self.lock and len(go) > 1:
            await self.lock(tx, go)
        for topic, handler in self.handlers.items():
            if messages := [message for message in go if message.topic is topic]:
                await handler(tx, messages)
        await outbox.append(tx, self.clock.business(), [report for report in reports if report])

    async def replay(self, rows: Sequence[Any]) -> int:
        """Handles parked records again, in order; returns how many went through. A key stops at its first failure."""
        done, failed = 0, set()
        for row in rows:
            if (row.topic, row.key) in failed:
                continue
            record = parking.record_of(row)
            try:
                async with self.db.begin() as tx:
                    if not await parking.take(tx, row):
                        continue
                    message, span = read(record, self.topics[record.topic])
                    span.end()
                    # The inbox knows those that were parked as blocked; the parked row itself makes sure of once.
                    await inbox.admit(tx, self.group, [message.event_id])
                    await self.handlers[message.topic](tx, [message])
                done += 1
            except Exception as error:
                if passing(error):
                    raise
                failed.add((row.topic, row.key))
                async with self.db.begin() as tx:
                    await parking.note_failure(tx, row, error)
        return done


class Broker(KafkaBroker):
    """FastStream's, whose consumers are Readers."""

    async def _connect(self) -> Any:
        builder = await super()._connect()
        self.config.broker_config.builder = partial(Reader, **builder.keywords)  # type: ignore[attr-defined]
        return self.config.broker_config.builder


def make_broker(settings: Kafka, client_id: str) -> KafkaBroker:
    """The broker's settings: nothing is created by itself, nothing is acknowledged by one replica only."""
    security = BaseSecurity(settings.kafka_tls())
    if settings.signs_in:
        security = LOGINS[settings.kafka_sasl_mechanism](settings.kafka_user or "", settings.kafka_password or "", settings.kafka_tls())
    return Broker(
        settings.kafka_servers,
        client_id=client_id,
        security=security,
        apply_types=False,
        enable_idempotence=True,
        allow_auto_create_topics=False,
        graceful_timeout=15,
        logger=None,
    )


def subscribe(broker: KafkaBroker, consumption: Consumption, *, member: str) -> None:
    """Connects a consumption to its topics. FastStream's own parsing, decoding and acknowledging are bypassed: they lose messages."""

    async def parse(records: Any) -> KafkaMessage:
        return KafkaMessage(body=b"", headers={}, raw_message=records, consumer=consumption.subscriber.consumer)

    async def raw(message: Any) -> Any:
        return message.raw_message

    consumption.subscriber = broker.subscriber(
        *consumption.topics,
        group_id=consumption.group,
        group_instance_id=member,
        batch=True,
        max_records=consumption.batch,
        batch_timeout_ms=10,  # FastStream sleeps as long again after an empty poll
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        no_reply=True,
        parser=parse,
        decoder=raw,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=3_000,
        max_poll_interval_ms=300_000,
    )

    async def take(records: Any) -> None:
        await consumption.take(records)

    consumption.subscriber(take)


async def lag(consumption: Consumption) -> int:
    """Records not yet read on the partitions of this member."""
    consumer = consumption.subscriber.consumer
    behind = 0
    for partition in consumer.assignment() if consumer else ():
        end = consumer.highwater(partition)
        if end is not None:
            behind += max(0, end - await consumer.position(partition))
    return behind
