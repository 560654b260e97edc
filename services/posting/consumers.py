"""What posting reads, and which handler takes it in."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import tables
from services.posting.handlers import claims, money
from shared import state, waiting
from shared.events.contracts import CONTRACT_CHARGED
from shared.events.ingress import CLAIM_BILLED, CLAIM_VOIDED, PATIENT_STATE, PatientState
from shared.events.invoicing import CLAIM_CORRECTED, CLAIM_REDROPPED, PRACTICE_STATE, PracticeState
from shared.events.portal import PAYMENT_CAPTURED
from shared.messages import Message
from shared.service import Service

FACTS = money.FACTS


def register(service: Service) -> None:
    """Two subscriptions: a flood of claims does not hold up money."""
    billed, voided, redropped = claims.handlers(service.clock)
    captured, charged = money.handlers(service.clock)
    by_topic = {PAYMENT_CAPTURED.name: captured, CONTRACT_CHARGED.name: charged}

    async def practice(tx: AsyncConnection, messages: list[Message[PracticeState]]) -> None:
        kept = await state.keep_newer(tx, tables.practices, [_practice(message.body) for message in messages if message.body])
        for message in await waiting.take(tx, FACTS, {f"practice/{row['practice_id']}" for row in kept}):
            await by_topic[message.topic.name](tx, [message])

    service.consume("claims", {CLAIM_BILLED: billed, CLAIM_CORRECTED: billed, CLAIM_VOIDED: voided, PATIENT_STATE: _patients})
    service.consume("facts", {PRACTICE_STATE: practice, PAYMENT_CAPTURED: captured, CONTRACT_CHARGED: charged, CLAIM_REDROPPED: redropped})


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
