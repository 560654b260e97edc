"""What notifier says: how each notification ended."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from shared.events import Topic
from shared.events.types import Instant

Template = Literal[
    "invoice_digest",
    "invitation",
    "access_granted",
    "code",
    "password_reset",
    "receipt",
    "contract_notice",
    "contract_receipt",
    "contract_copy",
    "contract_declined",
    "contract_declined_staff",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationCause:
    """What the notification was about: only the ids of its kind are filled."""

    kind: str
    invoice_id: str | None = None
    issue_no: int | None = None
    contact_id: str | None = None
    invite_no: int | None = None
    person_id: str | None = None
    code_id: str | None = None
    payment_id: str | None = None
    contract_id: str | None = None
    charge_id: str | None = None
    notice_no: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationEnded:
    """Sent, decided against (skipped) or given up (failed); `bounced` is reserved, nothing says it yet. `sent_on` is the practice-local date."""

    practice_id: str
    notification_id: str
    template: Template
    channel: Literal["email", "sms", "voice"]
    outcome: Literal["sent", "skipped", "failed", "bounced"]
    reason: str | None
    sent_on: date
    sent_at: Instant
    cause: NotificationCause


NOTIFICATION_SENT = Topic("notification.sent", NotificationEnded, "notification_id", "notifier")
NOTIFICATION_FAILED = Topic("notification.failed", NotificationEnded, "notification_id", "notifier")
