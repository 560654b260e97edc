"""The books on a real database: claims, captured money, changes, in any order; every ledger transaction sums to zero."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from services.posting import batches
from services.posting.domain.batch import DepositType, NotBalanced, check_deposit
from services.posting.domain.payment import LineAnswer, Refused
from services.posting.handlers.remittance import post_payment
from shared.events.ingress import CLAIM_BILLED, CLAIM_VOIDED
from shared.events.invoicing import CLAIM_REDROPPED, ClaimRedropped, WriteOff
from shared.events.portal import PAYMENT_CAPTURED
from shared.events.posting import CLAIM_ADJUDICATED, CLAIM_BALANCES, CREDIT_STATE, PAYER_ADVANCED, PAYMENT_STATE
from tests.posting.conftest import INSURANCE, PATIENT, Posting, billed, captured, voided

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)


async def balances(posting: Posting, claim_id: str = "c1") -> Any:
    return (await posting.newest(CLAIM_BALANCES))[f"7/{claim_id}"]


@pytest.mark.req("RP-12", "RP-20")
@pytest.mark.req("EP-21", part="posted with no hand, the invoice closes")
async def test_a_captured_payment_is_posted_with_no_hand_into_the_days_batch(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1", cents=(100, 50)), billed("c2"))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 150, "c2": 100}))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 150, "c2": 100}))
    state = (await posting.newest(PAYMENT_STATE))["7/p1"]
    assert (state.applied_cents, state.credited_cents, state.waiting_cents) == (250, 0, 0)
    one = await balances(posting)
    assert {each.claim_id: each.balances_version for each in state.claims} == {"c1": one.version, "c2": (await balances(posting, "c2")).version}
    assert sum(line.balance_cents for line in one.lines) == 0 and one.adjudicated
    assert await posting.ledger_total() == {"cash": 250, "revenue": -250}
    async with posting.worker.begin() as tx:
        batch = (await tx.exec_driver_sql("SELECT * FROM payment_batches")).one()
        assert (batch.target_cents, batch.posted_cents, batch.route) == (250, 250, "epayment")


async def test_money_before_its_claim_waits_unapplied_and_is_applied_on_arrival(posting: Posting) -> None:
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 100}, version=2))
    assert (await posting.newest(PAYMENT_STATE))["7/p1"].waiting_cents == 100
    await posting.give(CLAIM_BILLED, billed("c1", 1, (80,)))
    assert (await posting.newest(PAYMENT_STATE))["7/p1"].waiting_cents == 100
    await posting.give(CLAIM_BILLED, billed("c1", 2, (100,)))
    state = (await posting.newest(PAYMENT_STATE))["7/p1"]
    assert (state.applied_cents, state.waiting_cents, state.claims[0].balances_version) == (100, 0, (await balances(posting)).version)
    assert await posting.ledger_total() == {"cash": 100, "revenue": -100}


async def test_money_that_names_a_claim_twice_waits_whole(posting: Posting) -> None:
    twice = captured("p1", {"c1": 60}, part=1, parts=2, total=100)
    await posting.give(PAYMENT_CAPTURED, twice, captured("p1", {"c1": 40}, part=2, parts=2, total=100))
    assert (await posting.newest(PAYMENT_STATE))["7/p1"].waiting_cents == 100
    await posting.give(CLAIM_BILLED, billed("c1"))
    state = (await posting.newest(PAYMENT_STATE))["7/p1"]
    assert (state.applied_cents, state.waiting_cents) == (100, 0)
    assert await posting.ledger_total() == {"cash": 100, "revenue": -100}


async def test_money_beyond_the_balance_is_credit_of_its_payer(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 100}), captured("p2", {"c1": 100}))
    states = await posting.newest(PAYMENT_STATE)
    assert sorted((s.applied_cents, s.credited_cents) for s in states.values()) == [(0, 100), (100, 0)]
    assert (await posting.newest(CREDIT_STATE))["7/corporate:E"].credit_cents == 100
    assert await posting.ledger_total() == {"cash": 200, "revenue": -100, "credit": -100}


@pytest.mark.req("EP-14")
async def test_money_that_is_all_credit_names_the_balances_that_left_nothing_to_pay(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 100}))
    paid = await balances(posting)
    await posting.give(PAYMENT_CAPTURED, captured("p2", {"c1": 100}))
    [share] = (await posting.newest(PAYMENT_STATE))["7/p2"].claims
    assert (share.applied_cents, share.balances_version) == (0, paid.version) and await balances(posting) == paid


async def test_a_void_after_payment_turns_the_money_into_credit_and_names_the_new_version(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 100}))
    await posting.give(CLAIM_VOIDED, voided("c1", 2))
    one, state = await balances(posting), (await posting.newest(PAYMENT_STATE))["7/p1"]
    assert one.voided and sum(line.balance_cents for line in one.lines) == 0
    assert (state.applied_cents, state.credited_cents, state.claims[0].balances_version) == (0, 100, one.version)
    assert await posting.ledger_total() == {"cash": 100, "credit": -100}


async def test_a_void_before_the_claim_holds_when_the_claim_comes(posting: Posting) -> None:
    await posting.give(CLAIM_VOIDED, voided("c1", 2))
    await posting.give(CLAIM_BILLED, billed("c1", 1))
    assert (await balances(posting)).voided
    await posting.give(CLAIM_BILLED, billed("c1", 3))
    assert not (await balances(posting)).voided and sum(line.balance_cents for line in (await balances(posting)).lines) == 100


async def test_a_charge_lowered_below_what_is_paid_lowers_adjustments_first(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"))
    write_off = WriteOff(write_off_id="w1", charge_id="c1-1", amount_cents=30, reason="agreed")
    redrop = ClaimRedropped(
        practice_id="7",
        claim_id="c1",
        hold_no=1,
        holds_closed=["h1"],
        outcome="written_off",
        claim_version=1,
        claim_revision=0,
        write_offs=[write_off],
        redropped_at=NOW,
        reissue_on=date(2026, 11, 21),
    )
    await posting.give(CLAIM_REDROPPED, redrop)
    assert (await balances(posting)).write_offs == ["w1"]
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 70}))
    await posting.give(CLAIM_BILLED, billed("c1", 2, (60,)))
    line = (await balances(posting)).lines[0]
    assert (line.charged_cents, line.paid_cents, line.adjusted_cents, line.balance_cents) == (60, 60, 0, 0)
    assert (await posting.newest(PAYMENT_STATE))["7/p1"].credited_cents == 10


async def test_a_write_off_before_its_content_waits(posting: Posting) -> None:
    write_off = WriteOff(write_off_id="w1", charge_id="c1-1", amount_cents=30, reason="agreed")
    redrop = ClaimRedropped(
        practice_id="7", claim_id="c1", hold_no=1, holds_closed=[], outcome="written_off", claim_version=2, claim_revision=0,
        write_offs=[write_off], redropped_at=NOW, reissue_on=None,
    )  # fmt: skip
    await posting.give(CLAIM_REDROPPED, redrop)
    await posting.give(CLAIM_BILLED, billed("c1", 1))
    assert (await balances(posting)).write_offs == []
    await posting.give(CLAIM_BILLED, billed("c1", 2, (20,)))
    one = await balances(posting)
    assert one.write_offs == ["w1"] and one.lines[0].adjusted_cents == 20


@pytest.mark.req("RP-26", part="the move to the next payer")
async def test_a_payer_change_moves_the_open_balance_to_the_new_payer(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1", 1, (100,), (INSURANCE, PATIENT)))
    await posting.give(CLAIM_BILLED, billed("c1", 2, (100,), (INSURANCE, PATIENT), to=2))
    one = await balances(posting)
    assert {(line.kind, line.balance_cents) for line in one.lines} == {("insurance", 0), ("patient", 100)}
    assert one.adjudicated and one.patient_balance_cents == 100
    assert (await posting.said(CLAIM_ADJUDICATED))[0].remittance_id is None


@pytest.mark.req("RP-26", part="the move to the next payer")
@pytest.mark.req("RP-01", "RP-05", "RP-07", part="one check with one payment batch")
@pytest.mark.req("RP-10", part="the closing")
async def test_staff_post_an_insurance_payment_and_the_rest_moves_to_the_patient(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1", 1, (10000,), (INSURANCE, PATIENT)))
    deposit: dict[str, Any] = dict(
        deposit_date=date(2026, 11, 20), today=date(2026, 11, 20), bank_account_id="b1", kind=DepositType.CHECK,
        by_site=False, notes="", check_number="991", user="mchen",
    )  # fmt: skip
    async with posting.app.begin("7") as tx:
        with pytest.raises(NotBalanced, match=r"Add payment batches for 5\.00"):
            await batches.create_deposit(tx, "7", amount_cents=6500, target_cents=6000, **deposit)
        batch_id = await batches.create_deposit(tx, "7", amount_cents=6000, target_cents=6000, **deposit)
        with pytest.raises(NotBalanced, match=r"Still to post or record as unpostable: 60\.00"):
            await batches.close_batch(tx, "7", batch_id, NOW)
    async with posting.app.begin("7") as tx:
        claim = await post_payment(tx, posting.clock, "7", batch_id, "c1", [LineAnswer("c1-1", 6000, 1000)], "mchen")
        assert claim.patient_balance_cents == 3000
        states = [(await tx.exec_driver_sql("SELECT state FROM deposits")).scalar_one()]
        await batches.close_batch(tx, "7", batch_id, NOW)
        states += [(await tx.exec_driver_sql("SELECT state FROM deposits")).scalar_one()]
    assert states == ["open", "closed"]
    assert (await posting.said(PAYER_ADVANCED))[0].amount_cents == 3000
    fact = (await posting.said(CLAIM_ADJUDICATED))[0]
    assert (fact.patient_balance_cents, fact.balances_version) == (3000, (await balances(posting)).version)
    assert await posting.ledger_total() == {"cash": 6000, "adjustments": 1000, "receivable": 3000, "revenue": -10000}


@pytest.mark.req("RP-01", part="one check with one payment batch")
@pytest.mark.parametrize(("day", "words"), [
    (date(2025, 11, 19), None), (date(2025, 11, 18), "more than a year ago"), (date(2026, 11, 20), None), (date(2026, 11, 21), "in the future"),
])  # fmt: skip
def test_a_deposit_is_of_the_last_year(day: date, words: str | None) -> None:
    with pytest.raises(NotBalanced, match=words) if words else nullcontext():
        check_deposit(100, 100, "b1", ["b1"], day, NOW.date())


@pytest.mark.req("RP-05", part="one check with one payment batch")
@pytest.mark.req("RP-26", part="the move to the next payer")
async def test_an_answer_names_every_open_charge_and_is_not_posted_on_a_claim_that_changed(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1", 1, (100,), (INSURANCE, PATIENT)))
    seen = (await balances(posting)).version
    await posting.give(CLAIM_BILLED, billed("c1", 2, (100, 50), (INSURANCE, PATIENT)))
    batch_id = await opened(posting, 30)
    answer = [LineAnswer("c1-1", 30, 0)]
    for refused, words in (((answer,), "Charge c1-2 is open too"), (([*answer, LineAnswer("c1-2", 0, 0)], seen), "has changed since")):
        lines, *version = refused
        with pytest.raises(Refused, match=words):
            async with posting.app.begin("7") as tx:
                await post_payment(tx, posting.clock, "7", batch_id, "c1", lines, "mchen", *version)
    assert not (await balances(posting)).adjudicated
    async with posting.app.begin("7") as tx:
        await post_payment(tx, posting.clock, "7", batch_id, "c1", [*answer, LineAnswer("c1-2", 0, 0)], "mchen", (await balances(posting)).version)
    assert (await balances(posting)).patient_balance_cents == 120


async def opened(posting: Posting, cents: int) -> str:
    """A deposit of one check; its open payment batch."""
    async with posting.app.begin("7") as tx:
        return await batches.create_deposit(
            tx, "7", deposit_date=NOW.date(), today=NOW.date(), bank_account_id="b1", amount_cents=cents, kind=DepositType.CHECK, by_site=False,
            notes="", target_cents=cents, check_number="1", user="mchen",
        )  # fmt: skip


@pytest.mark.req("RP-26", part="the move to the next payer")
@pytest.mark.parametrize("insurances", ["II", "IJI", "IIJ"])
async def test_a_payer_that_is_on_a_claim_twice_answers_once_and_the_rest_reaches_the_patient(posting: Posting, insurances: str) -> None:
    payers = [replace(INSURANCE, order=n, payer_id=each) for n, each in enumerate(insurances, 1)]
    await posting.give(CLAIM_BILLED, billed("c1", 1, (100,), (*payers, replace(PATIENT, order=9))))
    each_once = sorted(set(insurances))
    for _ in each_once:
        batch_id = await opened(posting, 30)
        async with posting.app.begin("7") as tx:
            await post_payment(tx, posting.clock, "7", batch_id, "c1", [LineAnswer("c1-1", 30, 0)], "mchen")
    one = await balances(posting)
    assert one.adjudicated and one.patient_balance_cents == 100 - 30 * len(each_once)
    assert [fact.to_payer_id for fact in await posting.said(PAYER_ADVANCED)] == [*each_once[1:], "p1"]
    assert [fact.patient_balance_cents for fact in await posting.said(CLAIM_ADJUDICATED)] == [one.patient_balance_cents]


async def test_the_database_itself_refuses_a_ledger_transaction_that_does_not_sum_to_zero(posting: Posting) -> None:
    with pytest.raises(DBAPIError, match="does not sum to zero"):
        async with posting.worker.begin() as tx:
            await tx.exec_driver_sql(
                "INSERT INTO legs (practice_id, transaction_id, no, account, amount_cents, \"on\") VALUES ('7', 't', 1, 'cash', 5, '2026-11-20')"
            )


async def test_the_database_itself_refuses_to_edit_an_entry(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"))
    with pytest.raises(DBAPIError, match="permission denied"):
        async with posting.worker.begin() as tx:
            await tx.exec_driver_sql("UPDATE entries SET amount_cents = 1")


async def test_the_app_role_sees_its_practice_only(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"))
    async with posting.app.begin("8") as tx:
        assert (await tx.exec_driver_sql("SELECT count(*) FROM claims")).scalar_one() == 0
    async with posting.app.begin("7") as tx:
        assert (await tx.exec_driver_sql("SELECT count(*) FROM claims")).scalar_one() == 1
