"""What posting does by the clock."""

from sqlalchemy import select

from services.posting import batches, tables
from shared.clock import local_date
from shared.service import Service


def register(service: Service) -> None:
    """E-payment batches close after their day's end (RP-20)."""

    async def close_days() -> int:
        closed = 0
        now = service.clock.business()
        async with service.worker.begin() as tx:
            known = list(await tx.execute(select(tables.practices.c.practice_id, tables.practices.c.zone)))
        for row in known:
            async with service.worker.begin() as tx:
                for batch_id in await batches.past_days(tx, row.practice_id, local_date(now, row.zone)):
                    await batches.close_batch(tx, row.practice_id, batch_id, now)
                    closed += 1
        return closed

    service.job("close e-payment batches", 5, close_days)
