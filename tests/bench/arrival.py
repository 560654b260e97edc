"""arrival: from the first of 2,000 published claims to the last line of their invoices in the portal, each practice billed in between."""

import time

import uvloop

from deploy.local import publisher, seed
from deploy.local.processes import Product, where
from tests.bench import ground
from tests.bench.ground import Result
from tests.bench.seeding import invoiced, seeded

MOST_SECONDS = 10.0


async def measure(product: Product) -> Result:
    at, claims = where(product.plan, {}), publisher.lines(seed.DATA / "claims.jsonl")
    await seeded(product, at)
    began = time.perf_counter()
    await publisher.publish(product.plan.kafka, "claim.billed", claims, "claim_id")
    sent = time.perf_counter() - began
    lines = await invoiced(product, at, len(claims))
    took = time.perf_counter() - began
    words = f"{len(claims):,} claims published in {sent:.1f} s, their {lines:,} lines in the portal after {took:.1f} s (≤ {MOST_SECONDS:.0f} s)"
    return Result("arrival", words, took / MOST_SECONDS, MOST_SECONDS, 1.0, took <= MOST_SECONDS)


def run() -> Result:
    with ground.whole("arrival") as product:
        return uvloop.run(measure(product))
