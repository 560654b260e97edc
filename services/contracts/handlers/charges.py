"""A charge's way: noticed when an adjudication leaves a patient balance, due five days after its notice, submitted under the contract's lock."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import store
from services.contracts.domain import charge as rules
from services.contracts.domain.charge import BEFORE_THE_CALL, ChargeStatus
from services.contracts.domain.contract import Status, covers
from services.contracts.handlers.publish import publish
from shared import ids, outbox, timers
from shared.clock import Clock, local_date, local_time
from shared.events.contracts import CHARGE_DUE, CHARGE_SCHEDULED, ChargeDue, ChargeScheduled, NoticedClaim
from shared.events.notifier import NotificationEnded
from shared.outbox import Outgoing

S = ChargeStatus
TIMER = "charge due"
NOTHING_OWED = "nothing is owed under the notice any more"


async def look_again(tx: AsyncConnection, clock: Clock, practice_id: str, claim_ids: Collection[str], trace: str | None) -> None:
    """Decides from the copies what these claims now mean: withdraws charges whose ground is gone, notices what is newly owed."""
    # Locked before the copies are read: those may be changed while this waits.
    locked = await store.lock_contracts(tx, claims=[(practice_id, claim_id) for claim_id in claim_ids])
    for claim_id in sorted(claim_ids):
        row = await store.balance_of(tx, practice_id, claim_id)
        if row is None:
            continue
        contracts = [each for each in locked if _covered(each, row)]
        await _withdraw_reversed(tx, clock, row, trace)
        if contracts:
            left = await store.left_cents(tx, contracts[0])
            cents = rules.to_notice(store.as_balance(row), await store.taken_on(tx, practice_id, claim_id), left)
            if cents:
                await _schedule(tx, clock, contracts[0], row, cents, trace)


def _covered(contract: Any, balance: Any) -> bool:
    live = contract.status == Status.ACTIVE and contract.patient_id == balance.patient_id
    same_group = contract.provider_group_id in (None, balance.provider_group_id)
    in_year = covers(contract.contract_date, contract.expires_on, balance.service_date)
    return live and same_group and in_year and balance.claim_id not in contract.excluded_claims


async def _withdraw_reversed(tx: AsyncConnection, clock: Clock, row: Any, trace: str | None) -> None:
    for charge in await store.open_charges_on(tx, row.practice_id, [row.claim_id], BEFORE_THE_CALL):
        if rules.reversed_by(store.as_balance(row), charge.adjudication_no):
            locked = await store.lock_charge(tx, row.practice_id, charge.charge_id)
            if locked and locked.status in BEFORE_THE_CALL:
                await _end(tx, clock, locked, S.WITHDRAWN, "the balance was taken back", trace)


async def _end(tx: AsyncConnection, clock: Clock, charge: Any, to: S, reason: str, trace: str | None) -> None:
    await store.save_charge(tx, charge, status=rules.move(S(charge.status), to), reason=reason)
    await timers.cancel_timer(tx, TIMER, charge.practice_id, charge.charge_id)
    await publish(tx, clock.business(), charge.practice_id, charge.contract_id, trace)


async def _schedule(tx: AsyncConnection, clock: Clock, contract: Any, balance: Any, cents: int, trace: str | None) -> None:
    charge_id = ids.new()
    await store.add_charge(
        tx,
        practice_id=contract.practice_id,
        charge_id=charge_id,
        contract_id=contract.contract_id,
        claim_id=balance.claim_id,
        adjudication_no=balance.adjudication_no,
        status=S.SCHEDULED,
        notice_no=1,
        noticed_cents=cents,
        tries=0,
        submitted_cents=0,
        asked=0,
        trace=trace,
        made_at=clock.business(),
    )
    await _send_notice(tx, clock, contract.practice_id, contract.contract_id, charge_id, 1, balance.claim_id, balance.adjudication_no, cents, trace)


async def _send_notice(
    tx: AsyncConnection,
    clock: Clock,
    practice_id: str,
    contract_id: int,
    charge_id: str,
    notice_no: int,
    claim_id: str,
    adjudication_no: int,
    cents: int,
    trace: str | None,
) -> None:
    version = await publish(tx, clock.business(), practice_id, contract_id, trace)
    body = ChargeScheduled(
        practice_id=practice_id,
        contract_id=str(contract_id),
        contract_version=version,
        charge_id=charge_id,
        notice_no=notice_no,
        noticed_cents=cents,
        scheduled_on=local_date(clock.business(), await store.zone_of(tx, practice_id)),
        claims=[NoticedClaim(claim_id=claim_id, adjudication_no=adjudication_no, noticed_cents=cents)],
    )
    await outbox.append(tx, clock.business(), [Outgoing(CHARGE_SCHEDULED, body, trace)])


async def notice_sent(tx: AsyncConnection, clock: Clock, body: NotificationEnded, trace: str | None) -> None:
    """The five days begin with the notice that was sent; an earlier or repeated word of it changes nothing."""
    charge = await _noticed(tx, body)
    if charge is None or charge.status != S.SCHEDULED:
        return
    due_on = rules.due_on(body.sent_on)
    await store.save_charge(tx, charge, status=rules.move(S.SCHEDULED, S.NOTICED), notice_sent_on=body.sent_on, due_on=due_on, trace=trace)
    begins = local_time(due_on, 0, 0, await store.zone_of(tx, charge.practice_id))
    await timers.set_timer(tx, TIMER, charge.practice_id, charge.charge_id, begins, {"notice_no": charge.notice_no})
    await publish(tx, clock.business(), charge.practice_id, charge.contract_id, trace)


async def notice_failed(tx: AsyncConnection, clock: Clock, body: NotificationEnded, trace: str | None) -> None:
    """A notice that did not go out, or came back, pauses the charge: a work item for the practice (CF-05)."""
    charge = await _noticed(tx, body)
    if charge is not None and charge.status in (S.SCHEDULED, S.NOTICED, S.DUE):
        await _end(tx, clock, charge, S.PAUSED, f"the notice was not sent: {body.reason or body.outcome}", trace)


async def _noticed(tx: AsyncConnection, body: NotificationEnded) -> Any:
    if body.template != "contract_notice" or body.cause.charge_id is None:
        return None
    charge = await store.lock_charge(tx, body.practice_id, body.cause.charge_id)
    return charge if charge is not None and charge.notice_no == body.cause.notice_no else None


async def notice_again(tx: AsyncConnection, clock: Clock, practice_id: str, charge_id: str) -> bool:
    """A new notice for a paused charge, of what is owed by now, starts five new days; where nothing is, the charge is withdrawn.

    Answers whether a notice goes out.
    """
    charge = await store.lock_charge(tx, practice_id, charge_id)
    if charge is None or charge.status != S.PAUSED:
        return False
    cents = await _chargeable(tx, charge)
    if not cents:
        await _end(tx, clock, charge, S.WITHDRAWN, NOTHING_OWED, charge.trace)
        return False
    number = charge.notice_no + 1
    again = {"notice_no": number, "noticed_cents": cents, "reason": None, "notice_sent_on": None, "due_on": None}
    await store.save_charge(tx, charge, status=rules.move(S.PAUSED, S.SCHEDULED), **again)
    await _send_notice(
        tx, clock, practice_id, charge.contract_id, charge_id, number, charge.claim_id, charge.adjudication_no, cents, charge.trace
    )
    return True


async def _chargeable(tx: AsyncConnection, charge: Any) -> int:
    """What of a noticed charge could be taken now (CF-06); its contract is locked."""
    contract = await store.contract_of(tx, charge.practice_id, charge.contract_id)
    row = await store.balance_of(tx, charge.practice_id, charge.claim_id)
    if row is None or contract.status != Status.ACTIVE:
        return 0
    others = await store.taken_on(tx, charge.practice_id, charge.claim_id, but=charge.charge_id)
    left = await store.left_cents(tx, contract)
    return rules.to_charge(charge.noticed_cents, charge.adjudication_no, store.as_balance(row), others, left)


async def withdraw_planned(tx: AsyncConnection, charges: Iterable[Any], reason: str) -> None:
    """Withdraws those of a contract's charges that were not submitted yet; the caller publishes the contract."""
    for charge in charges:
        if charge.status in BEFORE_THE_CALL:
            await store.save_charge(tx, charge, status=rules.move(S(charge.status), S.WITHDRAWN), reason=reason)
            await timers.cancel_timer(tx, TIMER, charge.practice_id, charge.charge_id)


