"""A consumer that loses nothing, and stands still at nothing, where the client library cannot read what the broker holds.

The library takes what was fetched of several partitions in one go. If it cannot read one of them it raises, and has already stepped over the
records of those before. Here they are stepped back to, and what could not be read is fetched and read once more, with patience: a header's
name that is not UTF-8 is replaced, and a batch that is broken, or too large unpacked, becomes one record of its bytes, which is parked like
any that is bad.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaError, UnsupportedCodecError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy as Batch

from shared import unpacking
from shared.unpacking import ALLOWANCE

log = logging.getLogger(__name__)
FETCH_MS = 500
MOST_RECORDS = 100_000  # of a batch that is read with patience, which makes objects of all of them; good ones have fewer in 32 MiB
LENGTH_AT, LENGTH_END = 8, 12  # where a batch says how long the rest of it is


class Reader(AIOKafkaConsumer):  # type: ignore[misc]  # the library has no types
    """The library's consumer, but for `getmany`."""

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list["ConsumerRecord[bytes, bytes]"]]:
        """What was fetched, after a wait if there is nothing; either all that it steps over, or an error and nothing."""
        waiting = self._fetcher._records
        if timeout_ms and not waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._fetcher._create_fetch_waiter(), timeout_ms / 1000)
        # Now nothing is waited for any more: whoever has records has a place, and keeps it until they are taken.
        subscription = self._subscription.subscription
        before = subscription.assignment.all_consumed_offsets() if subscription and subscription.assignment else {}
        ALLOWANCE.renew()
        try:
            found: dict[TopicPartition, list[Any]] = await super().getmany(*partitions, max_records=max_records)
            return found
        except Exception as error:
            if isinstance(error, KafkaError | ConsumerStoppedError) and not isinstance(error, CorruptRecordException | UnsupportedCodecError):
                raise  # such trouble is met before anything is taken
            # Those that were taken are forgotten at once, so the first one left is the one that could not be read.
            broken = next((each for each in waiting if each in before and (not partitions or each in partitions)), None)
            for each, place in before.items():
                self.seek(each, place.offset)
            if broken is None:
                raise
            start = before[broken].offset
            log.warning("%s/%d cannot be read from %d on: %r; it is read once more", broken.topic, broken.partition, start, error)
        return await self._once_more(broken, start, max_records)

    async def _once_more(self, partition: TopicPartition, place: int, max_records: int | None) -> dict[TopicPartition, list[Any]]:
        found, end, unpacked = [], place, 0
        for batch in batches(await self._fetch(partition, place)):
            ALLOWANCE.renew()
            found += [record for record in records(partition, batch) if record.offset >= place]
            end = batch.next_offset
            unpacked += unpacking.MOST - ALLOWANCE.left
            if unpacked >= unpacking.MOST:
                break  # the others come with the next fetch
        if max_records and len(found) > max_records:
            found = found[:max_records]
            end = found[-1].offset + 1
        self.seek(partition, end)
        return {partition: found} if found else {}

    async def _fetch(self, partition: TopicPartition, place: int) -> bytes:
        most = self._fetcher._max_partition_fetch_bytes
        request = FetchRequest(FETCH_MS, 1, most, 0, [(partition.topic, [(partition.partition, place, most)])])
        response = await self._client.send(self._client.cluster.leader_for_partition(partition), request)
        [(_, [(_, code, *_, data)])] = response.topics
        if code:
            raise for_code(code)(partition)
        return bytes(data)


class Patient(bytearray):
    """Bytes whose parts are text, whatever they hold: the library's own reading asks a header's name to be UTF-8."""

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return Patient(part) if isinstance(at, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


def batches(data: bytes) -> Iterator[Batch]:
    """The batches of a broker's answer; the last may be cut off, it comes whole with the next answer."""
    left = memoryview(data)
    while len(left) >= LENGTH_END and len(left) >= (size := LENGTH_END + int.from_bytes(left[LENGTH_AT:LENGTH_END])):
        yield Batch(left[:size])
        left = left[size:]


def records(partition: TopicPartition, batch: Batch) -> list["ConsumerRecord[bytes, bytes]"]:
    """The records of a batch; of one that cannot be read a single record, in the place of its last, with its bytes as value."""
    whole = bytes(batch._buffer)
    if batch.is_control_batch:
        return []
    try:
        if not batch.validate_crc():
            raise CorruptRecordException("the checksum is another")
        if batch._num_records > MOST_RECORDS:
            raise CorruptRecordException(f"it has {batch._num_records} records")
        batch = iter(batch)  # decompresses
        batch._buffer = Patient(batch._buffer)
        return [_record(partition, each.offset, each.timestamp, each.key, each.value, each.headers) for each in batch]
    except Exception as error:  # whatever is wrong with it
        first, last = batch.base_offset, batch.next_offset - 1
        log.error("%s/%d/%d to %d cannot be read, they are handed on as bytes: %r", *partition, first, last, error)
        return [_record(partition, last, batch.max_timestamp, None, whole, ())]


def _record(partition: TopicPartition, offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Any) -> Any:
    sizes = (-1 if part is None else len(part) for part in (key, value))
    return ConsumerRecord(*partition, offset, timestamp, 0, key, value, None, *sizes, tuple(headers))
