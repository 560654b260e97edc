"""A claim's account: what was charged, paid, adjusted and transferred, by charge and payer. Pure rules, no clock, no database.

Everything that changes a balance is an `Entry`; the columns are the fold of the entries, so balances equal entries by construction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from shared import money


class Payer(NamedTuple):
    """A payer's column: `kind` is corporate, insurance or patient."""

    kind: str
    payer_id: str


class Kind(StrEnum):
    """What an entry does. Payment and adjustment lower the balance by their amount; the others carry the signed change."""

    CHARGE = "charge"
    PAYMENT = "payment"
    ADJUSTMENT = "adjustment"
    TRANSFER = "transfer"
    VOID = "void"


class Account(StrEnum):
    """Ledger accounts. A transfer moves between two columns of `receivable` and has no other side."""

    RECEIVABLE = "receivable"
    REVENUE = "revenue"
    ADJUSTMENTS = "adjustments"
    CASH = "cash"
    UNAPPLIED = "unapplied"
    CREDIT = "credit"


class Cause(NamedTuple):
    """The record that made an entry, by kind and id."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement on one charge in one payer's column; `counter` is the other side in the ledger, `payment_id` whose money moved."""

    charge_id: str
    payer: Payer
    kind: Kind
    amount_cents: int
    counter: Account | None
    cause: Cause
    payment_id: str | None = None
    group: str | None = None
    code: str | None = None

    @property
    def change_cents(self) -> int:
        """By how much the balance rises."""
        return -self.amount_cents if self.kind in (Kind.PAYMENT, Kind.ADJUSTMENT) else self.amount_cents


@dataclass(frozen=True, slots=True)
class Column:
    """The sums of one charge in one payer's column."""

    charged_cents: int = 0
    paid_cents: int = 0
    adjusted_cents: int = 0
    transferred_in_cents: int = 0
    transferred_out_cents: int = 0

    @property
    def balance_cents(self) -> int:
        return self.charged_cents - self.paid_cents - self.adjusted_cents + self.transferred_in_cents - self.transferred_out_cents


@dataclass(frozen=True, slots=True)
class Content:
    """What was billed, at `(version, revision)`: payers in order, the one asked, amounts by charge in the order of the claim.

    `procedures` are code and text by charge, for those who post by hand; no rule looks at them, and content with others is the same content.
    """

    version: int
    revision: int
    patient_id: str
    appointment_id: str | None
    service_date: date
    department_id: str
    provider_group_id: str | None
    payers: tuple[Payer, ...]
    billed_to: Payer
    charges: Mapping[str, int]
    procedures: Mapping[str, tuple[str, str]] = field(default_factory=dict, compare=False)

    @property
    def order(self) -> tuple[int, int]:
        return self.version, self.revision


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim's account. Without content only a void is known so far. `version` counts the published balances."""

    practice_id: str
    claim_id: str
    content: Content | None = None
    void_version: int = 0
    current: Payer | None = None
    answered: frozenset[Payer] = frozenset()
    adjudicated: bool = False
    adjudication_no: int = 0
    version: int = 0
    columns: Mapping[tuple[str, Payer], Column] = field(default_factory=dict)
    applied: Mapping[tuple[str, str, Payer], int] = field(default_factory=dict)
    write_offs: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.practice_id, self.claim_id

    @property
    def voided(self) -> bool:
        """Void where the highest void is above the highest billed version (events: registers)."""
        return self.content is not None and self.void_version > self.content.version

    @property
    def open_cents(self) -> int:
        return sum(column.balance_cents for column in self.columns.values())

    @property
    def patient_balance_cents(self) -> int:
        return sum(column.balance_cents for (_, payer), column in self.columns.items() if payer.kind == "patient")

    def open_of(self, payer: Payer) -> int:
        """What this payer is asked for now."""
        return sum(column.balance_cents for (_, whose), column in self.columns.items() if whose == payer)

    def paid_by(self, payment_id: str) -> int:
        """What of a payment is applied to this claim."""
        return sum(cents for (whose, _, _), cents in self.applied.items() if whose == payment_id)

    def charge_ids(self) -> list[str]:
        """Charges in the claim's order, those no longer billed last."""
        listed = list(self.content.charges) if self.content else []
        return [*listed, *sorted({charge_id for charge_id, _ in self.columns} - set(listed))]


def post(claim: Claim, entries: Sequence[Entry]) -> Claim:
    """The account after these entries; raises ValueError where a column's balance would end below 0."""
    columns, applied = dict(claim.columns), dict(claim.applied)
    for entry in entries:
        at = entry.charge_id, entry.payer
        columns[at] = _fold(columns.get(at, Column()), entry)
        if entry.kind is Kind.PAYMENT and entry.payment_id:
            whose = entry.payment_id, *at
            applied[whose] = applied.get(whose, 0) + entry.amount_cents
    for (charge_id, payer), column in columns.items():
        if column.balance_cents < 0:
            raise ValueError(f"charge {charge_id} of claim {claim.claim_id} would have a balance below 0 for its {payer.kind}")
    return replace(claim, columns=columns, applied={at: cents for at, cents in applied.items() if cents})


def _fold(column: Column, entry: Entry) -> Column:
    amount = entry.amount_cents
    match entry.kind:
        case Kind.CHARGE | Kind.VOID:
            return replace(column, charged_cents=column.charged_cents + amount)
        case Kind.PAYMENT:
            return replace(column, paid_cents=column.paid_cents + amount)
        case Kind.ADJUSTMENT:
            return replace(column, adjusted_cents=column.adjusted_cents + amount)
        case Kind.TRANSFER if amount >= 0:
            return replace(column, transferred_in_cents=column.transferred_in_cents + amount)
        case _:
            return replace(column, transferred_out_cents=column.transferred_out_cents - amount)


def spread(claim: Claim, payer: Payer, cents: int) -> list[tuple[str, int]]:
    """An amount over the payer's open charges in the claim's order; the amount is at most what is open."""
    charges = claim.charge_ids()
    open_cents = [claim.columns.get((charge_id, payer), Column()).balance_cents for charge_id in charges]
    return [(charge_id, share) for charge_id, share in zip(charges, money.split(cents, open_cents), strict=True) if share]


def legs(entries: Iterable[Entry]) -> list[tuple[Account, Entry, int]]:
    """The ledger's side of entries: each changes receivable, and its counter account by the opposite. Their sum is zero."""
    found: list[tuple[Account, Entry, int]] = []
    for entry in entries:
        if entry.change_cents:
            found.append((Account.RECEIVABLE, entry, entry.change_cents))
            if entry.counter:
                found.append((entry.counter, entry, -entry.change_cents))
    return found
