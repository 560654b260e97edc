"""What posting does by the clock."""

from sqlalchemy import select

from services.posting import batches, consumers, tables
from shared.clock import Clock, local_date
from shared.db import Database
from shared.service import Service


def register(service: Service) -> None:
    service.job("close e-payment batches", 5, lambda: close_days(service.worker, service.clock))
    service.job("waiting", 5, lambda: consumers.retry_waiting(service.worker, service.clock))


async def close_days(worker: Database, clock: Clock) -> int:
    """E-payment batches close after their day's end at the practice (RP-20); answers how many."""
    closed = 0
    now = clock.business()
    async with worker.begin() as tx:
        known = list(await tx.execute(select(tables.practices.c.practice_id, tables.practices.c.zone)))
    for row in known:
        async with worker.begin() as tx:
            for batch_id in await batches.past_days(tx, row.practice_id, local_date(now, row.zone)):
                await batches.close_batch(tx, row.practice_id, batch_id, now)
                closed += 1
    return closed
