"""Making, signing and ending a contract (CF-01 to CF-04)."""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import store, tables
from services.contracts.domain import contract as rules
from services.contracts.domain.charge import BEFORE_THE_CALL, UNDER_WAY, ChargeStatus
from services.contracts.domain.contract import Kind, Offer, Refused, Status
from services.contracts.handlers.charges import withdraw_planned
from services.contracts.handlers.publish import publish
from shared import gateway, timers
from shared.clock import Clock, local_date
from shared.sealing import seal

UNSIGNED, EXPIRY = "contract unsigned", "contract expiry"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A one-year contract as the desk asks for it; the card is known by its token only."""

    patient_id: str
    department_id: str
    appointment_id: str | None
    email: str
    limit_cents: int
    token: str
    card: gateway.Card


async def offer(tx: AsyncConnection, practice_id: str, department_id: str, kind: Kind) -> tuple[Offer, dict[str, Any]]:
    """What a department offers, with its body; Refused when there is no such department."""
    practice, department = await place(tx, practice_id, department_id)
    return offer_of(practice, department, kind), department


async def place(tx: AsyncConnection, practice_id: str, department_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A practice and one of its departments; Refused in words where there is none."""
    practice = await store.body(tx, tables.practices, practice_id)
    if practice is None:
        raise Refused(f"There is no practice {practice_id}", 404)
    if not department_id:
        raise Refused("departmentid: This is required")
    department = await store.body(tx, tables.departments, practice_id, department_id)
    if department is None:
        raise Refused(f"There is no department {department_id}", 404)
    return practice, department


def offer_of(practice: dict[str, Any], department: dict[str, Any], kind: Kind) -> Offer:
    """The same from the copies."""
    places = {each["merchant_location_id"]: each for each in practice["merchant_locations"]}
    place = places.get(department["merchant_location_id"], {})
    maximum = "one_year_max_cents" if kind is Kind.ONE_YEAR else "single_appointment_max_cents"
    return Offer(
        practice["contracts_on"],
        place.get("retail_merchant_id"),
        place.get("card_not_present_merchant_id"),
        place.get("auto_contract_department_id"),
        place.get(maximum),
        tuple(department["ecommerce_cards"]),
    )


async def create(tx: AsyncConnection, clock: Clock, sealing_key: str, practice_id: str, wanted: Wanted, user: str) -> Any:
    """Makes a one-year contract that waits for its signature; Refused in words where CF-03 does not allow one."""
    terms, department = await offer(tx, practice_id, wanted.department_id, Kind.ONE_YEAR)
    if terms.shortcomings:
        raise Refused("No contract can be made here: " + "; ".join(terms.shortcomings), 409)
    if wanted.card.brand not in terms.accepted_cards:
        raise Refused("This card brand is not accepted here. Accepted: " + ", ".join(terms.accepted_cards))
    patient = await store.body(tx, tables.patients, practice_id, wanted.patient_id)
    practice = await store.body(tx, tables.practices, practice_id)
    if patient is None or practice is None:
        raise Refused(f"There is no patient {wanted.patient_id}", 404)
    limit = rules.check_amount(wanted.limit_cents)
    now = clock.business()
    today = local_date(now, practice["zone"])
    group = department["provider_group_id"]
    name = f"{patient['given_name']} {patient['family_name']}"
    balance = tables.balances.c
    owing = select(balance.claim_id).where(
        balance.practice_id == practice_id, balance.patient_id == wanted.patient_id, balance.patient_balance_cents > 0
    )
    row = {
        "practice_id": practice_id,
        "contract_id": await store.next_number(tx, practice_id, "contract"),
        "epayment_id": await store.next_number(tx, practice_id, "epayment"),
        "version": 0,
        "kind": Kind.ONE_YEAR,
        "status": Status.AWAITING_SIGNATURE,
        "patient_id": wanted.patient_id,
        "patient_name": name,
        "department_id": wanted.department_id,
        "provider_group_id": group,
        "merchant_location_id": department["merchant_location_id"],
        "appointment_id": wanted.appointment_id,
        "email": wanted.email,
        "sealed": seal(sealing_key, {"to": wanted.email, "name": name}),
        "card_token": wanted.token,
        "card_brand": wanted.card.brand,
        "card_last4": wanted.card.last4,
        "card_expires": f"{wanted.card.exp_month:02d}/{wanted.card.exp_year}",
        "limit_cents": limit,
        "contract_date": today,
        "expires_on": rules.one_year_after(today),
        "created_at": now,
        "created_by": user,
        # Balances that exist now are not touched (CF-01).
        "excluded_claims": sorted((await tx.execute(owing)).scalars()),
    }
    try:
        async with tx.begin_nested():
            await tx.execute(insert(tables.contracts).values(row))
    except IntegrityError as error:
        if "uq_contracts_one_live_year" not in str(error.orig):
            raise
        raise Refused("This patient has a one-year contract here already, or one that waits for its signature", 409) from error
    deadline = now + rules.SIGN_WITHIN
    await timers.set_timer(tx, UNSIGNED, practice_id, str(row["contract_id"]), deadline)
    await publish(tx, now, practice_id, row["contract_id"])
    return await store.contract_of(tx, practice_id, row["contract_id"])


