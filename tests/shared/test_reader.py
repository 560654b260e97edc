"""What the client library cannot read, on a real broker: nothing around it is lost, nothing stands still, and it is answered."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import aiokafka.consumer.fetcher
import cramjam
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.producer import message_accumulator
from aiokafka.producer import producer as sending
from aiokafka.record._crecords import default_records as compiled
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from shared import kafka, reader, unpacking
from shared.events.ingress import CLAIM_HOLD_REQUESTED
from tests.shared.conftest import Toy, envelope
from tests.shared.test_consumption import _parked, _seen, consuming, hold, until

LAST = 2  # the partition with what cannot be read: the others are taken before it


class NotUtf8(str):
    """A header's name as clients in other languages may send it."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff"


@pytest.fixture
def any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The producer's compiled builder takes plain str alone, the one in Python takes what calls itself so."""
    for module in (sending, message_accumulator):
        monkeypatch.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks for its partitions in order, not shuffled."""
    monkeypatch.setattr(aiokafka.consumer.fetcher.random, "shuffle", lambda partitions: partitions.sort())


async def send(producer: Any, topic: Any, claim: str, partition: int, headers: Any = None) -> int:
    key = f"7/{claim}".encode()
    sent = await producer.send_and_wait(topic.name, hold(claim), key=key, headers=headers or envelope(topic), partition=partition)
    return int(sent.offset)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_are_read_whatever_they_are_compressed_with(
    toy: Toy, producer: Any, fresh_topics: Any, caplog: pytest.LogCaptureFixture, codec: str
) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    async with AIOKafkaProducer(bootstrap_servers=toy.kafka, compression_type=codec, linger_ms=50) as compressing:
        await asyncio.gather(*(send(compressing, topic, f"c{n}", LAST) for n in range(20)))
    for partition in range(LAST + 1):
        await send(producer, topic, f"g{partition}", partition)
    async with consuming(toy, topic):
        await until(lambda: _seen(toy, 23))
    assert {row.key for row in await toy.rows()} == {f"7/c{n}" for n in range(20)} | {"7/g0", "7/g1", "7/g2"}
    assert "is read once more" not in caplog.text


@pytest.mark.req("PF-02")
def test_snappy_without_blocks_is_read_within_the_allowance_too() -> None:
    packed = cramjam.snappy.compress_raw(b"ab" * 500)
    unpacking.ALLOWANCE.renew()
    assert compiled.snappy_decode(packed) == b"ab" * 500
    unpacking.ALLOWANCE.left = 999
    with pytest.raises(CorruptRecordException):
        compiled.snappy_decode(packed)


@pytest.mark.req("PF-02")
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_batch_that_unpacks_to_more_than_a_process_holds_is_parked_packed(toy: Toy, producer: Any, fresh_topics: Any, codec: str) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    await send(producer, topic, "before", LAST)
    async with AIOKafkaProducer(bootstrap_servers=toy.kafka, compression_type=codec, max_request_size=2 * unpacking.MOST) as bombing:
        sent = await bombing.send_and_wait(topic.name, bytes(unpacking.MOST), key=b"7/bomb", headers=envelope(topic), partition=LAST)
    await send(producer, topic, "after", LAST)
    async with consuming(toy, topic) as consumption:
        await until(lambda: _seen(toy, 2))
        [row] = await until(lambda: _parked(toy, consumption, 1))
    assert (row.partition, row.offset, row.key) == (LAST, sent.offset, None) and len(row.value) < unpacking.MOST / 10
    assert [record.key for record in await toy.rows()] == ["7/before", "7/after"]


@pytest.mark.req("PF-02")
async def test_batches_that_are_much_together_are_taken_one_after_the_other(
    toy: Toy, producer: Any, fresh_topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    async with AIOKafkaProducer(bootstrap_servers=toy.kafka, compression_type="gzip") as compressing:
        for n in range(20):
            value = hold(f"c{n}") + b" " * 60_000
            await compressing.send_and_wait(topic.name, value, key=f"7/c{n}".encode(), headers=envelope(topic), partition=LAST)
    monkeypatch.setattr(unpacking, "MOST", 100_000)
    sizes = []
    read = reader.Reader.getmany

    async def noting(self: Any, *args: Any, **named: Any) -> Any:
        found = await read(self, *args, **named)
        sizes.append(sum(len(record.value) for records in found.values() for record in records))
        return found

    monkeypatch.setattr(reader.Reader, "getmany", noting)
    async with consuming(toy, topic):
        await until(lambda: _seen(toy, 20))
    assert [row.key for row in await toy.rows()] == [f"7/c{n}" for n in range(20)]
    assert max(sizes) < 200_000


@pytest.mark.req("PF-02")
@pytest.mark.usefixtures("in_order", "any_name")
async def test_a_batch_of_too_many_records_to_be_read_with_patience_is_parked_as_its_bytes(
    toy: Toy, producer: Any, fresh_topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MOST_RECORDS", 3)
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    async with AIOKafkaProducer(bootstrap_servers=toy.kafka, linger_ms=200) as together:
        headers = [*envelope(topic), (NotUtf8("x"), b"1")]
        await asyncio.gather(*(send(together, topic, f"c{n}", LAST, headers) for n in range(4)))
    await send(producer, topic, "after", LAST)
    async with consuming(toy, topic) as consumption:
        await until(lambda: _seen(toy, 1))
        [row] = await until(lambda: _parked(toy, consumption, 1))
    assert row.offset == 3 and b"7/c0" in row.value


@pytest.mark.req("PF-02")
@pytest.mark.usefixtures("in_order", "any_name")
async def test_a_header_whose_name_is_not_utf8_is_none_that_is_known(toy: Toy, producer: Any, fresh_topics: Any) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    for partition in range(LAST + 1):
        for n in range(3):
            await send(producer, topic, f"before{partition}{n}", partition)
    await send(producer, topic, "named", LAST, [*envelope(topic), (NotUtf8("x"), b"1")])
    bad = await send(producer, topic, "bad", LAST, [*envelope(topic, ce_id=None), (NotUtf8("ce_id"), b"1")])
    await send(producer, topic, "after", LAST)
    async with consuming(toy, topic) as consumption:
        await until(lambda: _seen(toy, 11))
        [row] = await until(lambda: _parked(toy, consumption, 1))
        await consumption.finish()
        assert await consumption.subscriber.consumer.committed(TopicPartition(topic.name, LAST)) == bad + 2
    assert (row.key, row.path, row.offset) == (b"7/bad", "headers.ce_id", bad)
    assert sorted(row.key for row in await toy.rows()) == sorted(
        ["7/named", "7/after", *(f"7/before{partition}{n}" for partition in range(LAST + 1) for n in range(3))]
    )


@pytest.mark.req("PF-02")
@pytest.mark.usefixtures("in_order")
async def test_a_batch_that_is_broken_on_the_brokers_disk_is_parked_as_its_bytes(
    toy: Toy, producer: Any, fresh_topics: Any, throw_away: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    for partition in range(LAST + 1):
        await send(producer, topic, f"before{partition}", partition)
    offset = await send(producer, topic, "broken", LAST)
    await send(producer, topic, "after", LAST)
    [log] = throw_away.rglob(f"{topic.name}-{LAST}/*.log")
    log.write_bytes(log.read_bytes().replace(b"7/broken", b"7/BROKEN"))
    async with consuming(toy, topic) as consumption:
        await until(lambda: _seen(toy, 4))
        [row] = await until(lambda: _parked(toy, consumption, 1))
    assert (row.partition, row.offset, row.key) == (LAST, offset, None) and b"7/BROKEN" in row.value
    assert sorted(row.key for row in await toy.rows()) == ["7/after", "7/before0", "7/before1", "7/before2"]
    assert f"{topic.name}/{LAST}/{offset} to {offset} cannot be read" in "".join(
        record.getMessage() for record in caplog.records if record.levelno == logging.ERROR
    )


@pytest.mark.usefixtures("in_order", "any_name")
async def test_what_was_taken_before_the_trouble_is_not_lost_while_the_broker_does_not_answer(
    toy: Toy, producer: Any, fresh_topics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reading fails, too, once: everything is where it was."""
    topic = await fresh_topics(CLAIM_HOLD_REQUESTED)
    for partition in range(LAST):
        await send(producer, topic, f"g{partition}", partition)
    await send(producer, topic, "named", LAST, [*envelope(topic), (NotUtf8("x"), b"1")])
    asked: list[int] = []
    fetch = kafka.Reader._fetch

    async def away_at_first(reader: Any, partition: Any, place: int) -> bytes:
        asked.append(place)
        if len(asked) == 1:
            raise OSError("away")
        return await fetch(reader, partition, place)

    monkeypatch.setattr(kafka.Reader, "_fetch", away_at_first)
    async with consuming(toy, topic):
        await until(lambda: _seen(toy, 3))
    assert {row.key for row in await toy.rows()} == {"7/g0", "7/g1", "7/named"} and asked == [0, 0]
