"""Practices with their employers, and claims that become invoices."""

import asyncio
from collections.abc import Iterator
from datetime import date
from typing import Any

from deploy.local import clockfile, publisher, seed, visitor
from deploy.local.processes import Product
from deploy.local.settled import settle
from deploy.local.visitor import Where
from tests.bench import ground

TODAY = date(2026, 11, 22)


def corporate(count: int) -> Iterator[dict[str, Any]]:
    """Of so many claims those that are asked of an employer with an account."""
    known = {(each["practice_id"], each["payer_id"]) for each in publisher.lines(seed.DATA / "employers.jsonl")}
    for body in ground.bodies(count):
        payer = next(each for each in body["payers"] if each["order"] == body["billed_to"])
        if payer["kind"] == "corporate" and (body["practice_id"], payer["payer_id"]) in known:
            yield body


async def seeded(product: Product, at: Where) -> list[dict[str, Any]]:
    """The sample's practices, employers, departments, patients; the accounts."""
    clockfile.put(product.plan.clock, seed.morning(TODAY))
    seed.practices(product.plan)
    async with await visitor.program(at) as http:
        accounts = [await seed.account(http, at, employer) for employer in publisher.lines(seed.DATA / "employers.jsonl")]
    await seed.places_and_people(product.plan, lambda _: None)
    await settle(at)
    return accounts


async def invoiced(product: Product, at: Where, claims: int) -> int:
    """Waits until so many claims are stored, runs every practice's billing now, and waits for the last line in the portal; returns the lines."""
    await _until(product, "invoicing", "SELECT count(*) FROM claim", claims)
    async with await visitor.program(at) as http:
        for practice in sorted({each["practice_id"] for each in publisher.lines(seed.DATA / "employers.jsonl")}):
            url = f"{at['services']['invoicing']}/api/practices/{practice}/runs"
            (await http.post(url, json={}, headers={"Idempotency-Key": "bench"})).raise_for_status()
    ((lines,),) = await ground.sql(product, "invoicing", "SELECT count(*) FROM invoice_line")
    await _until(product, "portal", "SELECT count(*) FROM lines", lines)
    return int(lines)


async def _until(product: Product, service: str, count: str, wanted: int) -> None:
    async with asyncio.timeout(120):
        while (await ground.sql(product, service, count))[0][0] < wanted:
            await asyncio.sleep(0.02)
