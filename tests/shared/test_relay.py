"""The relay on a real broker: nothing lost, order kept, and a stopped one cannot publish after its successor."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from shared import outbox
from shared.events import MAX_BYTES
from shared.events.ingress import CLAIM_VOIDED, ClaimVoided
from shared.relay import READ_LIMIT, Relay
from shared.settings import Kafka
from tests.shared.conftest import Toy
from tests.shared.test_consumption import until


async def put(toy: Toy, topic: Any, versions: range, key: str = "1") -> None:
    async with toy.worker.begin() as tx:
        await outbox.append(tx, toy.clock.business(), [outbox.Outgoing(topic, voided(key, version)) for version in versions])


def voided(claim_id: str, version: int) -> ClaimVoided:
    return ClaimVoided(practice_id="7", claim_id=claim_id, version=version, voided_on=date(2026, 11, 20))


async def waiting_rows(toy: Toy) -> int:
    async with toy.worker.begin() as tx:
        return int((await tx.exec_driver_sql("SELECT count(*) FROM outbox")).scalar_one())


async def versions(toy: Toy, topic: Any, key: str = "1") -> list[int]:
    """Every version of a claim on the topic, in order."""
    consumer = AIOKafkaConsumer(topic.name, bootstrap_servers=toy.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[int] = []
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [topic.decode(record.value).version for record in records if record.key == f"7/{key}".encode()]
        return found
    finally:
        await consumer.stop()


async def test_the_relay_publishes_in_order_and_empties_the_outbox(toy: Toy, fresh_topics: Any) -> None:
    topic = await fresh_topics(CLAIM_VOIDED)
    await put(toy, topic, range(1, 2501))
    relay = asyncio.create_task(Relay("toy", Kafka(kafka_servers=toy.kafka), toy.url).run())
    try:
        await until(lambda: _empty(toy))
        await put(toy, topic, range(2501, 2510))
        await until(lambda: _empty(toy))
    finally:
        relay.cancel()
    assert await versions(toy, topic) == list(range(1, 2510))


async def test_a_row_with_a_trace_that_no_broker_takes_holds_up_nothing(toy: Toy, fresh_topics: Any) -> None:
    """Release 0.1.0 copied what a parked record had as its trace."""
    topic = await fresh_topics(CLAIM_VOIDED)
    await put(toy, topic, range(1, 3))
    async with toy.worker.begin() as tx:
        await tx.exec_driver_sql(f"UPDATE outbox SET trace = repeat('1', {9 * 1024 * 1024}) WHERE id = (SELECT min(id) FROM outbox)")
    relay = asyncio.create_task(Relay("toy", Kafka(kafka_servers=toy.kafka), toy.url).run())
    try:
        await until(lambda: _empty(toy))
    finally:
        relay.cancel()
    assert await versions(toy, topic) == [1, 2]


async def test_an_event_counts_with_its_key_and_trace(toy: Toy) -> None:
    async with toy.worker.begin() as tx:
        for more in ({"key": "7" * MAX_BYTES}, {"trace": "0" * MAX_BYTES}):
            with pytest.raises(ValueError, match="readers take"):
                await outbox.append(tx, toy.clock.business(), [outbox.Outgoing(CLAIM_VOIDED, voided("1", 1), **more)])


async def test_what_committed_late_goes_out_before_what_followed_it(toy: Toy, fresh_topics: Any) -> None:
    """Version 1 of a claim has a low id and commits, and version 2 after it, while the first full read is on its way."""
    topic = await fresh_topics(CLAIM_VOIDED)
    late = await toy.worker.engine.connect()
    await outbox.append(late, toy.clock.business(), [outbox.Outgoing(topic, voided("late", 1))])
    await put(toy, topic, range(1, READ_LIMIT + 1), key="early")

    class Slow(Relay):
        async def _send(self, producer: Any, rows: Any) -> Any:
            if late.in_transaction():
                await late.commit()
                await put(toy, topic, range(2, 3), key="late")
            return await super()._send(producer, rows)

    relay = asyncio.create_task(Slow("toy", Kafka(kafka_servers=toy.kafka), toy.url).run())
    try:
        await until(lambda: _empty(toy))
    finally:
        relay.cancel()
        await late.close()
    assert await versions(toy, topic, "late") == [1, 2]


async def _empty(toy: Toy) -> bool:
    return await waiting_rows(toy) == 0


STOPPED_RELAY = """
import asyncio, os, signal, sys
from shared import relay
from shared.events import registry
from shared.events.ingress import CLAIM_VOIDED
from shared.events import Topic
from shared.settings import Kafka
name = sys.argv[3]
registry.TOPICS[name] = Topic(name, CLAIM_VOIDED.body, CLAIM_VOIDED.key, "ingress", True)
relay.IDLE_MS = 1000

async def stop_before_sending(self, producer, rows, send=relay.Relay._send):
    if rows:
        await producer.partitions_for(name)
        print("stopping", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    sent = await send(self, producer, rows)
    for one in await asyncio.gather(*sent, return_exceptions=True):
        print("refused" if isinstance(one, Exception) else "published", type(one).__name__, flush=True)
    return sent

relay.Relay._send = stop_before_sending
asyncio.run(relay.Relay("toy", Kafka(kafka_servers=sys.argv[1]), sys.argv[2])._lead())
"""


async def test_a_relay_that_stood_still_cannot_publish_after_its_successor(toy: Toy, fresh_topics: Any) -> None:
    topic = await fresh_topics(CLAIM_VOIDED)
    await put(toy, topic, range(1, 4))
    old = subprocess.Popen([sys.executable, "-c", STOPPED_RELAY, toy.kafka, toy.url, topic.name], stdout=subprocess.PIPE, text=True)
    successor = None
    try:
        assert old.stdout is not None
        assert await asyncio.to_thread(old.stdout.readline) == "stopping\n"
        successor = asyncio.create_task(Relay("toy", Kafka(kafka_servers=toy.kafka), toy.url).run())
        await until(lambda: _empty(toy), 60)
        await put(toy, topic, range(4, 6))
        await until(lambda: _empty(toy))
        os.kill(old.pid, signal.SIGCONT)
        assert (await asyncio.to_thread(old.stdout.readline)).startswith("refused")
        assert await versions(toy, topic) == [1, 2, 3, 4, 5]
    finally:
        if successor:
            successor.cancel()
        old.kill()
        old.wait()
