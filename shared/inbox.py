"""The inbox: ids of facts a consumer has taken in, so that a repeated delivery does nothing. Versioned topics need none."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Column, DateTime, Table, Text, delete, func
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import TECHNICAL, Database, fetch

KEPT = timedelta(days=30)  # longer than any fact topic keeps its records, so that no replayed one is taken for new

inbox = Table(
    "inbox",
    TECHNICAL,
    Column("event_id", Text, primary_key=True),
    Column("consumer", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
)

_ADMIT = "INSERT INTO inbox (event_id, consumer) SELECT DISTINCT unnest(CAST(:ids AS text[])), :consumer ON CONFLICT DO NOTHING RETURNING event_id"


async def admit(tx: AsyncConnection, consumer: str, event_ids: Sequence[str]) -> set[str]:
    """Those of the ids that are new to this consumer; from now on they are not."""
    if not event_ids:
        return set()
    # Sorted, so that two members that meet the same repeated ids cannot deadlock.
    rows = await fetch(tx, _ADMIT, {"ids": sorted(set(event_ids)), "consumer": consumer})
    return {row.event_id for row in rows}


async def sweep(db: Database, now: datetime) -> int:
    """Forgets ids that can no longer be delivered again."""
    async with db.begin() as tx:
        return (await tx.execute(delete(inbox).where(inbox.c.at < now - KEPT))).rowcount
