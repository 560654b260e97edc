"""Many rounds of two people at the same moment, on a real database: one wins, and nobody pays or disputes what the other has (EP-14, EP-16)."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.portal.checkout import cart, pay, store
from services.portal.checkout.pay import Checkout
from services.portal.checkout.states import Attempt
from services.portal.disputes import store as disputes
from services.portal.identity.here import Here
from services.portal.invoices import standing
from shared import ids
from shared.gateway import Answer, Card, Unknown
from tests.portal.conftest import LEE, PAULA, Portal
from tests.portal.made import Shown, invoice
from tests.together import together

ROUNDS = 300


class Quick:
    """A processor that takes whatever is asked, and remembers it: the races are about our rows."""

    def __init__(self) -> None:
        self.captured: dict[str, int] = {}

    async def capture(self, key: str, amount_cents: int) -> Answer:
        self.captured[key] = amount_cents
        return Answer("captured", amount_cents, amount_cents, 0, Card("VI", "4242", 4, 2031), "A1", "ch_1")

    async def start(self, key: str, amount_cents: int, return_url: str, description: str, brands: Sequence[str]) -> str:
        return f"{key}: {amount_cents}"

    async def ask(self, key: str) -> Answer:
        return Answer("authorised")

    async def release(self, key: str) -> Answer:
        return Answer("released")

    async def refund(self, key: str, refund_key: str, amount_cents: int) -> Answer:
        raise Unknown

    async def charge(self, key: str, token: str, amount_cents: int) -> Answer:
        raise Unknown

    async def card(self, token: str) -> Card | None:
        return None


async def ready(portal: Portal, here: Here, *invoices: str) -> str:
    """An attempt as the gateway's page left it: authorised, waiting to be confirmed."""
    attempt_id = ids.new()
    async with portal.app.begin("7") as tx:
        found = await standing.read(tx, "7", invoices)
        head: dict[str, Any] = {
            "practice_id": "7",
            "attempt_id": attempt_id,
            "account_id": here.account_id,
            "contact_id": here.contact_id,
            "person_id": here.person_id,
            "payer_name": here.name,
            "state": Attempt.READY.value,
            "amount_cents": sum(can.cents for _, can in found.values()),
            "card_brand": "VI",
            "card_last4": "4242",
            "started_at": portal.clock.system(),
        }
        await store.add(tx, head, found.values())
    return attempt_id


def stranger(found: list[Any]) -> list[Any]:
    """What was raised, refusals apart."""
    return [each for each in found if isinstance(each, BaseException) and not isinstance(each, disputes.Refused)]


async def shown(portal: Portal, *names: str) -> list[Shown]:
    made = [invoice(name, f"1{n:05d}", (10000, 6500)) for n, name in enumerate(names)]
    await portal.show(*made)
    return made


@pytest.mark.req("EP-14")
async def test_of_two_confirmed_carts_that_share_an_invoice_one_is_charged(portal: Portal):
    won = {"first": 0, "second": 0}
    for n in range(ROUNDS):
        a, b, c = f"{n}a", f"{n}b", f"{n}c"
        await shown(portal, a, b, c)
        first, second = await ready(portal, PAULA, a, b), await ready(portal, LEE, c, b)
        till = Checkout(portal.app, portal.clock, Quick())
        found = await together(portal.worker, n, pay.confirm(till, "7", first), pay.confirm(till, "7", second))
        assert stranger(found) == []
        assert sorted(each.state for each in found) == ["captured", "releasing"]
        assert list(till.gateway.captured) == [each.attempt_id for each in found if each.state == "captured"]  # type: ignore[attr-defined]
        won["first" if found[0].state == "captured" else "second"] += 1
    assert won["first"] and won["second"], "both orders were met"
    assert await portal.value("SELECT count(*) FROM payments") == ROUNDS
    twice = await portal.rows("SELECT claim_id FROM payment_marks GROUP BY claim_id HAVING count(*) > 1")
    assert twice == []
    assert await portal.value("SELECT max(record_no) FROM payments") == ROUNDS, "record numbers have no gaps"


