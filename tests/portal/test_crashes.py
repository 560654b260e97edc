"""Paying, interrupted at each point: the rows are as the crash left them, the job runs once, and the end is right (EP-13, EP-14)."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.portal.checkout import pay
from services.portal.checkout.jobs import ask_due
from services.portal.checkout.pay import Checkout, pause
from services.portal.checkout.states import TRANSITIONS, Attempt, BadMove, move
from shared import ids, timers
from shared.events.portal import PAYMENT_CAPTURED, PAYMENT_FAILED
from shared.gateway import Answer, Card, SandboxGateway, Unknown
from tests.portal.conftest import PAULA, Portal, authorised, enter_card, words
from tests.portal.made import invoice


class Crash(BaseException):
    """The process is gone."""


class Dying:
    """The processor, while our process dies right before or right after the capture reaches it; or the network does."""

    def __init__(self, real: SandboxGateway, at: str) -> None:
        self.real, self.at = real, at

    async def capture(self, key: str, amount_cents: int) -> Answer:
        if self.at == "before":
            raise Crash
        await self.real.capture(key, amount_cents)
        raise Crash

    async def start(self, key: str, amount_cents: int, return_url: str, description: str, brands: Sequence[str]) -> str:
        raise Unknown("away")

    async def ask(self, key: str) -> Answer:
        raise Unknown("away")

    async def release(self, key: str) -> Answer:
        raise Unknown("away")

    async def refund(self, key: str, refund_key: str, amount_cents: int) -> Answer:
        raise Unknown("away")

    async def charge(self, key: str, token: str, amount_cents: int) -> Answer:
        raise Unknown("away")

    async def card(self, token: str) -> Card | None:
        raise Unknown("away")


async def crashed(portal: Portal, at: str) -> str:
    """An attempt whose process died in the middle of the capture."""
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")
    with pytest.raises(Crash):
        await pay.confirm(Checkout(portal.app, portal.clock, Dying(portal.gateway, at)), "7", attempt_id)
    assert await portal.value("SELECT state FROM attempts") == "submitted"
    return attempt_id


async def run_job(portal: Portal, seconds: float = 21) -> int:
    portal.clock.move(seconds=seconds)
    return await ask_due(portal.job)


@pytest.mark.req("EP-13", "EP-14")
async def test_a_crash_before_the_call_ends_released_and_the_invoice_can_be_paid_again(portal: Portal):
    attempt_id = await crashed(portal, "before")
    assert await run_job(portal) == 1
    assert (await portal.gateway.ask(attempt_id)).state == "released"
    assert await portal.value("SELECT state FROM attempts") == "failed"
    assert await portal.rows("SELECT 1 FROM live_invoices UNION ALL SELECT 1 FROM live_claims") == []
    [failed] = await portal.said(PAYMENT_FAILED)
    assert (failed.payment_id, failed.reason) == (attempt_id, "released")
    again = await authorised(portal, "i1")
    assert (await pay.confirm(portal.till, "7", again)).state == Attempt.CAPTURED
    assert await portal.taken() == [(again, 16500)]


@pytest.mark.req("EP-13", "EP-14")
async def test_a_crash_after_the_call_ends_captured_with_one_payment(portal: Portal):
    attempt_id = await crashed(portal, "after")
    async with portal.browser() as browser:
        said = words(await browser.get("/employerportal/invoices/i1"))
        assert "Pending" in said and "to cart" not in said
    assert await run_job(portal) == 1
    assert await run_job(portal) == 0
    assert await portal.taken() == [(attempt_id, 16500)]
    assert [each.record_number for each in await portal.said(PAYMENT_CAPTURED)] == ["P-000001"]


@pytest.mark.req("EP-13")
async def test_a_charge_under_way_is_left_alone_and_asked_about_later(portal: Portal):
    await crashed(portal, "before")
    assert await run_job(portal, seconds=19) == 0
    assert await run_job(portal, seconds=2) == 1


@pytest.mark.req("EP-13")
async def test_an_answer_that_is_lost_shows_processing_and_then_the_receipt(portal: Portal):
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")
    await portal.faults(next=["lost"])
    async with portal.browser() as browser:
        await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
        assert await portal.value("SELECT state FROM attempts") == "unknown"
        assert "is processing" in words(await browser.get("/employerportal/payments"))
        await portal.faults(next=[])
        assert await run_job(portal, seconds=3) == 1
        home = await browser.get(f"/employerportal/pay/{attempt_id}")
        assert home.headers["location"].startswith(f"/employerportal/payments/{attempt_id}")
    assert await portal.taken() == [(attempt_id, 16500)] and len(await portal.said(PAYMENT_CAPTURED)) == 1


@pytest.mark.req("EP-13")
async def test_a_page_of_an_unanswered_charge_says_processing_and_never_failed(portal: Portal):
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")
    dead = Checkout(portal.app, portal.clock, SandboxGateway("http://127.0.0.1:9", "x", timeout_seconds=1))
    assert (await pay.confirm(dead, "7", attempt_id)).state == Attempt.UNKNOWN
    async with portal.browser() as browser:
        said = words(await browser.get(f"/employerportal/pay/{attempt_id}"))
    assert "Your invoice shows Pending and cannot be paid a second time." in said and "$165.00" in said


@pytest.mark.req("EP-13", "EP-14")
async def test_a_capture_that_comes_after_the_release_takes_nothing(portal: Portal):
    attempt_id = await crashed(portal, "before")
    await run_job(portal)
    late = await portal.gateway.capture(attempt_id, 16500)
    assert late.state == "released" and await portal.taken() == []
    assert await portal.value("SELECT state FROM attempts") == "failed"


@pytest.mark.req("EP-13")
async def test_a_processor_that_is_away_is_asked_less_and_less_often_and_nothing_fails_meanwhile(portal: Portal):
    await crashed(portal, "before")
    away = Checkout(portal.worker, portal.clock, Dying(portal.gateway, "before"))
    gaps = []
    for _ in range(5):
        before = await portal.value("SELECT next_ask_at FROM attempts")
        portal.clock.now = before
        await ask_due(away)
        gaps.append((await portal.value("SELECT next_ask_at FROM attempts") - before).total_seconds())
    assert gaps == [2, 4, 8, 15, 15] and pause(30) == timedelta(seconds=15)
    assert await portal.value("SELECT state FROM attempts") == "unknown"


class Meeting(Dying):
    """Answers only once two are asked about."""

    def __init__(self, real: SandboxGateway) -> None:
        super().__init__(real, "before")
        self.both = asyncio.Barrier(2)

    async def ask(self, key: str) -> Answer:
        await self.both.wait()
        return await self.real.ask(key)


@pytest.mark.req("EP-13")
async def test_a_doubt_that_takes_long_to_clear_up_holds_up_no_other(portal: Portal):
    await portal.show(invoice("i1", "100001"), invoice("i2", "100002"))
    for name in ("i1", "i2"):
        with pytest.raises(Crash):
            await pay.confirm(Checkout(portal.app, portal.clock, Dying(portal.gateway, "after")), "7", await authorised(portal, name))
    portal.clock.move(seconds=21)
    async with asyncio.timeout(30):
        assert await ask_due(Checkout(portal.worker, portal.clock, Meeting(portal.gateway))) == 2
    assert [row.state for row in await portal.rows("SELECT state FROM attempts")] == ["captured", "captured"]


@pytest.mark.req("EP-14")
async def test_an_answer_stored_twice_is_one_payment(portal: Portal):
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")
    await pay.confirm(portal.till, "7", attempt_id)
    answer = await portal.gateway.ask(attempt_id)
    await pay.settle(portal.job, "7", attempt_id, answer)
    assert await portal.value("SELECT count(*) FROM payments") == 1 and len(await portal.said(PAYMENT_CAPTURED)) == 1


@pytest.mark.req("EP-13")
async def test_a_bank_that_says_no_at_the_capture_frees_the_invoices(portal: Portal):
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")
    await portal.faults(next=["declined"])
    assert (await pay.confirm(portal.till, "7", attempt_id)).state == Attempt.FAILED
    assert await portal.rows("SELECT 1 FROM live_invoices") == []
    async with portal.browser() as browser:
        assert "The card was declined" in (await browser.get(f"/employerportal/pay/{attempt_id}")).text


@pytest.mark.req("EP-13")
async def test_an_authorisation_that_nobody_confirms_is_let_go_after_half_an_hour(portal: Portal):
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")

    async def unconfirmed(tx, timer):
        await pay.unconfirmed(tx, timer.practice_id, timer.key, portal.clock.system())

    portal.clock.move(minutes=29)
    assert await timers.fire(portal.worker, portal.clock, {pay.TIMER: unconfirmed}) == 0
    portal.clock.move(minutes=2)
    assert await timers.fire(portal.worker, portal.clock, {pay.TIMER: unconfirmed}) == 1
    assert await ask_due(portal.job) == 1
    assert (await portal.gateway.ask(attempt_id)).state == "released"
    assert await portal.value("SELECT state FROM attempts") == "released"
    assert await portal.said(PAYMENT_FAILED) == []  # nothing was ever submitted


@pytest.mark.req("EP-13")
async def test_proceeding_again_lets_the_earlier_authorisation_go(portal: Portal):
    await portal.show(invoice())
    first = await authorised(portal, "i1")
    second = await authorised(portal, "i1")
    await ask_due(portal.job)
    assert (await portal.gateway.ask(first)).state == "released"
    assert (await pay.confirm(portal.till, "7", first)).state == Attempt.RELEASED
    assert (await pay.confirm(portal.till, "7", second)).state == Attempt.CAPTURED


@pytest.mark.req("EP-13")
async def test_a_submitted_charge_cannot_be_cancelled(portal: Portal):
    attempt_id = await crashed(portal, "after")
    assert (await pay.let_go(portal.till, "7", attempt_id, "cancelled")).state == Attempt.SUBMITTED
    async with portal.browser(PAULA) as browser:
        assert (await browser.post(f"/employerportal/pay/{attempt_id}/cancel")).headers["location"] == f"/employerportal/pay/{attempt_id}"


@pytest.mark.req("EP-13")
def test_only_listed_moves_are_made():
    for now in Attempt:
        for to in Attempt:
            if to in TRANSITIONS[now]:
                assert move(now, to) is to
            else:
                with pytest.raises(BadMove):
                    move(now, to)


@pytest.mark.req("EP-13")
async def test_the_database_knows_the_same_states(portal: Portal):
    check = await portal.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_attempts_state_known'")
    assert {state.value for state in Attempt} == {part.split("'")[1] for part in check.split("ARRAY[")[1].split("]")[0].split(",")}


@pytest.mark.req("EP-13")
async def test_an_authorisation_of_another_amount_is_let_go_and_never_captured(portal: Portal):
    await portal.show(invoice())
    once = ids.new()
    attempt_id = ids.derived("attempt", "7", PAULA.person_id, once)
    page = await portal.gateway.start(attempt_id, 99, f"http://portal.test/employerportal/pay/{attempt_id}", "", pay.BRANDS)
    async with portal.browser() as browser:
        await browser.post("/employerportal/cart/add", data={"only": "i1"})
        assert (await browser.post("/employerportal/cart/pay", data={"once": once})).headers["location"] == page
        said = words(await browser.get(await enter_card(page)))
        assert "The card processor answered with another amount Nothing was charged" in said
        await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
    await run_job(portal)
    assert (await portal.gateway.ask(attempt_id)).state == "released" and await portal.taken() == []


@pytest.mark.req("EP-13", "EP-14")
async def test_a_capture_of_another_amount_is_no_payment_but_a_doubt_that_staff_see_until_it_was_given_back(
    portal: Portal, caplog: pytest.LogCaptureFixture
):
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")
    await portal.gateway.capture(attempt_id, 99)
    took = "The card processor took $0.99 instead of $165.00"
    async with portal.browser() as browser, staff(portal) as desk:
        await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
        for _ in range(2):
            await run_job(portal)
            for path in (f"pay/{attempt_id}", "payments"):
                assert took in words(await browser.get(f"/employerportal/{path}"))
            assert "Pending" in words(await browser.get("/employerportal/invoices/i1"))
            assert took in words(await desk.get("/staff/7/accounts/a1/contacts"))
        assert await portal.value("SELECT state FROM attempts") == "unknown"
        assert await portal.said(PAYMENT_CAPTURED) == [] and await portal.rows("SELECT 1 FROM payments") == []
        assert caplog.text.count(took) == 1, "told once"
        await portal.gateway.refund(attempt_id, "back", 99)
        await run_job(portal)
        assert "and gave it back. Your invoices can be paid again." in words(await browser.get(f"/employerportal/pay/{attempt_id}"))
        assert took not in words(await desk.get("/staff/7/accounts/a1/contacts"))
    assert [each.payment_id for each in await portal.said(PAYMENT_FAILED)] == [attempt_id]
    again = await authorised(portal, "i1")
    assert (await pay.confirm(portal.till, "7", again)).state == Attempt.CAPTURED


def staff(portal: Portal) -> httpx.AsyncClient:
    """A browser in which somebody of the staff has signed in."""
    person = {"sub": "dokafor", "name": "dokafor", "preferred_username": "dokafor", "roles": ["billing_admin"], "practices": "*"}
    client = portal.browser()
    session = person | {"began": int(datetime.now(UTC).timestamp())}
    client.cookies.set("portal_staff", str(portal.web.state.web.signer("staff").dumps(session)))
    return client
