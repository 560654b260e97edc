"""What becomes of charges that wait when their balance, their contract's limit or its year comes to an end (CF-05, CF-06, CF-08)."""

from datetime import UTC, date, datetime

import pytest
from fastapi import FastAPI

from services.contracts.handlers.charges import notice_again
from shared.events.contracts import CHARGE_DUE, CHARGE_FAILED, CHARGE_SCHEDULED, CONTRACT_CHARGED, CONTRACT_STATE
from shared.events.posting import CLAIM_BALANCES, PAYMENT_STATE
from tests.contracts.conftest import TODAY, Contracts, balances, charge_rows, due, outcome, signed
from tests.contracts.test_flow import posted
from tests.staff import signed_in


async def paused(desk: Contracts) -> str:
    """A charge of 42.00 whose notice came back; its id."""
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    scheduled = (await desk.said(CHARGE_SCHEDULED))[-1]
    await desk.give(*outcome(scheduled, "failed"))
    return str(scheduled.charge_id)


@pytest.mark.req("CF-05", "CF-06")
@pytest.mark.parametrize(("owed", "noticed", "status"), [
    (4200, 4200, "scheduled"), (3000, 3000, "scheduled"), (9900, 4200, "scheduled"), (0, 4200, "withdrawn"),
])  # fmt: skip
async def test_a_new_notice_names_what_is_owed_by_now_and_nothing_owed_is_no_notice(desk: Contracts, owed: int, noticed: int, status: str) -> None:
    charge_id = await paused(desk)
    await desk.give(CLAIM_BALANCES, balances(4, owed))
    async with desk.app.begin("7") as tx:
        assert await notice_again(tx, desk.clock, "7", charge_id) == (status == "scheduled")
    [row] = await charge_rows(desk)
    assert (row.status, row.noticed_cents) == (status, noticed)
    assert [each.noticed_cents for each in await desk.said(CHARGE_SCHEDULED)] == [4200, *([noticed] if status == "scheduled" else [])]


@pytest.mark.req("CF-06")
async def test_what_is_owed_again_after_a_charge_was_withdrawn_gets_a_notice_of_its_own(desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    wake = await due(desk)
    await desk.give(CLAIM_BALANCES, balances(4, 0))
    await desk.give(CHARGE_DUE, wake)
    assert [row.status for row in await charge_rows(desk)] == ["withdrawn"]
    await desk.give(CLAIM_BALANCES, balances(5, 2500))
    assert [each.noticed_cents for each in await desk.said(CHARGE_SCHEDULED)] == [4200, 2500]


@pytest.mark.req("CF-06")
async def test_the_last_charge_of_a_limit_withdraws_what_waits_beside_it(desk: Contracts) -> None:
    await signed(desk, limit=4200)
    await desk.give(CLAIM_BALANCES, balances(3, 1800, "c2"))
    await desk.give(CLAIM_BALANCES, balances(3, 4200, "c1"))
    await desk.give(CHARGE_DUE, await due(desk))
    assert await desk.charge() == 1
    assert [(row.claim_id, row.status, row.reason) for row in sorted(await charge_rows(desk), key=lambda row: row.claim_id)] == [
        ("c1", "charged", None),
        ("c2", "withdrawn", "the limit is used up"),
    ]
    state = (await desk.said(CONTRACT_STATE))[-1]
    assert (state.status, state.left_cents) == ("used_up", 0)


@pytest.mark.req("CF-06")
async def test_a_paused_charge_does_not_keep_a_year_from_ending(desk: Contracts) -> None:
    await paused(desk)
    desk.clock.now = datetime(TODAY.year + 1, TODAY.month, TODAY.day + 2, 15, tzinfo=UTC)
    await desk.fire()
    assert [(row.status, row.reason) for row in await charge_rows(desk)] == [("withdrawn", "the year is over")]
    assert (await desk.said(CONTRACT_STATE))[-1].status == "expired"


@pytest.mark.req("CF-08")
async def test_an_attempt_that_the_processor_lost_is_no_try_of_a_soft_decline(desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await due(desk)
    await desk.give(CHARGE_DUE, (await desk.said(CHARGE_DUE))[-1])
    async with desk.worker.begin() as tx:  # its caller died before the call
        await tx.exec_driver_sql("UPDATE charges SET status = 'unknown', asked = 1")
    assert await desk.charge() == 1
    assert await desk.fire() == 1
    await desk.give(CHARGE_DUE, (await desk.said(CHARGE_DUE))[-1])
    await desk.faults("declined")
    assert await desk.charge() == 1
    [row] = await charge_rows(desk)
    assert (row.tries, row.declines, row.status) == (2, 1, "due")
    [said] = await desk.said(CHARGE_FAILED)
    assert said.retry_on == date(2026, 11, 26)  # a day after the first decline, which the second attempt met


@pytest.mark.req("CF-05")
async def test_a_charge_whose_money_became_credit_is_something_to_look_at(app: FastAPI, desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.give(CHARGE_DUE, await due(desk))
    await desk.charge()
    fact = (await desk.said(CONTRACT_CHARGED))[0]
    async with signed_in(app, "front_desk") as http:
        await desk.give(PAYMENT_STATE, posted(1, 5, 4200, fact.payment_id))
        assert "Nothing to look at" in (await http.get("/staff/7/agreements/charges")).text
        await desk.give(PAYMENT_STATE, posted(2, 6, 0, fact.payment_id, credited=4200))
        for status in ("", "charged"):
            page = (await http.get("/staff/7/agreements/charges", params={"status": status})).text
            assert "Charged, now credit" in page and ">c1<" in page
