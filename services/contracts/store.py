"""The contracts' rows: explicit reads and writes, under the contract's lock wherever something is decided."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, and_, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import tables
from services.contracts.domain.charge import BEFORE_THE_CALL, COUNTED, UNDER_WAY, Balance, ChargeStatus, Posted, Taken
from shared.db import fetch
from shared.keyset import Cursor

Key = tuple[str, str]  # practice_id and the thing's own id

contract, charge, balance = tables.contracts.c, tables.charges.c, tables.balances.c


async def next_number(tx: AsyncConnection, practice_id: str, kind: str) -> int:
    """The next number of this kind at the practice, rising without gaps: the counter's row is locked until commit."""
    statement = """
    INSERT INTO numbers (practice_id, kind, last) VALUES (:practice_id, :kind, 1)
    ON CONFLICT (practice_id, kind) DO UPDATE SET last = numbers.last + 1 RETURNING last
    """
    return int((await tx.execute(text(statement), {"practice_id": practice_id, "kind": kind})).scalar_one())


async def lock_contract(tx: AsyncConnection, practice_id: str, contract_id: int) -> Row[Any] | None:
    """The contract, locked: cancel and charge decide under this one lock."""
    where = (contract.practice_id == practice_id, contract.contract_id == contract_id)
    return (await tx.execute(select(tables.contracts).where(*where).with_for_update())).one_or_none()


async def lock_contracts(tx: AsyncConnection, *, claims: Collection[Key], patients: Collection[Key] = (), charges: Collection[Key] = ()) -> list[Any]:
    """Locks, in key order, all contracts that these may be about: of the patients, theirs whose claims these are, and with one of the charges.

    A transaction that may lock more than one contract begins with this: taken one after the other, those of a patient would be locked crosswise.
    """
    named = {"claims": claims, "patients": patients, "charges": charges}
    return await fetch(tx, _LOCK, {f"{name}_{n}": [key[n] for key in keys] for name, keys in named.items() for n in (0, 1)})


def _keys(name: str, column: str) -> str:
    return f"unnest(CAST(:{name}_0 AS text[]), CAST(:{name}_1 AS text[])) AS want (practice_id, {column})"


_LOCK = f"""
SELECT c.* FROM contracts c WHERE (c.practice_id, c.contract_id) IN (
  SELECT practice_id, contract_id FROM contracts JOIN (
    SELECT practice_id, patient_id FROM {_keys("patients", "patient_id")}
    UNION SELECT practice_id, patient_id FROM balances JOIN {_keys("claims", "claim_id")} USING (practice_id, claim_id)
  ) AS people USING (practice_id, patient_id)
  UNION SELECT practice_id, contract_id FROM charges JOIN {_keys("claims", "claim_id")} USING (practice_id, claim_id)
    WHERE status IN ({", ".join(repr(status.value) for status in sorted(BEFORE_THE_CALL | UNDER_WAY))})
  UNION SELECT practice_id, contract_id FROM charges JOIN {_keys("charges", "charge_id")} USING (practice_id, charge_id)
) ORDER BY c.practice_id, c.contract_id FOR UPDATE OF c
"""


async def lock_by_epayment(tx: AsyncConnection, practice_id: str, patient_id: str, epayment_id: int) -> Row[Any] | None:
    """The contract that this epayment made for this patient, locked."""
    where = (contract.practice_id == practice_id, contract.patient_id == patient_id, contract.epayment_id == epayment_id)
    return (await tx.execute(select(tables.contracts).where(*where).with_for_update())).one_or_none()


async def save_contract(tx: AsyncConnection, row: Any, **values: Any) -> None:
    """Changes a contract; its version rises with each change that is published."""
    where = (contract.practice_id == row.practice_id, contract.contract_id == row.contract_id)
    await tx.execute(update(tables.contracts).where(*where).values(values))


async def contract_of(tx: AsyncConnection, practice_id: str, contract_id: int) -> Row[Any]:
    """The contract as it is now."""
    where = (contract.practice_id == practice_id, contract.contract_id == contract_id)
    return (await tx.execute(select(tables.contracts).where(*where))).one()


async def lock_charge(tx: AsyncConnection, practice_id: str, charge_id: str) -> Row[Any] | None:
    """A charge, with its contract locked first."""
    where = (charge.practice_id == practice_id, charge.charge_id == charge_id)
    found = (await tx.execute(select(charge.contract_id).where(*where))).scalar_one_or_none()
    if found is None:
        return None
    await lock_contract(tx, practice_id, found)
    return (await tx.execute(select(tables.charges).where(*where).with_for_update())).one()


async def save_charge(tx: AsyncConnection, row: Any, **values: Any) -> None:
    """Changes a charge."""
    await tx.execute(update(tables.charges).where(charge.practice_id == row.practice_id, charge.charge_id == row.charge_id).values(values))


