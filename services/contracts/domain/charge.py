"""A contract's charge on one claim, from its notice to the capture (CF-05, CF-06, events: contract charge). Pure rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from shared.events.contracts import NOTICE_DAYS

RETRY_DAYS = (1, 3, 5)  # after a soft decline


class ChargeStatus(StrEnum):
    SCHEDULED = "scheduled"
    NOTICED = "noticed"
    DUE = "due"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    CHARGED = "charged"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    PAUSED = "paused"


S = ChargeStatus
TRANSITIONS: dict[S, frozenset[S]] = {
    S.SCHEDULED: frozenset({S.NOTICED, S.PAUSED, S.WITHDRAWN}),
    S.NOTICED: frozenset({S.DUE, S.PAUSED, S.WITHDRAWN}),
    S.DUE: frozenset({S.SUBMITTED, S.PAUSED, S.WITHDRAWN}),
    S.SUBMITTED: frozenset({S.UNKNOWN}),
    S.UNKNOWN: frozenset({S.CHARGED, S.FAILED, S.DUE}),
    S.PAUSED: frozenset({S.SCHEDULED, S.WITHDRAWN}),
    S.CHARGED: frozenset(),
    S.FAILED: frozenset(),
    S.WITHDRAWN: frozenset(),
}
BEFORE_THE_CALL = frozenset({S.SCHEDULED, S.NOTICED, S.DUE, S.PAUSED})
UNDER_WAY = frozenset({S.SUBMITTED, S.UNKNOWN})
COUNTED = UNDER_WAY | {S.CHARGED}  # against limit and balance


class WrongMove(ValueError):
    """A charge cannot go there from where it is."""


def move(status: S, to: S) -> S:
    """The new status; raises WrongMove on a move that is not listed."""
    if to not in TRANSITIONS[status]:
        raise WrongMove(f"a charge that is {status} cannot become {to}")
    return to


@dataclass(frozen=True, slots=True)
class Balance:
    """Posting's word on a claim, as the copy has it."""

    version: int
    voided: bool
    adjudicated: bool
    adjudication_no: int
    patient_cents: int


@dataclass(frozen=True, slots=True)
class Taken:
    """One charge of a claim, for the sums: `posted` as payment.state says, None while it has not named the claim."""

    status: S
    adjudication_no: int
    submitted_cents: int
    posted: "Posted | None" = None


@dataclass(frozen=True, slots=True)
class Posted:
    """What payment.state says of a charge's money on the claim."""

    balances_version: int
    credited_cents: int


def own_cents(balance: Balance, charges: Sequence[Taken]) -> int:
    """Own captures that the balance copy does not contain yet; what of a contained one is credit still counts."""
    total = 0
    for charge in charges:
        if charge.status in COUNTED:
            contained = charge.posted is not None and balance.version >= charge.posted.balances_version
            total += charge.posted.credited_cents if contained and charge.posted else charge.submitted_cents
    return total


def to_notice(balance: Balance, charges: Sequence[Taken], left_cents: int) -> int:
    """What a new notice would name, 0 for none: one charge at a time; a later increase gets its own after the earlier was charged or withdrawn.

    A card that was declined for good is not asked again for the same adjudication.
    """
    if balance.voided or not balance.adjudicated or any(c.status in BEFORE_THE_CALL | UNDER_WAY for c in charges):
        return 0
    if any(c.adjudication_no == balance.adjudication_no and c.status is S.FAILED for c in charges):
        return 0
    return max(0, min(balance.patient_cents - own_cents(balance, charges), left_cents))


def to_charge(noticed_cents: int, adjudication_no: int, balance: Balance, others: Sequence[Taken], left_cents: int) -> int:
    """What is charged now, 0 for nothing: min(noticed, balance less own captures, left), only on the noticed adjudication (CF-06)."""
    if balance.voided or not balance.adjudicated or balance.adjudication_no != adjudication_no:
        return 0
    return max(0, min(noticed_cents, balance.patient_cents - own_cents(balance, others), left_cents))


def reversed_by(balance: Balance, adjudication_no: int) -> bool:
    """Whether a balance takes away the ground of a charge that was noticed on `adjudication_no`."""
    return balance.voided or not balance.adjudicated or balance.adjudication_no > adjudication_no


def retry_in(decline: str, declines: int) -> timedelta | None:
    """When a declined charge is tried again: after a soft decline a few times, after a hard one never (CF-08)."""
    return timedelta(days=RETRY_DAYS[declines - 1]) if decline == "soft" and declines <= len(RETRY_DAYS) else None


def due_on(sent_on: date) -> date:
    """Five practice-local days after the notice was sent."""
    return sent_on + timedelta(days=NOTICE_DAYS)
