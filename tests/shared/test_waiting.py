"""Messages that wait for their counterpart: kept whole, taken once, oldest first, and seen when they wait for too long."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from shared import waiting
from shared.events.ingress import CLAIM_VOIDED, ClaimVoided
from shared.messages import Message
from tests.shared.conftest import Base
from tests.together import together

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def message(n: int) -> Message[Any]:
    body = ClaimVoided(practice_id="7", claim_id=f"c{n}", version=1, voided_on=date(2026, 11, 22))
    return Message(CLAIM_VOIDED, f"7/c{n}", f"event-{n}", NOON, body, f"00-{n + 1:032x}-{n + 1:016x}-01")


async def keep(base: Base, consumer: str, need: str, *numbers: int) -> None:
    """Keeps each in a transaction of its own: the order of transactions is the order of waiting."""
    for n in numbers:
        async with base.worker.begin() as tx:
            await waiting.keep(tx, consumer, need, message(n))


async def take(base: Base, consumer: str, *needs: str) -> list[Message[Any]]:
    async with base.worker.begin() as tx:
        return await waiting.take(tx, consumer, needs)


async def test_what_waited_comes_out_whole_oldest_first_and_once(base: Base) -> None:
    await keep(base, "posting", "practice/7", 2, 0, 1)
    assert await take(base, "posting", "practice/7") == [message(2), message(0), message(1)]
    assert await take(base, "posting", "practice/7") == []


@pytest.mark.parametrize(
    ("consumer", "needs", "taken"),
    [
        ("posting", ("practice/7",), [0]),
        ("posting", ("claim/7/c1",), [1]),
        ("posting", ("practice/7", "claim/7/c1"), [0, 1]),
        ("posting", ("practice/8",), []),
        ("posting", (), []),
        ("contracts", ("practice/7", "claim/7/c1"), [2]),
    ],
)
async def test_what_waits_for_something_else_or_with_another_consumer_stays(base: Base, consumer: str, needs: Any, taken: list[int]) -> None:
    await keep(base, "posting", "practice/7", 0)
    await keep(base, "posting", "claim/7/c1", 1)
    await keep(base, "contracts", "practice/7", 2)
    assert await take(base, consumer, *needs) == [message(n) for n in taken]
    everything = await take(base, "posting", "practice/7", "claim/7/c1") + await take(base, "contracts", "practice/7")
    assert everything == [message(n) for n in range(3) if n not in taken]


async def test_a_message_waits_in_one_place_and_keeps_its_turn_when_it_needs_something_else(base: Base) -> None:
    await keep(base, "posting", "practice/7", 0)
    await keep(base, "posting", "claim/7/c1", 1)
    await keep(base, "posting", "claim/7/c1", 0)
    assert await take(base, "posting", "practice/7") == []
    assert await take(base, "posting", "claim/7/c1") == [message(0), message(1)]


async def test_a_message_whose_second_try_fails_waits_on(base: Base) -> None:
    await keep(base, "posting", "practice/7", 0)
    with pytest.raises(ValueError, match="again"):
        async with base.worker.begin() as tx:
            assert await waiting.take(tx, "posting", ["practice/7"]) == [message(0)]
            raise ValueError("it fails again")
    assert await take(base, "posting", "practice/7") == [message(0)]


async def test_two_that_bring_the_counterpart_at_once_share_what_waited(base: Base) -> None:
    for n in range(20):
        await keep(base, "posting", "practice/7", *range(5))
        found = await together(base.worker, n, take(base, "posting", "practice/7"), take(base, "posting", "practice/7"))
        assert sorted(each.event_id for some in found for each in some) == [f"event-{n}" for n in range(5)]


async def test_what_is_needed_is_named_longest_wait_first(base: Base) -> None:
    await keep(base, "posting", "practice/8", 0)
    await keep(base, "posting", "practice/7", 1, 2)
    await keep(base, "contracts", "practice/9", 3)
    async with base.worker.begin() as tx:
        assert await waiting.needs(tx, "posting") == ["practice/8", "practice/7"]
        assert await waiting.needs(tx, "posting", limit=1) == ["practice/8"]


async def test_what_has_waited_for_more_than_ten_minutes_is_counted(base: Base) -> None:
    await keep(base, "posting", "practice/7", 0, 1, 2)
    async with base.worker.begin() as tx:
        since = text("UPDATE waiting SET since = :since WHERE event_id = 'event-0' OR :all")
        await tx.execute(since, {"since": NOON - timedelta(seconds=599), "all": True})
        await tx.execute(since, {"since": NOON - timedelta(seconds=601), "all": False})

    def shown() -> float | None:
        return REGISTRY.get_sample_value("billfold_waiting_overdue", {"consumer": "posting"})

    assert (await waiting.watch(base.worker, NOON), shown()) == (1, 1)
    assert (await waiting.watch(base.worker, NOON + timedelta(seconds=5)), shown()) == (3, 3)
    await take(base, "posting", "practice/7")
    assert (await waiting.watch(base.worker, NOON), shown()) == (0, None)
