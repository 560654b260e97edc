"""What leaves for a person's mailbox or telephone: sealed, so that only the notifier can read it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.portal.contacts.store import Contact
from shared import sealing
from shared.events.portal import (
    CONTACT_INVITED,
    PASSWORD_RESET_REQUESTED,
    SIGNIN_CODE_REQUESTED,
    ContactInvited,
    PasswordResetRequested,
    SigninCodeRequested,
)
from shared.outbox import Outgoing


@dataclass(frozen=True)
class Letters:
    """How letters are made: where links lead, and the key to which they are sealed."""

    portal_url: str
    public_key: str

    def page(self, path: str) -> str:
        return f"{self.portal_url.rstrip('/')}/employerportal/{path}"

    def invitation(self, contact: Contact, token: str, now: datetime) -> Outgoing:
        """The invitation with its link (EP-25)."""
        return self._invited(contact, "invitation", self.page(f"register/{token}"), now)

    def access(self, contact: Contact, now: datetime) -> Outgoing:
        """Word that an account was added to a log-in that is there already."""
        return self._invited(contact, "access_granted", self.page("login"), now)

    def code(
        self, practice_id: str, person_id: str, code_id: str, purpose: Literal["registration", "reset"], phone: str, digits: str, expires_at: datetime
    ) -> Outgoing:
        """A code by text message."""
        body = SigninCodeRequested(
            practice_id=practice_id,
            person_id=person_id,
            code_id=code_id,
            purpose=purpose,
            channel="sms",
            expires_at=expires_at,
            sealed=sealing.seal(self.public_key, {"to": phone, "code": digits}),
        )
        return Outgoing(SIGNIN_CODE_REQUESTED, body)

    def reset(self, practice_id: str, person_id: str, reset_id: str, email: str, token: str, expires_at: datetime) -> Outgoing:
        """A reset link."""
        body = PasswordResetRequested(
            practice_id=practice_id,
            person_id=person_id,
            reset_id=reset_id,
            expires_at=expires_at,
            sealed=sealing.seal(self.public_key, {"to": email, "link": self.page(f"reset/{token}")}),
        )
        return Outgoing(PASSWORD_RESET_REQUESTED, body)

    def _invited(self, contact: Contact, kind: Literal["invitation", "access_granted"], link: str, now: datetime) -> Outgoing:
        body = ContactInvited(
            practice_id=contact.practice_id,
            contact_id=contact.contact_id,
            account_id=contact.account_id,
            invite_no=contact.invite_no,
            kind=kind,
            invited_at=now,
            sealed=sealing.seal(self.public_key, {"to": contact.email, "link": link}),
        )
        return Outgoing(CONTACT_INVITED, body)
