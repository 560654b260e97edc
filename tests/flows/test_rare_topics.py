"""Topics for which the whole product's story has no occasion: here the owning service says each, and its readers take it in."""

import json
from datetime import timedelta

import pytest

from services.portal.contacts.letters import Letters
from services.portal.identity import signin
from services.portal.identity import store as persons
from services.portal.identity.gates import Gates
from services.portal.identity.sessions import Limits
from services.portal.identity.tables import Kind
from shared.events.registry import TOPICS
from tests.conftest import Database as Server
from tests.contract.schemas import wrong
from tests.flows.flows import BILLED, FLOWS, NOTICED
from tests.flows.people import People
from tests.flows.play import Flow, play
from tests.flows.staff import P
from tests.flows.world import World

SAID_IN = {
    "contract.charge_failed": Flow(start=NOTICED, threads=((("charge", "declined"),),)),
    "credit.state": Flow(start=BILLED, threads=((("proceed", "Paula"), ("confirm", "Paula", "lost"), ("check", "c1", 10000), ("ask",)),)),
    "invoice.payment_failed": Flow(start=BILLED, threads=((("proceed", "Paula"), ("confirm", "Paula", "declined")),)),
    "notification.failed": FLOWS["contract, mails down for four days"],
}
TO_PERSONS = ("password.reset_requested", "signin.code_requested")
RARE = {*SAID_IN, *TO_PERSONS}


def assert_said_and_read(world: World, *topics: str) -> None:
    """These topics were used, every record of any topic fits its schema, and every reader has taken in all of it."""
    assert set(topics) <= {topic for topic, _ in world.logs}
    for (topic, key), log in world.logs.items():
        for entry in log:
            assert wrong(topic, json.loads(entry.value)) == []
            assert TOPICS[topic].key_of(TOPICS[topic].decode(entry.value)) == key
        for reader in world.of_topic[topic]:
            assert world.heard.get((reader, topic, key)) == len(log), f"{reader} has not read {topic}"


@pytest.mark.parametrize("topic", SAID_IN)
@pytest.mark.req("PF-02")
async def test_what_is_seldom_said_fits_its_schema_and_is_read(world: World, postgres: Server, topic: str) -> None:
    await play(world, postgres.admin_url, SAID_IN[topic], None)
    assert_said_and_read(world, topic)


@pytest.mark.req("PF-02")
async def test_a_forgotten_password_and_a_code_fit_their_schemas_and_become_mails(world: World) -> None:
    await world.begin()
    people = People(world)
    await people.open()
    gates = Gates(world.app["portal"], world.clock, Letters("https://portal.example", world.keys[0]), "secret", Limits(timedelta(1), timedelta(1)))
    async with gates.db.begin() as tx:
        lee = await persons.add(tx, world.clock.now, Kind.EMPLOYER, "lee@employer.example", "Lee")
        await persons.registered(tx, world.clock.now, lee.person_id)
        await persons.start_at(tx, lee.person_id, P, people.here["Lee"].contact_id)
    await signin.forgot(gates, "lee@employer.example")
    assert await signin.send_code(gates, lee.person_id, "reset", "+15550100142", P) is None
    await world.collect("portal")
    await world.drain()
    assert_said_and_read(world, *TO_PERSONS)
    assert {row["template"] for row in await world.rows("notifier", "SELECT template FROM mails")} >= {"password_reset", "code"}
