"""What invoicing listens to, and which handler takes it in."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.handlers import disputes, holds, intake, money
from services.invoicing.store import claims, payments, practices
from services.invoicing.store.contacts import keep_contacts
from services.invoicing.store.practices import Practice
from shared import waiting
from shared.clock import Clock
from shared.db import Database
from shared.events.ingress import CLAIM_BILLED, CLAIM_HOLD_REQUESTED, CLAIM_REDROP_REQUESTED, CLAIM_VOIDED
from shared.events.portal import CONTACT_STATE, DISPUTE_SUBMITTED, PAYMENT_CAPTURED
from shared.events.posting import CLAIM_BALANCES, PAYMENT_STATE
from shared.messages import Handler, Message
from shared.service import Service

CONSUMER = "invoicing.claims"
INTAKE_BATCH = 1000
OneHandler = Callable[[AsyncConnection, Any, Practice, Message[Any]], Awaitable[None]]


def register(service: Service) -> None:
    """Claims as they are billed have a loop of their own, so that their mass never delays a payment."""
    by_topic = handlers(service.clock)
    rest = {topic: handler for topic, handler in by_topic.items() if topic is not CLAIM_BILLED}
    service.consume("claims", {CLAIM_BILLED: by_topic[CLAIM_BILLED]}, batch=INTAKE_BATCH)
    service.consume("rest", rest, lock=lock)


def handlers(clock: Clock) -> dict[Any, Handler]:
    """Every topic's handler by topic."""

    async def billed(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        await intake.billed(tx, clock.business(), CONSUMER, messages)

    async def voided(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        await intake.voided(tx, clock.business(), messages)

    async def captured(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        await money.captured(tx, clock.business(), messages)

    async def posted(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        await money.posted(tx, clock.business(), messages)

    async def balances(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        await money.balances(tx, clock.business(), messages)

    async def contacts(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        await keep_contacts(tx, [message.body for message in messages if message.body])

    def at_home(handle: OneHandler) -> Handler:
        async def handler(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
            homes = await practices.of(tx, {message.practice_id for message in messages})
            for message in messages:
                if home := homes.get(message.practice_id):
                    await handle(tx, clock.business(), home, message)
                else:
                    await waiting.keep(tx, "invoicing", f"practice/{message.practice_id}", message)

        return handler

    return {
        CLAIM_BILLED: billed,
        CLAIM_VOIDED: voided,
        CLAIM_HOLD_REQUESTED: at_home(holds.pm_hold),
        CLAIM_REDROP_REQUESTED: at_home(holds.pm_redrop),
        DISPUTE_SUBMITTED: at_home(disputes.submitted),
        PAYMENT_CAPTURED: captured,
        CLAIM_BALANCES: balances,
        PAYMENT_STATE: posted,
        CONTACT_STATE: contacts,
    }


async def lock(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
    """Locks at once what all these messages are about, whoever of them asks for it first."""
    named = {(m.practice_id, m.body.claim_id) for m in messages if m.topic in (CLAIM_VOIDED, CLAIM_HOLD_REQUESTED, CLAIM_REDROP_REQUESTED)}
    disputes = [m.body for m in messages if m.topic is DISPUTE_SUBMITTED]
    paid = [(m.practice_id, of) for m in messages if m.topic is PAYMENT_CAPTURED for of in m.body.invoices]
    states = [m.body for m in messages if m.topic is CLAIM_BALANCES and m.body]
    told = {(m.practice_id, m.body.payment_id) for m in messages if m.topic in (PAYMENT_CAPTURED, PAYMENT_STATE) and m.body}
    await money.lock(tx, told)
    named |= {(each.practice_id, each.claim_id) for each in disputes} | {money.claim_of(m) for m in messages if m.topic is CLAIM_BALANCES}
    named |= {(practice_id, claim.claim_id) for practice_id, of in paid for claim in of.claims}
    named |= set(await payments.claims_of(tx, told | await payments.waited_for(tx, states)))
    headers = {(each.practice_id, each.invoice_id) for each in disputes} | {(practice_id, of.invoice_id) for practice_id, of in paid}
    await claims.lock(tx, named, headers)


async def retry_waiting(db: Database, clock: Clock) -> int:
    """Handles what waited for a practice that is there by now."""
    async with db.begin() as tx:
        needs = await waiting.needs(tx, "invoicing")
        there = await practices.of(tx, {need.removeprefix("practice/") for need in needs})
        taken = await waiting.take(tx, "invoicing", [f"practice/{practice_id}" for practice_id in there])
        await lock(tx, taken)
        await again(tx, handlers(clock), taken)
    return len(taken)


async def again(tx: AsyncConnection, by_topic: dict[Any, Handler], taken: Sequence[Message[Any]]) -> None:
    """Messages that waited, in the order they came."""
    for message in taken:
        await by_topic[message.topic](tx, [message])
