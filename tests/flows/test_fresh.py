"""The portal is as fresh as its messages: what changes goes there at once, with no run, no timer and no day between (EP-22)."""

import pytest

from tests.flows.people import People
from tests.flows.world import World


@pytest.mark.req("EP-22", part="by messages alone")
async def test_what_changes_in_invoicing_is_in_the_portal_with_nothing_but_its_messages_between(world: World) -> None:
    await world.begin()
    people = People(world)
    await people.open()
    await people.bill("c1", 10000)
    await world.drain()
    await people.run_now()
    await world.drain()
    noon = world.clock.now
    for version, cents in ((2, 12000), (3, 8000)):
        await people.bill("c1", cents)
        await world.drain()
        [line] = await world.rows("portal", "SELECT claim_version, balance_cents FROM lines")
        [invoice] = await world.rows("portal", "SELECT version, balance_cents, payable_cents FROM invoices")
        [owner] = await world.rows("invoicing", "SELECT state FROM invoice")
        assert tuple(line) == (version, cents)
        assert tuple(invoice) == (owner["state"]["version"], cents, cents)
    assert world.clock.now == noon
