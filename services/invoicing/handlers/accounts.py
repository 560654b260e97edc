"""Corporate accounts: staff and programs create and edit them; a change reaches every line it shows on (EP-01, BX-05)."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import account as rules
from services.invoicing.domain.account import Account
from services.invoicing.domain.claim import Refused
from services.invoicing.handlers.settle import settle
from services.invoicing.store import accounts, claims, invoices, practices
from shared import outbox
from shared.events.invoicing import ACCOUNT_STATE, AccountState
from shared.outbox import Outgoing


class Stale(Refused):
    """Somebody saved the account since it was read; `current` is how it stands now."""

    def __init__(self, current: Account) -> None:
        super().__init__("Somebody changed this account since you opened it")
        self.current = current


async def save(tx: AsyncConnection, now: datetime, asked: Account, expected: int | None) -> Account:
    """Creates an account (`expected` None) or edits one at the version it was read at. Raises Refused, Stale."""
    rules.check(asked)
    practice = await practices.get(tx, asked.practice_id)
    key = asked.practice_id, asked.account_id
    known = await accounts.find(tx, key, lock=True)
    if known is None and expected is not None:
        raise Refused("There is no such account")
    if known is not None and known.version != expected:
        raise Stale(known)
    await _own_payers(tx, asked)
    same_rhythm = known is not None and (known.frequency, known.weekday, known.month_day) == (asked.frequency, asked.weekday, asked.month_day)
    next_run_on = known.next_run_on if known and same_rhythm else rules.first_run(asked, practice.today(now))
    new = replace(asked, version=known.version if known else 0, next_run_on=next_run_on)
    if new == known:
        return new
    new = replace(new, version=new.version + 1)
    if not await accounts.save(tx, new):
        await _own_payers(tx, new)  # says whose they are now
        raise Refused("A payer id was somebody else's at this moment. Save the account once more")
    await publish(tx, now, new)
    if known is not None and known.mask != new.mask:
        on = await invoices.of_account(tx, key)
        touched = await invoices.claims_on(tx, on)
        await claims.lock(tx, touched)
        await settle(tx, now, touched)
    return new


async def _own_payers(tx: AsyncConnection, account: Account) -> None:
    rules.taken_payers(account, await accounts.holders(tx, account.practice_id, account.payer_ids, account.account_id))


async def publish(tx: AsyncConnection, now: datetime, account: Account) -> None:
    """Says how an account stands."""
    await outbox.append(tx, now, [Outgoing(ACCOUNT_STATE, state_of(account))])


def state_of(account: Account) -> AccountState:
    """What others are told of an account."""
    return AccountState(
        practice_id=account.practice_id,
        account_id=account.account_id,
        version=account.version,
        name=account.name,
        address=account.address,
        phone=account.phone,
        net_days=account.net_days,
        payer_ids=list(account.payer_ids),
        po_number=account.po_number,
        frequency=account.frequency,
        weekday=account.weekday,
        month_day=account.month_day,
        next_run_on=account.next_run_on,
        effective_on=account.effective_on,
        expires_on=account.expires_on,
        show_adjustments=account.show_adjustments,
        mask=account.mask,
    )