async def add_charge(tx: AsyncConnection, **values: Any) -> None:
    """A new charge."""
    await tx.execute(insert(tables.charges).values(values))


async def charges_of(tx: AsyncConnection, practice_id: str, contract_id: int) -> list[Row[Any]]:
    """All charges of a contract, oldest first."""
    where = (charge.practice_id == practice_id, charge.contract_id == contract_id)
    return list(await tx.execute(select(tables.charges).where(*where).order_by(charge.made_at, charge.charge_id)))


async def stopped_charges(tx: AsyncConnection, practice_id: str, status: str, at: Cursor | None, limit: int) -> list[Row[Any]]:
    """Charges that failed, are paused, in doubt, wait for another try, or whose money became credit; in the cursor's direction, newest first."""
    state = tables.payment_states.c
    credited = select(state.payment_id).where(state.practice_id == practice_id, state.credited_cents > 0)
    stopped = or_(
        charge.status.in_([ChargeStatus.FAILED, ChargeStatus.PAUSED]),
        and_(charge.status.in_([ChargeStatus.DUE, ChargeStatus.UNKNOWN]), charge.reason.is_not(None)),
        and_(charge.status == ChargeStatus.CHARGED, charge.attempt_id.in_(credited)),
    )
    both = (contract.practice_id == charge.practice_id) & (contract.contract_id == charge.contract_id)
    card = (contract.patient_name, contract.card_brand, contract.card_last4)
    found = select(tables.charges, *card).join(tables.contracts, both).where(charge.practice_id == practice_id, stopped)
    if status:
        found = found.where(charge.status == status)
    if at:
        found = found.where(charge.charge_id > at.values[0] if at.newer else charge.charge_id < at.values[0])
    order = charge.charge_id.asc() if at and at.newer else charge.charge_id.desc()
    return list(await tx.execute(found.order_by(order).limit(limit)))


async def open_charges_on(tx: AsyncConnection, practice_id: str, claim_ids: Collection[str], statuses: Collection[ChargeStatus]) -> list[Row[Any]]:
    """Charges on these claims in one of these states, in claim order."""
    where = (charge.practice_id == practice_id, charge.claim_id.in_(sorted(claim_ids)), charge.status.in_(list(statuses)))
    return list(await tx.execute(select(tables.charges).where(*where).order_by(charge.contract_id, charge.claim_id)))


async def left_cents(tx: AsyncConnection, row: Any) -> int:
    """What is left of a contract's limit: everything submitted counts, whatever became of it so far."""
    where = (charge.practice_id == row.practice_id, charge.contract_id == row.contract_id, charge.status.in_(list(COUNTED)))
    used = (await tx.execute(select(func.coalesce(func.sum(charge.submitted_cents), 0)).where(*where))).scalar_one()
    return int(row.limit_cents) - int(used)


async def balance_of(tx: AsyncConnection, practice_id: str, claim_id: str) -> Row[Any] | None:
    """The copy of posting's word on a claim."""
    return (await tx.execute(select(tables.balances).where(balance.practice_id == practice_id, balance.claim_id == claim_id))).one_or_none()


def as_balance(row: Any) -> Balance:
    """A copy as the rules see it."""
    return Balance(row.version, row.voided, row.adjudicated, row.adjudication_no, row.patient_balance_cents)


async def taken_on(tx: AsyncConnection, practice_id: str, claim_id: str, *, but: str | None = None) -> list[Taken]:
    """All charges on a claim as the rules see them, except `but`."""
    where = [charge.practice_id == practice_id, charge.claim_id == claim_id]
    rows = [row for row in await tx.execute(select(tables.charges).where(*where)) if row.charge_id != but]
    states = {}
    if attempts := [row.attempt_id for row in rows if row.attempt_id]:
        known = tables.payment_states.c
        for state in await tx.execute(select(tables.payment_states).where(known.practice_id == practice_id, known.payment_id.in_(attempts))):
            named = next((each for each in state.claims if each["claim_id"] == claim_id), None)
            if named:
                states[state.payment_id] = Posted(named["balances_version"], state.credited_cents)
    return [Taken(ChargeStatus(row.status), row.adjudication_no, row.submitted_cents, states.get(row.attempt_id)) for row in rows]


async def body(tx: AsyncConnection, table: Any, practice_id: str, *key: str) -> dict[str, Any] | None:
    """A copied body."""
    where = [column == value for column, value in zip(table.primary_key, (practice_id, *key), strict=True)]
    found: dict[str, Any] | None = (await tx.execute(select(table.c.body).where(*where))).scalar_one_or_none()
    return found


async def zone_of(tx: AsyncConnection, practice_id: str) -> str:
    """The practice's time zone; UTC while its state has not come."""
    practice = await body(tx, tables.practices, practice_id)
    return practice["zone"] if practice else "UTC"
