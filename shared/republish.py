"""Saying again: `python -m services.<name> republish [<topic> …]` puts what a service owns into its outbox as it is, so that a new reader or a lost
topic is filled (events: evolution).

Versions stay: a reader that has a copy keeps it, one that has none takes it. Rows are locked in key order while they are appended, so that an
older state never follows a newer one.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Table, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import outbox
from shared.clock import Clock
from shared.db import Database
from shared.events import Topic
from shared.outbox import Outgoing

CHUNK = 200

Bodies = Callable[[AsyncConnection, Sequence[Any]], Awaitable[Sequence[object]]]


@dataclass(frozen=True)
class Owned:
    """A state topic's table, and the function that turns its locked rows into bodies."""

    table: Table
    bodies: Bodies


def stored(topic: Topic[Any]) -> Bodies:
    """For tables whose column `state` keeps the body as it was last published."""

    async def bodies(tx: AsyncConnection, rows: Sequence[Any]) -> Sequence[object]:
        return [msgspec.convert(row.state, topic.body) for row in rows if row.state]

    return bodies


async def republish(db: Database, clock: Clock, topic: Topic[Any], owned: Owned) -> int:
    """Says a topic's things again, some in each transaction; how many."""
    keys, count = list(owned.table.primary_key), 0
    wanted = select(owned.table).order_by(*keys).limit(CHUNK).with_for_update()
    after = None
    while True:
        async with db.begin() as tx:
            rows = list(await tx.execute(wanted if after is None else wanted.where(tuple_(*keys) > after)))
            bodies = await owned.bodies(tx, rows)
            await outbox.append(tx, clock.business(), [Outgoing(topic, body) for body in bodies])
        count += len(bodies)
        if len(rows) < CHUNK:
            return count
        after = tuple(getattr(rows[-1], key.name) for key in keys)
