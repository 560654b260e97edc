"""Durable timers: each fires once, with its effect, on its own clock; and a day's run happens once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select

from shared import telemetry, timers
from shared.timers import Timer, set_timer
from tests.shared.conftest import Base
from tests.together import blocked, together

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TRACE = f"00-{7:032x}-{7:016x}-01"


@dataclass
class Clocks:
    """Two clocks in the test's hand."""

    business_at: datetime = NOON
    system_at: datetime = NOON

    def business(self) -> datetime:
        return self.business_at

    def system(self) -> datetime:
        return self.system_at


async def set_one(base: Base, key: str, due_at: datetime, **more: Any) -> None:
    async with base.worker.begin() as tx:
        await set_timer(tx, "remind", "7", key, due_at, **more)


async def left(base: Base) -> list[str]:
    async with base.worker.begin() as tx:
        return list((await tx.execute(select(timers.timers.c.key).order_by(timers.timers.c.key))).scalars())


async def fire(base: Base, clocks: Clocks, refuse: str = "") -> list[Timer]:
    """What fired, by a handler that fails on one key after it has done something."""
    fired: list[Timer] = []

    async def remind(tx: Any, timer: Timer) -> None:
        await set_timer(tx, "next", timer.practice_id, timer.key, timer.due_at)
        if timer.key == refuse:
            raise ValueError("this one fails")
        fired.append(timer)

    assert await timers.fire(base.worker, clocks, {"remind": remind}) == len(fired)
    return fired


@pytest.mark.parametrize(
    ("clock", "clocks", "fires"),
    [
        ("business", Clocks(NOON - HOUR, NOON + HOUR), False),
        ("business", Clocks(NOON, NOON - HOUR), True),
        ("business", Clocks(NOON + HOUR, NOON - HOUR), True),
        ("system", Clocks(NOON + HOUR, NOON - HOUR), False),
        ("system", Clocks(NOON - HOUR, NOON), True),
    ],
)
async def test_a_timer_fires_when_its_own_clock_has_come_to_it(base: Base, clock: Any, clocks: Clocks, fires: bool) -> None:
    await set_one(base, "a", NOON, payload={"cents": 5}, clock=clock)
    assert await fire(base, clocks) == [Timer("remind", "7", "a", NOON, {"cents": 5})][:fires]


async def test_a_timer_fires_once_and_earlier_ones_first(base: Base) -> None:
    for key, hours in (("b", -1), ("a", 0), ("c", -2)):
        await set_one(base, key, NOON + hours * HOUR)
    assert [timer.key for timer in await fire(base, Clocks())] == ["c", "b", "a"]
    assert await fire(base, Clocks()) == []


async def test_a_timer_that_is_set_again_is_moved_and_a_cancelled_one_is_gone(base: Base) -> None:
    await set_one(base, "a", NOON, payload={"n": 1})
    await set_one(base, "a", NOON + HOUR, payload={"n": 2})
    await set_one(base, "b", NOON)
    async with base.worker.begin() as tx:
        await timers.cancel_timer(tx, "remind", "7", "b")
        await timers.cancel_timer(tx, "remind", "7", "never set")
    assert await fire(base, Clocks()) == []
    assert [timer.payload for timer in await fire(base, Clocks(NOON + HOUR))] == [{"n": 2}]


async def test_one_that_fails_stays_due_without_its_effect_and_holds_up_no_other(base: Base) -> None:
    await set_one(base, "a", NOON - HOUR)
    await set_one(base, "b", NOON)
    assert [timer.key for timer in await fire(base, Clocks(), refuse="a")] == ["b"]
    assert await left(base) == ["a", "b"]  # b is what its handler set
    assert [timer.key for timer in await fire(base, Clocks())] == ["a"]


async def test_a_timer_that_a_neighbour_works_on_is_left_to_it(base: Base) -> None:
    await set_one(base, "a", NOON)
    async with base.worker.begin() as tx:
        await tx.execute(select(timers.timers).with_for_update())
        async with asyncio.timeout(20):  # one that waits for the neighbour would wait for ever
            assert await fire(base, Clocks()) == []
    assert len(await fire(base, Clocks())) == 1


async def test_who_cancels_a_timer_does_not_wait_for_whoever_fires_it(base: Base) -> None:
    """The one who fires waits for what the other has locked, and then sees that there is nothing to do."""
    await set_one(base, "a", NOON)
    async with base.worker.begin() as tx:
        await tx.exec_driver_sql("INSERT INTO people (person_id) VALUES ('a')")

    async def remind(tx: Any, timer: Timer) -> None:
        await tx.exec_driver_sql("SELECT 1 FROM people FOR UPDATE")

    async with base.worker.begin() as mine:
        await mine.exec_driver_sql("SELECT 1 FROM people FOR UPDATE")
        firing = asyncio.create_task(timers.fire(base.worker, Clocks(), {"remind": remind}))
        await blocked(base.worker)
        await timers.cancel_timer(mine, "remind", "7", "a")
    assert (await firing, await left(base)) == (1, [])


@pytest.mark.parametrize(("error", "level"), [(asyncpg.DeadlockDetectedError("crossed"), "WARNING"), (ValueError(), "ERROR")], ids=repr)
async def test_trouble_of_the_database_is_no_mistake_of_a_timer(base: Base, caplog: pytest.LogCaptureFixture, error: Exception, level: str) -> None:
    await set_one(base, "a", NOON)

    async def remind(tx: Any, timer: Timer) -> None:
        raise error

    assert await timers.fire(base.worker, Clocks(), {"remind": remind}) == 0
    assert [record.levelname for record in caplog.records if record.name == "shared.timers"] == [level]
    assert await left(base) == ["a"]


async def test_several_replicas_at_once_fire_each_timer_once(base: Base) -> None:
    for n in range(20):
        await set_one(base, f"{n:02d}", NOON)
    fired = await together(base.worker, 0, *(fire(base, Clocks()) for _ in range(3)))
    assert sorted(timer.key for some in fired for timer in some) == [f"{n:02d}" for n in range(20)]


async def test_what_nobody_here_handles_stays(base: Base) -> None:
    await set_one(base, "a", NOON)
    assert await timers.fire(base.worker, Clocks(), {}) == 0
    assert await left(base) == ["a"]


async def test_a_timer_goes_on_in_the_trace_that_set_it(base: Base) -> None:
    seen: list[str | None] = []

    async def remind(tx: Any, timer: Timer) -> None:
        seen.append(telemetry.traceparent())

    with telemetry.span("sets it", parent=TRACE):
        await set_one(base, "a", NOON)
    handlers: Mapping[str, Any] = {"remind": remind}
    assert await timers.fire(base.worker, Clocks(), handlers) == 1
    assert [(trace or "").split("-")[1] for trace in seen] == [TRACE.split("-")[1]]
