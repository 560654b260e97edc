"""Holds: the reasons, as rows, why a claim waits; who asked, and what a re-drop closes."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.invoicing.domain.claim import Marks, Refused
from shared.events.invoicing import RedropOutcome
from shared.events.types import HoldSource

ACT_WITHIN = 5  # business days that staff have (BX-06)

# By dispute code: what the payer chose, and what it means to staff (EP-28).
REASONS: dict[str, tuple[str, str]] = {
    "EM": ("Incorrect employee/patient", "The payer does not know this person, or the service went to somebody else."),
    "DN": ("Additional documentation needed", "The payer asks for documents before it pays: lab result, chain of custody, exam outcome."),
    "WA": ("Incorrect charge amount", "The charge is not the rate agreed in the contract."),
    "CH": ("Incorrect service", "The procedure is wrong, or not part of the payer's protocol."),
    "AP": ("Charge already paid", "The payer says that this was paid before."),
    "XX": ("Other", "The payer denies the claim; its note says why."),
}
CONFLICT = ("CONFLICT", "The practice's system billed other amounts than staff had corrected. Somebody has to decide.")
OUTCOME_WORDS: dict[RedropOutcome, str] = {
    "corrected": "charges corrected",
    "written_off": "written off",
    "answered": "answered without a change",
    "released": "released without a change",
}
WRITE_OFF_REASONS = ("Contracted rate", "Courtesy", "Duplicate charge", "Small balance", "Timely filing")


@dataclass(frozen=True, slots=True)
class Hold:
    """One open reason to hold; `pm_version` orders the other system's holds and releases, `hold_no` ours."""

    hold_id: str
    hold_no: int
    source: HoldSource
    dispute_id: str | None
    pm_version: int
    kick_code: str
    reason: str
    note: str | None
    held_at: datetime
    act_by: date


@dataclass(frozen=True, slots=True)
class Redrop:
    """A re-drop whose invoice is to be sent again: not before `on`, nor before posting covers content and all write-offs of the claim."""

    content: tuple[int, int]
    write_offs: tuple[str, ...]
    on: date


def reason_words(code: str) -> str:
    """What a kick code says to staff; an unknown code of another system stands for itself."""
    return REASONS[code][1] if code in REASONS else f"Held by the practice's system with code {code}."


def act_by(held_on: date, holidays: Collection[date]) -> date:
    """The date ACT_WITHIN business days after `held_on`: the last that staff have (BX-06)."""
    day, left = held_on, ACT_WITHIN
    while left:
        day += timedelta(days=1)
        left -= _is_business_day(day, holidays)
    return day


def business_days_left(today: date, due: date, holidays: Collection[date]) -> int:
    """Business days after today up to and with `due`; below 0 counts calendar days late."""
    if due < today:
        return (due - today).days
    days = (today + timedelta(days=n) for n in range(1, (due - today).days + 1))
    return sum(_is_business_day(day, holidays) for day in days)


def _is_business_day(day: date, holidays: Collection[date]) -> bool:
    return day.weekday() < 5 and day not in holidays


def pm_hold(marks: Marks, version: int) -> bool | None:
    """The other system's hold: True holds, False is heard but released since, None is old news."""
    if version <= marks.hold_version:
        return None
    return version > marks.redrop_version


def closed_by_pm(holds: Iterable[Hold], version: int, dispute_id: str | None) -> list[Hold]:
    """What a release by the other system closes: its own holds up to that version, and of ours the dispute that it names."""
    return [
        hold
        for hold in holds
        if (hold.pm_version <= version if hold.source == "pm" else hold.dispute_id is not None and hold.dispute_id == dispute_id)
    ]


def disputable(withdrawn: bool, balance_cents: int, holds: Iterable[Hold]) -> bool:
    """Whether a dispute holds its claim; otherwise it is closed at once (EP-16: a balance, and no open dispute)."""
    return not withdrawn and balance_cents > 0 and not any(hold.source == "dispute" for hold in holds)


def check_write_off(asked_cents: int, reason: str, open_cents: int) -> None:
    """Raises Refused unless the amount is above 0, no more than is open, and has one of our reasons: it goes to readers who may see no free text."""
    if asked_cents <= 0:
        raise Refused("Enter an amount above 0.00 to write off")
    if reason not in WRITE_OFF_REASONS:
        raise Refused(f"Choose a reason for the write-off: {', '.join(WRITE_OFF_REASONS)}")
    if asked_cents > open_cents:
        raise Refused("The write-off is more than what is left of the claim")


def outcome_of(changed: bool, written_off: bool, disputed: bool) -> RedropOutcome:
    """How a re-drop ended the case, by the strongest thing that was done."""
    if changed:
        return "corrected"
    if written_off:
        return "written_off"
    return "answered" if disputed else "released"
