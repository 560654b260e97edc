"""What contracts reads, and which handler takes it in."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import store, tables
from services.contracts.handlers import charges
from shared import state, waiting
from shared.clock import Clock
from shared.db import Database
from shared.events.contracts import CHARGE_DUE, ChargeDue
from shared.events.ingress import APPOINTMENT_STATE, DEPARTMENT_STATE, PATIENT_STATE
from shared.events.invoicing import PRACTICE_STATE
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT, NotificationEnded
from shared.events.posting import CLAIM_ADJUDICATED, CLAIM_BALANCES, PAYMENT_STATE, ClaimAdjudicated, ClaimBalances, PaymentState
from shared.messages import Message, each
from shared.service import Service

FACTS = "contracts.facts"
BALANCE_COLUMNS = (
    "practice_id",
    "claim_id",
    "version",
    "patient_id",
    "service_date",
    "provider_group_id",
    "claim_version",
    "claim_revision",
    "voided",
    "adjudicated",
    "adjudication_no",
    "patient_balance_cents",
)


def register(service: Service) -> None:
    """Copies in one subscription, what moves charges in another."""
    clock = service.clock

    async def balances(tx: AsyncConnection, messages: list[Message[ClaimBalances]]) -> None:
        traces = {(m.practice_id, m.body.claim_id): m.trace for m in messages if m.body}
        rows = [{name: getattr(m.body, name) for name in BALANCE_COLUMNS} for m in messages if m.body]
        kept = await state.keep_newer(tx, tables.balances, rows)
        for row in kept:
            key = row["practice_id"], row["claim_id"]
            await charges.look_again(tx, clock, key[0], [key[1]], traces[key])
        await _again(tx, clock, [(row["practice_id"], row["claim_id"]) for row in kept])

    async def answered(tx: AsyncConnection, message: Message[ClaimAdjudicated]) -> None:
        await adjudicated(tx, clock, message)

    async def payments(tx: AsyncConnection, messages: list[Message[PaymentState]]) -> None:
        ours = [message for message in messages if message.body and message.body.source == "contract"]
        rows = [
            {
                "practice_id": m.practice_id,
                "payment_id": m.body.payment_id,
                "version": m.body.version,
                "credited_cents": m.body.credited_cents,
                "claims": m.body.claims,
            }
            for m in ours
        ]
        kept = {row["payment_id"] for row in await state.keep_newer(tx, tables.payment_states, rows)}
        for message in ours:
            if message.body.payment_id in kept:
                claims = [claim.claim_id for claim in message.body.claims]
                await charges.look_again(tx, clock, message.practice_id, claims, message.trace)

    async def sent(tx: AsyncConnection, message: Message[NotificationEnded]) -> None:
        await charges.notice_sent(tx, clock, message.body, message.trace)

    async def failed(tx: AsyncConnection, message: Message[NotificationEnded]) -> None:
        await charges.notice_failed(tx, clock, message.body, message.trace)

    async def due(tx: AsyncConnection, message: Message[ChargeDue]) -> None:
        await charges.submit(tx, clock, message.body, message.trace)

    service.consume(
        "copies",
        {
            PRACTICE_STATE: state.keeper(tables.practices, "practice_id"),
            DEPARTMENT_STATE: state.keeper(tables.departments, "department_id"),
            PATIENT_STATE: state.keeper(tables.patients, "patient_id"),
            APPOINTMENT_STATE: _appointments,
        },
    )
    service.consume(
        "facts",
        {
            CLAIM_BALANCES: balances,
            PAYMENT_STATE: payments,
            CLAIM_ADJUDICATED: each(answered),
            NOTIFICATION_SENT: each(sent),
            NOTIFICATION_FAILED: each(failed),
            CHARGE_DUE: each(due),
        },
        lock=lock,
    )


async def lock(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
    """Locks at once the contracts that all these messages may be about, whoever of them asks for one first."""
    told = [m for m in messages if m.topic in (CLAIM_BALANCES, CLAIM_ADJUDICATED) and m.body]
    paid = [m for m in messages if m.topic is PAYMENT_STATE and m.body and m.body.source == "contract"]
    mails = [m for m in messages if m.topic in (NOTIFICATION_SENT, NOTIFICATION_FAILED) and m.body.cause.charge_id]
    claims = {(m.practice_id, m.body.claim_id) for m in told} | {(m.practice_id, claim.claim_id) for m in paid for claim in m.body.claims}
    named = {(m.practice_id, m.body.cause.charge_id) for m in mails} | {(m.practice_id, m.body.charge_id) for m in messages if m.topic is CHARGE_DUE}
    await store.lock_contracts(tx, claims=claims, patients={(m.practice_id, m.body.patient_id) for m in told}, charges=named)


async def retry_waiting(db: Database, clock: Clock) -> int:
    """Takes in the adjudications whose balances are there by now; returns how many.

    One is left waiting where it came while another replica stored the balances: neither saw the other.
    """
    async with db.begin() as tx:
        keys = [(row.practice_id, row.claim_id) for row in await tx.execute(text(_READY), {"consumer": FACTS})]
        await store.lock_contracts(tx, claims=keys)  # before what waits, as `balances` does
        return await _again(tx, clock, keys)


# Those that still wait are left alone, so that it is seen since when they do.
_READY = """
SELECT DISTINCT b.practice_id, b.claim_id FROM waiting w JOIN balances b ON w.need = 'balances/' || b.practice_id || '/' || b.claim_id
WHERE w.consumer = :consumer AND b.version >= CAST(CAST(convert_from(w.value, 'UTF8') AS jsonb) ->> 'balances_version' AS bigint) LIMIT 1000
"""


async def _again(tx: AsyncConnection, clock: Clock, keys: Sequence[store.Key]) -> int:
    taken = await waiting.take(tx, FACTS, [_need(*key) for key in keys])
    for message in taken:
        await adjudicated(tx, clock, message)
    return len(taken)


async def adjudicated(tx: AsyncConnection, clock: Clock, message: Message[ClaimAdjudicated]) -> None:
    """Looks at the claim once its balances have the adjudication; until then the message waits."""
    body = message.body
    row = await store.balance_of(tx, body.practice_id, body.claim_id)
    if row is None or row.version < body.balances_version:
        await waiting.keep(tx, FACTS, _need(body.practice_id, body.claim_id), message)
    else:
        await charges.look_again(tx, clock, body.practice_id, [body.claim_id], message.trace)


def _need(practice_id: str, claim_id: str) -> str:
    return f"balances/{practice_id}/{claim_id}"


async def _appointments(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
    await state.forget(tx, tables.appointments, [(m.practice_id, m.key.split("/", 1)[1]) for m in messages if m.body is None])
    names = ("practice_id", "appointment_id", "version", "patient_id", "department_id")
    await state.keep_newer(tx, tables.appointments, [{name: getattr(m.body, name) for name in names} for m in messages if m.body])
