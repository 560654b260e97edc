"""Holds: disputes, the other system's holds and releases, conflicts, staff; and the re-drop that ends them (EP-17, EP-28, EP-29)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import hold as rules
from services.invoicing.domain import money
from services.invoicing.domain.claim import Refused, content, corrected
from services.invoicing.domain.hold import Hold, Redrop
from services.invoicing.handlers.cases import close_dispute
from services.invoicing.handlers.settle import Settled, settle
from services.invoicing.store import Key, claims, disputes, invoices, practices
from services.invoicing.store.claims import Found
from services.invoicing.store.practices import Practice
from shared import ids, outbox, telemetry
from shared.events.ingress import ClaimHoldRequested, ClaimRedropRequested
from shared.events.invoicing import CLAIM_CORRECTED, CLAIM_HELD, CLAIM_REDROPPED, ClaimHeld, ClaimRedropped, WriteOff
from shared.events.types import HoldSource
from shared.messages import Message
from shared.money import usd
from shared.outbox import Outgoing

PM = "Practice system"
CHANGED = "This claim has changed since you opened it. Look at it again, then decide"


@dataclass(frozen=True, slots=True)
class Decision:
    """What staff decide in a case: cents by charge, write-offs as (charge, cents, reason), words to the employer.

    `seen` is the case they looked at, as `seen_of` says it; None where nothing was shown.
    """

    corrections: Mapping[str, int] = field(default_factory=dict)
    write_offs: Sequence[tuple[str, int, str]] = ()
    answer: str = ""
    seen: str | None = None


class CaseChanged(Refused):
    """Content or holds are not those that the decision was made on."""


def seen_of(found: Found) -> str:
    """What a decision is about: the claim's content and its newest hold, as a form carries them."""
    return f"{found.claim.version}.{found.claim.revision}.{max((each.hold_no for each in found.holds), default=0)}"


def check_seen(found: Found, decision: Decision) -> None:
    """Raises CaseChanged, as a decision on other charges would correct them back, and would close holds that nobody looked at."""
    if decision.seen is not None and decision.seen != seen_of(found):
        raise CaseChanged(CHANGED)


async def put_on_hold(
    tx: AsyncConnection,
    now: datetime,
    practice: Practice,
    key: Key,
    source: HoldSource,
    code: str,
    reason: str,
    *,
    note: str | None = None,
    dispute_id: str | None = None,
    pm_version: int = 0,
    who: str,
    trace: str | None = None,
) -> Hold:
    """Adds a hold to a claim, known or not, with its note and `claim.held`; a re-issue that waited is off. The caller settles."""
    _, highest = await claims.open_holds(tx, key)
    due = rules.act_by(practice.today(now), practice.state.holidays)
    new = Hold(ids.new(), highest + 1, source, dispute_id, pm_version, code, reason, note, now, due)
    await claims.add_hold(tx, key, new)
    await claims.set_redrop(tx, [key], None)
    words = f"Claim held: {code} {reason}" + (f" Note: {note}" if note else "")
    await claims.add_note(tx, key, ids.new(), now, who, words, "BILLED → HOLD")
    at = (await claims.load(tx, [key])).get(key)
    line = await invoices.live_line(tx, key)
    body = ClaimHeld(
        practice_id=key[0],
        claim_id=key[1],
        hold_id=new.hold_id,
        hold_no=new.hold_no,
        source=source,
        dispute_id=dispute_id,
        kick_code=code,
        reason=reason,
        note=note,
        invoice_id=line.invoice_id if line else None,
        invoice_number=line.number if line else None,
        claim_version=at.claim.version if at else 0,
        claim_revision=at.claim.revision if at else 0,
        held_at=now,
        act_by=due,
    )
    await outbox.append(tx, now, [Outgoing(CLAIM_HELD, body, trace)])
    return new


async def hold_conflict(tx: AsyncConnection, now: datetime, practice: Practice, key: Key, trace: str | None) -> None:
    """The other system billed other amounts than staff corrected: somebody has to look."""
    code, words = rules.CONFLICT
    await put_on_hold(tx, now, practice, key, "conflict", code, words, who=PM, trace=trace)


async def hold_by_staff(tx: AsyncConnection, now: datetime, key: Key, reason: str, who: str) -> None:
    """Staff put a claim on hold. Raises Refused without a reason, or for a claim that is not there."""
    if not reason.strip():
        raise Refused("Say why the claim is put on hold")
    if not await claims.lock(tx, [key]):
        raise Refused(f"There is no claim {key[1]}")
    await put_on_hold(tx, now, await practices.get(tx, key[0]), key, "staff", "STAFF", reason.strip(), who=who)
    await settle(tx, now, [key], traces={key: telemetry.traceparent()})


async def pm_hold(tx: AsyncConnection, now: datetime, practice: Practice, message: Message[ClaimHoldRequested]) -> None:
    """The other system put a claim on hold, unless it released it at a higher version already."""
    asked = message.body
    key = asked.practice_id, asked.claim_id
    await claims.lock(tx, [key])
    marks = (await claims.marks(tx, [key]))[key]
    holds = rules.pm_hold(marks, asked.version)
    if holds is None:
        return
    await claims.save_marks(tx, {key: replace(marks, hold_version=asked.version)})
    if holds:
        reason = asked.reason or rules.reason_words(asked.kick_code)
        await put_on_hold(
            tx, now, practice, key, "pm", asked.kick_code, reason, note=asked.note, pm_version=asked.version, who=PM, trace=message.trace
        )
        await settle(tx, now, [key], traces={key: message.trace})


