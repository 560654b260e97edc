"""A one-year contract from its signature to its charges, on a real database at the real sandbox processor."""

from datetime import UTC, datetime

import pytest

from services.contracts.domain.contract import Refused
from services.contracts.handlers import contracts
from services.contracts.handlers.charges import notice_again
from shared.events.contracts import CHARGE_DUE, CHARGE_FAILED, CHARGE_SCHEDULED, CONTRACT_CHARGED, CONTRACT_STATE
from shared.events.posting import CLAIM_ADJUDICATED, CLAIM_BALANCES, PAYMENT_STATE, ClaimAdjudicated, PaymentClaim, PaymentState
from tests.contracts.conftest import TODAY, Contracts, balances, charge_rows, due, outcome, pdf, signed


def posted(version: int, balances_version: int, cents: int, payment_id: str, credited: int = 0) -> PaymentState:
    return PaymentState(
        practice_id="7", payment_id=payment_id, version=version, source="contract", parts_posted=1, parts=1, amount_cents=cents, applied_cents=cents,
        credited_cents=credited, waiting_cents=0, refunded_cents=0, batch_id="b", posted_on=TODAY,
        claims=[PaymentClaim(claim_id="c1", applied_cents=cents, balances_version=balances_version)],
    )  # fmt: skip


@pytest.mark.req("CF-01", part="one-year contracts")
@pytest.mark.req("CF-03", "CF-04", part="one-year contracts")
async def test_a_contract_is_active_only_when_signed_and_one_per_patient_and_group(desk: Contracts) -> None:
    made = await desk.make()
    assert (made.contract_id, made.epayment_id, made.status) == (1, 1, "awaiting_signature")
    with pytest.raises(Refused, match="one-year contract here already"):
        await desk.make()
    other = await desk.make("p2")
    assert (other.contract_id, other.epayment_id) == (2, 2)
    assert (await desk.sign(made, pdf())).status == "active"
    assert (await desk.sign(made, pdf())).status == "active"
    with pytest.raises(Refused, match="Another signed receipt"):
        await desk.sign(made, pdf("another"))
    assert [state.status for state in await desk.said(CONTRACT_STATE) if state.contract_id == "1"] == ["awaiting_signature", "active"]


@pytest.mark.req("CF-04", part="one-year contracts")
async def test_half_an_hour_without_a_signature_ends_a_contract(desk: Contracts) -> None:
    made = await desk.make()
    desk.clock.move(minutes=30)
    with pytest.raises(Refused, match="30 minutes") as refused:
        await desk.sign(made, pdf())
    assert refused.value.status == 409
    await desk.fire()
    assert (await desk.said(CONTRACT_STATE))[-1].status == "cancelled"
    assert (await desk.make()).contract_id == 2


