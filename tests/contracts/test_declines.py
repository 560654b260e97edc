"""A declined charge: when it is tried again, when it has ended, and where staff see it (CF-08)."""

from datetime import date, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from services.contracts.domain.charge import retry_in
from shared.events.contracts import CHARGE_DUE, CHARGE_FAILED, CHARGE_SCHEDULED, CONTRACT_CHARGED
from shared.events.posting import CLAIM_BALANCES
from shared.keyset import Cursor, encode_cursor
from tests.contracts.conftest import Contracts, balances, charge_rows, due, outcome, pdf, signed, token
from tests.staff import signed_in

SOFT, HARD, GOOD = "4000000000009995", "4000000000000002", "4242424242424242"


@pytest.mark.req("CF-08")
@pytest.mark.parametrize(
    ("decline", "tries", "days"), [("soft", 1, 1), ("soft", 2, 3), ("soft", 3, 5), ("soft", 4, None), ("soft", 5, None), ("hard", 1, None)]
)
def test_a_soft_decline_is_tried_again_three_times_and_a_hard_one_never(decline: str, tries: int, days: int | None) -> None:
    assert retry_in(decline, tries) == (timedelta(days=days) if days else None)


async def attempt(desk: Contracts) -> Any:
    """The last word that a charge is due, taken in and carried out; what was said of the decline."""
    await desk.give(CHARGE_DUE, (await desk.said(CHARGE_DUE))[-1])
    assert await desk.charge() == 1
    return (await desk.said(CHARGE_FAILED))[-1]


@pytest.mark.req("CF-08")
@pytest.mark.parametrize(
    ("number", "retries"), [(SOFT, [date(2026, 11, 26), date(2026, 11, 29), date(2026, 12, 4), None]), (HARD, [None])], ids=["soft", "hard"]
)
async def test_a_declined_charge_goes_its_way_to_the_end_and_takes_nothing(desk: Contracts, number: str, retries: list[date | None]) -> None:
    await signed(desk, number)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await due(desk)
    before = await desk.taken()
    for tries, retry_on in enumerate(retries, 1):
        said = await attempt(desk)
        assert (said.kind, said.retry_on, said.amount_cents) == ("soft" if retry_on else "hard", retry_on, 4200)
        assert said.payment_id.endswith(f".1.{tries}")
        [row] = await charge_rows(desk)
        if retry_on is None:
            assert (row.status, row.reason) == ("failed", "the card was declined")
            continue
        assert (row.status, row.reason) == ("due", f"the card was declined; the next try is on {retry_on:%m/%d/%Y}")
        wait = retry_on - desk.clock.business().date()
        desk.clock.move(days=wait.days, minutes=-1)
        assert await desk.fire() == 0
        desk.clock.move(minutes=1)
        assert await desk.fire() == 1
    desk.clock.move(days=30)
    await desk.fire()
    assert await desk.charge() == 0 and await desk.taken() == before and len(await desk.said(CHARGE_FAILED)) == len(retries)


@pytest.mark.req("CF-08")
async def test_a_try_that_succeeds_after_a_decline_says_nothing_of_it_any_more(desk: Contracts) -> None:
    await signed(desk, GOOD)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await due(desk)
    await desk.faults("declined")
    await attempt(desk)
    desk.clock.move(days=1)
    await desk.fire()
    await desk.give(CHARGE_DUE, (await desk.said(CHARGE_DUE))[-1])
    await desk.charge()
    assert [(row.status, row.reason) for row in await charge_rows(desk)] == [("charged", None)]
    assert len(await desk.said(CONTRACT_CHARGED)) == 1


@pytest.mark.req("CF-08", "PF-08")
async def test_staff_see_what_failed_is_paused_or_is_tried_again(app: FastAPI, desk: Contracts) -> None:
    async with signed_in(app, "front_desk") as http:
        assert "Nothing to look at" in (await http.get("/staff/7/agreements/charges")).text
        await signed(desk, SOFT)
        await desk.give(CLAIM_BALANCES, balances(3, 4200))
        await due(desk)
        await attempt(desk)
        other = await desk.make("p2", token=await token(desk, GOOD))
        await desk.sign(other, pdf())
        await desk.give(CLAIM_BALANCES, balances(1, 1800, "c2", patient_id="p2", service_date=date(2026, 11, 25)))
        topic, failed = outcome((await desk.said(CHARGE_SCHEDULED))[-1], "failed")
        await desk.give(topic, failed)
        page = (await http.get("/staff/7/agreements/charges")).text
        assert "failed, are paused, wait for another try" in page and "Waits for another try" in page
        assert "the next try is on 11/26/2026" in page and "Paused" in page and 'href="1"' in page and 'href="2"' in page
        paused = (await http.get("/staff/7/agreements/charges", params={"status": "paused"})).text
        assert ">c2<" in paused and ">c1<" not in paused
        assert "No charge matches" in (await http.get("/staff/7/agreements/charges", params={"status": "failed"})).text
        assert (await http.get("/staff/7/agreements/charges", params={"cursor": "nonsense"})).status_code == 400
        past = (await http.get("/staff/7/agreements/charges", params={"status": "paused", "cursor": encode_cursor(Cursor(("",)))})).text
        assert "Nothing further" in past and 'href="charges?status=paused">First charges' in past and "No charge matches" not in past
        past = (await http.get("/staff/7/agreements", params={"cursor": encode_cursor(Cursor((0,)))})).text
        assert "Nothing further" in past and 'href="agreements">First agreements' in past
        assert "Charges to look at" in (await http.get("/staff/7/agreements")).text
    async with signed_in(app, "poster") as http:
        assert (await http.get("/staff/7/agreements/charges")).status_code == 403


@pytest.mark.req("CF-08")
async def test_another_amount_than_was_asked_for_is_no_charge_and_staff_see_it(
    desk: Contracts, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed(desk, GOOD)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.give(CHARGE_DUE, await due(desk))
    charge = desk.gateway.charge

    async def less(key: str, card: str, cents: int) -> Any:
        return await charge(key, card, cents - 200)

    monkeypatch.setattr(desk.gateway, "charge", less)
    assert await desk.charge() == 0
    [row] = await charge_rows(desk)
    assert (row.status, row.reason) == ("unknown", "the card processor took 40.00 instead of 42.00")
    assert not await desk.said(CONTRACT_CHARGED)
    async with signed_in(app, "front_desk") as browser:
        page = (await browser.get("/staff/7/agreements/charges")).text
    assert "In doubt" in page and "took 40.00 instead of 42.00" in page
