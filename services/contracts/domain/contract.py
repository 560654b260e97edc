"""A payment contract: who may make one, what it covers, how it ends (CF-01, CF-03, CF-04, CF-06). Pure rules."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

MAX_CENTS = 9_999_999  # 99,999.99
SIGN_WITHIN = timedelta(minutes=30)
TOKEN = re.compile(r"tok_[A-Za-z0-9_-]{1,96}")
_NAME = r"[^@\s,;:<>()\[\]\"\\]"
EMAIL = re.compile(rf"{_NAME}{{1,64}}@{_NAME}+\.[^@\s.,;:<>()\[\]\"\\]{{2,}}")


class Kind(StrEnum):
    ONE_YEAR = "oneyear"
    SINGLE_APPOINTMENT = "singleappointment"


class Status(StrEnum):
    AWAITING_SIGNATURE = "awaiting_signature"
    ACTIVE = "active"
    CANCELLED = "cancelled"
    USED_UP = "used_up"
    EXPIRED = "expired"


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.AWAITING_SIGNATURE: frozenset({Status.ACTIVE, Status.CANCELLED}),
    Status.ACTIVE: frozenset({Status.CANCELLED, Status.USED_UP, Status.EXPIRED}),
    Status.CANCELLED: frozenset(),
    Status.USED_UP: frozenset(),
    Status.EXPIRED: frozenset(),
}


class Refused(ValueError):
    """A request that the rules do not allow; `status` is its HTTP status, the words are for the person at the desk."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.status = status


def move(status: Status, to: Status) -> Status:
    """The new status; raises Refused on a move that is not listed."""
    if to not in TRANSITIONS[status]:
        raise Refused(f"A contract that is {status.replace('_', ' ')} cannot become {to.replace('_', ' ')}", 409)
    return to


def one_year_after(day: date) -> date:
    """The last date a one-year contract covers; February 29 ends on February 28."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)


def check_amount(cents: int) -> int:
    """The contract's limit; raises Refused outside 0.01 to 99,999.99."""
    if not 0 < cents <= MAX_CENTS:
        raise Refused("maxamount is more than 0 and at most 99,999.99")
    return cents


def check_account_number(text: str) -> str:
    """A token of the card processor; a card number is refused, whatever stands between its digits (CF-10)."""
    digits = "".join(filter(str.isdigit, text))
    if TOKEN.fullmatch(text):
        return text
    if 13 <= len(digits) <= 19:
        raise Refused("accountnumber is a card number. Send the token that the card processor gave for it")
    raise Refused("accountnumber is the token that the card processor gave for the card")


def check_email(text: str) -> str:
    """An address that mail can be sent to, as far as its text tells (CF-03); ASCII, as every mail server takes it."""
    email = text.strip()
    if len(email) > 254 or not email.isascii() or not email.isprintable() or ".." in email or not EMAIL.fullmatch(email):
        raise Refused("email is an address like ana@example.org")
    return email


def check_agreement(status: Status) -> None:
    """Raises Refused once there is nothing agreed any more: then only the receipt can be mailed (CF-02)."""
    if status not in (Status.AWAITING_SIGNATURE, Status.ACTIVE):
        raise Refused(f"This contract is {status.replace('_', ' ')}, so there is no agreement to mail. Mail its receipt instead", 409)


@dataclass(frozen=True, slots=True)
class Offer:
    """What of a department decides whether a contract can be made there (CF-03, CF-07, CF-11). `shortcomings` says what is missing."""

    contracts_on: bool
    retail_merchant_id: str | None
    card_not_present_merchant_id: str | None
    auto_contract_department_id: str | None
    max_cents: int | None
    accepted_cards: tuple[str, ...]

    @property
    def shortcomings(self) -> list[str]:
        missing = {
            "payment contracts are switched off for this practice": not self.contracts_on,
            "the department has no retail merchant id": not self.retail_merchant_id,
            "the department has no card-not-present merchant id": not self.card_not_present_merchant_id,
            "the department has no auto-contract department": not self.auto_contract_department_id,
            "this kind of contract is not offered here": not self.max_cents,
        }
        return [words for words, wrong in missing.items() if wrong]


def signable(status: Status, created_at: datetime, now: datetime) -> None:
    """Raises Refused once the 30 minutes of the business clock are over (CF-04)."""
    if status is not Status.AWAITING_SIGNATURE or now - created_at >= SIGN_WITHIN:
        raise Refused("This contract was cancelled because no signature came within 30 minutes. Nothing is charged. Make a new one", 409)


def covers(contract_date: date, expires_on: date, service_date: date) -> bool:
    """Claims incurred within one year of the contract date (CF-01)."""
    return contract_date <= service_date <= expires_on
