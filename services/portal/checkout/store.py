"""Attempts and payments as rows."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.checkout.states import Attempt, move
from services.portal.checkout.tables import attempt_claims, attempt_invoices, attempts, live_claims, live_invoices, payments
from services.portal.invoices.payable import Payable
from services.portal.invoices.tables import lines

MOST_LINKS = 50
_MARK = text(
    "INSERT INTO payment_marks (practice_id, payment_id, claim_id, line_id, invoice_id)"
    " SELECT c.practice_id, c.attempt_id, c.claim_id, c.line_id, c.invoice_id FROM attempt_claims c"
    " WHERE c.practice_id = :practice_id AND c.attempt_id = :attempt_id"
)
_NEXT_NUMBER = text(
    "INSERT INTO record_numbers AS n (practice_id, last) VALUES (:practice_id, 1)"
    " ON CONFLICT (practice_id) DO UPDATE SET last = n.last + 1 RETURNING last"
)


async def find(tx: AsyncConnection, practice_id: str, attempt_id: str, *, lock: bool = False) -> Any:
    """An attempt's row, or None."""
    found = select(attempts).where(*_is(attempts, practice_id, attempt_id))
    return (await tx.execute(found.with_for_update() if lock else found)).one_or_none()


async def invoices_of(tx: AsyncConnection, practice_id: str, attempt_id: str) -> Sequence[Any]:
    """What an attempt asks of each invoice, by number."""
    found = select(attempt_invoices).where(*_is(attempt_invoices, practice_id, attempt_id))
    return (await tx.execute(found.order_by(attempt_invoices.c.number))).all()


async def claims_of(tx: AsyncConnection, practice_id: str, attempt_id: str) -> Sequence[Any]:
    """The claims inside an attempt, in id order."""
    found = select(attempt_claims).where(*_is(attempt_claims, practice_id, attempt_id))
    return (await tx.execute(found.order_by(attempt_claims.c.claim_id))).all()


async def traces_of(tx: AsyncConnection, practice_id: str, attempt_id: str) -> list[str]:
    """The traces that the claims of an attempt last came with: a span links to some of them, not to thousands."""
    claim, line = attempt_claims.c, lines.c
    both = (line.practice_id == claim.practice_id) & (line.line_id == claim.line_id)
    found = select(line.trace).join(attempt_claims, both).where(*_is(attempt_claims, practice_id, attempt_id), line.trace.is_not(None))
    return list((await tx.execute(found.order_by(claim.claim_id).limit(MOST_LINKS))).scalars())


async def add(tx: AsyncConnection, head: dict[str, Any], asked: Iterable[tuple[Any, Payable]]) -> bool:
    """A new attempt with the invoices and claims that it asks for; False where it is there already."""
    key = {"practice_id": head["practice_id"], "attempt_id": head["attempt_id"]}
    if (await tx.execute(upsert(attempts).values(head).on_conflict_do_nothing())).rowcount == 0:
        return False
    pairs = list(asked)
    await tx.execute(
        insert(attempt_invoices),
        [
            {
                **key,
                "invoice_id": row.invoice_id,
                "number": row.number,
                "due_on": row.due_on,
                "state_version": row.version,
                "amount_cents": can.cents,
                "withheld_cents": max(0, row.balance_cents - can.cents),
                "withheld_claims": list(can.withheld),
            }
            for row, can in pairs
        ],
    )
    await tx.execute(
        insert(attempt_claims),
        [
            {
                **key,
                "claim_id": line.claim_id,
                "invoice_id": row.invoice_id,
                "line_id": line.line_id,
                "claim_version": line.claim_version,
                "claim_revision": line.claim_revision,
                "payer_id": line.payer_id,
                "amount_cents": line.balance_cents,
            }
            for row, can in pairs
            for line in can.lines
        ],
    )
    return True


async def take(tx: AsyncConnection, practice_id: str, attempt_id: str) -> None:
    """Sets the rows that are unique per invoice and per claim: the constraint is the second guard behind the locks (EP-14)."""
    for table, source, column in ((live_invoices, attempt_invoices, "invoice_id"), (live_claims, attempt_claims, "claim_id")):
        mine = select(source.c.practice_id, source.c[column], source.c.attempt_id).where(*_is(source, practice_id, attempt_id))
        await tx.execute(insert(table).from_select(["practice_id", column, "attempt_id"], mine.order_by(source.c[column])))


async def free(tx: AsyncConnection, practice_id: str, attempt_id: str) -> None:
    """Gives the invoices and claims of an ended attempt back."""
    for table in (live_invoices, live_claims):
        await tx.execute(delete(table).where(*_is(table, practice_id, attempt_id)))


async def to(tx: AsyncConnection, attempt: Any, state: Attempt, **values: Any) -> None:
    """Moves an attempt whose row is locked. Raises BadMove."""
    move(Attempt(attempt.state), state)
    await tx.execute(update(attempts).where(*_is(attempts, attempt.practice_id, attempt.attempt_id)).values(state=state.value, **values))


async def note(tx: AsyncConnection, attempt: Any, **values: Any) -> None:
    """Changes what is known of an attempt without moving it."""
    await tx.execute(update(attempts).where(*_is(attempts, attempt.practice_id, attempt.attempt_id)).values(values))


async def others(tx: AsyncConnection, new: dict[str, Any]) -> Sequence[Any]:
    """The person's other attempts for the account that are not submitted yet, locked: a new one supersedes them."""
    found = select(attempts).where(
        *(attempts.c[name] == new[name] for name in ("practice_id", "account_id", "person_id")),
        attempts.c.attempt_id != new["attempt_id"],
        attempts.c.state.in_([Attempt.STARTED.value, Attempt.READY.value]),
    )
    return (await tx.execute(found.order_by(attempts.c.attempt_id).with_for_update())).all()


async def due(tx: AsyncConnection, now: datetime, limit: int) -> Sequence[Any]:
    """Attempts about which the gateway is to be asked, of all practices, the oldest first."""
    found = select(attempts.c.practice_id, attempts.c.attempt_id).where(attempts.c.next_ask_at <= now)
    return (await tx.execute(found.order_by(attempts.c.next_ask_at).limit(limit))).all()


async def of_another_amount(tx: AsyncConnection, practice_id: str, account_id: str) -> Sequence[Any]:
    """Attempts of an account for which another amount was taken than asked; staff clear them up with the processor."""
    mine = attempts.c.practice_id == practice_id, attempts.c.account_id == account_id
    found = select(attempts).where(*mine, attempts.c.state == Attempt.UNKNOWN.value, attempts.c.reason == "amount")
    return (await tx.execute(found.order_by(attempts.c.submitted_at))).all()


async def record_number(tx: AsyncConnection, practice_id: str) -> int:
    """The practice's next record number. Its row stays locked until the payment commits, so that there are no gaps."""
    return int((await tx.execute(_NEXT_NUMBER, {"practice_id": practice_id})).scalar_one())


async def add_payment(tx: AsyncConnection, row: dict[str, Any]) -> None:
    """A captured payment, and its marks on the claims."""
    await tx.execute(insert(payments).values(row))
    await tx.execute(_MARK, {"practice_id": row["practice_id"], "attempt_id": row["payment_id"]})


def _is(table: Any, practice_id: str, attempt_id: str) -> tuple[Any, ...]:
    return table.c.practice_id == practice_id, table.c.attempt_id == attempt_id
