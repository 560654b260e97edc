"""The sender: takes waiting mails, decides each from the state now, hands it to SMTP or the texting service, and says how it ended.

The outcome is written after the mail was accepted. A crash in between repeats the mail under the same Message-ID, by which mailboxes
drop repeats; never is a mail marked as sent that was not.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.header import Header
from email.headerregistry import HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import Policy, default
from email.utils import formataddr
from typing import Any

import aiosmtplib
import httpx
import jinja2
from prometheus_client import Counter
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import copies, tables
from services.notifier.letters import Decision, Letter, Skip, decide_mail
from services.notifier.settings import Settings
from shared import ids, outbox, telemetry
from shared.clock import Clock, local_date
from shared.db import Database, passing
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT, NotificationCause, NotificationEnded
from shared.outbox import Outgoing

log = logging.getLogger(__name__)
ENDED = Counter("billfold_mails", "Mails by how they ended", ["template", "outcome"])

AT_ONCE = 8
REMOTE_SECONDS = 15.0  # for all steps of handing a mail over together, so that nobody is at it still when the lease is over
LEASE = timedelta(seconds=20)  # after which a mail whose sender died is taken again
WAIT = timedelta(seconds=1)  # for a copy that has not arrived
TRIES = 100  # a day and more at the longest pause: a dead mail server loses nothing
LONGEST_PAUSE = timedelta(minutes=15)


class Subject(UniqueUnstructuredHeader):
    """A subject that is read back exactly as written.

    The library's own folding may leave the first line empty, which begins the subject with a blank, and may lose blanks between words of
    other scripts.
    """

    name: str

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {Header(str(self), header_name=self.name).encode(linesep=policy.linesep)}{policy.linesep}"


HEADERS = HeaderRegistry()
HEADERS.map_to_type("subject", Subject)  # type: ignore[arg-type]  # the registry adds BaseHeader itself


class Refused(Exception):
    """The mail server will never take this mail; the words say why."""


@dataclass(frozen=True)
class Sender:
    """What sending needs."""

    db: Database
    clock: Clock
    settings: Settings
    env: jinja2.Environment
    http: httpx.AsyncClient

    async def run_once(self) -> int:
        """Sends what waits, several at once so that one slow recipient holds up no other; returns how many ended."""
        async with self.db.begin() as tx:
            due = await _due(tx, self.clock.system())
        ended = 0
        for start in range(0, len(due), AT_ONCE):
            ended += sum(await asyncio.gather(*(self._safely(*key) for key in due[start : start + AT_ONCE])))
        return ended

    async def _safely(self, practice_id: str, mail_id: str) -> bool:
        """One mail; what is wrong with it holds up no other, is tried again later, and in the end has failed as a dead mail server has."""
        mail = None
        try:
            mail, decision = await self._lease(practice_id, mail_id)
            if not isinstance(decision, Letter):
                return isinstance(decision, Skip)
            with telemetry.span(f"mail {mail.template}", parent=mail.trace, links=mail.facts.get("links", [])):
                return await self._send(mail, decision)
        except Exception as error:
            if passing(error):
                raise
            log.exception("mail %s cannot be made", mail_id)
        async with self.db.begin() as tx:
            known = mail or await _take(tx, practice_id, mail_id, self.clock.system())
            if known is None:
                return False
            tries = known.attempts + (mail is None)  # a lease has counted this one
            if tries >= TRIES:
                return await self._end(tx, known, "failed", "it could not be made")
            await _change(tx, known, attempts=tries, next_try_at=self.clock.system() + _pause(tries))
        return False

    async def _lease(self, practice_id: str, mail_id: str) -> tuple[Any, Decision]:
        """A mail that is nobody's, decided: one to be sent is ours for a while, one that is skipped has ended."""
        async with self.db.begin() as tx:
            mail = await _take(tx, practice_id, mail_id, self.clock.system())
            if mail is None:
                return None, None
            decision = await decide_mail(tx, mail, self.clock, self.settings)
            if isinstance(decision, Letter):
                return await _change(tx, mail, attempts=mail.attempts + 1, next_try_at=self.clock.system() + LEASE), decision
            if isinstance(decision, Skip):
                await self._end(tx, mail, "skipped", decision.reason)
            else:
                await _change(tx, mail, next_try_at=self.clock.system() + WAIT)
            return mail, decision

    async def _send(self, mail: Any, letter: Letter) -> bool:
        words = self._write(mail, letter)
        try:
            async with asyncio.timeout(REMOTE_SECONDS):
                if mail.channel == "sms":
                    await self._text(letter, words.get_content())
                else:
                    await self._post(words)
        except Refused as error:
            return await self._finish(mail, letter, "failed", str(error))
        except (OSError, aiosmtplib.SMTPException, httpx.HTTPError) as error:
            log.warning("mail %s not sent yet, attempt %d: %s", mail.mail_id, mail.attempts, type(error).__name__)
            return await self._try_later(mail, letter)
        return await self._finish(mail, letter, "sent", None, words["Subject"])

    async def _post(self, message: EmailMessage) -> None:
        try:
            await aiosmtplib.send(message, **self.settings.smtp_options(), timeout=REMOTE_SECONDS)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError) as error:  # other refusals are the server's trouble, not the mail's
            codes = [each.code for each in error.recipients] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else [error.code]
            if all(code >= 500 for code in codes):
                raise Refused(f"the mail server refused it with code {codes[0]}") from error
            raise

    async def _text(self, letter: Letter, words: str) -> None:
        answer = await self.http.post(self.settings.sms_url, json={"to": letter.to, "text": words.strip()})
        if answer.status_code in (400, 422):
            raise Refused("the number is not one that takes texts")
        answer.raise_for_status()

    async def _try_later(self, mail: Any, letter: Letter) -> bool:
        if mail.attempts >= TRIES:
            return await self._finish(mail, letter, "failed", "the mail server did not take it for too long")
        async with self.db.begin() as tx:
            await _change(tx, mail, next_try_at=self.clock.system() + _pause(mail.attempts))
        return False

    async def _finish(self, mail: Any, letter: Letter, outcome: str, reason: str | None, subject: str | None = None) -> bool:
        async with self.db.begin() as tx:
            ended = await self._end(tx, mail, outcome, reason, letter.to if mail.template != "code" else None, subject)
            if ended and outcome == "sent" and letter.told:
                # Two digests of one contact may name the same items, and go out at the same moment: in one order, and once each.
                whose = {"practice_id": mail.practice_id, "contact_id": mail.facts["contact_id"], "mail_id": mail.mail_id}
                rows = [item | whose for item in sorted(letter.told, key=lambda item: (item["invoice_id"], item["kind"], item["issue_no"]))]
                await tx.execute(insert(tables.told).values(rows).on_conflict_do_nothing())
        return ended

    async def _end(self, tx: AsyncConnection, mail: Any, outcome: str, reason: str | None, to: str | None = None, subject: str | None = None) -> bool:
        practice = await copies.practice(tx, mail.practice_id)
        now = self.clock.business()
        # What was sealed is of no use any more; the log keeps no link and no code.
        kept = {name: value for name, value in mail.facts.items() if name != "sealed"}
        ended = {"state": outcome, "reason": reason, "recipient": to, "subject": subject, "ended_at": now, "facts": kept}
        if not await _change(tx, mail, **ended):
            return False
        body = NotificationEnded(
            practice_id=mail.practice_id,
            notification_id=mail.mail_id,
            template=mail.template,
            channel=mail.channel,
            outcome=outcome,  # type: ignore[arg-type]
            reason=reason,
            sent_on=local_date(now, practice["zone"] if practice else "UTC"),
            sent_at=now,
            cause=NotificationCause(**mail.cause),
        )
        topic = NOTIFICATION_SENT if outcome == "sent" else NOTIFICATION_FAILED
        await outbox.append(tx, now, [Outgoing(topic, body, telemetry.traceparent() if outcome == "sent" else mail.trace)])
        ENDED.labels(mail.template, outcome).inc()
        return True

    def _write(self, mail: Any, letter: Letter) -> EmailMessage:
        """The mail: text and HTML of the same content, the subject in the text template's first line."""
        subject, _, plain = self.env.get_template(f"{letter.template}.txt.j2").render(letter.context).partition("\n")
        message = EmailMessage(default.clone(header_factory=HEADERS))
        practice = letter.context["practice"]
        message["Subject"] = _one_line(subject).strip()
        message["From"] = formataddr((_one_line(practice["display_name"]), self.settings.mail_sender))
        message["To"] = letter.to
        message["Message-ID"] = f"<{mail.mail_id}@{self.settings.mail_sender.partition('@')[2]}>"
        message["X-Billfold-Key"] = ids.derived(mail.practice_id, mail.key)
        if billing := practice["staff_addresses"].get("billing"):
            message["Reply-To"] = _one_line(billing)
        message.set_content(plain.lstrip("\n"))
        if mail.channel == "email":
            html = self.env.get_template(f"{letter.template}.html.j2").render(letter.context | {"subject": subject.strip()})
            message.add_alternative(html, subtype="html")
        return message


