"""A mail that takes long, and a sender who is late: nobody spoils what another has in hand (NT-02, NT-03)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from deploy.local.places import free_port
from services.notifier import sender, tables
from services.notifier.sender import LEASE, Sender
from shared.events.invoicing import INVOICE_ISSUED, INVOICE_STATE
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT
from tests.notifier.conftest import Notifier, contact, invoice, issued
from tests.notifier.test_mails import ready

STEP = 0.06
MAIL = "SELECT state, attempts, next_try_at FROM mails"


@pytest.fixture
async def waiting(notifier: Notifier) -> Notifier:
    """One digest is to be sent."""
    await ready(notifier, contact())
    await notifier.give(INVOICE_STATE, invoice())
    await notifier.give(INVOICE_ISSUED, issued())
    notifier.clock.move(days=1)
    assert await notifier.digests() == 1
    return notifier


@pytest.fixture
async def slow() -> AsyncIterator[int]:
    """The port of a mail server that takes its time for every step."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # whoever asked has gone
            for answer in (b"220 here", b"250 here", b"250 yes", b"250 yes", b"354 go on", b"250 taken", b"221 bye"):
                await asyncio.sleep(STEP)
                writer.write(answer + b"\r\n")
                await (reader.readuntil(b"\r\n.\r\n") if answer.startswith(b"354") else reader.readline())
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield port


@pytest.mark.req("NT-02")
async def test_a_server_that_is_slow_in_every_step_is_given_up_before_the_lease_is_over(
    waiting: Notifier, slow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(seconds=sender.REMOTE_SECONDS) < LEASE
    monkeypatch.setattr(sender, "REMOTE_SECONDS", 3 * STEP)  # enough for each step, not for all
    assert await replace(waiting.sender, settings=replace(waiting.sender.settings, smtp_port=slow)).run_once() == 0  # type: ignore[type-var]
    assert [(row.state, row.attempts) for row in await waiting.rows(MAIL)] == [("waiting", 1)]
    waiting.clock.move(seconds=2)
    assert await waiting.send() == 1


@pytest.mark.req("NT-02", "BX-02")
async def test_of_two_who_sent_the_same_mail_the_later_one_finds_it_sent(
    waiting: Notifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    both = []

    async def post(self: Sender, message: Any) -> None:
        both.append(message["Message-ID"])
        if len(both) == 1:  # the first stands still for so long that the second takes the mail, and ends first
            waiting.clock.now += LEASE
            assert await waiting.send() == 1

    monkeypatch.setattr(Sender, "_post", post)
    assert await waiting.send() == 0
    assert len(both) == 2 and len(set(both)) == 1
    assert "cannot be made" not in caplog.text
    assert len(await waiting.said(NOTIFICATION_SENT)) == len(await waiting.rows("SELECT 1 FROM told")) == 1


@pytest.mark.req("NT-02")
@pytest.mark.parametrize("error", [ConnectionResetError("away"), ValueError("our mistake"), sender.Refused("no such person")])
async def test_who_fails_after_another_took_the_mail_leaves_it_to_that_one(
    waiting: Notifier, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    taken, go = asyncio.Event(), asyncio.Event()
    posts, second = [], []

    async def post(self: Sender, message: Any) -> None:
        posts.append(message)
        if len(posts) == 1:
            waiting.clock.now += LEASE
            second.append(asyncio.create_task(waiting.send()))
            await taken.wait()
            raise error
        taken.set()
        await go.wait()

    monkeypatch.setattr(Sender, "_post", post)
    assert await waiting.send() == 0
    [mail] = await waiting.rows(MAIL)
    assert (mail.state, mail.attempts, mail.next_try_at) == ("waiting", 2, waiting.clock.system() + LEASE)
    go.set()
    assert await second[0] == 1
    assert len(await waiting.said(NOTIFICATION_SENT)) == 1 and await waiting.said(NOTIFICATION_FAILED) == []


@pytest.mark.req("NT-02")
async def test_what_is_wrong_with_a_mail_puts_it_off_ever_longer(waiting: Notifier, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong(*args: Any) -> None:
        raise ValueError("our mistake")

    for place in ("services.notifier.sender.decide_mail", "services.notifier.sender.Sender._finish"):
        with monkeypatch.context() as patch:
            patch.setattr(place, wrong)
            assert await waiting.send() == 0
        [mail] = await waiting.rows(MAIL)
        assert mail.next_try_at == waiting.clock.system() + timedelta(seconds=2**mail.attempts)
        waiting.clock.now = mail.next_try_at
    assert await waiting.send() == 1


@pytest.mark.req("NT-02")
@pytest.mark.parametrize("place", ["services.notifier.sender.decide_mail", "services.notifier.sender.Sender._write"])
async def test_a_mail_that_cannot_be_made_is_given_up_as_one_that_nobody_takes_is(
    waiting: Notifier, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def wrong(*args: Any) -> None:
        raise ValueError("our mistake")

    monkeypatch.setattr(place, wrong)
    for tries in range(1, sender.TRIES):
        assert await waiting.send() == 0
        [mail] = await waiting.rows(MAIL)
        assert (mail.state, mail.attempts) == ("waiting", tries)
        waiting.clock.now = mail.next_try_at
    assert await waiting.send() == 1
    [failed] = await waiting.said(NOTIFICATION_FAILED)
    assert failed.reason == "it could not be made" and await waiting.send() == 0


@pytest.mark.req("BX-02")
async def test_two_digests_of_a_contact_that_go_out_together_may_name_the_same_invoice(
    waiting: Notifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a crash left over of yesterday's digest, and today's."""
    async with waiting.worker.begin() as tx:
        [mail] = await tx.execute(select(tables.mails))
        await tx.execute(insert(tables.mails).values(mail._asdict() | {"mail_id": "other", "key": "other"}))
    together = asyncio.Barrier(2)
    post = Sender._post

    async def both(self: Sender, message: Any) -> None:
        await together.wait()
        await post(self, message)

    monkeypatch.setattr(Sender, "_post", both)
    assert await waiting.send() == 2
    assert {row.state for row in await waiting.rows(MAIL)} == {"sent"} and "cannot be made" not in caplog.text
    assert len(await waiting.rows("SELECT 1 FROM told")) == 1
