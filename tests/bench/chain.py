"""chain: from a newer version of an invoiced claim on `claim.billed` to its changed line committed in the portal, at 400 events a second,
against the same hops with no guarantees. PostgreSQL's own commit times are compared with the times of sending, so that nobody's polling
is measured or felt.
"""

import asyncio
import itertools
import json
import secrets
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import children, publisher
from deploy.local.places import ROOT
from deploy.local.plan import base_environment
from deploy.local.processes import Product, where
from deploy.local.settled import settle
from tests.bench import ground
from tests.bench.ground import Result
from tests.bench.seeding import corporate, invoiced, seeded

RATE, SECONDS = 400, 8
CLAIMS = RATE * SECONDS
BOUND, GOAL, SLOWEST_MS = 8.0, 6.0, 100.0
ASIDE = ("posting", "contracts", "notifier")  # the way does not pass them
Times = dict[str, float]


async def measure(product: Product) -> Result:
    at = where(product.plan, {})
    claims = list(itertools.islice(corporate(CLAIMS * 4), CLAIMS))
    await seeded(product, at)
    await publisher.publish(product.plan.kafka, "claim.billed", claims, "claim_id")
    await invoiced(product, at, CLAIMS)
    await settle(at)
    for name in ASIDE:
        product.stop(name)
    await make_hops(product)
    ours: list[list[float]] = []
    floors: list[list[float]] = []
    for turn in range(1, ground.ROUNDS + 2):  # the first warms up
        took, floor = await real(product, claims, turn + 1), await bare(product, claims, turn)
        print(f"chain: round {turn}: {shown(took)}; hops {shown(floor)}", flush=True)
        if turn > 1:
            ours.append(took)
            floors.append(floor)
    p50, floor50 = ground.median([ground.percentile(each, 0.5) for each in ours]), ground.median([ground.percentile(each, 0.5) for each in floors])
    p99 = ground.median([ground.percentile(each, 0.99) for each in ours])
    ratio = p50 / floor50
    words = f"p50 {p50:.1f} ms, hops {floor50:.1f} ms, ratio {ratio:.1f} (≤ {BOUND:.0f}, goal {GOAL:.0f}); p99 {p99:.1f} ms (≤ {SLOWEST_MS:.0f})"
    words += f" at {RATE} claims/s"
    return Result("chain", words, ratio, floor50, GOAL, ratio <= BOUND and p99 <= SLOWEST_MS)


def shown(milliseconds: list[float]) -> str:
    return f"p50 {ground.percentile(milliseconds, 0.5):.1f} p99 {ground.percentile(milliseconds, 0.99):.1f}"


async def send(product: Product, topic: str, claims: list[dict[str, Any]]) -> Times:
    """Sends claims at the rate; when each was handed to the producer, by claim."""
    at: Times = {}
    async with AIOKafkaProducer(bootstrap_servers=product.plan.kafka, enable_idempotence=True) as producer:
        began, sent = time.monotonic(), []
        for number, body in enumerate(claims):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            headers = {"ce_specversion": "1.0", "ce_id": str(uuid.uuid4()), "ce_type": "claim.billed", "ce_source": "urn:bench",
                       "ce_time": "2026-11-22T12:00:00Z", "traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"}  # fmt: skip
            value = json.dumps(body).encode()
            at[body["claim_id"]] = time.time()
            key = f"{body['practice_id']}/{body['claim_id']}".encode()
            sent.append(await producer.send(topic, value, key=key, headers=[(n, v.encode()) for n, v in headers.items()]))
        await asyncio.gather(*sent)
    return at


async def real(product: Product, claims: list[dict[str, Any]], version: int) -> list[float]:
    """Through invoicing and portal; milliseconds of each claim."""
    newer = [claim | {"version": version} for claim in claims]
    for claim in newer:  # a cent more, so that the line says something new
        claim["charges"] = [claim["charges"][0] | {"amount_cents": claim["charges"][0]["amount_cents"] + version}, *claim["charges"][1:]]
    sent = await send(product, "claim.billed", newer)
    count = f"SELECT count(*) FROM lines WHERE claim_version = {version}"
    await until(lambda: ground.sql(product, "portal", count))
    when = "extract(epoch FROM pg_xact_commit_timestamp(xmin)) AS at"
    rows = await ground.sql(product, "portal", f"SELECT claim_id, {when} FROM lines WHERE claim_version = {version}")
    return [(float(row["at"]) - sent[row["claim_id"]]) * 1000 for row in rows]


async def bare(product: Product, claims: list[dict[str, Any]], turn: int) -> list[float]:
    """Through the hops; milliseconds of each claim."""
    await ground.sql(product, "portal", "TRUNCATE hop1, hop2")
    database, env = ground.admin(product, "portal"), base_environment(product.plan)
    argv = [sys.executable, "-m", "tests.bench.hops", product.plan.kafka, database]
    log = product.log(f"hops{turn}")
    processes = [
        children.spawn([*argv, "bench.first", "hop1", "bench.second"], log, env=env, cwd=ROOT),
        children.spawn([*argv, "bench.second", "hop2"], log, env=env, cwd=ROOT),
    ]
    try:
        async with asyncio.timeout(30):
            while log.read_text().count("ready") < 2:
                await asyncio.sleep(0.1)
        sent = await send(product, "bench.first", claims)
        await until(lambda: ground.sql(product, "portal", "SELECT count(*) FROM hop2"))
        rows = await ground.sql(product, "portal", "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) AS at FROM hop2")
        return [(float(row["at"]) - sent[row["id"].split("/")[1]]) * 1000 for row in rows]
    finally:
        for process in processes:
            children.end(process)


async def until(count: Callable[[], Awaitable[list[Any]]]) -> None:
    async with asyncio.timeout(60):
        while (await count())[0][0] < CLAIMS:
            await asyncio.sleep(0.5)


async def make_hops(product: Product) -> None:
    """The floor's topics and tables."""
    for table in ("hop1", "hop2"):
        await ground.sql(product, "portal", f"CREATE TABLE {table} (id text PRIMARY KEY, body jsonb)")
    admin = AIOKafkaAdminClient(bootstrap_servers=product.plan.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, 6, 1) for name in ("bench.first", "bench.second")])
    await admin.close()


def run() -> Result:
    with ground.whole("chain") as product:
        return uvloop.run(measure(product))
