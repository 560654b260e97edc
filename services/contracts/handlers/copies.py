"""Mailing the customer's copy when the desk asks for it (CF-02, CF-04); notifier sends it."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import store, tables, terms
from services.contracts.domain.contract import Kind, Refused, Status, check_agreement, check_email
from services.contracts.handlers.contracts import place
from shared import ids, outbox
from shared.clock import Clock
from shared.events.contracts import COPY_REQUESTED, ContractCopy, CopyRequested
from shared.outbox import Outgoing
from shared.sealing import seal


async def mail_agreement(
    tx: AsyncConnection, clock: Clock, sealing_key: str, practice_id: str, patient_id: str, contract_id: int, department_id: str, email: str
) -> Any:
    """Asks for the agreement to be mailed, and answers its contract; Refused in words where there is none (any more)."""
    await place(tx, practice_id, department_id)
    row = await store.lock_contract(tx, practice_id, contract_id)
    if row is None or row.patient_id != patient_id or row.kind != Kind.ONE_YEAR:
        raise Refused(f"There is no one-year contract {contract_id} of this patient", 404)
    check_agreement(Status(row.status))
    await _mail(tx, clock, sealing_key, row, "agreement", email)
    return row


async def mail_receipt(tx: AsyncConnection, clock: Clock, sealing_key: str, practice_id: str, patient_id: str, epayment_id: int, email: str) -> Any:
    """Asks for the customer's copy of a receipt to be mailed, and answers its contract."""
    row = await store.lock_by_epayment(tx, practice_id, patient_id, epayment_id)
    if row is None:
        raise Refused(f"There is no receipt {epayment_id} of this patient", 404)
    await _mail(tx, clock, sealing_key, row, "receipt", email)
    return row


async def _mail(tx: AsyncConnection, clock: Clock, sealing_key: str, row: Any, copy: ContractCopy, email: str) -> None:
    # The address is for this mail only: the contract keeps its own (CF-03).
    to = check_email(email)
    practice = await store.body(tx, tables.practices, row.practice_id)
    assert practice is not None  # a contract is made of it
    now = clock.business()
    body = CopyRequested(
        practice_id=row.practice_id,
        contract_id=str(row.contract_id),
        contract_version=row.version,
        request_id=ids.new(),
        copy=copy,
        epayment_id=row.epayment_id,
        terms=terms.one_year(practice["display_name"], practice["phone"], row.contract_date).split("\n\n"),
        sealed=seal(sealing_key, {"to": to, "name": row.patient_name}),
        requested_at=now,
    )
    await outbox.append(tx, now, [Outgoing(COPY_REQUESTED, body)])