@pytest.mark.req("CF-05", "CF-06")
async def test_five_days_after_its_notice_was_sent_a_charge_is_made_once(desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    wake = await due(desk)
    assert (wake.due_on.isoformat(), wake.noticed_cents) == ("2026-11-25", 4200)
    await desk.give(CHARGE_DUE, wake, wake)
    assert await desk.charge() == 1
    await desk.give(CHARGE_DUE, wake)
    assert await desk.charge() == 0
    fact = (await desk.said(CONTRACT_CHARGED))[0]
    assert (fact.amount_cents, fact.record_number, fact.claims[0].claim_id) == (4200, "C-000001", "c1")
    assert await desk.taken() == [(fact.payment_id, 4200)]
    await desk.give(PAYMENT_STATE, posted(1, 4, 4200, fact.payment_id))
    await desk.give(CLAIM_BALANCES, balances(4, 0))
    assert len(await charge_rows(desk)) == 1


@pytest.mark.req("CF-05")
async def test_a_charge_is_scheduled_on_the_practices_own_day(desk: Contracts) -> None:
    await signed(desk)
    desk.clock.now = datetime(2026, 11, 25, 4, 59, tzinfo=UTC)  # one minute before midnight in New York
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    assert [fact.scheduled_on.isoformat() for fact in await desk.said(CHARGE_SCHEDULED)] == ["2026-11-24"]


@pytest.mark.req("CF-05")
async def test_before_the_five_days_nothing_is_due(desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    topic, body = outcome((await desk.said(CHARGE_SCHEDULED))[-1])
    await desk.give(topic, body)
    desk.clock.now = datetime(2026, 11, 25, 4, 59, tzinfo=UTC)  # one minute before midnight in New York
    assert await desk.fire() == 0
    desk.clock.move(minutes=1)
    assert await desk.fire() == 1


async def test_an_adjudication_before_its_balances_waits_for_them(desk: Contracts) -> None:
    await signed(desk)
    fact = ClaimAdjudicated(
        practice_id="7", claim_id="c1", adjudication_no=1, balances_version=3, claim_version=1, claim_revision=0, patient_id="p1",
        appointment_id=None, service_date=TODAY, department_id="d1", provider_group_id="1", patient_balance_cents=4200, adjudicated_on=TODAY,
        remittance_id=None,
    )  # fmt: skip
    await desk.give(CLAIM_ADJUDICATED, fact)
    assert await desk.said(CHARGE_SCHEDULED) == [] and len(await desk.rows("SELECT * FROM waiting")) == 1
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    assert len(await desk.said(CHARGE_SCHEDULED)) == 1 and await desk.rows("SELECT * FROM waiting") == []


@pytest.mark.req("CF-01", part="one-year contracts")
async def test_balances_from_before_the_contract_and_other_groups_are_not_touched(desk: Contracts) -> None:
    await desk.give(CLAIM_BALANCES, balances(1, 500, "old"))
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(2, 900, "old"), balances(1, 700, "group", provider_group_id="2"))
    await desk.give(CLAIM_BALANCES, balances(1, 700, "early", service_date=TODAY.replace(day=19)))
    assert await desk.said(CHARGE_SCHEDULED) == []


@pytest.mark.req("CF-06")
async def test_a_charge_is_the_least_of_notice_balance_and_limit(desk: Contracts) -> None:
    await signed(desk, limit=3000)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    wake = await due(desk)
    await desk.give(CLAIM_BALANCES, balances(4, 2500))
    await desk.give(CHARGE_DUE, wake)
    await desk.charge()
    assert (wake.noticed_cents, (await desk.said(CONTRACT_CHARGED))[0].amount_cents) == (3000, 2500)


@pytest.mark.req("CF-05")
async def test_cancelling_in_between_charges_nothing_and_is_refused_once_submitted(desk: Contracts) -> None:
    made = await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    wake = await due(desk)
    async with desk.app.begin("7") as tx:
        await contracts.cancel(tx, desk.clock, "7", made.contract_id, "asked to")
    await desk.give(CHARGE_DUE, wake)
    assert await desk.charge() == 0 and await desk.taken() == []
    assert [row.status for row in await charge_rows(desk)] == ["withdrawn"]


async def test_a_cancel_is_409_once_a_charge_is_submitted(desk: Contracts) -> None:
    made = await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.give(CHARGE_DUE, await due(desk))
    with pytest.raises(Refused, match="under way"):
        async with desk.app.begin("7") as tx:
            await contracts.cancel(tx, desk.clock, "7", made.contract_id, "asked to")


async def test_a_reversal_withdraws_a_charge_that_was_noticed_and_a_new_adjudication_gets_its_own(desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    wake = await due(desk)
    await desk.give(CLAIM_BALANCES, balances(4, 0, adjudicated=False))
    await desk.give(CHARGE_DUE, wake)
    assert await desk.charge() == 0
    await desk.give(CLAIM_BALANCES, balances(5, 3000, adjudication_no=2))
    assert [(row.status, row.noticed_cents) for row in await charge_rows(desk)] == [("withdrawn", 4200), ("scheduled", 3000)]


@pytest.mark.req("CF-05")
async def test_a_notice_that_bounced_pauses_the_charge_and_a_new_one_starts_anew(desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    scheduled = (await desk.said(CHARGE_SCHEDULED))[0]
    topic, body = outcome(scheduled, "failed")
    await desk.give(topic, body)
    assert [row.status for row in await charge_rows(desk)] == ["paused"]
    async with desk.app.begin("7") as tx:
        await notice_again(tx, desk.clock, "7", scheduled.charge_id)
    again = (await desk.said(CHARGE_SCHEDULED))[-1]
    assert again.notice_no == 2
    topic, late = outcome(scheduled)
    await desk.give(topic, late)  # word of the first notice starts nothing
    assert [row.status for row in await charge_rows(desk)] == ["scheduled"]


@pytest.mark.req("CF-08")
@pytest.mark.parametrize("fault", ["lost", "late", "doubled"])
async def test_whatever_the_processor_answers_a_charge_is_taken_once(desk: Contracts, fault: str) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.give(CHARGE_DUE, await due(desk))
    before = len(await desk.taken())
    await desk.faults(fault)
    for _ in range(8):
        await desk.charge()
        desk.clock.move(minutes=11)
        await desk.fire()
        for wake in await desk.said(CHARGE_DUE):
            await desk.give(CHARGE_DUE, wake)
    taken = (await desk.taken())[before:]
    facts = await desk.said(CONTRACT_CHARGED)
    assert [(fact.payment_id, fact.amount_cents) for fact in facts] == taken and len(taken) == 1
    assert [row.status for row in await charge_rows(desk)] == ["charged"]


@pytest.mark.req("CF-08")
@pytest.mark.parametrize("asked", [1, 47, 5000])
async def test_a_charge_whose_caller_died_is_asked_about_and_never_made_twice(desk: Contracts, asked: int) -> None:
    """However often it was asked about while the processor was away."""
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.give(CHARGE_DUE, await due(desk))
    row = (await charge_rows(desk))[0]
    card = (await desk.rows("SELECT card_token FROM contracts"))[0].card_token
    before = len(await desk.taken())
    await desk.gateway.charge(row.attempt_id, card, 4200)  # the call was made; then the caller died
    async with desk.worker.begin() as tx:
        await tx.exec_driver_sql(f"UPDATE charges SET status = 'unknown', asked = {asked}")
    assert await desk.charge() == 1
    assert (await desk.taken())[before:] == [(row.attempt_id, 4200)] and len(await desk.said(CONTRACT_CHARGED)) == 1


@pytest.mark.req("CF-06")
async def test_own_money_that_posting_has_not_shown_yet_is_not_charged_again(desk: Contracts) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.give(CHARGE_DUE, await due(desk))
    await desk.charge()
    fact = (await desk.said(CONTRACT_CHARGED))[0]
    await desk.give(CLAIM_BALANCES, balances(4, 4200))  # an older view of the same money
    assert len(await charge_rows(desk)) == 1
    await desk.give(PAYMENT_STATE, posted(1, 5, 4200, fact.payment_id))
    await desk.give(CLAIM_BALANCES, balances(5, 0))
    await desk.give(CLAIM_BALANCES, balances(6, 1000))  # a real increase gets its own notice
    assert [(row.status, row.noticed_cents) for row in await charge_rows(desk)] == [("charged", 4200), ("scheduled", 1000)]


async def test_the_year_is_used_up_with_its_limit(desk: Contracts) -> None:
    await signed(desk, limit=4200)
    await desk.give(CLAIM_BALANCES, balances(3, 9000))
    await desk.give(CHARGE_DUE, await due(desk))
    await desk.charge()
    assert (await desk.said(CONTRACT_STATE))[-1].status == "used_up"
    assert await desk.said(CHARGE_FAILED) == []
