"""The relay: publishes what the outbox holds, in order, and deletes only what the broker acknowledged. One is active per service.

Fence. A relay that lost its lock may still have records on their way. Every relay takes the same producer id with an epoch of its own,
from the broker's transaction coordinator, and publishes without transactions. A successor begins with all rows that its predecessor did
not see acknowledged, so for each partition it appends those before anything newer; from its first append on, the broker refuses the older
epoch there. What the older one appends before that is repeated by the newer. So the last record of a key is always its newest state.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from prometheus_client import Counter, Gauge

from shared.db import connect
from shared.events.registry import TOPICS
from shared.settings import Kafka

log = logging.getLogger(__name__)
PUBLISHED = Counter("billfold_published", "Events published by the relay")
BEAT = Gauge("billfold_relay_beat", "When the relay last looked at the outbox, in seconds of the epoch")

READ_LIMIT = 1000
TRACE = 55  # characters of a traceparent; release 0.1.0 may have left longer ones here, with which a broker takes no record
LOCK = 0x62696C6C  # the advisory lock of the relay, in each service's own database
IDLE_MS = 10_000  # a relay that stands still for so long loses its session, and with it the lock
# A deletion that a crash of the database forgets is a record published again, which readers expect; so none waits for the disk.
SESSION = {"application_name": "relay", "synchronous_commit": "off"}
SELECT = "SELECT id, topic, key, event_id, time, trace, value FROM outbox WHERE id <> ALL($1::bigint[]) ORDER BY id LIMIT $2"


@dataclass
class Relay:
    """One service's relay; `run` never returns, `drain` publishes what is there now."""

    service: str
    kafka: Kafka
    database_url: str
    active: bool = False
    beat_at: float = field(default_factory=time.monotonic)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _partition: DefaultPartitioner = field(default_factory=DefaultPartitioner)

    async def run(self) -> None:
        """Takes the lock, publishes, and begins again after any trouble."""
        while True:
            try:
                await self._lead()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("the relay of %s begins again: %r", self.service, error)
            self.active = False
            await asyncio.sleep(1)

    async def _lead(self) -> None:
        database = await connect(self.database_url, timeout=5, server_settings=SESSION)
        try:
            while not await database.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                self._beat()
                await asyncio.sleep(1)
            await database.execute(f"SET idle_session_timeout = {IDLE_MS}")
            await database.add_listener("outbox", lambda *_: self._woken.set())
            producer = await fenced_producer(self.kafka, f"billfold-relay-{self.service}")
            try:
                self.active = True
                while True:
                    self._woken.clear()
                    await self.drain(database, producer)
                    self._beat()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), 1)
            finally:
                await producer.stop()
        finally:
            database.terminate()

    def _beat(self) -> None:
        self.beat_at = time.monotonic()
        BEAT.set_to_current_time()

    async def drain(self, database: asyncpg.Connection, producer: AIOKafkaProducer) -> int:
        """Publishes from the oldest row on until the outbox is empty; returns how many.

        Each read starts at the lowest id that is not under way, since a transaction with lower ids may have committed later, and
        before one with higher ids about the same thing. While the broker acknowledges one full read, the next is read and built.
        """
        total = 0
        sent: tuple[Sequence[int], Sequence[Any]] = ((), ())
        while True:
            rows = await database.fetch(SELECT, sent[0], READ_LIMIT)
            acknowledgements = await self._send(producer, rows)
            await self._settle(database, *sent)
            sent = ([row["id"] for row in rows], acknowledgements)
            total += len(rows)
            if len(rows) < READ_LIMIT:
                break
        await self._settle(database, *sent)
        PUBLISHED.inc(total)
        return total

    async def _send(self, producer: AIOKafkaProducer, rows: Sequence[Any]) -> list[Any]:
        """Hands rows to the producer in one batch per partition; returns their acknowledgements to come."""
        batches: dict[tuple[str, int], Any] = {}
        sent = []
        for row in rows:
            topic, key = row["topic"], row["key"].encode()
            partitions = sorted(await producer.partitions_for(topic))
            at = (topic, self._partition(key, partitions, partitions))
            headers = self._headers(row)
            if at not in batches:
                batches[at] = producer.create_batch()
            if batches[at].append(key=key, value=row["value"], timestamp=None, headers=headers) is None:
                batches[at].close()
                sent.append(await producer.send_batch(batches[at], topic, partition=at[1]))
                batches[at] = producer.create_batch()
                if batches[at].append(key=key, value=row["value"], timestamp=None, headers=headers) is None:
                    raise ValueError(f"outbox row {row['id']} is larger than a batch")
        for (topic, partition), batch in batches.items():
            batch.close()
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        return sent

    async def _settle(self, database: asyncpg.Connection, row_ids: Sequence[int], acknowledgements: Sequence[Any]) -> None:
        if row_ids:
            await asyncio.gather(*acknowledgements)
            await database.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", row_ids)

    def _headers(self, row: Any) -> list[tuple[str, bytes]]:
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", row["event_id"].encode()),
            ("ce_type", row["topic"].encode()),
            ("ce_source", f"/billfold/{self.service}".encode()),
            ("ce_time", row["time"].isoformat().encode()),
            ("ce_dataschema", TOPICS[row["topic"]].schema_id.encode()),
            ("content-type", b"application/json"),
        ]
        if row["trace"] and len(row["trace"]) <= TRACE:
            headers.append(("traceparent", row["trace"].encode()))
        return headers


async def fenced_producer(kafka: Kafka, name: str) -> AIOKafkaProducer:
    """An idempotent producer under `name` whose epoch is newer than that of every producer made so before."""
    claim = AIOKafkaProducer(**kafka.kafka_options(), transactional_id=name)
    await claim.start()
    epoch = claim._txn_manager._pid_and_epoch
    await claim.stop()
    producer = AIOKafkaProducer(
        **kafka.kafka_options(), enable_idempotence=True, linger_ms=0, max_batch_size=1024 * 1024, max_request_size=4 * 1024 * 1024
    )
    producer._txn_manager.set_pid_and_epoch(epoch.pid, epoch.epoch)
    await producer.start()
    return producer
