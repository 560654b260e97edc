"""The day's record says what the day's run made, whoever made it and however often it was begun (EP-32)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.invoicing import jobs
from services.invoicing.handlers import days, runs
from services.invoicing.store import practices
from services.invoicing.store.practices import every
from services.invoicing.store.runs import newest
from tests.invoicing.conftest import House
from tests.invoicing.made import claim, employer

WHOLE = [("daily", 2, 2, 2 * 18500)]


@pytest.fixture
async def two(house: House) -> House:
    """Two accounts with a claim each that wait for the next day's run."""
    await house.account(employer("a2", ("e2",)))
    await house.bill(claim("c1", payer="e1"), claim("c2", payer="e2"))
    house.clock.now += timedelta(days=1)
    return house


async def day(house: House) -> None:
    async with house.worker.begin() as tx:
        [practice] = await every(tx)
    await days.day(house.worker, house.clock.now, practice)


async def recorded(house: House) -> list[tuple[Any, ...]]:
    async with house.worker.begin() as tx:
        return [(run["kind"], run["invoices"], run["claims"], run["total_cents"]) for run in await newest(tx, "p1", 10)]


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_what_another_replica_billed_is_in_the_record_of_the_day(two: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run_due = runs.run_due
    begun: list[str] = []

    async def slow(tx: Any, now: Any, practice: Any, account_id: str) -> Any:
        begun.append(account_id)
        if begun == ["a1", "a2"]:  # the other one comes between our accounts, and ends its day before us
            await day(two)
        return await run_due(tx, now, practice, account_id)

    monkeypatch.setattr(runs, "run_due", slow)
    await day(two)
    assert begun == ["a1", "a2", "a2"]
    assert await recorded(two) == WHOLE


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_what_was_billed_before_a_crash_is_in_the_record_of_the_day(two: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run_due = runs.run_due

    async def dying(tx: Any, now: Any, practice: Any, account_id: str) -> Any:
        if account_id == "a2":
            raise ConnectionResetError("the process dies here")
        return await run_due(tx, now, practice, account_id)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "run_due", dying)
        with pytest.raises(ConnectionResetError):
            await day(two)
    assert await recorded(two) == [("daily", 1, 1, 18500)]
    for _ in range(2):
        await day(two)
        assert await recorded(two) == WHOLE


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_a_practice_whose_day_fails_holds_up_no_other(two: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with two.worker.begin() as tx:
        [practice] = await every(tx)
        await practices.save(tx, replace(practice.state, practice_id="p0"), practice.colour, practice.next_number)
    remind = days.remind

    async def failing(db: Any, now: Any, practice: Any) -> int:
        if practice.state.practice_id == "p0":
            raise ValueError("this one fails")
        return await remind(db, now, practice)

    monkeypatch.setattr(days, "remind", failing)
    with pytest.raises(RuntimeError, match="not done for p0; done for all others"):
        await jobs.run_days(two.worker, two.clock)
    assert await recorded(two) == WHOLE
    async with two.worker.begin() as tx:
        assert {each.state.practice_id: bool(each.ran_on) for each in await every(tx)} == {"p0": False, "p1": True}


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_an_account_whose_run_fails_holds_up_no_other(two: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run_due = runs.run_due

    async def failing(tx: Any, now: Any, practice: Any, account_id: str) -> Any:
        if account_id == "a1":
            raise ValueError("this one fails")
        return await run_due(tx, now, practice, account_id)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "run_due", failing)
        with pytest.raises(RuntimeError, match="not done for account a1; done for all others"):
            await day(two)
    assert await recorded(two) == [("daily", 1, 1, 18500)]
    await day(two)
    assert await recorded(two) == WHOLE
