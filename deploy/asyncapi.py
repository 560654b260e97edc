"""AsyncAPI 3.0: what each service sends and receives, and one document of the whole product (PF-02). `make docs` writes them."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.events import DAY_MS, Topic
from shared.events.registry import DEAD_LETTERS, TOPICS

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "events" / "examples"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
BINDING = "0.5.0"  # of the Kafka bindings
TEXT = {"type": "string"}
HEADERS: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0, each header a text in UTF-8.",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": TEXT | {"pattern": "^[\\x21-\\x7e]{1,128}$", "description": "One per event; sent again, a fact has no further effect."},
        "ce_type": TEXT | {"description": "The topic's name."},
        "ce_source": TEXT | {"minLength": 1, "description": "Who sends; `/billfold/<service>` where we do."},
        "ce_time": TEXT | {"format": "date-time", "description": "When it happened, with a zone."},
        "ce_dataschema": TEXT | {"description": "Which schema the body has; left out, it is the only one there is."},
        "content-type": {"const": "application/json"},
        "traceparent": TEXT | {"description": "W3C trace context that the readers continue."},
    },
}

Groups = Mapping[str, Sequence[str]]
"""A service's consumer groups, each with the topics it reads."""


def document(title: str, services: Mapping[str, Groups]) -> dict[str, Any]:
    """The document of these services, seen from them: what they send, and what they receive in which group."""
    topics = [topic for topic in TOPICS.values() if topic.writer in services or any(topic.name in read for read in _read(services))]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": VERSION,
            "description": "Events in Kafka: CloudEvents 1.0 in the headers, JSON in the body. The rules of all topics: docs/architecture/events.md; "
            "how another system publishes: docs/events/publishing-claims.md.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {"host": "{servers}", "protocol": "kafka", "variables": {"servers": {"description": "KAFKA_SERVERS of the installation."}}}
        },
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {name: operation for service, groups in services.items() for name, operation in _operations(service, groups)},
        "components": {"messages": {topic.name: _message(topic) for topic in topics}, "schemas": {"headers": HEADERS}},
    }


def _read(services: Mapping[str, Groups]) -> list[Sequence[str]]:
    return [topics for groups in services.values() for topics in groups.values()]


def _channel(topic: Topic[Any]) -> dict[str, Any]:
    kept = "the newest record of each key is kept" if topic.versioned else f"records are kept {int(topic.config['retention.ms']) // DAY_MS} days"
    kept += "; a null value deletes the thing" if topic.deletable else ""
    tags = ("restricted" if topic.restricted else "open", "versioned" if topic.versioned else "fact")
    settings = {name: int(value) if value.isdigit() else value for name, value in topic.config.items() if name != "cleanup.policy"}
    return {
        "address": topic.name,
        "summary": _words(topic),
        "description": f"Key {key_words(topic)}; {kept}.",
        "tags": [{"name": name} for name in tags],
        "messages": {topic.name: {"$ref": f"#/components/messages/{topic.name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"cleanup.policy": [topic.config["cleanup.policy"]]} | settings,
                "bindingVersion": BINDING,
            }
        },
    }


def key_words(topic: Topic[Any]) -> str:
    """What the key of a topic consists of."""
    return "that of the record" if topic in DEAD_LETTERS.values() else f"practice_id/{topic.key}"


def _words(topic: Topic[Any]) -> str:
    return re.sub(r"\s+", " ", topic.body.__doc__ or "").strip()


def _message(topic: Topic[Any]) -> dict[str, Any]:
    own = {"ce_type": {"const": topic.name}, "ce_dataschema": {"const": topic.schema_id}}
    return {
        "name": topic.name,
        "summary": _words(topic),
        "contentType": "application/json",
        "headers": {"allOf": [{"$ref": "#/components/schemas/headers"}, {"properties": own}]},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"../events/{topic.name}.v{topic.major}.json"},
        },
        "examples": [{"payload": json.loads((EXAMPLES / f"{topic.name}.json").read_text())}],
        "bindings": {"kafka": {"key": TEXT | {"description": key_words(topic)}, "bindingVersion": BINDING}},
    }


def _operations(service: str, groups: Groups) -> list[tuple[str, dict[str, Any]]]:
    """What a service sends, then what its groups receive, each named by who does what."""
    found = [(f"{service}.send.{topic.name}", _operation("send", service, topic.name)) for topic in TOPICS.values() if topic.writer == service]
    for group, topics in groups.items():
        bindings = {"kafka": {"groupId": {"const": group}, "bindingVersion": BINDING}}
        found += [(f"{group}.receive.{name}", _operation("receive", service, name) | {"bindings": bindings}) for name in topics]
    return found


def _operation(action: str, service: str, topic: str) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/{topic}/messages/{topic}"}]
    return {"action": action, "channel": {"$ref": f"#/channels/{topic}"}, "messages": messages, "tags": [{"name": service}]}
