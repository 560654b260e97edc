"""Who locks what first: transactions that meet the same claims, payments and batches wait for each other, never crosswise."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import consumers, store
from shared import ids
from shared.events import Topic
from shared.events.contracts import CONTRACT_CHARGED
from shared.events.ingress import CLAIM_BILLED, CLAIM_VOIDED
from shared.events.portal import PAYMENT_CAPTURED
from shared.events.posting import CLAIM_BALANCES
from shared.messages import Message
from tests.posting.conftest import Posting, billed, captured, voided
from tests.posting.test_days import charged
from tests.together import blocked

Said = tuple[Topic[Any], Any]


async def hear(posting: Posting, *said: Said) -> None:
    """One batch of several topics of a subscription, as it is read."""
    batch = [Message(topic, topic.key_of(body), ids.new(), posting.clock.business(), body, None) for topic, body in said]
    records = [SimpleNamespace(topic=message.topic.name, key=message.key.encode()) for message in batch]
    async with posting.worker.begin() as tx:
        await posting.consumptions[said[0][0]].handle(tx, list(zip(records, batch, strict=True)))


async def waits(posting: Posting, work: Awaitable[Any]) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(work)
    await blocked(posting.worker)
    return task


async def free(tx: AsyncConnection, rows: str) -> None:
    """Raises where somebody else has one of these rows."""
    await tx.exec_driver_sql(f"SELECT 1 FROM {rows} FOR UPDATE NOWAIT")


async def another_practice(posting: Posting) -> None:
    async with posting.worker.begin() as tx:
        await tx.exec_driver_sql("INSERT INTO practices SELECT (jsonb_populate_record(p, '{\"practice_id\": \"8\"}')).* FROM practices p")


async def test_a_batch_of_several_kinds_locks_its_claims_before_payments_and_in_one_order(posting: Posting) -> None:
    """Claims are billed before others are voided: taken kind by kind, this batch would have `z` and its payment while it waits for `a`."""
    await posting.give(CLAIM_BILLED, billed("a"), billed("z"))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"z": 100}))
    async with posting.worker.begin() as mine:
        await store.lock(mine, [("7", "a")], [])
        task = await waits(posting, hear(posting, (CLAIM_BILLED, billed("z", 2, (60,))), (CLAIM_VOIDED, voided("a", 2))))
        await free(mine, "claims WHERE claim_id = 'z'")
        await free(mine, "payments")
    await task
    assert {key: state.voided for key, state in (await posting.newest(CLAIM_BALANCES)).items()} == {"7/a": True, "7/z": False}


async def test_captures_of_two_kinds_lock_their_claims_in_one_order(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("a"), billed("c9"))
    async with posting.worker.begin() as mine:
        await store.lock(mine, [("7", "a")], [])
        task = await waits(posting, hear(posting, (PAYMENT_CAPTURED, captured("p1", {"c9": 100})), (CONTRACT_CHARGED, of_a())))
        await free(mine, "claims WHERE claim_id = 'c9'")
    await task


def of_a() -> Any:
    body = charged("p2", 10)
    return replace(body, claims=[replace(body.claims[0], claim_id="a")])


async def test_payments_of_a_batch_are_locked_in_one_order(posting: Posting) -> None:
    """`p1` is of the claim that is voided: billed first, this batch would have `p2` while it waits for `p1`."""
    await posting.give(CLAIM_BILLED, billed("a"), billed("z"))
    await posting.give(PAYMENT_CAPTURED, captured("p2", {"a": 100}), captured("p1", {"z": 100}))
    async with posting.worker.begin() as mine:
        await store.lock(mine, [], [("7", "p1")])
        task = await waits(posting, hear(posting, (CLAIM_BILLED, billed("a", 2)), (CLAIM_VOIDED, voided("z", 2))))
        await free(mine, "payments WHERE payment_id = 'p2'")
    await task


async def test_money_that_waited_for_its_practice_locks_its_claims_in_one_order(posting: Posting) -> None:
    waiting: list[Said] = [(PAYMENT_CAPTURED, captured("p1", {"c9": 100})), (CONTRACT_CHARGED, of_a())]
    for topic, body in ((CLAIM_BILLED, billed("a")), (CLAIM_BILLED, billed("c9")), *waiting):
        await posting.give(topic, replace(body, practice_id="8"))
    await another_practice(posting)
    async with posting.worker.begin() as mine:
        await store.lock(mine, [("8", "a")], [])
        task = await waits(posting, consumers.retry_waiting(posting.worker, posting.clock))
        await free(mine, "claims WHERE claim_id = 'c9'")
    assert await task == 2


@pytest.mark.req("RP-20")
async def test_captures_take_the_batches_of_practices_and_days_in_one_order(posting: Posting) -> None:
    """Each in the order in which it heard of them, two replicas would wait for each other."""
    early = captured("p1", {"c1": 100})
    late = replace(captured("p2", {"c2": 100}), local_date=date(2026, 11, 21))
    elsewhere = replace(captured("p3", {"c3": 100}), practice_id="8")
    await another_practice(posting)
    await posting.give(PAYMENT_CAPTURED, early, late, elsewhere)
    again = [replace(each, payment_id=f"{each.payment_id}-2") for each in (elsewhere, late, early)]
    async with posting.worker.begin() as mine:
        await mine.exec_driver_sql("SELECT 1 FROM payment_batches WHERE practice_id = '7' AND local_day = '2026-11-20' FOR UPDATE")
        task = await waits(posting, posting.give(PAYMENT_CAPTURED, *again))
        await free(mine, "payment_batches WHERE practice_id = '8' OR local_day = '2026-11-21'")
    await task
