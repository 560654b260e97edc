"""What a contract looks like to others: one contract.state per change, by version."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import store
from services.contracts.domain.charge import COUNTED, ChargeStatus
from shared import outbox
from shared.events.contracts import CONTRACT_STATE, ContractCharge, ContractState
from shared.events.types import Card
from shared.outbox import Outgoing

NEWEST = 20  # ended charges that the state carries


async def publish(tx: AsyncConnection, now: datetime, practice_id: str, contract_id: int, trace: str | None = None) -> int:
    """Publishes the contract as it now is, at version + 1; returns that version. The caller holds the contract's lock."""
    row = await store.contract_of(tx, practice_id, contract_id)
    version = int(row.version) + 1
    await store.save_contract(tx, row, version=version)
    await outbox.append(tx, now, [Outgoing(CONTRACT_STATE, await state_of(tx, row, version), trace)])
    return version


async def state_of(tx: AsyncConnection, row: Any, version: int) -> ContractState:
    """What others are told of a contract at a version."""
    charges = await store.charges_of(tx, row.practice_id, row.contract_id)
    used = sum(each.submitted_cents for each in charges if each.status in COUNTED)
    open_ones = [each for each in charges if each.status not in ("charged", "failed", "withdrawn")]
    ended = [each for each in charges if each.status in ("charged", "failed", "withdrawn")][-NEWEST:]
    return ContractState(
        practice_id=row.practice_id,
        contract_id=str(row.contract_id),
        version=version,
        kind=row.kind,
        status=row.status,
        patient_id=row.patient_id,
        sealed=row.sealed,
        signed_on=row.signed_on,
        expires_on=row.expires_on,
        limit_cents=row.limit_cents,
        used_cents=used,
        left_cents=row.limit_cents - used,
        card=Card(brand=row.card_brand, last4=row.card_last4),
        charges=[_charge(each) for each in (*ended, *open_ones)],
    )


def _charge(row: Any) -> ContractCharge:
    return ContractCharge(charge_id=row.charge_id, notice_no=row.notice_no, status=ChargeStatus(row.status).value, noticed_cents=row.noticed_cents)