@pytest.mark.req("EP-14")
async def test_the_same_confirm_pressed_in_two_tabs_charges_once(portal: Portal):
    for n in range(ROUNDS // 3):
        await shown(portal, f"{n}a")
        attempt_id = await ready(portal, PAULA, f"{n}a")
        till = Checkout(portal.app, portal.clock, Quick())
        found = await together(portal.worker, n, pay.confirm(till, "7", attempt_id), pay.confirm(till, "7", attempt_id))
        assert stranger(found) == []
        assert len(await portal.rows(f"SELECT 1 FROM payments WHERE payment_id = '{attempt_id}'")) == 1


@pytest.mark.req("EP-13", "EP-14")
async def test_proceed_to_payment_pressed_twice_at_once_is_one_attempt_that_supersedes_the_one_before(portal: Portal):
    till = Checkout(portal.app, portal.clock, Quick())
    await shown(portal, "1a")
    async with portal.app.begin("7") as tx:
        await cart.add(tx, PAULA, ["1a"])
    for n in range(ROUNDS // 10):
        attempt_id = ids.new()
        found = await together(portal.worker, n, *(pay.start(till, PAULA, attempt_id, "http://back", "Saltmarsh") for _ in range(2)))
        assert found == [f"{attempt_id}: 16500"] * 2
        assert [row.attempt_id for row in await portal.rows("SELECT attempt_id FROM attempts WHERE state = 'started'")] == [attempt_id]
        assert [row.key for row in await portal.rows("SELECT key FROM timers")] == [attempt_id]


@pytest.mark.req("EP-14", "EP-16")
async def test_a_claim_is_either_paid_or_disputed(portal: Portal):
    won = {"payment": 0, "dispute": 0}
    for n in range(ROUNDS):
        await shown(portal, f"{n}a")
        attempt_id = await ready(portal, PAULA, f"{n}a")
        till = Checkout(portal.app, portal.clock, Quick())

        async def dispute(n: int = n) -> Any:
            async with portal.app.begin("7") as tx:
                return await disputes.submit(tx, portal.clock.business(), LEE, ids.new(), f"{n}a", f"{n}a-1", "WA", None)

        found = await together(portal.worker, n, pay.confirm(till, "7", attempt_id), dispute())
        assert stranger(found) == []
        paid, disputed = found[0].state == "captured", not isinstance(found[1], disputes.Refused)
        assert paid != disputed
        won["payment" if paid else "dispute"] += 1
    assert won["payment"] and won["dispute"], "both orders were met"
    both = "SELECT 1 FROM payment_marks p JOIN dispute_marks d ON d.practice_id = p.practice_id AND d.claim_id = p.claim_id"
    assert await portal.rows(both) == []


@pytest.mark.req("EP-16")
async def test_two_people_disputing_one_claim_open_one_dispute(portal: Portal):
    for n in range(ROUNDS // 3):
        await shown(portal, f"{n}a")

        async def dispute(here: Here, n: int = n) -> Any:
            async with portal.app.begin("7") as tx:
                return await disputes.submit(tx, portal.clock.business(), here, ids.new(), f"{n}a", f"{n}a-1", "WA", None)

        found = await together(portal.worker, n, dispute(PAULA), dispute(LEE))
        assert stranger(found) == []
        assert sum(isinstance(each, disputes.Refused) for each in found) == 1


@pytest.mark.req("EP-14")
async def test_a_payment_and_the_consumer_of_newer_states_do_not_block_each_other(portal: Portal):
    for n in range(ROUNDS // 3):
        [made] = await shown(portal, f"{n}a")
        attempt_id = await ready(portal, PAULA, f"{n}a")
        till = Checkout(portal.app, portal.clock, Quick())
        newer = made.naming("other", "posted") if n % 2 else made.again()
        found = await together(portal.worker, n, pay.confirm(till, "7", attempt_id), portal.show(newer))
        assert stranger(found) == []
        assert found[0].state in ("captured", "releasing")
