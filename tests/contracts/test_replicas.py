"""Two replicas at one moment: their transactions are opened in the order in which they could miss each other, or wait for each other."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import charging, consumers
from services.contracts.handlers import charges
from shared.events.contracts import CHARGE_DUE, CHARGE_SCHEDULED, CONTRACT_CHARGED
from shared.events.ingress import DEPARTMENT_STATE
from shared.events.posting import CLAIM_ADJUDICATED, CLAIM_BALANCES, PAYMENT_STATE, ClaimAdjudicated
from tests.contracts.conftest import TODAY, Contracts, balances, charge_rows, department, due, outcome, pdf, signed, token
from tests.contracts.test_flow import posted
from tests.together import blocked

HELD = "SELECT 1 FROM contracts WHERE contract_id = %d FOR UPDATE%s"


async def hold(tx: AsyncConnection, contract_id: int, how: str = "") -> None:
    await tx.exec_driver_sql(HELD % (contract_id, how))


async def two_contracts(desk: Contracts) -> None:
    """One patient's contracts, in two provider groups."""
    await signed(desk)
    await desk.give(DEPARTMENT_STATE, department(version=2, provider_group_id="2"))
    assert (await signed(desk)).contract_id == 2


@pytest.mark.req("CF-05")
async def test_an_adjudication_that_came_while_another_replica_stored_its_balances_is_taken_in(desk: Contracts) -> None:
    await signed(desk)
    fact = ClaimAdjudicated(
        practice_id="7", claim_id="c1", adjudication_no=1, balances_version=3, claim_version=1, claim_revision=0, patient_id="p1",
        appointment_id=None, service_date=TODAY, department_id="d1", provider_group_id="1", patient_balance_cents=4200, adjudicated_on=TODAY,
        remittance_id=None,
    )  # fmt: skip
    await desk.give(CLAIM_BALANCES, balances(2, 4200, adjudicated=False))
    async with desk.worker.begin() as mine:
        await desk.hand(mine, CLAIM_ADJUDICATED, fact, replace(fact, claim_id="c8"))
        await desk.give(CLAIM_BALANCES, balances(3, 4200))
    assert len(await desk.said(CHARGE_SCHEDULED)) == 1
    await desk.give(CLAIM_ADJUDICATED, replace(fact, claim_id="c9"))
    await desk.give(CLAIM_BALANCES, balances(2, 100, "c9", adjudicated=False))
    since = await desk.rows("SELECT since FROM waiting WHERE need LIKE '%%c9'")
    assert await consumers.retry_waiting(desk.worker, desk.clock) == 1
    assert [row.need for row in await desk.rows("SELECT need FROM waiting ORDER BY need")] == ["balances/7/c8", "balances/7/c9"]
    assert await desk.rows("SELECT since FROM waiting WHERE need LIKE '%%c9'") == since


async def test_what_waits_is_tried_again_by_itself(app: FastAPI) -> None:
    assert "waiting" in {job.name for job in app.state.service.jobs}


@pytest.mark.req("CF-05")
async def test_what_is_owed_is_read_after_the_contract_is_locked(desk: Contracts) -> None:
    """Balances taken back while a look at the claim waits for its contract leave nothing to notice."""
    await signed(desk)
    taken_back = balances(1, 4200, adjudicated=False)
    await desk.give(CLAIM_BALANCES, taken_back)
    await desk.rows("UPDATE balances SET adjudicated = true RETURNING 1")  # as they were before

    async def look() -> None:
        async with desk.worker.begin() as tx:
            await charges.look_again(tx, desk.clock, "7", ["c1"], None)

    async with desk.worker.begin() as mine:
        await hold(mine, 1)
        looking = asyncio.create_task(look())
        await blocked(desk.worker)
        await desk.hand(mine, CLAIM_BALANCES, replace(taken_back, version=2))
    await looking
    assert await desk.said(CHARGE_SCHEDULED) == [] and await charge_rows(desk) == []


@pytest.mark.req("CF-08")
async def test_a_charge_is_settled_with_all_contracts_of_its_patient_locked_in_order(desk: Contracts) -> None:
    """One that had the second contract while it waits for the first would wait for ever for another in the other order."""
    await two_contracts(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200, provider_group_id="2"))
    await desk.give(CHARGE_DUE, await due(desk))
    async with desk.worker.begin() as mine:
        await hold(mine, 1)
        settling = asyncio.create_task(desk.charge())
        await blocked(desk.worker)
        await hold(mine, 2, " NOWAIT")
    assert await settling == 1
    assert [fact.contract_id for fact in await desk.said(CONTRACT_CHARGED)] == ["2"]


async def ask_about(desk: Contracts, kind: str) -> list[Any]:
    """Messages that lead to the second contract of p2 and then to the first of p1, each of another kind."""
    first = desk.message(CLAIM_BALANCES, balances(4, 100))
    topic, word = outcome((await desk.said(CHARGE_SCHEDULED))[-1])
    match kind:
        case "balances":
            return [desk.message(CLAIM_BALANCES, balances(1, 100, "new", patient_id="p2")), first]
        case "payment":
            state = posted(1, 2, 100, "x")
            return [desk.message(PAYMENT_STATE, replace(state, claims=[replace(state.claims[0], claim_id="c2")])), first]
        case _:
            return [desk.message(topic, word), first]


@pytest.mark.parametrize("kind", ["balances", "payment", "notice"])
async def test_a_batch_locks_all_its_contracts_in_one_order(desk: Contracts, kind: str) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.sign(await desk.make("p2", token=await token(desk)), pdf())
    await desk.give(CLAIM_BALANCES, balances(1, 4200, "c2", patient_id="p2"))
    batch = await ask_about(desk, kind)

    async def lock() -> None:
        async with desk.worker.begin() as tx:
            await consumers.lock(tx, batch)
            await hold(tx, 2)

    async with desk.worker.begin() as mine:
        await hold(mine, 1)
        locking = asyncio.create_task(lock())
        await blocked(desk.worker)
        await hold(mine, 2, " NOWAIT")
    await locking
    async with desk.worker.begin() as mine:
        await consumers.lock(mine, batch)
        async with desk.worker.begin() as other:
            for contract_id in (1, 2):
                rows = await other.exec_driver_sql(HELD % (contract_id, " SKIP LOCKED"))
                assert list(rows) == []


async def test_facts_are_locked_before_they_are_handled() -> None:
    locks: dict[str, Any] = {}

    class Registrar:
        clock = None

        def consume(self, group: str, handlers: Any, *, batch: int = 500, lock: Any = None) -> None:
            locks[group] = lock

    service: Any = Registrar()
    consumers.register(service)
    assert locks == {"copies": None, "facts": consumers.lock}


@pytest.mark.parametrize(("error", "level"), [(asyncpg.DeadlockDetectedError("crossed"), "WARNING"), (ValueError(), "ERROR")], ids=repr)
async def test_trouble_of_the_database_is_no_mistake_of_charging(
    desk: Contracts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, level: str
) -> None:
    await signed(desk)
    await desk.give(CLAIM_BALANCES, balances(3, 4200))
    await desk.give(CHARGE_DUE, await due(desk))

    async def failing(*args: Any) -> None:
        raise error

    monkeypatch.setattr(charging.store, "contract_of", failing)
    with caplog.at_level(logging.WARNING, "services.contracts.charging"):
        assert await desk.charge() == 0
    assert [record.levelname for record in caplog.records if record.name == "services.contracts.charging"] == [level]
