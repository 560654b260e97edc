"""Disputes as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.store import Key, plain
from services.invoicing.tables import dispute
from shared.events.invoicing import DisputeState


@dataclass(frozen=True, slots=True)
class Dispute:
    """A case: what is published of it, the payer's note, our answer."""

    state: DisputeState
    note: str | None
    answer: str | None


def _dispute(row: Any) -> Dispute:
    return Dispute(msgspec.convert(row.state, DisputeState), row.note, row.answer)


async def find(tx: AsyncConnection, key: Key) -> Dispute | None:
    row = (await tx.execute(select(dispute).where(dispute.c.practice_id == key[0], dispute.c.dispute_id == key[1]))).one_or_none()
    return _dispute(row) if row else None


async def get(tx: AsyncConnection, key: Key) -> Dispute:
    """A case that has to be there, because a hold names it."""
    found = await find(tx, key)
    if found is None:
        raise LookupError("a hold names a dispute that is not there")
    return found


async def of_claim(tx: AsyncConnection, key: Key) -> Sequence[Dispute]:
    """A claim's cases, newest first."""
    rows = await tx.execute(select(dispute).where(dispute.c.practice_id == key[0], dispute.c.claim_id == key[1]))
    return sorted((_dispute(row) for row in rows), key=lambda case: case.state.submitted_at, reverse=True)


async def save(tx: AsyncConnection, case: Dispute) -> None:
    """Stores a case, new or known."""
    state = case.state
    changed = {"answer": case.answer, "state": plain(state)}
    fixed = {name: getattr(state, name) for name in ("practice_id", "dispute_id", "claim_id", "account_id", "contact_id", "reason")}
    new = upsert(dispute).values(**fixed, note=case.note, **changed)
    await tx.execute(new.on_conflict_do_update(index_elements=["practice_id", "dispute_id"], set_=changed))
