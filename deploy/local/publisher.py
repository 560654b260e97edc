"""Another company's system that bills claims: sends a file of JSON lines to one of the product's ingress topics. It imports nothing of the product.

python -m deploy.local.publisher --servers HOST:PORT --file claims.jsonl --topic claim.billed --key claim_id
"""

import argparse
import asyncio
import json
import logging
import secrets
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a failure raises; what it retries is of no interest

def lines(file: Path, from_date: date | None = None, until_date: date | None = None) -> list[dict[str, Any]]:
    """The bodies of a file; with dates, those billed from the first to the last of them, both included."""
    bodies = [json.loads(line) for line in file.read_text().splitlines()]
    first, last = (from_date or date.min).isoformat(), (until_date or date.max).isoformat()
    return [body for body in bodies if first <= body.get("billed_on", first) <= last]


async def publish(
        servers: str, topic: str, bodies: Iterable[dict[str, Any]], key: str, at: datetime | None = None, rate: float | None = None) -> list[str]:
    """Send bodies in order, each with a trace of its own, and wait until the broker has them all; the traceparents. `key` names the body's id
    field, `at` is the time that the events carry (default: now), `rate` the most per second."""
    traces = []
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as producer:
        began, sent = time.monotonic(), []
        for number, body in enumerate(bodies):
            if rate:
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
            headers = {
                "ce_specversion": "1.0",
                "ce_id": str(uuid.uuid4()),
                "ce_type": topic,
                "ce_source": "urn:practice-management",
                "ce_time": (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "traceparent": traceparent,
            }
            sent.append(await producer.send(topic, json.dumps(body, ensure_ascii=False).encode(), key=f"{body['practice_id']}/{body[key]}".encode(),
                                            headers=[(name, value.encode()) for name, value in headers.items()]))
            traces.append(traceparent)
        await asyncio.gather(*sent)
    return traces


def main() -> None:
    parser = argparse.ArgumentParser(prog="deploy.local.publisher", description=__doc__.splitlines()[0])
    parser.add_argument("--servers", required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--key", required=True, help="the body's field that is the id: claim_id, patient_id …")
    parser.add_argument("--from-date", type=date.fromisoformat, help="only what was billed on this day or later")
    parser.add_argument("--until-date", type=date.fromisoformat, help="only what was billed on this day or earlier")
    parser.add_argument("--rate", type=float, help="the most per second")
    parser.add_argument("--trace", action="store_true", help="print each record's traceparent")
    options = parser.parse_args()
    bodies = lines(options.file, options.from_date, options.until_date)
    traces = asyncio.run(publish(options.servers, options.topic, bodies, options.key, rate=options.rate))
    for traceparent in traces if options.trace else ():
        print(traceparent)
    print(f"{len(traces)} records sent to {options.topic}")


if __name__ == "__main__":
    main()
