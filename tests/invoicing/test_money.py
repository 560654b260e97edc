"""What lines and payments show as posting's news arrive, in whatever order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing import consumers
from services.invoicing.handlers import money
from shared import ids
from shared.events.posting import PAYMENT_STATE
from shared.messages import Message
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, claim, employer
from tests.together import blocked


@dataclass
class Open:
    """A database whose one transaction the test ends."""

    tx: AsyncConnection

    @asynccontextmanager
    async def begin(self, practice_id: str | None = None) -> AsyncIterator[AsyncConnection]:
        yield self.tx


def within(house: House, tx: Any) -> House:
    """The same house, in this transaction."""
    return replace(house, worker=Open(tx))  # type: ignore[arg-type]


async def test_the_line_takes_postings_balance_whole_once_posting_knows_its_content(house: House) -> None:
    body = claim(cents=(10000, 8500))
    await house.bill(body)
    await house.run()
    await house.posting(body, 1, paid=4000, adjusted=500)
    line = await house.line()
    assert (line.paid_cents, line.adjusted_cents, line.balance_cents, line.balances_version) == (4000, 500, 14000, 1)
    assert [charge.balance_cents for charge in line.charges] == [5500, 8500]
    await house.bill(claim(version=2, cents=(4200, 8500)))  # posting is behind: own charges, adjustments give way first
    line = await house.line()
    assert (line.charged_cents, line.paid_cents, line.adjusted_cents, line.balance_cents) == (12700, 4000, 200, 8500)
    await house.posting(body, 1, paid=0)  # a repeat
    assert (await house.line()).paid_cents == 4000


@pytest.mark.req("EP-12", "EP-13")
async def test_a_captured_payment_is_pending_until_our_balance_copy_has_what_posting_named(house: House) -> None:
    body = claim()
    await house.bill(body)
    await house.run()
    await house.pay("c1")
    state = await house.invoice()
    assert (state.status, state.pending_cents, state.payable_cents, state.payments[0].state) == ("pending", 18500, 0, "pending")
    assert (await house.line()).payments[0].state == "pending"
    await house.posted(c1=(18500, 2))
    assert (await house.invoice()).payments[0].state == "pending"
    await house.events()
    await house.posting(body, 2, paid=18500)
    state = await house.invoice()
    assert (state.status, state.paid_cents, state.payments[0].state, state.payments[0].applied_cents) == ("closed", 18500, "posted", 18500)
    assert (await house.line()).payments[0].state == "posted"
    events = await house.events()
    assert [body.state_version for body in events["invoice.closed"]] == [state.version]
    assert len(events["invoice.state"]) == len(events["invoice.line.state"]) == 1


@pytest.mark.req("EP-12")
async def test_a_payment_in_parts_is_pending_until_all_parts_are_heard_posted_and_none_waits(house: House) -> None:
    one, two = claim("c1"), claim("c2")
    await house.bill(one, two)
    await house.run()
    await house.pay("c1", part=1, parts=2)
    await house.posting(one, 2, paid=18500)
    await house.posting(two, 2, paid=18500)
    await house.posted(version=1, parts=2, c1=(18500, 2), c2=(18500, 2))
    assert (await house.line("c1")).payments[0].state == "pending"
    await house.pay("c2", part=2, parts=2)
    assert (await house.line("c1")).payments[0].state == "posted"
    await house.posted(version=2, parts=2, waiting=5, c1=(18500, 2), c2=(18500, 2))
    assert (await house.line("c1")).payments[0].state == "pending"


@pytest.mark.req("EP-12", "EP-13")
@pytest.mark.parametrize("first", ["capture", "posting's state"])
async def test_a_payment_is_posted_also_where_capture_and_postings_word_come_to_two_replicas_at_once(house: House, first: str) -> None:
    body = claim()
    await house.bill(body)
    await house.run()
    await house.posting(body, 2)
    async with house.worker.begin() as mine:
        here, there = (within(house, mine), house) if first == "capture" else (house, within(house, mine))
        works = [here.pay("c1"), there.posted(c1=(18500, 2))]
        await works.pop(0 if first == "capture" else 1)
        other = asyncio.create_task(works[0])
        await blocked(house.worker)
    await other
    assert (await house.line()).payments[0].state == (await house.invoice()).payments[0].state == "posted"


async def test_a_batch_waits_for_its_payments_before_it_locks_their_claims(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.pay("c1")
    state: Message[Any] = Message(PAYMENT_STATE, "p1/pay1", ids.new(), NOON, SimpleNamespace(payment_id="pay1"), None)  # type: ignore[arg-type]

    async def lock() -> None:
        async with house.worker.begin() as tx:
            await consumers.lock(tx, [state])

    async with house.worker.begin() as mine:
        await money.lock(mine, [("p1", "pay1")])
        locking = asyncio.create_task(lock())
        await blocked(house.worker)
        await mine.execute(text("SELECT 1 FROM claim FOR UPDATE NOWAIT"))
    await locking


async def test_a_pending_payment_follows_its_claim_to_another_invoice(house: House) -> None:
    await house.account(employer("a2", ("e2",)))
    await house.bill(claim())
    await house.run()
    await house.pay("c1")
    await house.bill(claim(version=2, payer="e2"))
    await house.run()
    state = await house.invoice()
    assert (state.account_id, state.status, state.pending_cents, state.payable_cents) == ("a2", "pending", 18500, 0)
