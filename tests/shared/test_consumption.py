"""Consumption on a real broker and database: what is taken in once, in order, and what becomes of records that cannot be."""

import asyncio
import json
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from shared import ids, kafka, parking
from shared.events.ingress import CLAIM_HOLD_REQUESTED, CLAIM_VOIDED
from shared.kafka import Consumption
from shared.messages import Message
from shared.settings import Kafka
from tests.shared.conftest import MALFORMED, Toy, envelope
from tests.together import blocked


@asynccontextmanager
async def consuming(toy: Toy, *topics: Any, group: str | None = None, settings: Kafka | None = None):
    consumption = Consumption("invoicing", group or ids.new(), toy.worker, toy.clock, {topic: toy.keep for topic in topics}, batch=100)
    broker = kafka.make_broker(settings or Kafka(kafka_servers=toy.kafka), "test")
    kafka.subscribe(broker, consumption, member=ids.new())
    await broker.start()
    try:
        yield consumption
    finally:
        await consumption.finish()
        await broker.stop()


def hold(claim: str, reason: str = "none") -> bytes:
    body = {"practice_id": "7", "claim_id": claim, "version": 1, "kick_code": "X", "reason": reason, "requested_at": "2026-11-20T15:00:00Z"}
    return json.dumps(body).encode()


