"""Paying: authorise on the gateway's page, confirm on ours, capture, and clear up whatever stays in doubt (EP-13, EP-14).

The gateway is never called inside a transaction. Before a call the attempt's row is committed under the gateway's own key; after it, the
answer is stored by whoever has it: the request that called, or the job that asks. Each step can be repeated.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.checkout import captured, cart, store
from services.portal.checkout.states import LIVE, OPEN, Attempt
from services.portal.identity.here import Here
from services.portal.invoices import standing
from services.portal.invoices.payable import Payable
from shared import outbox, telemetry, timers
from shared.clock import Clock
from shared.db import Database
from shared.events.portal import PAYMENT_FAILED, PaymentFailed
from shared.gateway import Answer, Gateway, Unknown
from shared.outbox import Outgoing
from shared.web.show import dollars

log = logging.getLogger(__name__)

BRANDS = ("VI", "MC", "DS")
UNCONFIRMED = timedelta(minutes=30)  # then an authorisation is let go
CALL_TIME = timedelta(seconds=20)  # longer than the adapter waits for an answer: nobody asks about a call that is still under way
PATIENCE = timedelta(seconds=20)  # so long a submitted charge may still come; then it is released, which ends the doubt
LONGEST_PAUSE = timedelta(seconds=15)  # a person waits for the outcome, and an ask costs the processor little
LARGEST_PAYMENT, NAMED_BYTES = 900_000, 70  # payment.state is one message with every claim: its id, and what else is said of it
LARGEST_HEADS, HEAD_BYTES = 300_000, 300  # every invoice stands with its withheld claims beside a part's claims (captured.PART_BYTES)
TIMER = "portal.unconfirmed"
TYPE, USER = "Webportal CC Payment", "PortalDesktop"


@dataclass(frozen=True)
class Checkout:
    """What paying needs: a database role, both clocks, the card processor."""

    db: Database
    clock: Clock
    gateway: Gateway


class NothingToPay(ValueError):
    """The cart holds nothing that can be paid now."""


class TooManyClaims(ValueError):
    """The cart holds more claims than what posting says of one payment can name."""


async def start(till: Checkout, here: Here, attempt_id: str, return_url: str, practice_name: str) -> str:
    """Opens the gateway's page for the cart as it is now; its address. The same `attempt_id` again leads to the same page.

    What was authorised before for this cart is let go. Raises NothingToPay, TooManyClaims, and Unknown when the gateway cannot be reached.
    """
    now = till.clock.system()
    async with till.db.begin(here.practice_id) as tx:
        known = await store.find(tx, here.practice_id, attempt_id)
        if known is None:
            basket = await cart.read(tx, here)
            if not basket.items:
                raise NothingToPay
            if _too_large([item.payable for item in basket.items]):
                raise TooManyClaims
            head = {
                "practice_id": here.practice_id,
                "attempt_id": attempt_id,
                "account_id": here.account_id,
                "contact_id": here.contact_id,
                "person_id": here.person_id,
                "payer_name": here.name,
                "state": Attempt.STARTED.value,
                "amount_cents": basket.cents,
                "started_at": now,
                "trace": telemetry.traceparent(),
            }
            if await store.add(tx, head, [(item.invoice, item.payable) for item in basket.items]):
                for other in await store.others(tx, head):
                    await _let_go(tx, other, now, "superseded")
                await cart.saw(tx, here, basket)
                await timers.set_timer(tx, TIMER, here.practice_id, attempt_id, now + UNCONFIRMED, clock="system")
            else:  # the form was pressed twice at once
                known = await store.find(tx, here.practice_id, attempt_id)
        amount = known.amount_cents if known else basket.cents
    return await till.gateway.start(attempt_id, amount, return_url, practice_name, BRANDS)


def _too_large(asked: Sequence[Payable]) -> bool:
    """Whether what has to be said of the payment could be more than its messages hold: nothing is taken that cannot be told."""
    paid = sum(len(line.claim_id.encode()) + NAMED_BYTES for each in asked for line in each.lines)
    heads = sum(HEAD_BYTES + sum(len(claim_id.encode()) + 3 for claim_id in each.withheld) for each in asked)
    return paid > LARGEST_PAYMENT or heads > LARGEST_HEADS


async def returned(till: Checkout, practice_id: str, attempt_id: str) -> Any:
    """The attempt after its person came back: asks the gateway what happened on its page. Unknown leaves it as it was."""
    async with till.db.begin(practice_id) as tx:
        attempt = await store.find(tx, practice_id, attempt_id)
    if attempt is None or attempt.state != Attempt.STARTED:
        return attempt
    try:
        answer = await till.gateway.ask(attempt_id)
    except Unknown:
        return attempt
    async with till.db.begin(practice_id) as tx:
        attempt = await store.find(tx, practice_id, attempt_id, lock=True)
        if attempt.state == Attempt.STARTED:
            await _authorised(tx, attempt, answer, till.clock)
        return await store.find(tx, practice_id, attempt_id)


async def _authorised(tx: AsyncConnection, attempt: Any, answer: Answer, clock: Clock) -> None:
    if answer.card:
        await store.note(tx, attempt, card_brand=answer.card.brand, card_last4=answer.card.last4)
    if answer.state == "authorised" and (answer.card is None or answer.card.brand not in BRANDS):
        await _let_go(tx, attempt, clock.system(), "brand")
    elif answer.state == "authorised" and answer.amount_cents != attempt.amount_cents:
        await _let_go(tx, attempt, clock.system(), "amount")
    elif answer.state == "authorised":
        await store.to(tx, attempt, Attempt.READY, authorization_number=answer.authorization_number, processor_ref=answer.processor_ref)
    elif answer.state == "declined":
        await _fail(tx, attempt, "declined", answer.decline.words if answer.decline else None, clock)


async def confirm(till: Checkout, practice_id: str, attempt_id: str) -> Any:
    """Captures an authorised attempt, if everything is still as its person saw it; the attempt as it stands afterwards.

    Otherwise it is let go with the reason `changed`. A second press, tab or person finds it submitted and charges nothing.
    """
    async with till.db.begin(practice_id) as tx:
        attempt = await store.find(tx, practice_id, attempt_id, lock=True)
        if attempt.state != Attempt.READY:
            return attempt
        asked = await store.claims_of(tx, practice_id, attempt_id)
        invoices = {row.invoice_id for row in asked}
        await standing.lock(tx, practice_id, invoices, {row.claim_id for row in asked})
        found = await standing.read(tx, practice_id, invoices)
        now = till.clock.system()
        if _as_seen(asked) != _as_now(found):
            await _let_go(tx, attempt, now, "changed")
            return await store.find(tx, practice_id, attempt_id)
        await store.take(tx, practice_id, attempt_id)
        times = {"submitted_at": now, "submitted_business_at": till.clock.business(), "next_ask_at": now + CALL_TIME}
        await store.to(tx, attempt, Attempt.SUBMITTED, **times, trace=telemetry.traceparent() or attempt.trace)
        await timers.cancel_timer(tx, TIMER, practice_id, attempt_id)
    try:
        answer = await till.gateway.capture(attempt_id, attempt.amount_cents)
    except Unknown:
        answer = None
    return await settle(till, practice_id, attempt_id, answer)


def _as_seen(asked: Any) -> dict[str, dict[str, int]]:
    seen: dict[str, dict[str, int]] = {}
    for row in asked:
        seen.setdefault(row.invoice_id, {})[row.line_id] = row.amount_cents
    return seen


def _as_now(found: dict[str, tuple[Any, Payable]]) -> dict[str, dict[str, int]]:
    return {invoice_id: {line.line_id: line.balance_cents for line in can.lines} for invoice_id, (_, can) in found.items()}


async def settle(till: Checkout, practice_id: str, attempt_id: str, answer: Answer | None) -> Any:
    """Stores what the gateway says of a submitted attempt, or that it says nothing; the attempt as it stands afterwards."""
    async with till.db.begin(practice_id) as tx:
        attempt = await store.find(tx, practice_id, attempt_id, lock=True)
        if attempt.state in LIVE:
            if answer and answer.state in ("captured", "refunded") and answer.captured_cents == attempt.amount_cents:
                links = await store.traces_of(tx, practice_id, attempt_id)
                with telemetry.span("payment captured", parent=attempt.trace, links=links):  # a trace of its own, with the claims' linked
                    await captured.keep(tx, attempt, answer, till.clock)
            elif answer and answer.state in ("declined", "released"):
                await _fail(tx, attempt, answer.state, answer.decline.words if answer.decline else None, till.clock)
            elif answer and answer.state == "refunded":
                await _fail(tx, attempt, "returned", None, till.clock)
            else:
                again = till.clock.system() + pause(attempt.tries)
                await store.note(tx, attempt, next_ask_at=again, tries=attempt.tries + 1)
                if answer and answer.state == "captured":
                    await _differs(tx, attempt, answer.captured_cents)
                if attempt.state == Attempt.SUBMITTED:
                    await store.to(tx, attempt, Attempt.UNKNOWN)
        elif attempt.state == Attempt.RELEASING:
            if answer and answer.state in ("released", "declined"):
                await store.to(tx, attempt, Attempt.RELEASED, next_ask_at=None)
            else:
                await store.note(tx, attempt, next_ask_at=till.clock.system() + pause(attempt.tries), tries=attempt.tries + 1)
        return await store.find(tx, practice_id, attempt_id)


async def _differs(tx: AsyncConnection, attempt: Any, taken_cents: int) -> None:
    """Another amount was taken than was asked for: no payment, but a doubt of which staff are told, until the processor gave it back."""
    words = f"The card processor took {dollars(taken_cents)} instead of {dollars(attempt.amount_cents)}"
    if attempt.words != words:
        log.error("payment %s: %s", attempt.attempt_id, words)
        await store.note(tx, attempt, reason="amount", words=words)


def pause(tries: int) -> timedelta:
    """How long to wait before the gateway is asked again: 2 seconds, doubling up to 15 seconds."""
    return min(timedelta(seconds=2 << min(tries, 12)), LONGEST_PAUSE)


async def clear_up(till: Checkout, practice_id: str, attempt_id: str) -> Any:
    """Asks the gateway about one attempt in doubt, or lets it go there, and stores the answer.

    A charge that is known not to have been taken ends only by the answer "released": a late call may still be under way.
    """
    async with till.db.begin(practice_id) as tx:
        attempt = await store.find(tx, practice_id, attempt_id)
    if attempt is None or attempt.state not in LIVE | {Attempt.RELEASING}:
        return attempt
    answer: Answer | None
    try:
        answer = await till.gateway.ask(attempt_id) if attempt.state != Attempt.RELEASING else None
        patient = attempt.submitted_at is not None and till.clock.system() - attempt.submitted_at < PATIENCE
        if attempt.state == Attempt.RELEASING or (answer and answer.state not in ("captured", "refunded", "declined", "released") and not patient):
            answer = await till.gateway.release(attempt_id)
    except Unknown:
        answer = None
    return await settle(till, practice_id, attempt_id, answer)


async def let_go(till: Checkout, practice_id: str, attempt_id: str, reason: str) -> Any:
    """Gives up an attempt that is not submitted, and tells the gateway at once if it can be reached; a submitted one stays as it is."""
    async with till.db.begin(practice_id) as tx:
        attempt = await store.find(tx, practice_id, attempt_id, lock=True)
        if attempt.state not in OPEN:
            return attempt
        await _let_go(tx, attempt, till.clock.system(), reason)
    return await clear_up(till, practice_id, attempt_id)


async def _let_go(tx: AsyncConnection, attempt: Any, now: datetime, reason: str) -> None:
    await store.to(tx, attempt, Attempt.RELEASING, reason=reason, next_ask_at=now)
    await timers.cancel_timer(tx, TIMER, attempt.practice_id, attempt.attempt_id)


async def _fail(tx: AsyncConnection, attempt: Any, reason: str, words: str | None, clock: Clock) -> None:
    """The end of an attempt that took nothing: its invoices and claims are free again."""
    await store.to(tx, attempt, Attempt.FAILED, reason=reason, words=words, next_ask_at=None)
    await store.free(tx, attempt.practice_id, attempt.attempt_id)
    await timers.cancel_timer(tx, TIMER, attempt.practice_id, attempt.attempt_id)
    failed = PaymentFailed(
        practice_id=attempt.practice_id,
        payment_id=attempt.attempt_id,
        account_id=attempt.account_id,
        contact_id=attempt.contact_id,
        amount_cents=attempt.amount_cents,
        failed_at=clock.business(),
        reason="declined" if reason == "declined" else "released",
        user_name=USER,
        transaction_type=TYPE,
        invoice_ids=[row.invoice_id for row in await store.invoices_of(tx, attempt.practice_id, attempt.attempt_id)],
    )
    await outbox.append(tx, clock.business(), [Outgoing(PAYMENT_FAILED, failed, attempt.trace)])


async def unconfirmed(tx: AsyncConnection, practice_id: str, attempt_id: str, now: datetime) -> None:
    """After 30 minutes nobody has confirmed: the authorisation is let go (the job tells the gateway)."""
    attempt = await store.find(tx, practice_id, attempt_id, lock=True)
    if attempt and attempt.state in OPEN:
        await _let_go(tx, attempt, now, "unconfirmed")
