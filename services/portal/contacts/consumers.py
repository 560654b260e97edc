"""What contacts take in: how the mails to them ended (EP-25)."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts import store
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT, NotificationEnded
from shared.messages import Message
from shared.service import Service

MAILS = ("invitation", "access_granted")


def register(service: Service) -> None:
    """The subscription of contacts; called by the portal's `main.py`."""
    service.consume("contacts", {NOTIFICATION_SENT: delivered, NOTIFICATION_FAILED: delivered})


async def delivered(tx: AsyncConnection, messages: Sequence[Message[NotificationEnded]]) -> None:
    """Keeps on the contact how its newest mail ended; mails about anything else are not for us."""
    ours = [said for message in messages if (said := message.body) and said.template in MAILS]
    for said in sorted(ours, key=lambda each: (each.practice_id, each.cause.contact_id or "")):
        of = said.practice_id, said.cause.contact_id or "", said.cause.invite_no or 0
        await store.sending_ended(tx, *of, said.outcome, said.reason, said.sent_at)
