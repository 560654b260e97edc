"""Several works at the same moment, of which any may be the first."""

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

from sqlalchemy import text

from shared.db import Database

MOST_TURNS = 8
_BLOCKED = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"


async def blocked(db: Database, works: int = 1) -> None:
    """Returns when so many transactions of the database wait for others."""
    async with asyncio.timeout(20):
        while True:
            async with db.begin() as tx:
                if (await tx.execute(text(_BLOCKED))).scalar_one() >= works:
                    return


async def together(db: Database, n: int, *works: Awaitable[Any]) -> list[Any]:
    """What each work answers or raises, in round `n` of a race: released by one barrier, and one of them some turns later than the rest.

    A turn is a short transaction, so that it takes as long as a step of the works themselves, on whatever machine: the work that needs
    more steps before it decides still wins some rounds.
    """
    rnd = random.Random(n)
    turns = [0] * len(works)
    turns[rnd.randrange(len(works))] = rnd.randint(0, MOST_TURNS)
    barrier = asyncio.Barrier(len(works))
    print(f"round {n}: started after {turns} turns")

    async def go(work: Awaitable[Any], turns: int) -> Any:
        await barrier.wait()
        for _ in range(turns):
            async with db.begin() as tx:
                await tx.execute(text("SELECT 1"))
        return await work

    return await asyncio.gather(*map(go, works, turns), return_exceptions=True)
