"""Owners say their state topics again from their tables: each thing as it was said last, so that a new reader or a lost topic is filled."""

import json
from importlib import import_module
from typing import Any

import pytest

from deploy.docs import ENVIRONMENT
from services.invoicing.tables import invoice_line
from shared.events.invoicing import INVOICE_LINE_STATE
from shared.events.registry import SERVICES, TOPICS
from shared.republish import Owned, republish, stored
from tests.conftest import Database as Server
from tests.contract.test_bad_records import command
from tests.flows.flows import BILLED, NOTICED
from tests.flows.play import Flow, play
from tests.flows.world import World

STORY = Flow(
    start=(*BILLED, *NOTICED),
    threads=(
        (("charge",), ("dispute", "Lee", "c2"), ("redrop", "c2", {"cents": 5000})),
        (("proceed", "Paula"), ("confirm", "Paula", "lost"), ("check", "c1", 10000), ("ask",)),
    ),
)


def owned(service: str) -> set[str]:
    return {topic.name for topic in TOPICS.values() if topic.writer == service and topic.versioned}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-02")
def test_a_service_can_say_every_state_topic_of_its_own_again(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert {topic.name for topic in import_module(f"services.{service}.main").build().state.service.owned} == owned(service)


@pytest.mark.req("PF-02")
async def test_what_is_said_again_is_what_was_said_last(world: World, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await play(world, postgres.admin_url, STORY, None)
    for service in SERVICES:
        names = owned(service)
        last = {log: json.loads(entries[-1].value) for log, entries in world.logs.items() if log[0] in names}
        assert {name for name, _ in last} == names, f"the story says every state topic of {service}"
        done = command(service, postgres.urls(service), "republish")
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 1, done.stderr
        rows: list[Any] = await world.rows(service, "DELETE FROM outbox RETURNING topic, key, value")
        assert {(row["topic"], row["key"]): json.loads(row["value"]) for row in rows} == last
        assert len(rows) == len(last)
    # The same in many transactions.
    monkeypatch.setattr("shared.republish.CHUNK", 1)
    lines = {key for name, key in world.logs if name == INVOICE_LINE_STATE.name}
    count = await republish(world.worker["invoicing"], world.clock, INVOICE_LINE_STATE, Owned(invoice_line, stored(INVOICE_LINE_STATE)))
    assert count == len(lines) > 1
    assert {row["key"] for row in await world.rows("invoicing", "SELECT key FROM outbox")} == lines


@pytest.mark.req("PF-02")
async def test_one_topic_is_said_again_by_its_name_and_a_strange_one_is_refused_in_words(postgres: Server) -> None:
    urls = await postgres.migrated("portal")
    assert command("portal", urls, "republish", "contact.state").stdout == "said again: 0 contact.state\n"
    refused = command("portal", urls, "republish", "invoice.state")
    assert refused.returncode == 1 and refused.stderr == "portal owns no state topic invoice.state; it owns contact.state\n"
