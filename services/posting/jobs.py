"""What posting does by the clock."""

from typing import Any

from sqlalchemy import select

from services.posting import batches, consumers, tables
from shared.clock import Clock, local_date
from shared.db import Database
from shared.service import Service, each_apart


def register(service: Service) -> None:
    service.job("close e-payment batches", 5, lambda: close_days(service.worker, service.clock))
    service.job("waiting", 5, lambda: consumers.retry_waiting(service.worker, service.clock))


async def close_days(worker: Database, clock: Clock) -> int:
    """E-payment batches close after their day's end at the practice (RP-20); answers how many."""
    now = clock.business()
    async with worker.begin() as tx:
        known = list(await tx.execute(select(tables.practices.c.practice_id, tables.practices.c.zone)))

    async def close(row: Any) -> int:
        async with worker.begin() as tx:
            over = await batches.past_days(tx, row.practice_id, local_date(now, row.zone))
            for batch_id in over:
                await batches.close_batch(tx, row.practice_id, batch_id, now)
        return len(over)

    return await each_apart({row.practice_id: row for row in known}, close)
