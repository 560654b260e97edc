"""What happens once a practice-local day, each part in a transaction of its own: re-issues, overdue, runs (EP-12, EP-17, EP-32)."""

from datetime import datetime

from services.invoicing.handlers import runs
from services.invoicing.handlers.settle import settle
from services.invoicing.store import accounts, claims, invoices, practices
from services.invoicing.store.practices import Practice
from shared.db import Database
from shared.service import each_apart

CHUNK = 200  # invoices in one transaction
WHO = "daily run"


async def day(db: Database, now: datetime, practice: Practice) -> int:
    """The practice's day, once; what a crash left undone is found again, because every part looks at dates. Answers how much was done."""
    practice_id, today = practice.state.practice_id, practice.today(now)
    done = await reissue(db, now, practice) + await remind(db, now, practice)
    async with db.begin(practice_id) as tx:
        due = await accounts.due(tx, practice_id, today)

    async def bill(account_id: str) -> int:
        async with db.begin(practice_id) as tx:
            if billed := await runs.run_due(tx, now, practice, account_id):
                await runs.record(tx, now, practice, "daily", WHO, [billed])
            return billed is not None

    done += await each_apart({f"account {account_id}": account_id for account_id in due}, bill)
    async with db.begin(practice_id) as tx:
        await practices.mark_run(tx, practice_id, today)
    return done


async def reissue(db: Database, now: datetime, practice: Practice) -> int:
    """Sends again what was re-dropped before today and what posting covers by now."""
    practice_id = practice.state.practice_id
    async with db.begin(practice_id) as tx:
        due = await claims.due_reissues(tx, practice_id, practice.today(now))
        await claims.lock(tx, due)
        await settle(tx, now, due)
    return len(due)


async def remind(db: Database, now: datetime, practice: Practice) -> int:
    """Says what is overdue, for the first time or again; its lines show it."""
    practice_id = practice.state.practice_id
    async with db.begin(practice_id) as tx:
        late = await invoices.past_due(tx, practice_id, practice.today(now))
    for start in range(0, len(late), CHUNK):
        async with db.begin(practice_id) as tx:
            part = late[start : start + CHUNK]
            touched = await invoices.claims_on(tx, part)
            await claims.lock(tx, touched, part)
            await settle(tx, now, touched, headers=part, remind=True)
    return len(late)
