"""Who locks what first: writers that meet the same claims and invoices wait for each other, never crosswise."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.invoicing import consumers
from services.invoicing.handlers import money, runs
from services.invoicing.store import claims
from shared import ids
from shared.events.ingress import CLAIM_VOIDED, ClaimVoided
from shared.events.posting import CLAIM_BALANCES
from shared.messages import Message
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, balances, claim, employer
from tests.together import blocked as waiting

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def blocked(house: House) -> None:
    while not await house.one(BLOCKED):
        await asyncio.sleep(0)


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_a_claim_that_is_left_out_while_a_run_waits_for_it_is_not_billed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.bill(claim("c1"), claim("c2"))
    lock = claims.lock

    async def late(tx: Any, *args: Any) -> Any:
        async with house.app.begin("p1") as other:
            await claims.set_left_out(other, ("p1", "c1"), True)
        return await lock(tx, *args)

    monkeypatch.setattr(claims, "lock", late)
    [billed] = await house.run()
    assert billed.claims == 1 and await house.one("SELECT array_agg(claim_id) FROM invoice_line") == ["c2"]


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_a_run_of_all_accounts_locks_their_claims_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first account has the later claims: taken account by account, run and balances would lock crosswise."""
    await house.account(employer("a2", ("e2",)))
    bills = [claim("z", payer="e1"), claim("a", payer="e2")]
    await house.bill(*bills)
    coming: list[asyncio.Task[None]] = []
    settle = runs.settle

    async def meanwhile(*args: Any, **more: Any) -> None:
        if not coming:
            coming.append(asyncio.create_task(house.send(CLAIM_BALANCES, *(balances(body, 1) for body in bills))))
            await blocked(house)
        await settle(*args, **more)

    monkeypatch.setattr(runs, "settle", meanwhile)
    assert [each.claims for each in await house.run()] == [1, 1]
    await coming[0]


async def test_a_batch_of_several_kinds_locks_its_claims_in_one_order(house: House) -> None:
    """Voids are handled before balances: taken kind by kind, this batch would have `z` while it waits for `a`."""
    await house.bill(claim("z"), claim("a"))
    void, state = ClaimVoided(practice_id="p1", claim_id="z", version=1, voided_on=NOON.date(), reason=None), balances(claim("a"), 1)
    batch = [Message(topic, topic.key_of(body), ids.new(), NOON, body, None) for topic, body in ((CLAIM_VOIDED, void), (CLAIM_BALANCES, state))]

    async def lock() -> None:
        async with house.worker.begin() as tx:
            await consumers.lock(tx, batch)

    async with house.worker.begin() as mine:
        await claims.lock(mine, [("p1", "a")])
        waiting = asyncio.create_task(lock())
        await blocked(house)
        await mine.execute(text("SELECT 1 FROM claim WHERE claim_id = 'z' FOR UPDATE NOWAIT"))
    await waiting


async def test_a_claim_billed_while_it_was_waited_for_has_its_invoice_locked_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Balances wait for a claim that a run puts on an invoice; unlocked, that invoice could be summed up by two at once."""
    await house.bill(claim("c1"))
    run, kept = runs.settle, money.settle
    coming: list[asyncio.Task[None]] = []
    refused: list[str | None] = []

    async def billing(*args: Any, **more: Any) -> None:
        coming.append(asyncio.create_task(house.send(CLAIM_BALANCES, balances(claim("c1"), 1))))
        await blocked(house)
        await run(*args, **more)

    async def keeping(*args: Any, **more: Any) -> None:
        async with house.worker.begin() as other:
            try:
                await other.execute(text("SELECT 1 FROM invoice FOR UPDATE NOWAIT"))
            except DBAPIError as error:
                refused.append(getattr(error.orig, "sqlstate", None))
                await other.rollback()
        await kept(*args, **more)

    monkeypatch.setattr(runs, "settle", billing)
    monkeypatch.setattr(money, "settle", keeping)
    await house.run()
    await coming[0]
    assert refused == ["55P03"]


@pytest.mark.req("EP-01", part="all but send corrected invoices")
async def test_of_two_accounts_saved_at_once_with_the_same_payer_ids_one_is_refused_in_words(house: House) -> None:
    """`m` is somebody's for a moment: taken in the order of their forms, each of the two would have one id that the other waits for."""
    async with house.worker.engine.connect() as other:
        await other.execute(text("INSERT INTO account_payer (practice_id, payer_id, account_id) VALUES ('p1', 'm', 'a1')"))
        saves = [asyncio.create_task(house.account(employer(name, payers))) for name, payers in (("a2", ("a", "m", "z")), ("a3", ("z", "m", "a")))]
        await waiting(house.worker, 2)
    answers = await asyncio.gather(*saves, return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["Account", "Refused"]
    assert "Payer id a belongs to Kuvalis" in str(answers)
    assert await house.one("SELECT count(DISTINCT account_id) FROM account_payer WHERE payer_id IN ('a', 'm', 'z')") == 1
