"""Copies by version: whatever the order and however often, the newest stays."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select

from shared import ids, state
from shared.events import Topic
from shared.messages import Message
from tests.shared.conftest import Base, copies
from tests.together import together

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Thing:
    """What the topic of these tests says."""

    practice_id: str
    thing_id: str
    version: int
    words: str = ""


THINGS: Topic[Any] = Topic("thing.state", Thing, "thing_id", "ingress", True)


def row(thing_id: str, version: int, words: str = "") -> dict[str, Any]:
    return {"practice_id": "7", "thing_id": thing_id, "version": version, "body": {"words": words}}


async def keep(base: Base, *rows: dict[str, Any]) -> list[tuple[str, int]]:
    """What one transaction kept of these rows."""
    async with base.worker.begin() as tx:
        return [(each["thing_id"], each["version"]) for each in await state.keep_newer(tx, copies, rows)]


async def stored(base: Base) -> dict[str, tuple[int, str]]:
    async with base.worker.begin() as tx:
        found = await tx.execute(select(copies).order_by(copies.c.thing_id))
        return {row.thing_id: (row.version, row.body["words"]) for row in found}


@pytest.mark.parametrize(
    ("given", "when", "kept", "then"),
    [
        ([], [], [], {}),
        ([], [row("a", 1)], [("a", 1)], {"a": (1, "")}),
        ([row("a", 1)], [row("a", 2)], [("a", 2)], {"a": (2, "")}),
        ([row("a", 2)], [row("a", 1)], [], {"a": (2, "")}),
        ([row("a", 1, "first")], [row("a", 1, "again")], [], {"a": (1, "first")}),
        ([], [row("a", 3), row("a", 1), row("a", 2)], [("a", 3)], {"a": (3, "")}),
        ([], [row("a", 1, "first"), row("a", 1, "again")], [("a", 1)], {"a": (1, "again")}),
        ([row("b", 5)], [row("c", 1), row("b", 4), row("a", 1)], [("a", 1), ("c", 1)], {"a": (1, ""), "b": (5, ""), "c": (1, "")}),
    ],
)
async def test_a_row_is_replaced_by_a_newer_one_only(base: Base, given: Any, when: Any, kept: Any, then: Any) -> None:
    await keep(base, *given)
    assert await keep(base, *when) == kept
    assert await stored(base) == then


async def test_versions_in_any_order_and_any_batches_end_with_the_newest(base: Base) -> None:
    for n, order in enumerate(permutations((1, 2, 3))):
        for version in order:
            await keep(base, row(f"alone{n}", version))
        await keep(base, *(row(f"batch{n}", version) for version in order))
        await keep(base, *(row(f"batch{n}", version) for version in order))
    assert set((await stored(base)).values()) == {(3, "")}


async def test_writers_that_meet_the_same_rows_in_other_orders_do_not_deadlock(base: Base) -> None:
    names = [f"{n:03d}" for n in range(100)]
    for n in range(20):
        there, back = [row(name, 2 * n) for name in names], [row(name, 2 * n + 1) for name in reversed(names)]
        found = await together(base.worker, n, keep(base, *there), keep(base, *back))
        assert len(found[1]) == 100 and isinstance(found[0], list)
        assert set((await stored(base)).values()) == {(2 * n + 1, "")}


async def test_the_handler_of_a_topic_keeps_the_newest_body_and_forgets_what_was_deleted(base: Base) -> None:
    def message(thing_id: str, version: int | None) -> Message[Any]:
        body = Thing("7", thing_id, version, f"v{version}") if version else None
        return Message(THINGS, f"7/{thing_id}", ids.new(), NOON, body, None)

    async def hear(*messages: Message[Any]) -> dict[str, tuple[int, str]]:
        async with base.worker.begin() as tx:
            await state.keeper(copies, "thing_id")(tx, list(messages))
        return await stored(base)

    assert await hear(message("a", 2), message("b", 1), message("a", 1)) == {"a": (2, "v2"), "b": (1, "v1")}
    assert await hear(message("a", None)) == {"b": (1, "v1")}
    assert await hear(message("a", None)) == {"b": (1, "v1")}
    assert await hear(message("a", 3)) == {"a": (3, "v3"), "b": (1, "v1")}
