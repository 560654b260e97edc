"""Releases understand each other: records of an earlier schema are read by this code, and what this code writes is read by the release before."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy.docs import schema
from shared.events.registry import TOPICS
from tests.contract.released import TOMORROW, bodies, breaks, resolved
from tests.contract.schemas import EVENTS

NOW = {f"{topic.name}.v{topic.major}.json": topic for topic in TOPICS.values()}
# The schemas of 0.1.0 said only that these are strings. Its code wrote and read instants there, always with a zone, which schemas say since.
INSTANTS_OF_0_1_0 = {
    "claim.held": "held_at",
    "claim.redropped": "redropped_at",
    "contact.invited": "invited_at",
    "contract.charge_failed": "failed_at",
    "contract.charged": "captured_at",
    "contract.copy_requested": "requested_at",
    "dispute.state": "submitted_at",
    "dispute.submitted": "submitted_at",
    "invoice.payment_captured": "captured_at",
    "invoice.payment_failed": "failed_at",
    "notification.failed": "sent_at",
    "notification.sent": "sent_at",
    "password.reset_requested": "expires_at",
    "signin.code_requested": "expires_at",
}
RELEASED = sorted((EVENTS / "released").glob("*/*.json"))


def name_of(file: Path) -> str:
    return f"{file.parent.name}-{file.stem}"


def instant(file: Path) -> str | None:
    return INSTANTS_OF_0_1_0.get(file.name.partition(".v")[0]) if file.parent.name == "0.1.0" else None


def written(file: Path) -> Any:
    """The schema of what the release's code wrote."""
    said = resolved(json.loads(file.read_text()))
    if at := instant(file):
        said["properties"][at]["format"] = "date-time"
    return said


def agreed(file: Path, body: Any) -> Any:
    """The body as publishers send it: what the schema of a claim cannot say is that orders and charge ids do not repeat."""
    body = json.loads(json.dumps(body))
    if file.name in ("claim.billed.v1.json", "claim.corrected.state.v1.json"):
        body["billed_to"] = 1
        for number, payer in enumerate(body["payers"], 1):
            payer["order"] = number
        for number, charge in enumerate(body["charges"][1:]):
            charge["charge_id"] = f"charge {number}"
    return body


@pytest.mark.parametrize("file", RELEASED, ids=name_of)
@pytest.mark.req("PF-02", "PF-03")
def test_every_record_that_a_release_allows_is_read_by_this_code(file: Path) -> None:
    check, said = jsonschema.Draft202012Validator(json.loads(file.read_text())), list(bodies(written(file)))
    assert len(said) > 3 and any(TOMORROW in body for body in said)
    for body in (agreed(file, each) for each in said):
        check.validate(body)
        NOW[file.name].decode(json.dumps(body).encode())


@pytest.mark.parametrize("file", RELEASED, ids=name_of)
@pytest.mark.req("PF-02", "PF-03")
def test_a_released_schema_has_only_been_added_to(file: Path) -> None:
    assert file.name in NOW, f"the topic {file.stem} is gone"
    said = [f"$.{at} has format date-time, it was None"] if (at := instant(file)) else []
    assert breaks(json.loads(file.read_text()), json.loads(schema(NOW[file.name]))) == said


TEXT = {"type": "string", "maxLength": 9}
WHOLE = {"type": "integer"}
MAYBE = {"anyOf": [TEXT, {"type": "null"}]}
TWO = {"enum": ["a", "b"]}


def thing(optional: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """The schema of an object; its fields have to be there, but for those that are optional."""
    return {"type": "object", "properties": fields, "required": [name for name in fields if name not in optional]}


CHANGES: dict[str, tuple[Any, Any, list[str]]] = {
    "nothing": (thing(a=TEXT), thing(a=TEXT), []),
    "words": (thing(a=TEXT), {"title": "Thing", "description": "A thing."} | thing(a=TEXT | {"description": "A text."}), []),
    "a shape gets a name": (thing(a=thing(b=TEXT)), {"$defs": {"B": thing(b=TEXT)}} | thing(a={"$ref": "#/$defs/B"}), []),
    "another order": (thing(a=TEXT, b=TWO), thing(b={"enum": ["b", "a"]}, a=TEXT), []),
    "an optional field is added": (thing(a=TEXT), thing(("b",), a=TEXT, b=MAYBE), []),
    "a field is added that has to be there": (thing(a=TEXT), thing(a=TEXT, b=TEXT), ["$.b is new and has to be there"]),
    "a field is removed": (thing(a=TEXT, b=TEXT), thing(a=TEXT), ["$.b is gone"]),
    "an optional field is removed": (thing(("b",), a=TEXT, b=TEXT), thing(a=TEXT), ["$.b is gone"]),
    "a field is renamed": (thing(a=TEXT), thing(b=TEXT), ["$.a is gone", "$.b is new and has to be there"]),
    "an optional field has to be there": (thing(("a",), a=TEXT), thing(a=TEXT), ["$.a has to be there now"]),
    "a field may be left out": (thing(a=TEXT), thing(("a",), a=TEXT), ["$.a may be left out now"]),
    "another type": (thing(a=TEXT), thing(a=WHOLE), ["$.a is no string any more", "$.a may be integer now"]),
    "null too": (thing(a=TEXT), thing(a=MAYBE), ["$.a may be null now"]),
    "null no more": (thing(a=MAYBE), thing(a=TEXT), ["$.a is no null any more"]),
    "a shorter text": (thing(a=TEXT), thing(a=TEXT | {"maxLength": 5}), ["$.a has maxLength 5, it was 9"]),
    "a longer text": (thing(a=TEXT), thing(a=TEXT | {"maxLength": 10}), ["$.a has maxLength 10, it was 9"]),
    "a bound where there was none": (thing(a=WHOLE), thing(a=WHOLE | {"minimum": 0}), ["$.a has minimum 0, it was None"]),
    "a pattern": (thing(a=TEXT), thing(a=TEXT | {"pattern": "^x"}), ["$.a has pattern ^x, it was None"]),
    "a new value": (thing(a=TWO), thing(a={"enum": ["a", "b", "c"]}), ["$.a has a new value 'c'"]),
    "a value less": (thing(a=TWO), thing(a={"enum": ["a"]}), ["$.a knows 'b' no more"]),
    "in a list": (thing(a={"type": "array", "items": TEXT}), thing(a={"type": "array", "items": WHOLE}),
                  ["$.a[] is no string any more", "$.a[] may be integer now"]),
    "in a map": (thing(a={"type": "object", "additionalProperties": TEXT}), thing(a={"type": "object", "additionalProperties": MAYBE}),
                 ["$.a[] may be null now"]),
    "deep inside": (thing(a={"anyOf": [thing(b=TEXT), {"type": "null"}]}), thing(a={"anyOf": [{"type": "null"}, thing(c=TEXT)]}),
                    ["$.a.b is gone", "$.a.c is new and has to be there"]),
    "another meaning of nothing": (thing(("a",), a=WHOLE | {"default": 0}), thing(("a",), a=WHOLE | {"default": 1}),
                                   ["$.a means 1 where it is left out, it was 0"]),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.req("PF-02")
def test_each_kind_of_change_that_breaks_readers_or_records_is_found(change: str) -> None:
    old, new, found = CHANGES[change]
    assert breaks(old, new) == found
