"""Races between services on real databases: a staff check for a claim that is being paid in the portal."""

import pytest

from services.posting.domain.payment import Refused
from shared.events.ingress import CLAIM_BILLED
from shared.events.portal import PAYMENT_CAPTURED
from shared.events.posting import CLAIM_BALANCES
from tests.conftest import Database as Server
from tests.flows import checks
from tests.flows.people import People
from tests.flows.play import Player
from tests.flows.staff import P
from tests.flows.world import World
from tests.together import together

ROUNDS = 300
CENTS, FIRST, SECOND = 10_000, 4_000, 6_000


@pytest.mark.req("EP-14", "RP-12")
@pytest.mark.req("EP-21", part="posted with no hand, the invoice closes")
@pytest.mark.req("RP-05", part="one check with one payment batch")
async def test_a_staff_check_and_a_portal_payment_of_one_claim_never_lose_a_cent(world: World, postgres: Server) -> None:
    """One check comes while the payment is confirmed, another while its capture is posted."""
    await world.begin()
    player = Player(world, postgres.admin_url, None)
    people = player.people = People(world)
    player.watch = checks.Watch(world, people)
    await people.open()
    for n in range(ROUNDS):
        await people.bill(f"c{n}", CENTS)
        await world.deliver([("invoicing.claims", CLAIM_BILLED.name, f"{P}/c{n}")])
        await people.run_now()
    await world.drain()
    invoices = {row["claim_id"]: row["invoice_id"] for row in await world.rows("portal", "SELECT claim_id, invoice_id FROM lines")}
    won, paid = {"check": 0, "payment": 0}, []
    for n in range(ROUNDS):
        claim_id = f"c{n}"
        first, second = await people.batch(FIRST), await people.batch(SECOND)
        assert await people.proceed("Paula", invoices[claim_id])
        attempt_id = people.attempts["Paula"]
        paid.append(attempt_id)
        found = await together(world.worker["posting"], n, people.confirm("Paula"), people.post_check(first, claim_id, FIRST))
        assert found == [True, None]
        # The capture and the rest of the claim meet in posting's books.
        place = ("posting.facts", PAYMENT_CAPTURED.name, f"{P}/{attempt_id}")
        found = await together(world.worker["posting"], ROUNDS + n, world.deliver([place]), people.post_check(second, claim_id, SECOND))
        assert found[0] is None and (found[1] is None or isinstance(found[1], Refused)), found
        won["check" if found[1] is None else "payment"] += 1
        await world.collect()
        credit = CENTS - (0 if found[1] is None else SECOND)
        [row] = await world.rows("posting", "SELECT credited_cents FROM payments WHERE payment_id = $1", attempt_id)
        assert row["credited_cents"] == credit
        assert sum(line.balance_cents for line in world.said(CLAIM_BALANCES, f"{P}/{claim_id}")[-1].lines) == 0
    assert won["check"] and won["payment"], "both orders were met"
    player.watch.paid = set(paid)  # looked at here, after every round
    await world.drain()
    await player.settle()
    facts = await checks.rest(world, people, postgres.admin_url)
    cash = next(row["cents"] for row in facts.rows("posting", "accounts") if row["account"] == "cash")
    assert cash == ROUNDS * (CENTS + FIRST) + won["check"] * SECOND
    assert {body["status"] for body in facts.states("invoice.state")} == {"closed"}