async def pm_redrop(tx: AsyncConnection, now: datetime, practice: Practice, message: Message[ClaimRedropRequested]) -> None:
    """The other system released a claim: its earlier holds close, and the dispute it names."""
    asked = message.body
    key = asked.practice_id, asked.claim_id
    await claims.lock(tx, [key])
    marks = (await claims.marks(tx, [key]))[key]
    if asked.version <= marks.redrop_version:
        return
    await claims.save_marks(tx, {key: replace(marks, redrop_version=asked.version)})
    holds, _ = await claims.open_holds(tx, key)
    closing = rules.closed_by_pm(holds, asked.version, asked.dispute_id)
    if closing:
        await _release(tx, now, practice, key, holds, closing, Decision(answer=asked.note or ""), PM, message.trace)


async def redrop(tx: AsyncConnection, now: datetime, key: Key, decision: Decision, who: str) -> Settled:
    """Staff end a case: correct, write off, answer; every open hold closes. Raises Refused."""
    practice = await practices.get(tx, key[0])
    await claims.lock(tx, [key])
    holds, _ = await claims.open_holds(tx, key)
    if not holds:
        raise Refused(f"Claim {key[1]} is not on HOLD")
    return await _release(tx, now, practice, key, holds, holds, decision, who, telemetry.traceparent())


async def correct(tx: AsyncConnection, now: datetime, key: Key, decision: Decision, who: str) -> Settled:
    """Staff correct charges and keep the claim on hold; write-offs wait for the re-drop. Raises Refused."""
    await claims.lock(tx, [key])
    found = (await claims.load(tx, [key])).get(key)
    if found is None or not found.holds:
        raise Refused(f"Claim {key[1]} is not on HOLD")
    if decision.write_offs:
        raise Refused("A write-off is posted with the re-drop. Choose Save and re-drop")
    check_seen(found, decision)
    await _correct(tx, now, key, found, decision, who)
    return await settle(tx, now, [key], traces={key: telemetry.traceparent()})


async def _correct(tx: AsyncConnection, now: datetime, key: Key, found: Found, decision: Decision, who: str) -> Found:
    new = corrected(found.claim, decision.corrections)
    if new is found.claim:
        return found
    await claims.change(tx, [new])
    difference = new.total_cents - found.claim.total_cents
    await claims.add_note(tx, key, ids.new(), now, who, f"Charges corrected by {usd(difference)}")
    await outbox.append(tx, now, [Outgoing(CLAIM_CORRECTED, new)])
    return replace(found, claim=new)


async def _release(
    tx: AsyncConnection,
    now: datetime,
    practice: Practice,
    key: Key,
    holds: Sequence[Hold],
    closing: Sequence[Hold],
    decision: Decision,
    who: str,
    trace: str | None,
) -> Settled:
    before = (await claims.load(tx, [key])).get(key)
    if before is not None:
        check_seen(before, decision)
    await claims.close_holds(tx, key, closing, now)
    if before is None:  # held and released before it was ever billed
        return Settled()
    found = await _correct(tx, now, key, before, decision, who)
    write_offs = await _write_offs(tx, now, key, found, decision, who)
    disputed = [hold.dispute_id for hold in closing if hold.dispute_id]
    outcome = rules.outcome_of(found is not before, bool(write_offs), bool(disputed))
    on = practice.today(now) + timedelta(days=1)
    again = len(closing) == len(holds) and await invoices.live_line(tx, key) is not None
    if again:
        # Those of an earlier re-drop too: posting may not have them yet, and the invoice would be sent with what was written off.
        await claims.set_redrop(tx, [key], Redrop(content(found.claim), await claims.write_off_ids(tx, key), on))
    words = f"Re-dropped: {rules.OUTCOME_WORDS[outcome]}" + (f". Answer: {decision.answer.strip()}" if decision.answer.strip() else "")
    await claims.add_note(tx, key, ids.new(), now, who, words, "HOLD → DROP")
    body = ClaimRedropped(
        practice_id=key[0],
        claim_id=key[1],
        hold_no=max(hold.hold_no for hold in closing),
        holds_closed=[hold.hold_id for hold in closing],
        outcome=outcome,
        claim_version=found.claim.version,
        claim_revision=found.claim.revision,
        write_offs=write_offs,
        redropped_at=now,
        reissue_on=on if again else None,
    )
    await outbox.append(tx, now, [Outgoing(CLAIM_REDROPPED, body, trace)])
    done = await settle(tx, now, [key], traces={key: trace})
    for dispute_id in disputed:
        await close_dispute(tx, now, await disputes.get(tx, (key[0], dispute_id)), outcome, practice.today(now), decision.answer, done, trace)
    return done


async def _write_offs(tx: AsyncConnection, now: datetime, key: Key, found: Found, decision: Decision, who: str) -> list[WriteOff]:
    open_cents = {charge_id: part.balance for charge_id, part in money.by_charge(found.claim, found.payer.payer_id, found.balances).items()}
    asked = []
    for charge_id, amount, reason in decision.write_offs:
        if charge_id not in open_cents:
            raise Refused(f"Claim {key[1]} has no charge {charge_id}")
        rules.check_write_off(amount, reason, open_cents[charge_id])
        open_cents[charge_id] -= amount
        each = WriteOff(write_off_id=ids.new(), charge_id=charge_id, amount_cents=amount, reason=reason)
        row = {"practice_id": key[0], "claim_id": key[1], "write_off_id": each.write_off_id, "charge_id": charge_id}
        await claims.add_write_off(tx, row | {"amount_cents": amount, "reason": reason, "who": who, "at": now})
        await claims.add_note(tx, key, ids.new(), now, who, f"Write-off of {usd(amount)}: {reason}")
        asked.append(each)
    return asked
