"""Schemas of releases: bodies that they allow, and what a later schema breaks of them (events, rule 8)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

Schema = Mapping[str, Any]
WORDS = ("title", "description", "$schema", "$id", "$defs")  # of a schema that decide nothing
TOMORROW = "a field of tomorrow"
STRINGS = ("x", "", "7", "0000", "now", "08:00", "2026-11-20", "2024-02-29", "2026-11-20T15:00:00Z", "2026-11-20T10:00:00.123456-05:00")
NUMBERS = (0, 1, 2, -1, 0.001, 999_999.5, 2**53)


def resolved(schema: Schema) -> Any:
    """A schema without references and without words."""
    defs = schema.get("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inlined(defs[node["$ref"].rsplit("/", 1)[1]])
        if "properties" in node:
            node = node | {"properties": {name: inlined(each) for name, each in node["properties"].items()}}
        return {name: each if name == "properties" else inlined(each) for name, each in node.items() if name not in WORDS}

    return inlined(dict(schema))


# --- bodies


def bodies(schema: Schema) -> Iterator[Any]:
    """The body with required fields only, the whole one, and the whole one with each value at its bounds and each of its choices, one at a time."""
    return _samples(resolved(schema))


def _samples(node: Schema) -> Iterator[Any]:
    if "anyOf" in node:
        for each in node["anyOf"]:
            yield from _samples(each)
    elif "enum" in node:
        yield from node["enum"]
    elif node["type"] == "object":
        yield from _objects(node)
    elif node["type"] == "array":
        first, *others = _samples(node["items"])
        lists = ([first], [], [first] * node.get("maxItems", 2), *([each] for each in others))
        yield from (each for each in lists if node.get("minItems", 0) <= len(each))
    else:
        yield from _plain(node)


def _objects(node: Schema) -> Iterator[Any]:
    values = {name: list(_samples(each)) for name, each in node.get("properties", {}).items()}
    whole = {name: each[0] for name, each in values.items()}
    yield whole
    yield {name: whole[name] for name in node.get("required", ())}
    if isinstance(more := node.get("additionalProperties"), dict):
        yield from ({"x": value} for value in _samples(more))
    else:
        yield whole | {TOMORROW: {"may": "be anything"}}
    for name, each in values.items():
        yield from (whole | {name: value} for value in each[1:])


def _plain(node: Schema) -> Iterator[Any]:
    """Values of a schema without parts: those of a list that it allows."""
    shortest, longest = node.get("minLength", 0), node.get("maxLength", 1000)
    texts = (*STRINGS, "x" * shortest, "x" * longest, "é" * longest)
    numbers = (*NUMBERS, *(node[bound] for bound in ("minimum", "maximum") if bound in node))
    check = jsonschema.Draft202012Validator(node, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    may_be = {"string": texts, "integer": numbers, "number": numbers, "boolean": (False, True), "null": (None,)}[node["type"]]
    if node.get("format") == "date-time":  # which the checker does not know by itself
        may_be = [each for each in may_be if "T" in str(each)]
    found = [each for each in dict.fromkeys(may_be) if check.is_valid(each)]
    if not found:
        raise ValueError(f"no value is known for {json.dumps(node)}")
    yield from found


# --- changes


def breaks(old: Schema, new: Schema) -> list[str]:
    """What of a later schema breaks the earlier one: for its readers, who meet new records, or for its records, which new readers meet.

    Readers ignore fields they do not know, so a field that may be left out can be added; anything else breaks one or the other.
    """
    return list(_differences(resolved(old), resolved(new), "$"))


def _differences(old: Schema, new: Schema, at: str) -> Iterator[str]:
    was, now = _kinds(old), _kinds(new)
    yield from (f"{at} is no {kind} any more" for kind in was if kind not in now)
    yield from (f"{at} may be {kind} now" for kind in now if kind not in was)
    for kind in was.keys() & now.keys():
        yield from _changes(was[kind], now[kind], at)
    if old.get("default") != new.get("default"):
        yield f"{at} means {new.get('default')!r} where it is left out, it was {old.get('default')!r}"


def _kinds(node: Schema) -> dict[str, Schema]:
    """The kinds of value that a schema allows, each with its own schema."""
    return {each.get("type", "one of some values"): each for each in node.get("anyOf", [node])}


def _changes(old: Schema, new: Schema, at: str) -> Iterator[str]:
    """What changed between two schemas of one kind."""
    yield from _fields(old, new, at)
    for part in ("items", "additionalProperties"):
        if isinstance(old.get(part), dict) and isinstance(new.get(part), dict):
            yield from _differences(old[part], new[part], f"{at}[]")
    was, now = old.get("enum", []), new.get("enum", [])
    yield from (f"{at} knows {value!r} no more" for value in was if value not in now)
    yield from (f"{at} has a new value {value!r}" for value in now if value not in was)
    for keyword in sorted((old.keys() | new.keys()) - {"properties", "required", "items", "additionalProperties", "enum", "anyOf", "default"}):
        if old.get(keyword) != new.get(keyword):
            yield f"{at} has {keyword} {new.get(keyword)}, it was {old.get(keyword)}"


def _fields(old: Schema, new: Schema, at: str) -> Iterator[str]:
    was, now = old.get("properties", {}), new.get("properties", {})
    needed_then, needed_now = set(old.get("required", ())), set(new.get("required", ()))
    for name in was:
        if name not in now:
            yield f"{at}.{name} is gone"
            continue
        if (name in needed_then) != (name in needed_now):
            yield f"{at}.{name} {'has to be there' if name in needed_now else 'may be left out'} now"
        yield from _differences(was[name], now[name], f"{at}.{name}")
    yield from (f"{at}.{name} is new and has to be there" for name in now if name not in was and name in needed_now)
