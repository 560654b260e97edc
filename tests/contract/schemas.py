"""The JSON Schemas of all topics, what of a body breaks them, and the records that are there to be looked at."""

import json
from functools import cache
from typing import Any

import jsonschema
from aiokafka import AIOKafkaConsumer

from deploy.local.places import ROOT
from shared.events.registry import TOPICS

EVENTS = ROOT / "docs" / "events"


@cache
def validator(topic: str) -> Any:
    schema = json.loads((EVENTS / f"{topic}.v{TOPICS[topic].major}.json").read_text())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def wrong(topic: str, body: Any) -> list[str]:
    return [f"{topic} at {error.json_path}: {error.message}" for error in validator(topic).iter_errors(body)]


async def records(servers: str) -> dict[str, list[Any]]:
    """Every record of every topic, from the start."""
    found: dict[str, list[Any]] = {name: [] for name in TOPICS}
    async with AIOKafkaConsumer(*TOPICS, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        ends = {at: end for at, end in (await consumer.end_offsets(list(consumer.assignment()))).items() if end}
        while any([await consumer.position(at) < end for at, end in ends.items()]):
            for at, some in (await consumer.getmany(timeout_ms=500, max_records=5000)).items():
                found[at.topic] += some
    return found
