"""Corporate accounts: terms, dates and the rhythm of billing (EP-01, EP-32)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from services.invoicing.domain.claim import Refused
from shared.events.invoicing import Frequency, Mask
from shared.events.types import Address

RESEND_DAYS = (60, 200)
ONE_LINE = "Use plain characters on one line. If you pasted the text, type it anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An employer's account as staff keep it. `weekday` 0 is Monday; `month_day` 1 to 28."""

    practice_id: str
    account_id: str
    version: int
    name: str
    address: Address
    phone: str
    net_days: int
    reissue_restarts_terms: bool
    payer_ids: tuple[str, ...]
    po_number: str | None
    frequency: Frequency
    weekday: int | None
    month_day: int | None
    next_run_on: date | None
    effective_on: date | None
    expires_on: date | None
    show_adjustments: bool
    overdue_again_days: int
    cover_sheet: bool
    mask: Mask


def check(account: Account) -> None:
    """Raises Refused with the first thing that is wrong."""
    first, last = RESEND_DAYS
    address = account.address
    texts = (account.name, account.phone, account.po_number, address.line1, address.line2, address.city, address.state, address.zip)
    problems = [
        (not account.name.strip(), "Enter the employer's name"),
        (not all(text.isprintable() for text in texts if text), ONE_LINE),
        (not 0 <= account.net_days <= 365, "Payment terms are 0 to 365 days"),
        (not account.payer_ids, "Enter at least one payer id whose claims this account pays"),
        (account.frequency == "weekly" and account.weekday not in range(7), "Choose the weekday of the weekly run"),
        (account.frequency == "monthly" and account.month_day not in range(1, 29), "Choose the day of the monthly run, 1 to 28"),
        (not first <= account.overdue_again_days <= last, f"Overdue invoices are sent again after {first} to {last} days"),
        (bool(account.effective_on and account.expires_on and account.expires_on < account.effective_on), "The account ends before it starts"),
    ]
    for wrong, words in problems:
        if wrong:
            raise Refused(words)


def next_run(account: Account, after: date) -> date:
    """The first day after `after` on which the account is billed."""
    day = after + timedelta(days=1)
    while not bills_on(account, day):
        day += timedelta(days=1)
    return day


def first_run(account: Account, today: date) -> date:
    """When a new rhythm starts: today, if it is one of its days."""
    return today if bills_on(account, today) else next_run(account, today)


def bills_on(account: Account, day: date) -> bool:
    """Whether this is one of the account's days."""
    match account.frequency:
        case "daily":
            return True
        case "weekly":
            return day.weekday() == account.weekday
        case "monthly":
            return day.day == account.month_day


def in_term(account: Account, service_date: date) -> bool:
    """Whether the account pays for services of this day; a missing date sets no limit."""
    return (account.effective_on or date.min) <= service_date <= (account.expires_on or date.max)


def standing(account: Account, today: date) -> str:
    """`active`, `not yet active` or `expired`, for the account's page."""
    if account.effective_on and today < account.effective_on:
        return "not yet active"
    return "expired" if account.expires_on and today > account.expires_on else "active"


def why_not_billed(today: date, billed_on: date, service_date: date, account: Account, held: bool, left_out: bool) -> str | None:
    """Why the run leaves a claim out, in words; None where it takes it."""
    if held:
        return "on HOLD"
    if left_out:
        return "left out by staff"
    if billed_on > today:
        return "billed on a later day"
    return None if in_term(account, service_date) else "service date outside the account's dates"


def taken_payers(account: Account, others: Collection[tuple[str, str]]) -> None:
    """Raises Refused when a payer id belongs to another account: `others` are (payer id, account name)."""
    for payer_id, name in others:
        if payer_id in account.payer_ids:
            raise Refused(f"Payer id {payer_id} belongs to {name}")
