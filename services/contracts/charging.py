"""Charging: calls the card processor outside any transaction, and clears up every doubt by asking, never by a second attempt.

A submitted charge is first marked unknown and committed, so a crash at any point leaves a row that is asked about. One that the processor
knows as not captured is released there first; only the answer "released" ends the attempt, because a late call may still be under way.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prometheus_client import Counter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import store, tables
from services.contracts.domain.charge import ChargeStatus, move, retry_in
from services.contracts.domain.contract import Status
from services.contracts.handlers.charges import TIMER, look_again, withdraw_planned
from services.contracts.handlers.publish import publish
from shared import outbox, telemetry, timers
from shared.clock import Clock, local_date
from shared.db import Database, passing
from shared.events.contracts import CHARGE_FAILED, CONTRACT_CHARGED, ChargedClaim, ChargeFailed, ContractCharged
from shared.events.types import Card
from shared.gateway import Answer, Gateway, Unknown
from shared.money import usd
from shared.outbox import Outgoing
from shared.web.show import staff_day

log = logging.getLogger(__name__)
S = ChargeStatus
OUTCOMES = Counter("billfold_contract_charges", "Contract charges by outcome", ["outcome"])

AT_ONCE = 100
CALL_LEASE = timedelta(seconds=20)  # after which a charge whose caller died is asked about
LONGEST_PAUSE = timedelta(seconds=15)
LOST_TRIES = 5  # attempts that the processor never saw, before somebody has to look


@dataclass(frozen=True)
class Charging:
    """What charging needs."""

    db: Database
    clock: Clock
    gateway: Gateway

    async def run_once(self) -> int:
        """Calls or asks for every charge whose turn it is, many at once; returns how many were settled."""
        charge = tables.charges.c
        due = select(charge.practice_id, charge.charge_id).where(charge.status.in_([S.SUBMITTED, S.UNKNOWN]), charge.ask_at <= self.clock.system())
        async with self.db.begin() as tx:
            rows = (await tx.execute(due.order_by(charge.ask_at).limit(AT_ONCE))).all()
        return sum(await asyncio.gather(*(self._safely(row.practice_id, row.charge_id) for row in rows)))

    async def _safely(self, practice_id: str, charge_id: str) -> bool:
        """One charge; trouble with it holds up no other. Its row stays unknown and is asked about again."""
        try:
            return await self._one(practice_id, charge_id)
        except Exception as error:
            level = logging.WARNING if passing(error) else logging.ERROR
            log.log(level, "charge %s is not settled yet", charge_id, exc_info=error)
            return False

    async def _one(self, practice_id: str, charge_id: str) -> bool:
        async with self.db.begin() as tx:
            charge = await store.lock_charge(tx, practice_id, charge_id)
            if charge is None or charge.status not in (S.SUBMITTED, S.UNKNOWN) or charge.ask_at > self.clock.system():
                return False
            contract = await store.contract_of(tx, practice_id, charge.contract_id)
            first = charge.status == S.SUBMITTED
            pause = CALL_LEASE if first else min(timedelta(seconds=2 ** min(charge.asked, 12)), LONGEST_PAUSE)
            changed = {"status": S.UNKNOWN, "asked": charge.asked + 1, "ask_at": self.clock.system() + pause}
            await store.save_charge(tx, charge, **changed)
        with telemetry.span("charge card", parent=charge.trace):
            try:
                answer = await (self._charge(charge, contract) if first else self._ask(charge))
            except Unknown as error:
                log.warning("charge %s is unknown: %s", charge.attempt_id, error)
                return await self._ask_soon(charge) if first else False
            return await self._settle(charge, answer)

    async def _charge(self, charge: Any, contract: Any) -> Answer:
        return await self.gateway.charge(charge.attempt_id, contract.card_token, charge.submitted_cents)

    async def _ask(self, charge: Any) -> Answer:
        answer = await self.gateway.ask(charge.attempt_id)
        return answer if answer.state in ("captured", "declined", "refunded") else await self.gateway.release(charge.attempt_id)

    async def _ask_soon(self, charge: Any) -> bool:
        async with self.db.begin() as tx:
            row = await store.lock_charge(tx, charge.practice_id, charge.charge_id)
            if row is not None and row.status == S.UNKNOWN and row.attempt_id == charge.attempt_id:
                await store.save_charge(tx, row, ask_at=self.clock.system() + timedelta(seconds=1))
        return False

    async def _settle(self, charge: Any, answer: Answer) -> bool:
        async with self.db.begin() as tx:
            await store.lock_contracts(tx, claims=[(charge.practice_id, charge.claim_id)])  # what `look_again` will lock
            row = await store.lock_charge(tx, charge.practice_id, charge.charge_id)
            if row is None or row.status != S.UNKNOWN or row.attempt_id != charge.attempt_id:
                return False
            trace = telemetry.traceparent() or row.trace
            if answer.captured_cents and answer.captured_cents != row.submitted_cents:
                return await self._differs(tx, row, answer.captured_cents)
            if answer.state in ("captured", "refunded"):
                await self._captured(tx, row, answer, trace)
            elif answer.state == "declined":
                await self._declined(tx, row, answer, trace)
            elif answer.state == "released":
                await self._lost(tx, row, trace)
            else:
                return False
            await look_again(tx, self.clock, row.practice_id, [row.claim_id], trace)
        return True

    async def _captured(self, tx: AsyncConnection, row: Any, answer: Answer, trace: str | None) -> None:
        contract = await store.contract_of(tx, row.practice_id, row.contract_id)
        balance = await store.balance_of(tx, row.practice_id, row.claim_id)
        practice = await store.body(tx, tables.practices, row.practice_id)
        assert balance is not None and practice is not None
        record = f"C-{await store.next_number(tx, row.practice_id, 'record'):06d}"
        await store.save_charge(tx, row, status=move(S.UNKNOWN, S.CHARGED), record_number=record, ask_at=None)
        if not await store.left_cents(tx, contract):
            await withdraw_planned(tx, await store.charges_of(tx, row.practice_id, row.contract_id), "the limit is used up")
            await store.save_contract(tx, contract, status=Status.USED_UP, ended_reason="the limit is used up")
        now = self.clock.business()
        version = await publish(tx, now, row.practice_id, row.contract_id, trace)
        card = answer.card
        body = ContractCharged(
            practice_id=row.practice_id,
            contract_id=str(row.contract_id),
            contract_version=version,
            charge_id=row.charge_id,
            notice_no=row.notice_no,
            payment_id=row.attempt_id,
            patient_id=contract.patient_id,
            amount_cents=row.submitted_cents,
            captured_at=now,
            local_date=local_date(now, practice["zone"]),
            record_number=record,
            authorization_number=answer.authorization_number or "",
            processor="sandbox",
            processor_ref=answer.processor_ref or "",
            card=Card(brand=card.brand if card else contract.card_brand, last4=card.last4 if card else contract.card_last4),
            user_name="ContractCharge",
            transaction_type="Contract Charge",
            claims=[
                ChargedClaim(
                    claim_id=row.claim_id,
                    claim_version=balance.claim_version,
                    claim_revision=balance.claim_revision,
                    amount_cents=row.submitted_cents,
                )
            ],
        )
        await outbox.append(tx, now, [Outgoing(CONTRACT_CHARGED, body, trace)])
        OUTCOMES.labels("captured").inc()

    async def _declined(self, tx: AsyncConnection, row: Any, answer: Answer, trace: str | None) -> None:
        """A soft decline is tried again after some days, a hard one ends the charge (CF-08); notifier tells patient and practice."""
        now = self.clock.business()
        declines = row.declines + 1
        pause = retry_in(answer.decline.kind if answer.decline else "hard", declines)
        again = now + pause if pause else None
        retry_on = local_date(again, await store.zone_of(tx, row.practice_id)) if again else None
        reason = f"the card was declined; the next try is on {staff_day(retry_on)}" if retry_on else "the card was declined"
        await self._not_taken(tx, row, again, reason, trace, declines=declines)
        version = (await store.contract_of(tx, row.practice_id, row.contract_id)).version
        body = ChargeFailed(
            practice_id=row.practice_id,
            contract_id=str(row.contract_id),
            contract_version=version,
            charge_id=row.charge_id,
            notice_no=row.notice_no,
            payment_id=row.attempt_id,
            amount_cents=row.submitted_cents,
            failed_at=now,
            kind="soft" if again else "hard",
            retry_on=retry_on,
        )
        await outbox.append(tx, now, [Outgoing(CHARGE_FAILED, body, trace)])
        OUTCOMES.labels("declined").inc()

    async def _differs(self, tx: AsyncConnection, row: Any, taken_cents: int) -> bool:
        """Another amount was taken than was asked for: no charge that anybody is told of, but a doubt on the list of staff."""
        words = f"the card processor took {usd(taken_cents)} instead of {usd(row.submitted_cents)}"
        if row.reason != words:
            log.error("charge %s: %s", row.attempt_id, words)
            await store.save_charge(tx, row, reason=words)
        return False

    async def _lost(self, tx: AsyncConnection, row: Any, trace: str | None) -> None:
        """The attempt never took anything and never will: a new one, under a new key, may be made."""
        again = self.clock.business() if row.tries - row.declines < LOST_TRIES else None
        await self._not_taken(tx, row, again, "the card processor did not answer", trace)
        OUTCOMES.labels("released").inc()

    async def _not_taken(self, tx: AsyncConnection, row: Any, again: Any, reason: str, trace: str | None, **more: Any) -> None:
        to = S.DUE if again else S.FAILED
        await store.save_charge(tx, row, status=move(S.UNKNOWN, to), reason=reason, ask_at=None, **more)
        if again:
            await timers.set_timer(tx, TIMER, row.practice_id, row.charge_id, again, {"notice_no": row.notice_no})
        await publish(tx, self.clock.business(), row.practice_id, row.contract_id, trace)
