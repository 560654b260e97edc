"""Deposit and payment batches (RP-01, RP-02, RP-07, RP-20). Pure rules."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from shared.money import usd

LONGEST_AGO = timedelta(days=366)  # a year, leap or not: what is older is a slip of the keyboard


class DepositType(StrEnum):
    """How the bank got the money."""

    CHECK = "check"
    EFT = "eft"
    LOCKBOX = "lockbox"
    CARD = "card"
    CASH = "cash"
    OTHER = "other"


class Route(StrEnum):
    """How the postings of a batch come about."""

    MANUAL = "manual"
    ERA = "era"
    EPAYMENT = "epayment"
    TOS = "tos"


class BatchState(StrEnum):
    """A batch is open until it closes at exactly 0.00 out of balance."""

    OPEN = "open"
    CLOSED = "closed"


TRANSITIONS = {BatchState.OPEN: {BatchState.CLOSED}, BatchState.CLOSED: set[BatchState]()}


class NotBalanced(ValueError):
    """A batch that cannot be saved or closed; the words say what is missing, `field` names where the form shows them."""

    def __init__(self, words: str, field: str = "amount") -> None:
        super().__init__(words)
        self.field = field


@dataclass(frozen=True, slots=True)
class Summary:
    """Where a payment batch stands: out of balance = target - payments - unpostables (RP-07)."""

    target_cents: int
    payments_cents: int
    unpostables_cents: int = 0

    @property
    def out_of_balance_cents(self) -> int:
        return self.target_cents - self.payments_cents - self.unpostables_cents

    @property
    def missing(self) -> str | None:
        """What stands against closing, in words."""
        left = self.out_of_balance_cents
        if left > 0:
            return f"Close this payment batch appears at 0.00. Still to post or record as unpostable: {usd(left)}"
        if left < 0:
            return f"Close this payment batch appears at 0.00. Posted beyond the target: {usd(-left)}"
        return None


def check_deposit(
    amount_cents: int, target_cents: int, bank_account_id: str | None, accounts: Collection[str], deposit_date: date, today: date
) -> None:
    """Raises NotBalanced unless the deposit equals the target of its payment batch and names where the money is (RP-01).

    `accounts` are the practice's bank accounts.
    """
    if amount_cents != target_cents:
        words = f"Not saved yet. The targets add up to {usd(target_cents)}; the deposit is {usd(amount_cents)}."
        raise NotBalanced(f"{words} Add payment batches for {usd(amount_cents - target_cents)} or change the deposit amount")
    if amount_cents and not bank_account_id:
        raise NotBalanced("Choose the bank account. UNKNOWN is for a deposit of 0.00 only", "account")
    if bank_account_id and bank_account_id not in accounts:
        raise NotBalanced("Choose one of the practice's bank accounts", "account")
    if deposit_date > today:
        raise NotBalanced("The deposit date is in the future", "day")
    if deposit_date < today - LONGEST_AGO:
        raise NotBalanced("The deposit date is more than a year ago", "day")


def close(state: BatchState, summary: Summary) -> BatchState:
    """The closed state; raises NotBalanced where it is not at exactly 0.00, or closed already."""
    if BatchState.CLOSED not in TRANSITIONS[state]:
        raise NotBalanced("This payment batch is closed already")
    if summary.missing:
        raise NotBalanced(summary.missing)
    return BatchState.CLOSED
