"""Billing runs: one invoice per account and run from every claim that waits for it (EP-32)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import account as terms
from services.invoicing.domain import money
from services.invoicing.domain.account import Account
from services.invoicing.domain.claim import is_void
from services.invoicing.domain.invoice import Fact, due_on
from services.invoicing.handlers.accounts import publish
from services.invoicing.handlers.settle import settle
from services.invoicing.store import Key, accounts, claims, invoices, practices, runs
from services.invoicing.store.claims import Found
from services.invoicing.store.practices import Practice
from shared import ids, telemetry


@dataclass(frozen=True, slots=True)
class Billed:
    """An invoice that a run made."""

    invoice_id: str
    number: str
    account_id: str
    claims: int
    total_cents: int


async def bill(tx: AsyncConnection, now: datetime, practice: Practice, chosen: Sequence[Account]) -> list[Billed]:
    """Today's invoices of these accounts, where something is to be asked. Settles and publishes what it made."""
    wanted = {each.account_id: await _candidates(tx, practice.today(now), each) for each in chosen}
    # The claims of all accounts at once: locked account by account, they would cross those whose money comes in meanwhile.
    await claims.lock(tx, [at for each in wanted.values() for at in each])
    made = [await _bill(tx, now, practice, each, wanted[each.account_id]) for each in chosen]
    return [each for each in made if each]


async def _candidates(tx: AsyncConnection, today: date, account: Account) -> list[Key]:
    key = account.practice_id, account.account_id
    return await runs.candidates(tx, key, today, account.effective_on or date.min, account.expires_on or date.max)


async def _bill(tx: AsyncConnection, now: datetime, practice: Practice, account: Account, wanted: Sequence[Key]) -> Billed | None:
    key, today = (account.practice_id, account.account_id), practice.today(now)
    found = await claims.load(tx, wanted)
    # Somebody may have billed, held or changed some of them while we waited for the locks.
    known = await invoices.lines_of(tx, wanted)
    taken, moved = {line.claim for line in known if not line.withdrawn}, {line.claim for line in known}
    asked = {at: cents for at, each in sorted(found.items()) if at not in taken and (cents := open_cents(each, account))}
    if not asked:
        return None
    number = await practices.take_number(tx, practice.state.practice_id)
    traces = [found[at].trace for at in asked]
    invoice = {
        "practice_id": key[0],
        "invoice_id": ids.new(),
        "number": number,
        "account_id": key[1],
        "first_billed_on": today,
        "due_on": due_on(today, account.net_days),
        "original_cents": sum(asked.values()),
    }
    same = {"practice_id": key[0], "invoice_id": invoice["invoice_id"]}
    lines = [same | {"line_id": ids.new(), "claim_id": at[1], "payer_id": found[at].payer.payer_id, "moved": at in moved} for at in asked]
    at = (key[0], str(invoice["invoice_id"]))
    with telemetry.span("bill", parent=traces[0], links=traces[1:]):  # the invoice goes on in its first claim's trace, the others' are linked
        await invoices.add(tx, invoice | {"trace": telemetry.traceparent()}, lines)
        await settle(tx, now, asked, facts={at: Fact.NEW})
    return Billed(at[1], invoices.number_text(number), key[1], len(asked), sum(asked.values()))


def open_cents(found: Found, account: Account) -> int:
    """What a claim asks of an account now; 0 for one that is void, held, left out, or somebody else's."""
    payer = found.payer
    if payer.kind != "corporate" or payer.payer_id not in account.payer_ids or is_void(found.claim, found.marks) or found.holds or found.left_out:
        return 0
    return money.total(money.by_charge(found.claim, payer.payer_id, found.balances).values()).balance


async def run_now(tx: AsyncConnection, now: datetime, practice_id: str, account_ids: Sequence[str] | None, who: str) -> list[Billed]:
    """Bills these accounts, or all of the practice, at once; their rhythm stays as it is. Raises Refused for an account that is not there."""
    practice = await practices.get(tx, practice_id)
    chosen = sorted(account_ids) if account_ids is not None else await accounts.all_ids(tx, practice_id)
    made = await bill(tx, now, practice, [await accounts.get(tx, (practice_id, account_id)) for account_id in chosen])
    await record(tx, now, practice, "now", who, made)
    return made


async def run_due(tx: AsyncConnection, now: datetime, practice: Practice, account_id: str) -> Billed | None:
    """The account's run by its rhythm, and its next day; nothing where somebody has run it meanwhile."""
    today = practice.today(now)
    account = await accounts.find(tx, (practice.state.practice_id, account_id), lock=True)
    if account is None or account.next_run_on is None or account.next_run_on > today:
        return None
    made = await bill(tx, now, practice, [account])
    moved = replace(account, next_run_on=terms.next_run(account, today), version=account.version + 1)
    await accounts.save(tx, moved)
    await publish(tx, now, moved)
    return made[0] if made else None


async def record(tx: AsyncConnection, now: datetime, practice: Practice, kind: str, who: str, made: Sequence[Billed]) -> None:
    """Notes a run, what it made, and who asked for it; the daily run notes each account in the account's own transaction."""
    await runs.add(
        tx,
        {
            "practice_id": practice.state.practice_id,
            "run_id": ids.new(),
            "local_date": practice.today(now),
            "kind": kind,
            "who": who,
            "at": now,
            "invoices": len(made),
            "claims": sum(each.claims for each in made),
            "total_cents": sum(each.total_cents for each in made),
        },
    )
