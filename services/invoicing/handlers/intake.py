"""Taking claims in: what the other system billed and voided, a batch at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.claim import Claim, Intake, as_billed, intake, undoes_correction
from services.invoicing.handlers.holds import hold_conflict
from services.invoicing.handlers.settle import settle
from services.invoicing.store import Key, claims, practices
from services.invoicing.store.claims import Found
from shared import outbox, parking
from shared.events.ingress import ClaimBilled, ClaimVoided
from shared.messages import Message

REPLACED = "the same version came with other content; the later record counts"


async def billed(tx: AsyncConnection, now: datetime, consumer: str, messages: Sequence[Message[ClaimBilled]]) -> None:
    """Claims at their newest content. New ones are stored in two COPYs; known ones are looked at, and settled where they changed."""
    keys = [(message.body.practice_id, message.body.claim_id) for message in messages]
    known = await claims.lock(tx, keys)
    found = await claims.load(tx, known) if known else {}
    contents: dict[Key, Claim | None] = {key: each.claim for key, each in found.items()}
    first: dict[Key, Message[ClaimBilled]] = {}
    changed: dict[Key, str | None] = {}
    conflicts: set[Key] = set()
    warnings = []
    for key, message in zip(keys, messages, strict=True):
        if key not in contents:
            contents[key], first[key] = None, message
            continue
        before = contents[key] or as_billed(first[key].body)
        verdict = intake(before, message.body)
        if verdict == Intake.REPLACED:
            warnings.append(parking.warning("invoicing", consumer, message, REPLACED))
        if verdict in (Intake.TAKEN, Intake.REPLACED):
            if undoes_correction(before, message.body):
                conflicts.add(key)
            contents[key] = as_billed(message.body)
            changed[key] = message.trace
    new = [(contents[key] or message.body, message.trace) for key, message in first.items()]
    await claims.add(tx, new)
    await claims.change(tx, [claim for key in changed if key in known and (claim := contents[key])])
    if warnings:
        await outbox.append(tx, now, warnings)
    touched = {key: trace for key, trace in changed.items() if key in known}
    if conflicts:
        homes = await practices.of(tx, {key[0] for key in conflicts})
        for key in sorted(conflicts):
            await hold_conflict(tx, now, homes[key[0]], key, touched[key])
    if touched:
        await settle(tx, now, touched, traces=touched, loaded=None if conflicts else _with(found, contents, touched))


def _with(found: Mapping[Key, Found], contents: Mapping[Key, Claim | None], changed: Iterable[Key]) -> dict[Key, Found]:
    """The changed claims as they were loaded, with their new content."""
    return {key: replace(found[key], claim=claim) for key in changed if (claim := contents[key])}


async def voided(tx: AsyncConnection, now: datetime, messages: Sequence[Message[ClaimVoided]]) -> None:
    """Claims withdrawn: void while the highest void is above the highest billed version, in whatever order they come."""
    traces = {(message.body.practice_id, message.body.claim_id): message.trace for message in messages}
    await claims.lock(tx, traces)
    marks = await claims.marks(tx, traces)
    changed = {}
    for message in messages:
        key = message.body.practice_id, message.body.claim_id
        if message.body.version > marks[key].void_version:
            marks[key] = changed[key] = replace(marks[key], void_version=message.body.version)
    await claims.save_marks(tx, changed)
    if changed:
        await settle(tx, now, changed, traces=traces)
