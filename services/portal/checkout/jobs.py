"""What paying leaves to do: asking about charges in doubt, letting authorisations go."""

import asyncio
import logging

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.checkout import pay, store
from services.portal.checkout.pay import TIMER, Checkout
from shared.db import passing
from shared.service import Service
from shared.timers import Timer

log = logging.getLogger(__name__)

BATCH = 50
AT_ONCE = 8  # fewer than the pool has connections


def register(service: Service, till: Checkout) -> None:
    """`till` has the worker's role: doubts of all practices are looked after together."""

    async def ask() -> int:
        return await ask_due(till)

    async def unconfirmed(tx: AsyncConnection, timer: Timer) -> None:
        await pay.unconfirmed(tx, timer.practice_id, timer.key, service.clock.system())

    service.job("charges in doubt", 1, ask)
    service.on_timer(TIMER, unconfirmed)


async def ask_due(till: Checkout) -> int:
    """Clears up what is due now; returns how many were looked at. Those that a crash left submitted are among them."""
    async with till.db.begin() as tx:
        rows = await store.due(tx, till.clock.system(), BATCH)
    # Side by side: a processor that hangs on one holds up no other.
    for start in range(0, len(rows), AT_ONCE):
        await asyncio.gather(*(_safely(till, row.practice_id, row.attempt_id) for row in rows[start : start + AT_ONCE]))
    return len(rows)


async def _safely(till: Checkout, practice_id: str, attempt_id: str) -> None:
    """One doubt; what is wrong with it holds up no other, and it is asked about again."""
    try:
        await pay.clear_up(till, practice_id, attempt_id)
    except Exception as error:
        if passing(error):
            raise
        log.exception("payment %s is not cleared up yet", attempt_id)