async def on_due(tx: AsyncConnection, timer: timers.Timer, clock: Clock, trace: str | None) -> None:
    """The five days are over: the topic wakes whoever charges."""
    charge = await store.lock_charge(tx, timer.practice_id, timer.key)
    if charge is None or charge.notice_no != timer.payload["notice_no"] or charge.status not in (S.NOTICED, S.DUE):
        return
    if charge.status == S.NOTICED:
        await store.save_charge(tx, charge, status=rules.move(S.NOTICED, S.DUE))
    version = await publish(tx, clock.business(), charge.practice_id, charge.contract_id, trace)
    body = ChargeDue(
        practice_id=charge.practice_id,
        contract_id=str(charge.contract_id),
        contract_version=version,
        charge_id=charge.charge_id,
        notice_no=charge.notice_no,
        notice_sent_on=charge.notice_sent_on,
        due_on=charge.due_on,
        noticed_cents=charge.noticed_cents,
        claims=[NoticedClaim(claim_id=charge.claim_id, adjudication_no=charge.adjudication_no, noticed_cents=charge.noticed_cents)],
    )
    await outbox.append(tx, clock.business(), [Outgoing(CHARGE_DUE, body, trace)])


async def submit(tx: AsyncConnection, clock: Clock, body: ChargeDue, trace: str | None) -> None:
    """Decides what is charged now and commits the attempt before any call; the row decides, so a replay cannot charge."""
    charge = await store.lock_charge(tx, body.practice_id, body.charge_id)
    if charge is None or charge.status != S.DUE or charge.notice_no != body.notice_no:
        return
    cents = await _chargeable(tx, charge)
    if not cents:
        await _end(tx, clock, charge, S.WITHDRAWN, NOTHING_OWED, trace)
        return
    tries = charge.tries + 1
    attempt = {"attempt_id": f"{charge.charge_id}.{charge.notice_no}.{tries}", "tries": tries, "submitted_cents": cents, "asked": 0, "reason": None}
    await store.save_charge(tx, charge, status=rules.move(S.DUE, S.SUBMITTED), ask_at=clock.system(), trace=trace, **attempt)
    await publish(tx, clock.business(), charge.practice_id, charge.contract_id, trace)
