"""What of an invoice can be paid at this moment, and why not more. Pure: the copies and our own marks go in (EP-12, EP-13).

A claim is payable only while the invoice and the line both name every payment of it that we captured and none of them is pending, it is in
no live attempt, and no dispute of it is open. The lines must add up to what the invoice says; while they do not, one of the copies is behind.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Why = Literal["", "closed", "pending", "in_review", "updating"]
PAYABLE_LINES = ("due", "overdue")


@dataclass(frozen=True, slots=True)
class Header:
    """What counts of an invoice's copy; `named` are the payments it names."""

    invoice_id: str
    version: int
    status: str
    payable_cents: int
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class Line:
    """What counts of a line's copy; `pending`: a payment that it names is not posted yet."""

    line_id: str
    claim_id: str
    claim_version: int
    claim_revision: int
    payer_id: str
    status: str
    balance_cents: int
    named: frozenset[str] = frozenset()
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """What only the portal knows, by claim: live attempts, payments it captured, disputes not yet named by their owner, open cases."""

    live_invoices: Collection[str] = frozenset()
    live_claims: Collection[str] = frozenset()
    captured: Mapping[str, Collection[str]] = field(default_factory=dict)
    disputed: Collection[str] = frozenset()
    open_cases: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Payable:
    """The lines that can be paid, each with its whole balance; without any, `why` not. `withheld` are the open claims that wait beside them."""

    lines: tuple[Line, ...] = ()
    why: Why = ""
    withheld: tuple[str, ...] = ()

    @property
    def cents(self) -> int:
        return sum(line.balance_cents for line in self.lines)


def payable(invoice: Header, lines: Sequence[Line], marks: Marks) -> Payable:
    """What can be paid of an invoice now."""
    if invoice.status == "closed":
        return Payable(why="closed")
    here = [line for line in lines if line.status != "withdrawn"]
    if invoice.status == "pending" or invoice.invoice_id in marks.live_invoices or any(_taken(line, invoice, marks) for line in here):
        return Payable(why="pending")
    ours = [line for line in here if line.claim_id in marks.disputed]
    free = tuple(line for line in here if _free(line, marks))
    expected = invoice.payable_cents - sum(line.balance_cents for line in ours)
    if sum(line.balance_cents for line in free) != expected:
        return Payable(why="updating")
    if not free:
        return Payable(why="in_review")
    return Payable(free, withheld=tuple(sorted(line.claim_id for line in here if line.balance_cents > 0 and not _free(line, marks))))


def _taken(line: Line, invoice: Header, marks: Marks) -> bool:
    """Whether a payment of this claim is under way, or captured and not yet named by both copies."""
    return line.claim_id in marks.live_claims or any(
        payment not in line.named or payment not in invoice.named for payment in marks.captured.get(line.claim_id, ())
    )


def _free(line: Line, marks: Marks) -> bool:
    held = line.claim_id in marks.disputed or line.claim_id in marks.open_cases
    return line.status in PAYABLE_LINES and line.balance_cents > 0 and not line.pending and not held
