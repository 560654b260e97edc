"""A person's cart for one account: it survives a log-out, and what can no longer be paid leaves it with a word (EP-26)."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.checkout.tables import carts
from services.portal.identity.here import Here
from services.portal.invoices import standing
from services.portal.invoices.payable import Payable

LARGEST = 500  # invoices in one cart
_PAYERS = text(
    "SELECT l.invoice_id, a.payer_name, a.account_id FROM live_invoices l"
    " JOIN attempts a ON a.practice_id = l.practice_id AND a.attempt_id = l.attempt_id"
    " WHERE l.practice_id = :practice_id AND l.invoice_id IN :invoices"
).bindparams(bindparam("invoices", expanding=True))


@dataclass(frozen=True, slots=True)
class Item:
    """An invoice in the cart: its copy, what can be paid of it, and what the person last saw."""

    invoice: Any
    payable: Payable
    seen_cents: int

    @property
    def cents(self) -> int:
        return self.payable.cents


@dataclass(frozen=True, slots=True)
class Cart:
    """What can be paid, what has to wait a moment, and who or what took the rest away, in words."""

    items: tuple[Item, ...]
    waiting: tuple[Item, ...]
    left: tuple[tuple[str, str], ...]

    @property
    def cents(self) -> int:
        return sum(item.cents for item in self.items)

    @property
    def changed(self) -> list[Item]:
        """Those whose amount is not what the person last saw."""
        return [item for item in self.items if item.cents != item.seen_cents]


async def add(tx: AsyncConnection, here: Here, invoices: Collection[str]) -> int:
    """Puts those of these invoices into the cart that can be paid now; returns how many went in or were there."""
    found = await standing.read(tx, here.practice_id, invoices)
    rows = [
        {**_whose(here), "invoice_id": invoice_id, "seen_cents": can.cents}
        for invoice_id, (row, can) in found.items()
        if can.cents and row.account_id == here.account_id
    ]
    there = len(await _rows(tx, here))
    if rows and there + len(rows) <= LARGEST:
        await tx.execute(insert(carts).values(rows).on_conflict_do_nothing())
        return len(rows)
    return 0


async def remove(tx: AsyncConnection, here: Here, invoices: Collection[str]) -> int:
    """Takes these out; returns how many were in."""
    return (await tx.execute(delete(carts).where(*_is(here), carts.c.invoice_id.in_(invoices)))).rowcount


async def read(tx: AsyncConnection, here: Here) -> Cart:
    """The cart as it can be paid now. What is closed or being paid leaves it here, and is named."""
    seen = {row.invoice_id: row.seen_cents for row in await _rows(tx, here)}
    found = await standing.read(tx, here.practice_id, seen)
    every = _apart([Item(*found[invoice_id], seen_cents) for invoice_id, seen_cents in seen.items() if invoice_id in found])
    gone = [item for item in every if item.payable.why in ("closed", "pending", "in_review")]
    payers = await _payers(tx, here, [item.invoice.invoice_id for item in gone])
    left = tuple((f"Invoice {item.invoice.number} left your cart.", _why(item, payers)) for item in gone)
    if gone:
        await remove(tx, here, [item.invoice.invoice_id for item in gone])
    stay = [item for item in every if item not in gone]
    return Cart(tuple(item for item in stay if item.cents), tuple(item for item in stay if not item.cents), left)


def _apart(items: list[Item]) -> list[Item]:
    """While a claim moves from one invoice to another, both copies may ask for it: the second waits."""
    claims: set[str] = set()
    apart = []
    for item in items:
        own = {line.claim_id for line in item.payable.lines}
        apart.append(replace(item, payable=Payable(why="updating")) if own & claims else item)
        claims |= own
    return apart


async def saw(tx: AsyncConnection, here: Here, cart: Cart) -> None:
    """Remembers the amounts that the person has just agreed to."""
    for item in cart.changed:
        row = *_is(here), carts.c.invoice_id == item.invoice.invoice_id
        await tx.execute(update(carts).where(*row).values(seen_cents=item.cents))


async def _rows(tx: AsyncConnection, here: Here) -> list[Any]:
    return list(await tx.execute(select(carts).where(*_is(here)).order_by(carts.c.added_at, carts.c.invoice_id)))


async def _payers(tx: AsyncConnection, here: Here, invoices: list[str]) -> dict[str, str]:
    if not invoices:
        return {}
    rows = await tx.execute(_PAYERS, {"practice_id": here.practice_id, "invoices": invoices})
    return {row.invoice_id: row.payer_name for row in rows if row.account_id == here.account_id}


def _why(item: Item, payers: dict[str, str]) -> str:
    if item.payable.why == "closed":
        return "Nothing is left to pay on it."
    if item.payable.why == "in_review":
        return "The rest of it is in review."
    payer = payers.get(item.invoice.invoice_id)
    return f"{payer} is paying it; you will not be charged for it." if payer else "A payment of it is being posted; you will not be charged for it."


def _whose(here: Here) -> dict[str, Any]:
    return {"practice_id": here.practice_id, "person_id": here.person_id, "account_id": here.account_id}


def _is(here: Here) -> tuple[Any, ...]:
    return tuple(carts.c[name] == value for name, value in _whose(here).items())
