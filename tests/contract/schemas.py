"""The released JSON Schemas, and what of a body breaks them."""

import json
from functools import cache
from typing import Any

import jsonschema

from deploy.local.places import ROOT
from shared.events.registry import TOPICS

EVENTS = ROOT / "docs" / "events"


@cache
def validator(topic: str) -> Any:
    schema = json.loads((EVENTS / f"{topic}.v{TOPICS[topic].major}.json").read_text())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def wrong(topic: str, body: Any) -> list[str]:
    return [f"{topic} at {error.json_path}: {error.message}" for error in validator(topic).iter_errors(body)]
