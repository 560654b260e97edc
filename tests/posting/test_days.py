"""The day's e-payment batch: one per practice, source and local day of capture, open through the practice's day, closed after it (RP-20)."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select

from deploy.local.verify.facts import Facts
from deploy.local.verify.money import batches_balance
from services.posting import batches, jobs, read, tables
from shared.events.contracts import CONTRACT_CHARGED, ChargedClaim, ContractCharged
from shared.events.portal import PAYMENT_CAPTURED
from shared.events.posting import PAYMENT_STATE
from shared.events.types import Card
from tests.posting.conftest import Posting, captured

DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)
LOOKED_AT = ("payments", "batch_payments", "payment_batches", "deposits")


def charged(payment_id: str, cents: int) -> ContractCharged:
    claims = [ChargedClaim(claim_id="c9", claim_version=1, claim_revision=0, amount_cents=cents)]
    return ContractCharged(
        practice_id="7", contract_id="k1", contract_version=1, charge_id="g1", notice_no=1, payment_id=payment_id, patient_id="p1",
        amount_cents=cents, captured_at=datetime(2026, 11, 20, 15, tzinfo=UTC), local_date=DAY, record_number="C-1", authorization_number="A1",
        processor="sandbox", processor_ref="ch_9", card=Card(brand="VI", last4="4242"), user_name="ContractCharge",
        transaction_type="Contract Charge", claims=claims,
    )  # fmt: skip


async def standing(posting: Posting) -> list[Any]:
    """Each batch in order: number, source, day, state, target, deposit's amount and state; all of them as the oracle wants them."""
    async with posting.worker.begin() as tx:
        rows = await tx.exec_driver_sql(
            "SELECT b.number, b.source, b.local_day, b.state, b.target_cents, b.posted_cents, d.amount_cents, d.state AS deposit_state"
            " FROM payment_batches b JOIN deposits d USING (practice_id, deposit_id) ORDER BY b.practice_id, b.number"
        )
        found = list(rows)
        kept = {table: [dict(row._mapping) for row in await tx.exec_driver_sql(f"SELECT * FROM {table}")] for table in LOOKED_AT}
    assert all(row.target_cents == row.posted_cents == row.amount_cents and row.state == row.deposit_state for row in found)
    assert not list(batches_balance(Facts({"posting": kept})))
    return [(row.number, row.source, row.local_day, row.state, row.target_cents) for row in found]


@pytest.mark.req("RP-20")
@pytest.mark.parametrize(
    ("zone", "now", "state"),
    [
        ("America/New_York", datetime(2026, 11, 20, 5, tzinfo=UTC), "open"),
        ("America/New_York", datetime(2026, 11, 21, 4, 59, 59, tzinfo=UTC), "open"),
        ("America/New_York", datetime(2026, 11, 21, 5, tzinfo=UTC), "closed"),
        ("Pacific/Honolulu", datetime(2026, 11, 21, 9, 59, 59, tzinfo=UTC), "open"),
        ("Pacific/Honolulu", datetime(2026, 11, 21, 10, tzinfo=UTC), "closed"),
        ("UTC", datetime(2026, 11, 21, tzinfo=UTC), "closed"),
    ],
)
async def test_a_batch_is_open_through_the_practices_day_and_closes_after_it(posting: Posting, zone: str, now: datetime, state: str) -> None:
    async with posting.worker.begin() as tx:
        await tx.exec_driver_sql(f"UPDATE practices SET zone = '{zone}'")
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c9": 100}), captured("p2", {"c9": 50}))
    posting.clock.now = now
    assert await jobs.close_days(posting.worker, posting.clock) == (state == "closed")
    assert await standing(posting) == [(20001, "portal", DAY, state, 150)]
    assert await jobs.close_days(posting.worker, posting.clock) == 0


@pytest.mark.req("RP-20")
async def test_a_practice_whose_batch_cannot_be_closed_holds_up_no_other(posting: Posting, monkeypatch: pytest.MonkeyPatch) -> None:
    async with posting.worker.begin() as tx:
        [practice] = await tx.execute(select(tables.practices))
        await tx.execute(insert(tables.practices).values(practice._asdict() | {"practice_id": "6"}))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c9": 100}), replace(captured("p2", {"c9": 50}), practice_id="6"))
    posting.clock.now = datetime(2026, 11, 22, tzinfo=UTC)
    close_batch = batches.close_batch

    async def failing(tx: Any, practice_id: str, *more: Any) -> None:
        if practice_id == "6":
            raise ValueError("this one fails")
        await close_batch(tx, practice_id, *more)

    monkeypatch.setattr(batches, "close_batch", failing)
    with pytest.raises(RuntimeError, match="not done for 6; done for all others"):
        await jobs.close_days(posting.worker, posting.clock)
    assert [row[3:] for row in await standing(posting)] == [("open", 50), ("closed", 100)]


@pytest.mark.req("RP-20")
async def test_money_later_than_its_days_close_opens_the_next_batch_and_the_closed_one_stays(posting: Posting) -> None:
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c9": 100}), captured("p3", {"c8": 30}, part=1, parts=2, total=70))
    posting.clock.now = datetime(2026, 11, 21, 5, tzinfo=UTC)
    assert await jobs.close_days(posting.worker, posting.clock) == 1
    first = (20001, "portal", DAY, "closed", 130)
    await posting.give(PAYMENT_CAPTURED, captured("p2", {"c9": 50}))
    await posting.give(PAYMENT_CAPTURED, captured("p3", {"c7": 40}, part=2, parts=2, total=70))
    assert await standing(posting) == [first, (20002, "portal", DAY, "open", 90)]
    await posting.give(PAYMENT_CAPTURED, replace(captured("p4", {"c9": 5}), local_date=NEXT))
    assert await jobs.close_days(posting.worker, posting.clock) == 1
    assert await standing(posting) == [first, (20002, "portal", DAY, "closed", 90), (20003, "portal", NEXT, "open", 5)]
    async with posting.app.begin("7") as tx:
        batch_ids = list((await tx.exec_driver_sql("SELECT batch_id FROM payment_batches ORDER BY number")).scalars())
        listed = [[(row.payment_id, row.cents) for row in await read.transactions(tx, "7", batch_id, None)] for batch_id in batch_ids]
        entered = await tx.exec_driver_sql("SELECT DISTINCT batch_id FROM legs WHERE payment_id = 'p3' AND account = 'cash' ORDER BY batch_id")
        assert sorted(entered.scalars()) == sorted(batch_ids[:2])
    assert listed == [[("p3", 30), ("p1", 100)], [("p3", 40), ("p2", 50)], [("p4", 5)]]
    assert {said.batch_id for said in await posting.said(PAYMENT_STATE) if said.payment_id == "p3"} == {batch_ids[0]}


@pytest.mark.req("RP-20")
async def test_each_practice_and_source_has_its_own_batch(posting: Posting) -> None:
    async with posting.worker.begin() as tx:
        await tx.exec_driver_sql("INSERT INTO practices SELECT (jsonb_populate_record(p, '{\"practice_id\": \"8\"}')).* FROM practices p")
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c9": 100}), replace(captured("p1", {"c9": 20}), practice_id="8"))
    await posting.give(CONTRACT_CHARGED, charged("p2", 70))
    await posting.give(PAYMENT_CAPTURED, captured("p3", {"c9": 1}))
    assert await standing(posting) == [(20001, "portal", DAY, "open", 101), (20002, "contract", DAY, "open", 70), (20001, "portal", DAY, "open", 20)]
