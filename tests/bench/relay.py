"""relay: events per second through the outbox with the real relay, against bare sends of the same payloads."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
import uvloop
from aiokafka import AIOKafkaProducer

from deploy.local.processes import Product
from shared.db import asyncpg_url
from shared.relay import READ_LIMIT, Relay, fenced_producer
from shared.settings import Kafka
from tests.bench import ground
from tests.bench.ground import Result

EVENTS = 60_000
BOUND, GOAL = 0.9, 1.0
TOPIC = "claim.redropped"
VALUE = b'{"practice_id":"195900","claim_id":"b12345","version":1,"revision":1,"write_offs":[],"note":"' + b"x" * 200 + b'"}'


async def measure(product: Product) -> Result:
    relay = Relay("invoicing", Kafka(kafka_servers=product.plan.kafka), product.plan.database("invoicing", "worker"))
    database = await asyncpg.connect(asyncpg_url(relay.database_url))
    producer = await fenced_producer(relay.kafka, "billfold-relay-invoicing")
    ours, floors = [], []
    try:
        for turn in range(ground.ROUNDS + 2):  # the first two warm up
            records = await fill(product, relay, database)
            took, floor = await through(relay, database, producer), await bare(producer, records)
            if turn > 1:
                ours.append(EVENTS / took)
                floors.append(EVENTS / floor)
    finally:
        await producer.stop()
        await database.close()
    ratio = ground.median([a / b for a, b in zip(ours, floors, strict=True)])
    rates = f"{ground.median(ours):,.0f} events/s, bare send + gather {ground.median(floors):,.0f} ({len(VALUE)} bytes)"
    return Result("relay", f"{rates}, ratio {ratio:.2f} (≥ {BOUND}, goal {GOAL})", ratio, ground.median(floors), GOAL, ratio >= BOUND)


async def fill(product: Product, relay: Relay, database: asyncpg.Connection) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """Rows in the outbox; their keys and headers, as the bare side sends them."""
    await ground.sql(product, "invoicing", "TRUNCATE outbox")
    now = datetime.now(UTC)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    rows: list[dict[str, Any]] = [
        {"topic": TOPIC, "key": f"195900/b{n}", "event_id": f"01J{n:023d}", "time": now, "trace": trace, "value": VALUE} for n in range(EVENTS)
    ]
    await database.copy_records_to_table("outbox", columns=list(rows[0]), records=[tuple(row.values()) for row in rows])
    await ground.sql(product, "invoicing", "ANALYZE outbox")
    return [(row["key"].encode(), relay._headers(row)) for row in rows]


async def through(relay: Relay, database: asyncpg.Connection, producer: AIOKafkaProducer) -> float:
    began = time.perf_counter()
    assert await relay.drain(database, producer) == EVENTS
    return time.perf_counter() - began


async def bare(producer: AIOKafkaProducer, records: list[tuple[bytes, list[tuple[str, bytes]]]]) -> float:
    began = time.perf_counter()
    for start in range(0, EVENTS, READ_LIMIT):
        sent = [await producer.send(TOPIC, VALUE, key=key, headers=headers) for key, headers in records[start : start + READ_LIMIT]]
        await asyncio.gather(*sent)
    return time.perf_counter() - began


def run() -> Result:
    with ground.servers("relay") as product:
        ground.tune()
        return uvloop.run(measure(product))
