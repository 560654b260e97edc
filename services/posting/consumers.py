"""What posting reads, and which handler takes it in."""

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import batches, store, tables
from services.posting.handlers import claims, money
from shared import state, waiting
from shared.clock import Clock
from shared.db import Database
from shared.events.contracts import CONTRACT_CHARGED
from shared.events.ingress import CLAIM_BILLED, CLAIM_VOIDED, PATIENT_STATE, PatientState
from shared.events.invoicing import CLAIM_CORRECTED, CLAIM_REDROPPED, PRACTICE_STATE, PracticeState
from shared.events.portal import PAYMENT_CAPTURED
from shared.messages import Message
from shared.service import Service

FACTS = money.FACTS
ABOUT_A_CLAIM = (CLAIM_BILLED, CLAIM_CORRECTED, CLAIM_VOIDED, CLAIM_REDROPPED)
CAPTURES: dict[Any, Callable[[Any], money.Capture]] = {PAYMENT_CAPTURED: money.of_portal, CONTRACT_CHARGED: money.of_contract}


def register(service: Service) -> None:
    """Two subscriptions: a flood of claims does not hold up money."""
    billed, voided, redropped = claims.handlers(service.clock)
    captured, charged = money.handlers(service.clock)

    async def practice(tx: AsyncConnection, messages: list[Message[PracticeState]]) -> None:
        kept = await state.keep_newer(tx, tables.practices, [_practice(message.body) for message in messages if message.body])
        await _again(tx, service.clock, {row["practice_id"] for row in kept})

    service.consume("claims", {CLAIM_BILLED: billed, CLAIM_CORRECTED: billed, CLAIM_VOIDED: voided, PATIENT_STATE: _patients}, lock=lock)
    service.consume("facts", {PRACTICE_STATE: practice, PAYMENT_CAPTURED: captured, CONTRACT_CHARGED: charged, CLAIM_REDROPPED: redropped}, lock=lock)


async def lock(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
    """Locks at once what all these messages are about, whichever handler asks for it first."""
    if len({message.topic for message in messages} & {*ABOUT_A_CLAIM, *CAPTURES}) < 2:
        return  # Its one handler locks in the same order: a flood of claims is not looked for twice.
    keys = {(message.practice_id, message.body.claim_id) for message in messages if message.topic in ABOUT_A_CLAIM}
    captures = [CAPTURES[message.topic](message.body) for message in messages if message.topic in CAPTURES]
    keys |= {(capture.practice_id, part.claim_id) for capture in captures for part in capture.claims}
    await store.lock(tx, keys, {(capture.practice_id, capture.payment_id) for capture in captures})


async def retry_waiting(db: Database, clock: Clock) -> int:
    """Posts money that waited for a practice that is there by now; returns how many messages.

    It is left waiting where it came while another replica stored the practice: neither saw the other. A write-off waits under its
    claim's lock, so whoever brings the claim's content sees it.
    """
    async with db.begin() as tx:
        wanted = {need.removeprefix("practice/") for need in await waiting.needs(tx, FACTS) if need.startswith("practice/")}
        return await _again(tx, clock, await batches.practices(tx, wanted))


async def _again(tx: AsyncConnection, clock: Clock, practice_ids: Collection[str]) -> int:
    """Money that waited for these practices, as one batch of each topic."""
    captured, charged = money.handlers(clock)
    taken = await waiting.take(tx, FACTS, {f"practice/{practice_id}" for practice_id in practice_ids})
    await lock(tx, taken)
    for topic, handler in ((PAYMENT_CAPTURED, captured), (CONTRACT_CHARGED, charged)):
        await handler(tx, [message for message in taken if message.topic is topic])
    return len(taken)


async def _patients(tx: AsyncConnection, messages: list[Message[PatientState]]) -> None:
    await state.forget(tx, tables.patients, [(m.practice_id, m.key.split("/", 1)[1]) for m in messages if m.body is None])
    await state.keep_newer(tx, tables.patients, [_patient(message.body) for message in messages if message.body])


def _patient(body: PatientState) -> dict[str, Any]:
    return {
        "practice_id": body.practice_id,
        "patient_id": body.patient_id,
        "version": body.version,
        "given_name": body.given_name,
        "family_name": body.family_name,
        "birth_date": body.birth_date,
    }


def _practice(body: PracticeState) -> dict[str, Any]:
    return {
        "practice_id": body.practice_id,
        "version": body.version,
        "display_name": body.display_name,
        "zone": body.zone,
        "portal_bank_account_id": body.portal_bank_account_id,
        "bank_accounts": body.bank_accounts,
    }
