"""An invoice: what is payable, what it is called, how its payments stand (EP-12, EP-29)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal, cast

from services.invoicing.domain.money import Money
from shared.events.invoicing import InvoicePayment, InvoiceState, Issue, IssueKind
from shared.events.posting import PaymentState
from shared.events.types import InvoiceStatus, LineStatus


class Fact(StrEnum):
    """What can happen to an invoice as a whole; `closed` may happen again after it was re-opened."""

    NEW = "new"
    REISSUED = "reissued"
    OVERDUE = "overdue"
    OVERDUE_AGAIN = "overdue_again"
    CLOSED = "closed"


SENDINGS = (Fact.NEW, Fact.REISSUED, Fact.OVERDUE_AGAIN)  # those that print and keep a paper


@dataclass(frozen=True, slots=True)
class Line:
    """What of a line counts on its invoice."""

    money: Money
    held: bool
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class Paid:
    """A captured payment as far as it counts on one invoice."""

    payment_id: str
    asked_cents: int
    applied_cents: int
    standing: Literal["pending", "posted"]
    on: date


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it stands, with what of its account decides about it; `state` is None before it was first published.

    `restart_days` are the account's net days where a re-issue restarts the terms.
    """

    practice_id: str
    invoice_id: str
    number: str
    account_id: str
    status: str
    first_billed_on: date
    last_billed_on: date
    due_on: date
    overdue_on: date | None
    told_on: date | None
    closing_no: int
    original_cents: int
    overdue_again_days: int
    restart_days: int | None
    trace: str | None
    state: InvoiceState | None
    issues: tuple[Issue, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.practice_id, self.invoice_id


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of an invoice: the state to publish, what happened to it, and when its recipients were last told overdue."""

    state: InvoiceState
    facts: tuple[Fact, ...]
    told_on: date | None


@dataclass(frozen=True, slots=True)
class Totals:
    """An invoice's sums over its live lines, in cents."""

    claims: int
    held_claims: int
    money: Money
    held_cents: int
    pending_cents: int = 0

    @property
    def payable_cents(self) -> int:
        return max(0, self.money.balance - self.held_cents - self.pending_cents)


def status(sums: Totals, due_on: date, today: date) -> InvoiceStatus:
    """The first that holds of Closed, Pending, In-Review, Overdue, Due (EP-12)."""
    if sums.money.balance == 0:
        return "closed"
    if sums.pending_cents:
        return "pending"
    if sums.held_claims:
        return "in_review"
    return "overdue" if is_overdue(due_on, today) else "due"


def line_status(line: Line, due_on: date, today: date) -> LineStatus:
    """What a claim shows on its invoice (EP-29)."""
    if line.withdrawn:
        return "withdrawn"
    if line.money.balance == 0:
        return "closed"
    if line.held:
        return "in_review"
    return "overdue" if is_overdue(due_on, today) else "due"


def due_on(billed_on: date, net_days: int) -> date:
    """The day by which to pay."""
    return billed_on + timedelta(days=net_days)


def due_after_reissue(invoice: Invoice, today: date) -> date:
    """A re-issue moves the day by which to pay only where the account says that it restarts the terms (EP-12)."""
    return invoice.due_on if invoice.restart_days is None else due_on(today, invoice.restart_days)


def is_overdue(due: date, today: date) -> bool:
    """From the day after due-by."""
    return today > due


def reminder(now: InvoiceStatus, told_on: date | None, again_days: int, today: date) -> Fact | None:
    """Whether to say that an invoice is overdue: once, then again after the account's days (EP-01, EP-18)."""
    if now != "overdue":
        return None
    if told_on is None:
        return Fact.OVERDUE
    return Fact.OVERDUE_AGAIN if today >= told_on + timedelta(days=again_days) else None


def payment_standing(parts_heard: int, parts: int, state: PaymentState | None, behind: int) -> Literal["pending", "posted"]:
    """How a captured payment stands. `behind` counts claims whose balance copy has not reached the version that posting named."""
    complete = state is not None and parts_heard >= parts and state.parts_posted >= state.parts and state.waiting_cents == 0
    return "posted" if complete and not behind else "pending"


def turn(invoice: Invoice, sums: Totals, paid: Sequence[Paid], told: Fact | None, remind: bool, today: date) -> Turn | None:
    """The invoice's next state and facts, or None where nothing changes. `told` is what happens to it now; a closed one is not sent again."""
    pending = sum(each.asked_cents for each in paid if each.standing == "pending")
    sums = replace(sums, pending_cents=pending)
    due = due_after_reissue(invoice, today) if told is Fact.REISSUED and sums.money.balance else invoice.due_on
    if due != invoice.due_on:  # the new day is told overdue for the first time again
        invoice = replace(invoice, due_on=due, overdue_on=None, told_on=None)
    now = status(sums, due, today)
    closing = now == "closed" and invoice.status != "closed"
    fact = told or (reminder(now, invoice.told_on, invoice.overdue_again_days, today) if remind else None)
    if now == "closed":
        fact = None
    issues = list(invoice.issues)
    if fact in SENDINGS:
        issues.append(Issue(no=len(issues) + 1, kind=cast(IssueKind, fact.value), on=today, total_cents=sums.money.balance))
    state = InvoiceState(
        practice_id=invoice.practice_id,
        invoice_id=invoice.invoice_id,
        version=invoice.state.version if invoice.state else 0,
        number=invoice.number,
        account_id=invoice.account_id,
        status=now,
        first_billed_on=invoice.first_billed_on,
        last_billed_on=today if fact == Fact.REISSUED else invoice.last_billed_on,
        due_on=invoice.due_on,
        overdue_on=invoice.overdue_on or (today if fact == Fact.OVERDUE else None),
        closing_no=invoice.closing_no + closing,
        issues=issues,
        claims=sums.claims,
        held_claims=sums.held_claims,
        original_cents=invoice.original_cents,
        charged_cents=sums.money.charged,
        paid_cents=sums.money.paid,
        adjusted_cents=sums.money.adjusted,
        transferred_in_cents=sums.money.transferred_in,
        transferred_out_cents=sums.money.transferred_out,
        balance_cents=sums.money.balance,
        held_cents=sums.held_cents,
        pending_cents=pending,
        payable_cents=sums.payable_cents,
        payments=[_shown(each) for each in paid],
    )
    facts = tuple(each for each in (fact, Fact.CLOSED if closing else None) if each)
    if state == invoice.state and not facts:
        return None
    told_on = today if fact in (Fact.OVERDUE, Fact.OVERDUE_AGAIN) else invoice.told_on
    return Turn(replace(state, version=state.version + 1), facts, told_on)


def _shown(paid: Paid) -> InvoicePayment:
    return InvoicePayment(
        payment_id=paid.payment_id,
        asked_cents=paid.asked_cents,
        applied_cents=paid.applied_cents,
        credited_cents=max(0, paid.asked_cents - paid.applied_cents) if paid.standing == "posted" else 0,
        refunded_cents=0,
        state=paid.standing,
        on=paid.on,
    )
