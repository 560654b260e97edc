"""Two replicas at one moment: their transactions are opened in the order in which they could miss each other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.local.verify.facts import Facts
from deploy.local.verify.money import credits_equal_payments
from services.posting import batches, consumers, jobs
from services.posting.domain.batch import DepositType
from shared.events.ingress import CLAIM_BILLED, CLAIM_VOIDED
from shared.events.invoicing import PRACTICE_STATE
from shared.events.portal import PAYMENT_CAPTURED
from shared.events.posting import CREDIT_STATE, PAYMENT_STATE
from tests.notifier.conftest import practice
from tests.posting.conftest import Posting, billed, captured, voided
from tests.together import blocked

DAY = date(2026, 11, 20)


async def rows(posting: Posting, query: str) -> list[Any]:
    async with posting.worker.begin() as tx:
        return list(await tx.exec_driver_sql(query))


@pytest.mark.req("RP-20")
async def test_a_batch_that_another_replica_closes_meanwhile_is_left_to_it(posting: Posting) -> None:
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c9": 100}))
    posting.clock.now = datetime(2026, 11, 21, 5, tzinfo=UTC)
    async with posting.worker.begin() as mine:
        [batch_id] = await batches.past_days(mine, "7", date(2026, 11, 21))
        await batches.close_batch(mine, "7", batch_id, posting.clock.now)
        other = asyncio.create_task(jobs.close_days(posting.worker, posting.clock))
        await blocked(posting.worker)
    assert await other == 0
    assert [row.state for row in await rows(posting, "SELECT state FROM payment_batches")] == ["closed"]


async def test_credit_is_summed_up_with_what_another_transaction_brings_meanwhile(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"), billed("c2"))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 100}), captured("p2", {"c2": 100}))
    async with posting.worker.begin() as mine:
        await posting.hand(mine, PAYMENT_CAPTURED, captured("p3", {"c1": 10}))
        other = asyncio.create_task(posting.give(CLAIM_VOIDED, voided("c2", 2)))
        await blocked(posting.worker)
    await other
    state = (await posting.newest(CREDIT_STATE))["7/corporate:E"]
    assert (state.credit_cents, state.version) == (110, 2)
    kept = {table: [dict(row._mapping) for row in await rows(posting, f"SELECT * FROM {table}")] for table in ("payments", "credits")}
    assert not list(credits_equal_payments(Facts({"posting": kept})))


@pytest.mark.req("EP-21", part="posted with no hand, the invoice closes")
async def test_money_that_came_while_another_replica_stored_its_practice_is_posted(posting: Posting) -> None:
    async with posting.worker.begin() as mine:
        await posting.hand(mine, PAYMENT_CAPTURED, replace(captured("p1", {"c9": 100}), practice_id="8"))
        assert await consumers.retry_waiting(posting.worker, posting.clock) == 0
        await posting.give(PRACTICE_STATE, replace(practice(), practice_id="8"))
    assert await posting.said(PAYMENT_STATE) == []
    assert await consumers.retry_waiting(posting.worker, posting.clock) == 1
    assert [(said.practice_id, said.payment_id, said.parts_posted) for said in await posting.said(PAYMENT_STATE)] == [("8", "p1", 1)]
    assert await rows(posting, "SELECT * FROM waiting") == []


async def test_what_waits_is_tried_again_by_itself(app: FastAPI) -> None:
    assert "waiting" in {job.name for job in app.state.service.jobs}


async def by_hand(tx: AsyncConnection) -> str:
    return await batches.create_deposit(
        tx, "7", deposit_date=DAY, today=DAY, bank_account_id="b1", amount_cents=100, kind=DepositType.CHECK, by_site=False, notes="",
        target_cents=100, check_number="1", user="mchen",
    )  # fmt: skip


async def of_the_day(tx: AsyncConnection) -> str:
    [home] = (await batches.practices(tx, ["7"])).values()
    return await batches.of_the_day(tx, home, "portal", DAY)


async def opening(posting: Posting, work: Callable[[AsyncConnection], Awaitable[str]]) -> str:
    async with posting.worker.begin() as tx:
        return await work(tx)


@pytest.mark.parametrize("work", [by_hand, of_the_day])
async def test_a_deposit_and_its_batch_take_their_numbers_in_one_order(posting: Posting, work: Callable[[AsyncConnection], Awaitable[str]]) -> None:
    """One that had a batch's number while it waits for a deposit's would wait for ever for another in the other order."""
    await opening(posting, by_hand)
    async with posting.worker.begin() as mine:
        await batches.next_number(mine, "7", "deposit")
        other = asyncio.create_task(opening(posting, work))
        await blocked(posting.worker)
        await mine.exec_driver_sql("SELECT 1 FROM numbers WHERE kind = 'batch' FOR UPDATE NOWAIT")
    assert await other


@pytest.mark.req("RP-20")
async def test_two_captures_that_open_the_day_open_one_batch_and_use_one_number(posting: Posting) -> None:
    async with posting.worker.begin() as mine:
        batch_id = await of_the_day(mine)
        other = asyncio.create_task(opening(posting, of_the_day))
        await blocked(posting.worker)
    assert await other == batch_id
    await opening(posting, by_hand)
    assert [row.number for row in await rows(posting, "SELECT number FROM payment_batches ORDER BY number")] == [20001, 20002]
    assert [row.number for row in await rows(posting, "SELECT number FROM deposits ORDER BY number")] == [20001, 20002]