async def sign(tx: AsyncConnection, clock: Clock, practice_id: str, patient_id: str, epayment_id: int, data: bytes, user: str) -> Any:
    """Stores the signed receipt once and activates the contract in the same transaction. Refused: 409 too late, or another one was stored."""
    row = await store.lock_by_epayment(tx, practice_id, patient_id, epayment_id)
    if row is None:
        raise Refused(f"There is no receipt {epayment_id} of this patient", 404)
    digest = hashlib.sha256(data).hexdigest()
    document = tables.documents.c
    where = (document.practice_id == practice_id, document.epayment_id == epayment_id, document.kind == "signed")
    stored = (await tx.execute(select(document.sha256).where(*where))).scalar_one_or_none()
    if stored == digest:
        return row
    if stored:
        raise Refused("Another signed receipt is stored for this contract; it stays as it is", 409)
    now = clock.business()
    rules.signable(Status(row.status), row.created_at, now)
    kept = {"practice_id": practice_id, "epayment_id": epayment_id, "kind": "signed", "sha256": digest, "type": "application/pdf"}
    await tx.execute(insert(tables.documents).values(**kept, bytes=data, at=now, by=user))
    signed_on = await _today(tx, practice_id, clock)
    await store.save_contract(tx, row, status=rules.move(Status(row.status), Status.ACTIVE), signed_on=signed_on)
    await timers.cancel_timer(tx, UNSIGNED, practice_id, str(row.contract_id))
    await timers.set_timer(tx, EXPIRY, practice_id, str(row.contract_id), now + (row.expires_on - signed_on + timedelta(days=1)))
    await publish(tx, now, practice_id, row.contract_id)
    return await store.contract_of(tx, practice_id, row.contract_id)


async def unsigned(tx: AsyncConnection, timer: timers.Timer, clock: Clock) -> None:
    """Half an hour without a signature: cancelled by itself, nothing charged."""
    row = await store.lock_contract(tx, timer.practice_id, int(timer.key))
    if row is not None and row.status == Status.AWAITING_SIGNATURE:
        await store.save_contract(tx, row, status=Status.CANCELLED, ended_reason="no signature came within 30 minutes")
        await publish(tx, clock.business(), timer.practice_id, row.contract_id)


async def expire(tx: AsyncConnection, timer: timers.Timer, clock: Clock) -> None:
    """A year is over: no claim incurred later is covered. Charges that were noticed go on; one that is paused does not hold up the end."""
    row = await store.lock_contract(tx, timer.practice_id, int(timer.key))
    if row is None or row.status != Status.ACTIVE:
        return
    charges = await store.charges_of(tx, row.practice_id, row.contract_id)
    if any(each.status in BEFORE_THE_CALL | UNDER_WAY and each.status != ChargeStatus.PAUSED for each in charges):
        await timers.set_timer(tx, EXPIRY, timer.practice_id, timer.key, clock.business() + timedelta(days=1))
        return
    await withdraw_planned(tx, charges, "the year is over")
    await store.save_contract(tx, row, status=Status.EXPIRED, ended_reason="the year is over")
    await publish(tx, clock.business(), timer.practice_id, row.contract_id)


async def cancel(tx: AsyncConnection, clock: Clock, practice_id: str, contract_id: int, reason: str) -> None:
    """Ends a contract through the practice; Refused with 409 once a charge was submitted: then money may be moving."""
    row = await store.lock_contract(tx, practice_id, contract_id)
    if row is None:
        raise Refused(f"There is no contract {contract_id}", 404)
    charges = await store.charges_of(tx, practice_id, contract_id)
    if any(each.status in UNDER_WAY for each in charges):
        raise Refused("A charge of this contract is under way. Try again when its outcome is known", 409)
    status = rules.move(Status(row.status), Status.CANCELLED)
    await withdraw_planned(tx, charges, "the contract was cancelled")
    await store.save_contract(tx, row, status=status, ended_reason=reason)
    await publish(tx, clock.business(), practice_id, contract_id)


async def _today(tx: AsyncConnection, practice_id: str, clock: Clock) -> date:
    return local_date(clock.business(), await store.zone_of(tx, practice_id))