async def until(condition: Any, seconds: float = 20) -> Any:
    """Polls a condition that a real broker makes true; fails the test after a generous limit."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
        return found


async def parked_rows(toy: Toy, consumption: Consumption) -> list[Any]:
    async with toy.worker.begin() as tx:
        return await parking.page(tx, [consumption.group])


async def test_a_fact_is_taken_in_once_however_often_it_is_delivered(toy: Toy, producer: Any, fresh_topics: Any) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    headers = envelope(topic)
    for _ in range(3):
        await producer.send_and_wait(topic.name, hold("1"), key=b"7/1", headers=headers)
    await producer.send_and_wait(topic.name, hold("2"), key=b"7/2", headers=envelope(topic))
    async with consuming(toy, topic):
        await until(lambda: _seen(toy, 2))
    assert sorted(row.key for row in await toy.rows()) == ["7/1", "7/2"]


async def _seen(toy: Toy, count: int) -> bool:
    return len(await toy.rows()) >= count


async def test_a_batch_of_several_messages_is_locked_before_any_handler(toy: Toy) -> None:
    steps: list[str] = []

    def noting(step: str) -> Any:
        async def note(tx: Any, messages: list[Any]) -> None:
            steps.append(f"{step} {len(messages)}")

        return note

    consumption = Consumption("toy", ids.new(), toy.worker, toy.clock, {CLAIM_HOLD_REQUESTED: noting("held"), CLAIM_VOIDED: noting("void")})
    consumption.lock = noting("lock")
    batch = [_read(CLAIM_HOLD_REQUESTED, n) for n in "12"] + [_read(CLAIM_VOIDED, "3")]
    for part in (batch, batch[2:]):
        async with toy.worker.begin() as tx:
            await consumption.handle(tx, part)
    assert steps == ["lock 3", "held 2", "void 1", "void 1"]


async def test_a_record_whose_row_another_member_stores_meanwhile_is_looked_at_once_more_before_it_is_parked(toy: Toy) -> None:
    """A member that lost the partition commits what it had in hand: the one that has it now finds the row only at its second look."""
    tries: list[str] = []

    async def once(tx: Any, messages: list[Any]) -> None:
        for message in messages:
            tries.append(message.key)
            if not list(await tx.exec_driver_sql(f"SELECT 1 FROM people WHERE person_id = '{message.key}'")) or message.key == "7/twice":
                await tx.exec_driver_sql(f"INSERT INTO people (person_id) VALUES ('{message.key}')")

    consumption = Consumption("invoicing", ids.new(), toy.worker, toy.clock, {CLAIM_HOLD_REQUESTED: once})
    async with toy.worker.begin() as before:
        await before.exec_driver_sql("INSERT INTO people (person_id) VALUES ('7/once'), ('7/twice')")
        storing = asyncio.create_task(consumption.store([_record("once")]))
        await blocked(toy.worker)
    await storing
    assert (tries, await parked_rows(toy, consumption)) == (["7/once"] * 2, [])
    await consumption.store([_record("twice")])
    assert tries[2:] == ["7/twice"] * 2
    assert [row.key for row in await parked_rows(toy, consumption)] == [b"7/twice"]


def _record(claim: str) -> Any:
    topic = CLAIM_HOLD_REQUESTED
    value = hold(claim)
    return ConsumerRecord(topic.name, 0, 0, 0, 0, f"7/{claim}".encode(), value, None, 0, len(value), tuple(envelope(topic)))


def _read(topic: Any, claim: str) -> tuple[Any, Any]:
    message = Message(topic, f"7/{claim}", ids.new(), datetime(2026, 11, 20, tzinfo=UTC), None, None)
    return SimpleNamespace(topic=topic.name, key=message.key.encode()), message


BAD = MALFORMED | {
    "wrong type": ({}, b"7/1", hold("1").replace(b'"version": 1', b'"version": "1"'), "$.version"),
    "missing field": ({}, b"7/1", b'{"practice_id":"7","claim_id":"1","version":1}', "$"),
    "no body": ({}, b"7/1", None, "$"),
    "5 MB": ({}, b"7/1", hold("1") + b" " * 5_000_000, "$"),
    "wrong key": ({}, b"7/2", hold("1"), "key"),
    "no key": ({}, None, hold("1"), "key"),
    "header not UTF-8": ({"ce_source": b"\xff"}, b"7/1", hold("1"), "headers.ce_source"),
    "newline after the id": ({}, b"7/1\n", hold("1\n"), "key"),
    "newline in the body's id": ({}, b"7/1", hold("1\n"), "$.claim_id"),
    "newline in the event's id": ({"ce_id": b"e1\n"}, b"7/1", hold("1"), "headers.ce_id"),
    "a key that no index takes": ({}, random.Random(1).randbytes(3000), hold("1"), "key"),
    "a key of 1 MB with a slash": ({}, b"7" * 1_100_000 + b"/1", hold("1"), "key"),
    "NUL in a header's name": ({"ce_id": None, "ce_\x00id": b"1"}, b"7/1", hold("1"), "headers.ce_id"),
    "a trace of 1 MB": ({"ce_id": None, "traceparent": b"00-" + b"1" * 1_100_000}, b"7/1", hold("1"), "headers.ce_id"),
    "a person for a key": ({}, b"Mary Miller 1987-03-02", hold("1"), "key"),
    "a person for a key behind what may be a practice": ({}, b"Miller/\x00Mary", hold("1"), "key"),
    "a person for an event's id": ({"ce_id": b"Mary Miller"}, b"7/1", hold("1"), "headers.ce_id"),
    "NUL in text": ({}, b"7/1", hold("1", "a").replace(b'"a"', b'"a\\u0000"'), "$.reason"),
}


@pytest.mark.req("PF-02")
async def test_every_malformed_record_is_answered_with_its_place_and_good_ones_around_it_flow(
    toy: Toy, producer: Any, fresh_topics: Any, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    for number, (headers, key, body, _) in enumerate(BAD.values()):
        await producer.send_and_wait(topic.name, body, key=key, headers=envelope(topic, **headers))
        good = f"good{number}"
        await producer.send_and_wait(topic.name, hold(good), key=f"7/{good}".encode(), headers=envelope(topic))
    async with consuming(toy, topic) as consumption:
        await until(lambda: _seen(toy, len(BAD)))
        rows = await until(lambda: _parked(toy, consumption, len(BAD)))
    assert sorted(row.key for row in await toy.rows()) == sorted(f"7/good{n}" for n in range(len(BAD)))
    assert sorted(row.path for row in rows) == sorted(path for *_, path in BAD.values())
    async with toy.worker.begin() as tx:
        letters = list(await tx.exec_driver_sql("SELECT key, trace, value FROM outbox WHERE topic = 'invoicing.dead_letter'"))
    reports = [json.loads(row.value) for row in letters]
    assert sorted(report["path"] for report in reports) == sorted(path for *_, path in BAD.values())
    assert not any("good" in json.dumps(report) for report in reports)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert {report["practice_id"] for report in reports} == {None, "7"}
    assert not any("Miller" in row.key or b"Miller" in row.value for row in letters)
    assert {row.key for row in letters} == {"7/1", "7/2", "7/bad", *(row.parked_id for row in rows if row.path == "key" and row.key != b"7/2")}
    assert all(len(row.key) <= 200 and len(row.value) < 1000 and len(row.trace or "") <= 55 for row in letters)


@pytest.mark.req("PF-02")
async def test_a_record_that_cannot_be_parked_as_it_is_is_parked_without_what_may_be_the_reason(toy: Toy) -> None:
    consumption = Consumption("invoicing", ids.new(), toy.worker, toy.clock, {CLAIM_HOLD_REQUESTED: toy.keep})
    no_text_for_the_database = ("a lone \ud800", b"1")
    record = replace(_record("1"), value=hold("1", "refuse"))
    await consumption.store([replace(record, headers=(*record.headers, no_text_for_the_database))])
    [row] = await parked_rows(toy, consumption)
    assert (row.key, row.headers, row.value) == (None, [], record.value) and "this one is refused" in row.error


async def _parked(toy: Toy, consumption: Consumption, count: int) -> list[Any]:
    rows = await parked_rows(toy, consumption)
    return rows if len(rows) >= count else []


@pytest.mark.parametrize("trouble", [None, KafkaError, AttributeError])
async def test_what_comes_while_a_batch_is_stored_goes_with_the_next_once_and_in_order(
    toy: Toy, producer: Any, fresh_topics: Any, monkeypatch: pytest.MonkeyPatch, trouble: type[Exception] | None
) -> None:
    monkeypatch.setattr(kafka, "BUSY_SECONDS", 3600)
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    stored, first, go = [], asyncio.Event(), asyncio.Event()

    async def send(*claims: int) -> None:
        for claim in claims:
            await producer.send_and_wait(topic.name, hold(str(claim)), key=f"7/{claim}".encode(), headers=envelope(topic), partition=0)

    async with consuming(toy, topic) as consumption:
        store, looks = consumption.store, consumption.subscriber.consumer.getmany

        async def slowly(records: Any) -> None:
            stored.append([record.offset for record in records])
            first.set()
            await go.wait()
            await store(records)

        async def away(*args: Any, **more: Any) -> Any:
            if "max_records" in more and more.get("timeout_ms") == kafka.FETCH_MS:
                raise trouble
            return await looks(*args, **more)

        consumption.store = slowly  # type: ignore[method-assign]
        if trouble:
            monkeypatch.setattr(consumption.subscriber.consumer, "getmany", away)
        await send(1)
        await first.wait()
        await send(*range(2, 40))
        go.set()
        await until(lambda: _seen(toy, 39))
        await consumption.finish()
        assert await consumption.subscriber.consumer.committed(TopicPartition(topic.name, 0)) == 39
    assert [row.key for row in await toy.rows()] == [f"7/{n}" for n in range(1, 40)]
    assert [offset for batch in stored for offset in batch] == list(range(39))


async def test_later_facts_of_a_parked_key_wait_behind_it_and_are_replayed_in_order(toy: Toy, producer: Any, fresh_topics: Any) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    for claim, reason in (("1", "none"), ("1", "refuse"), ("2", "none"), ("1", "none"), ("1", "later")):
        await producer.send_and_wait(topic.name, hold(claim, reason), key=f"7/{claim}".encode(), headers=envelope(topic))
    async with consuming(toy, topic) as consumption:
        rows = await until(lambda: _parked(toy, consumption, 3))
        await until(lambda: _seen(toy, 2))
        assert [row.error for row in rows][1:] == [parking.BEHIND] * 2
        assert await consumption.replay(rows) == 0

        async def accept(tx: Any, messages: list[Any]) -> None:
            await Toy.keep(toy, tx, [m for m in messages if m.body.reason != "refuse"])

        consumption.handlers = {topic: accept}
        assert await consumption.replay(await parked_rows(toy, consumption)) == 3
        assert await parked_rows(toy, consumption) == []
    assert len(await toy.rows()) == 4


async def test_an_older_version_replaces_no_parked_one(toy: Toy, producer: Any, fresh_topics: Any) -> None:
    topic = await fresh_topics(CLAIM_VOIDED)
    body = {"practice_id": "7", "claim_id": "1", "version": 2, "voided_on": "2026-11-20"}
    await producer.send_and_wait(topic.name, json.dumps(body | {"reason": "refuse"}).encode(), key=b"7/1", headers=envelope(topic))
    async with consuming(toy, topic) as consumption:
        await until(lambda: _parked(toy, consumption, 1))
        await producer.send_and_wait(topic.name, json.dumps(body | {"version": 1}).encode(), key=b"7/1", headers=envelope(topic))
        await until(lambda: _seen(toy, 1))
        assert len(await parked_rows(toy, consumption)) == 1
        await producer.send_and_wait(topic.name, json.dumps(body).encode(), key=b"7/1", headers=envelope(topic))
        await until(lambda: _seen(toy, 2))
        assert await parked_rows(toy, consumption) == []


async def test_a_newer_version_replaces_a_parked_one(toy: Toy, producer: Any, fresh_topics: Any) -> None:
    topic = await fresh_topics(CLAIM_VOIDED)
    body = {"practice_id": "7", "claim_id": "1", "version": 1, "voided_on": "2026-11-20"}
    await producer.send_and_wait(topic.name, json.dumps(body | {"reason": "refuse"}).encode(), key=b"7/1", headers=envelope(topic))
    async with consuming(toy, topic) as consumption:
        await until(lambda: _parked(toy, consumption, 1))
        await producer.send_and_wait(topic.name, json.dumps(body | {"version": 2}).encode(), key=b"7/1", headers=envelope(topic))
        await until(lambda: _seen(toy, 1))
        assert await parked_rows(toy, consumption) == []
