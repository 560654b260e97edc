"""The product's AsyncAPI document as one page that stands alone: docs/asyncapi/index.html."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from shared.events.types import NO_NUL, PRINTABLE

HERE = Path(__file__).parent
TOKENS = HERE.parent / "shared" / "web" / "static" / "billfold.css"
MARKS = {"send": "writes", "receive": "reads"}
PUBLISHERS = "other systems"


@dataclass
class Shown:
    """One topic as the page shows it; `does` says by service what it does with it, `groups` who reads it as which consumer group."""

    name: str
    channel: dict[str, Any]
    message: dict[str, Any]
    fields: list[tuple[str, bool, str, str]]
    example: str
    does: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)

    @property
    def writer(self) -> str:
        return next((service for service, does in self.does.items() if does.startswith("writes")), PUBLISHERS)

    @property
    def tags(self) -> list[str]:
        return [tag["name"] for tag in self.channel["tags"]]

    @property
    def kafka(self) -> dict[str, Any]:
        found: dict[str, Any] = self.channel["bindings"]["kafka"]
        return found


def page(document: Mapping[str, Any], schemas: Mapping[str, dict[str, Any]]) -> str:
    """The page of a document; `schemas` are the bodies' by topic."""
    topics = {name: _shown(document, name, schemas[name]) for name in document["channels"]}
    services: list[str] = []
    for operation in document["operations"].values():
        topic, service = topics[operation["channel"]["$ref"].rsplit("/", 1)[1]], operation["tags"][0]["name"]
        services += [service] if service not in services else []
        topic.does[service] = " and ".join(filter(None, (topic.does.get(service), MARKS[operation["action"]])))
        if operation["action"] == "receive":
            topic.groups.append(operation["bindings"]["kafka"]["groupId"]["const"])
    by_writer = {writer: [topic for topic in topics.values() if topic.writer == writer] for writer in (PUBLISHERS, *services)}
    found = re.search(r":root\{.*?\n\}", TOKENS.read_text(), re.DOTALL)
    assert found, "the tokens of our pages begin with :root"
    env = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    env.filters["prose"] = prose
    headers = list(fields(document["components"]["schemas"]["headers"]))
    template = env.get_template("asyncapi.html.j2")
    return template.render(info=document["info"], tokens=found[0], services=services, by_writer=by_writer, headers=headers)


def prose(text: str) -> Markup:
    """A docstring's words, with `names` set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _shown(document: Mapping[str, Any], name: str, schema: dict[str, Any]) -> Shown:
    message = document["components"]["messages"][name]
    example = json.dumps(message["examples"][0]["payload"], indent=2, ensure_ascii=False)
    return Shown(name, document["channels"][name], message, list(fields(schema)), example)


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, bool, str, str]]:
    """Every field of a body, those of inner objects by their path: path, whether it is required, its type in words, what it says."""
    yield from _fields(schema, schema.get("$defs", {}), "")


def _fields(node: dict[str, Any], parts: dict[str, Any], at: str) -> Iterator[tuple[str, bool, str, str]]:
    whole = _resolved(node, parts)
    for name, each in whole.get("properties", {}).items():
        inner = _inner(each, parts)
        says = each.get("description") or inner.get("description") or ("Whole cents." if name.endswith("_cents") else "")
        yield f"{at}{name}", name in whole.get("required", ()), words(each, parts), says
        if "properties" in inner:
            yield from _fields(inner, parts, f"{at}{name}{'[]' if _list(each) else ''}.")


def _resolved(node: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = parts[node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
    return found


def _some(node: dict[str, Any]) -> dict[str, Any]:
    """A node without the null that it may be."""
    some = [each for each in node.get("anyOf", [node]) if each.get("type") != "null"]
    return some[0] if len(some) == 1 else node


def _list(node: dict[str, Any]) -> bool:
    return _some(node).get("type") == "array"


def _inner(node: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The object that a node is, or is a list of."""
    some = _some(node)
    return _resolved(_some(some["items"]) if "items" in some else some, parts)


def words(node: dict[str, Any], parts: dict[str, Any]) -> str:
    """A type as people say it."""
    some = _some(node)
    said = _plain(_resolved(some, parts), parts)
    if some is not node:
        said += ", or null"
    default = node.get("default")
    return said + (f"; {json.dumps(default)} where it is left out" if default is not None else "")


def _plain(node: dict[str, Any], parts: dict[str, Any]) -> str:
    if "const" in node:
        return f"“{node['const']}”"
    if "enum" in node:
        return "one of " + ", ".join(json.dumps(each) for each in node["enum"])
    if "anyOf" in node:
        return " or ".join(_plain(_resolved(each, parts), parts) for each in node["anyOf"])
    match node.get("type"):
        case "array":
            return f"list of {words(node['items'], parts)}{_between(node, 'Items', 'item')}"
        case "object":
            more = node.get("additionalProperties")
            return f"object: name → {words(more, parts)}" if more else "object"
        case "string":
            name = {"date": "date", "date-time": "instant with zone"}.get(node.get("format", ""), "text")
            form = node.get("pattern", PRINTABLE)
            return name + _between(node, "Length", "character") + ("" if form in (PRINTABLE, NO_NUL) else f" of the form {form}")
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _limits(node)
        case _:
            return "any JSON"


def _between(node: dict[str, Any], what: str, unit: str) -> str:
    least, most = node.get(f"min{what}", 0), node.get(f"max{what}")
    if most is not None:
        return f", {least} to {most} {unit}s"
    return f", at least {least} {unit if least == 1 else f'{unit}s'}" if least else ""


def _limits(node: dict[str, Any]) -> str:
    said = [f"{words} {node[name]:,}" for name, words in LIMITS.items() if name in node]
    return f", {', '.join(said)}" if said else ""


LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below", "multipleOf": "in steps of"}