async def _due(tx: AsyncConnection, now: datetime, limit: int = 200) -> Sequence[tuple[str, str]]:
    mail = tables.mails.c
    waiting = select(mail.practice_id, mail.mail_id).where(mail.state == "waiting", mail.next_try_at <= now).order_by(mail.next_try_at).limit(limit)
    return [(row.practice_id, row.mail_id) for row in await tx.execute(waiting)]


async def _take(tx: AsyncConnection, practice_id: str, mail_id: str, now: datetime) -> Any:
    mail = tables.mails.c
    where = (mail.practice_id == practice_id, mail.mail_id == mail_id, mail.state == "waiting", mail.next_try_at <= now)
    return (await tx.execute(select(tables.mails).where(*where).with_for_update(skip_locked=True))).one_or_none()


async def _change(tx: AsyncConnection, mail: Any, **values: Any) -> Any:
    """The mail as it is now; None where it has ended, or somebody took it after us. That it was sent stays true whoever has it."""
    row = tables.mails.c
    where = [row.practice_id == mail.practice_id, row.mail_id == mail.mail_id, row.state == "waiting"]
    if values.get("state") != "sent":
        where.append(row.attempts == mail.attempts)
    return (await tx.execute(update(tables.mails).where(*where).values(values).returning(tables.mails))).one_or_none()


def _one_line(text: str) -> str:
    """For a header, which takes no line break of any script."""
    return " ".join(text.splitlines())


def _pause(tries: int) -> timedelta:
    return min(timedelta(seconds=2 ** min(tries, 12)), LONGEST_PAUSE)
