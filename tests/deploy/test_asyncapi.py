"""The AsyncAPI documents: valid, complete, true to what services write and read; and their page."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy.asyncapi_page import fields, words
from deploy.docs import DOCS, groups
from deploy.local.places import ROOT
from shared.events.registry import SERVICES, TOPICS
from tests.chromium import WIDTHS, axe_findings, chromium, sideways
from tests.contract.schemas import wrong

ASYNCAPI = DOCS / "asyncapi"
DOCUMENTS = (*SERVICES, "billfold")


@cache
def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ASYNCAPI / f"{name}.json").read_text())
    return found


@cache
def standard() -> Any:
    """The validator of AsyncAPI 3.0 itself."""
    schema = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text())
    return jsonschema.Draft7Validator(schema)


def references(node: Any) -> list[str]:
    """Every `$ref` of a document."""
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


def target(name: str, reference: str) -> Any:
    """What a reference of a document leads to; KeyError or FileNotFoundError where that is nothing."""
    file, _, place = reference.partition("#/")
    found = json.loads((ASYNCAPI / file).read_text()) if file else document(name)
    for part in filter(None, place.split("/")):
        found = found[part]
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.req("PF-02")
def test_a_document_is_valid_asyncapi_and_all_that_it_names_is_there(name: str) -> None:
    assert [f"{error.json_path}: {error.message[:200]}" for error in standard().iter_errors(document(name))] == []
    named = references(document(name))
    assert all(target(name, reference) for reference in named)
    schemas = [reference for reference in named if reference.startswith("../events/")]
    assert len(schemas) == len(document(name)["channels"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("info"),
        lambda d: d["operations"]["posting.send.payment.state"].update(action="publish"),
        lambda d: d["operations"]["posting.send.payment.state"].pop("channel"),
        lambda d: d["channels"]["payment.state"]["bindings"]["kafka"].update(partitions=0),
        lambda d: d["channels"]["payment.state"]["bindings"]["kafka"]["topicConfiguration"].update({"cleanup.policy": ["forget"]}),
        lambda d: d["channels"]["payment.state"].update(writer="posting"),
    ],
    ids=["no info", "unknown action", "no channel", "no partitions", "unknown policy", "unknown field"],
)
def test_a_document_that_is_not_asyncapi_is_found(spoil: Any) -> None:
    spoiled = json.loads(json.dumps(document("posting")))
    spoil(spoiled)
    assert not standard().is_valid(spoiled)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-02")
def test_the_document_of_a_service_says_what_it_writes_and_what_its_groups_read(service: str) -> None:
    found = document(service)["operations"].values()
    sent = {operation["channel"]["$ref"].rsplit("/", 1)[1] for operation in found if operation["action"] == "send"}
    received = [
        (operation["bindings"]["kafka"]["groupId"]["const"], operation["channel"]["$ref"].rsplit("/", 1)[1])
        for operation in found
        if operation["action"] == "receive"
    ]
    assert sent == {name for name, topic in TOPICS.items() if topic.writer == service}
    assert sorted(received) == sorted((group, topic) for group, topics in groups(service).items() for topic in topics)


@pytest.mark.req("PF-02")
def test_the_document_of_the_product_is_that_of_all_services() -> None:
    product = document("billfold")
    assert set(product["channels"]) == set(TOPICS)
    assert product["operations"] == {name: each for service in SERVICES for name, each in document(service)["operations"].items()}
    for name, channel in product["channels"].items():
        told, configured = channel["bindings"]["kafka"]["topicConfiguration"], TOPICS[name].config
        assert {key: ",".join(value) if isinstance(value, list) else str(value) for key, value in told.items()} == configured


@pytest.mark.parametrize("topic", sorted(TOPICS))
@pytest.mark.req("PF-02")
def test_the_example_of_a_topic_is_what_its_schema_and_its_readers_take(topic: str) -> None:
    text = (DOCS / "events" / "examples" / f"{topic}.json").read_bytes()
    assert wrong(topic, json.loads(text)) == []
    assert TOPICS[topic].key_of(TOPICS[topic].decode(text)).startswith("195900/")
    assert document("billfold")["components"]["messages"][topic]["examples"] == [{"payload": json.loads(text)}]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "minLength": 1, "maxLength": 64}, "text, 1 to 64 characters"),
        ({"type": "string", "pattern": "^[0-9]{4}$"}, "text of the form ^[0-9]{4}$"),
        ({"type": "string", "format": "date"}, "date"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}], "default": None}, "instant with zone, or null"),
        ({"type": "integer", "minimum": 0, "maximum": 10000}, "whole number, at least 0, at most 10,000"),
        ({"enum": ["a", "b"]}, 'one of "a", "b"'),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "list of text, at least 1 item"),
        ({"type": "array", "items": {"$ref": "#/$defs/Part"}}, "list of object"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "object: name → text"),
        ({"type": "string", "default": "HCPCS"}, 'text; "HCPCS" where it is left out'),
    ],
    ids=str,
)
def test_types_are_said_in_words(node: dict[str, Any], said: str) -> None:
    assert words(node, {"Part": {"type": "object", "properties": {}}}) == said


def test_fields_of_inner_objects_have_their_path() -> None:
    schema = json.loads((DOCS / "events" / "claim.billed.v1.json").read_text())
    found = {path: required for path, required, _, _ in fields(schema)}
    assert found["charges[].amount_cents"] and found["payers[].kind"] and not found["charges[].service_date"] and found["rendering_provider.name"]


@pytest.mark.req("PF-02")
async def test_the_page_can_be_read_on_every_width_without_a_script() -> None:
    async with chromium() as browser:
        for width in WIDTHS:
            context = await browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=False)
            page = await context.new_page()
            await page.goto(f"file://{ROOT}/docs/asyncapi/index.html")
            assert await page.locator("section").count() == len(TOPICS)
            await page.get_by_role("link", name="claim.billed", exact=True).click()
            assert await page.locator("[id='claim.billed']").get_by_text("charges[].amount_cents").is_visible()
            assert await sideways(page) <= 0
        page = await browser.new_page()
        await page.goto(f"file://{ROOT}/docs/asyncapi/index.html")
        await page.evaluate("document.querySelectorAll('section').forEach((each, n) => n && each.remove())")  # all are made alike
        assert await axe_findings(page) == []
