"""The daily digest: one mail per account, contact and practice-local day for all that is new, re-issued or overdue (BX-02, EP-18)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import copies, tables
from services.notifier.decide import OLD
from shared import ids
from shared.clock import Clock, local_date, local_time
from shared.db import Database
from shared.service import each_apart

QUIET, AT_MOST = timedelta(seconds=5), timedelta(seconds=60)  # of `digest_at: now`
PATIENCE = timedelta(minutes=10)  # then a digest goes out without the invoices whose copies have not caught up


async def run_once(db: Database, clock: Clock) -> int:
    """Makes the digests whose time has come; the sender decides and sends them. Returns how many were made."""
    async with db.begin() as tx:
        practices = {row.practice_id: row.body for row in await tx.execute(select(tables.practices))}
        waiting = (await tx.execute(text("SELECT DISTINCT practice_id, account_id FROM items WHERE ended IS NULL ORDER BY 1, 2"))).all()
    due = {f"{row.practice_id}/{row.account_id}": row for row in waiting if row.practice_id in practices}

    async def one(row: Any) -> int:
        async with db.begin() as tx:
            return await _account(tx, clock, practices[row.practice_id], row.account_id)

    return await each_apart(due, one)


async def alone(tx: AsyncConnection, practice_id: str, account_id: str) -> bool:
    """Whether this transaction is the one that makes the account's digest now.

    The account is what is locked, not its items: of two who lock items one by one, each might get some, and the day's digest has room for one.
    """
    lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
    return bool((await tx.execute(lock, {"name": f"digest/{practice_id}/{account_id}"})).scalar_one())


async def _account(tx: AsyncConnection, clock: Clock, practice: dict[str, Any], account_id: str) -> int:
    item = tables.items.c
    of_account = (item.practice_id == practice["practice_id"], item.account_id == account_id, item.ended.is_(None))
    if not await alone(tx, practice["practice_id"], account_id):
        return 0
    today = local_date(clock.business(), practice["zone"])
    await tx.execute(update(tables.items).where(*of_account, item.on < today - OLD).values(ended="skipped: old"))
    found = (await tx.execute(select(tables.items).where(*of_account).order_by(item.at).with_for_update())).all()
    items = _due(found, practice, clock)
    ready = await _caught_up(tx, items)
    if not items or (len(ready) < len(items) and clock.system() - items[0].since < PATIENCE) or not ready:
        return 0
    people = await copies.recipients(tx, practice["practice_id"], account_id)
    made, left = 0, False
    for contact in people:
        number = ids.new() if practice["digest_at"] == "now" else today.isoformat()
        new = insert(tables.mails).values(_mail(practice, account_id, contact, ready, f"digest/{account_id}/{contact['contact_id']}/{number}", clock))
        count = (await tx.execute(new.on_conflict_do_nothing())).rowcount
        made += count
        left = left or not count  # today's digest of this contact has gone: the rest is for tomorrow's
    if not left:
        keys = [(row.practice_id, row.invoice_id, row.kind, row.issue_no) for row in ready]
        ended = "digest" if people else "skipped: no recipient"
        await tx.execute(update(tables.items).where(tuple_(*tables.items.primary_key).in_(keys)).values(ended=ended))
    return made


def _due(items: Sequence[Any], practice: dict[str, Any], clock: Clock) -> list[Any]:
    """Those that today's digest carries: all that came before its hour; with `now`, all after some quiet."""
    if not items:
        return []
    if practice["digest_at"] == "now":
        now = clock.system().astimezone(UTC)
        quiet = now - max(row.since for row in items) >= QUIET or now - min(row.since for row in items) >= AT_MOST
        return list(items) if quiet else []
    hour, minute = map(int, practice["digest_at"].split(":"))
    business: datetime = clock.business()
    at = local_time(local_date(business, practice["zone"]), hour, minute, practice["zone"])
    if business < at:
        at -= timedelta(days=1)
    return [row for row in items if row.at <= at]


async def _caught_up(tx: AsyncConnection, items: Sequence[Any]) -> list[Any]:
    ready = []
    for row in items:
        key = row.practice_id, row.invoice_id
        known = tables.known.c
        named = (await tx.execute(select(tables.known).where(known.practice_id == key[0], known.invoice_id == key[1]))).one_or_none()
        if copies.caught_up(await copies.body(tx, tables.invoices, *key), named):
            ready.append(row)
    return ready


def _mail(practice: dict[str, Any], account_id: str, contact: dict[str, Any], items: Sequence[Any], key: str, clock: Clock) -> dict[str, Any]:
    now = clock.system()
    said = [{"invoice_id": row.invoice_id, "kind": row.kind, "issue_no": row.issue_no} for row in items]
    facts = {"account_id": account_id, "contact_id": contact["contact_id"], "items": said, "links": [row.trace for row in items][:50]}
    return {
        "practice_id": practice["practice_id"],
        "mail_id": ids.new(),
        "key": key,
        "template": "invoice_digest",
        "channel": "email",
        "cause": {"kind": "invoice_digest", "contact_id": contact["contact_id"], "invoice_id": said[0]["invoice_id"]},
        "facts": facts,
        "state": "waiting",
        "attempts": 0,
        "next_try_at": now,
        "on": max(row.on for row in items),
        "created_at": now,
        "trace": items[0].trace,
    }
