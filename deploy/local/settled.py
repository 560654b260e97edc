"""Whether the product has come to rest: nothing to publish, nothing to read, nothing waiting to be sent."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.visitor import Where

GROUPS = ("invoicing.", "portal.", "posting.", "contracts.", "notifier.")


@asynccontextmanager
async def watching(kafka: str) -> AsyncIterator[Callable[[], Awaitable[dict[str, int]]]]:
    """Gives a function that counts the records not yet taken in, by consumer group."""
    admin, consumer = AIOKafkaAdminClient(bootstrap_servers=kafka), AIOKafkaConsumer(bootstrap_servers=kafka)
    await admin.start()
    await consumer.start()

    async def lag() -> dict[str, int]:
        groups = [group[0] for group in await admin.list_consumer_groups() if group[0].startswith(GROUPS)]
        committed: dict[str, dict[TopicPartition, Any]] = {group: await admin.list_consumer_group_offsets(group) for group in groups}
        ends = await consumer.end_offsets(sorted({partition for offsets in committed.values() for partition in offsets}))
        return {group: sum(max(0, ends[p] - max(0, at.offset)) for p, at in offsets.items()) for group, offsets in committed.items()}

    try:
        yield lag
    finally:
        await consumer.stop()
        await admin.close()


async def unsent(admin_url: str, services: list[str]) -> dict[str, int]:
    """Events in each service's outbox."""
    found = {}
    for service in services:
        connection = await asyncpg.connect(admin_url.replace("+asyncpg", "").rsplit("/", 1)[0] + f"/{service}")
        try:
            found[service] = await connection.fetchval("SELECT count(*) FROM outbox")
        finally:
            await connection.close()
    return found


async def settle(where: Where, within: float = 120) -> float:
    """Waits until two looks in a row find nothing under way; returns the seconds it took. Raises TimeoutError naming what is left."""
    began, quiet = time.monotonic(), 0
    async with watching(where["kafka"]) as lag:
        while quiet < 2:
            behind = {group: count for group, count in (await lag()).items() if count}
            left = {name: count for name, count in (await unsent(where["operator"]["postgres"], list(where["services"]))).items() if count}
            quiet = 0 if behind or left else quiet + 1
            if time.monotonic() - began > within:
                raise TimeoutError(f"not at rest after {within:.0f} s: behind {behind}, not published {left}")
            await asyncio.sleep(0.1)
    return time.monotonic() - began
