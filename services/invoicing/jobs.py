"""What runs by itself: the practices' days, papers to print, messages that waited for their practice."""

from services.invoicing import consumers
from services.invoicing.handlers import days
from services.invoicing.papers import print_next
from services.invoicing.store import practices
from shared.clock import Clock
from shared.db import Database
from shared.service import Service, each_apart


def register(service: Service) -> None:
    service.job("days", 1, lambda: run_days(service.worker, service.clock))
    service.job("papers", 1, lambda: print_next(service.worker))
    service.job("waiting", 5, lambda: consumers.retry_waiting(service.worker, service.clock))


async def run_days(db: Database, clock: Clock) -> int:
    """The day of every practice whose local date has moved on since its last complete run."""
    now = clock.business()
    async with db.begin() as tx:
        due = [each for each in await practices.every(tx) if each.ran_on is None or each.ran_on < each.today(now)]
    await each_apart({each.state.practice_id: each for each in due}, lambda practice: days.day(db, now, practice))
    return len(due)
