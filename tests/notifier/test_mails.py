"""Mails are decided when they are sent, once each, and every end is said (BX-01, BX-02, NT-01 to NT-03)."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from services.notifier import decide, digest
from shared.events.invoicing import ACCOUNT_STATE, INVOICE_CLOSED, INVOICE_ISSUED, INVOICE_OVERDUE, INVOICE_STATE, PRACTICE_STATE, Issue
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT
from shared.events.portal import CONTACT_INVITED, CONTACT_STATE, SIGNIN_CODE_REQUESTED, ContactInvited, SigninCodeRequested
from shared.sealing import seal
from tests.notifier.conftest import TODAY, Notifier, account, contact, invoice, issued, paid, practice

LATE = date(2027, 1, 5)
DECISIONS = [
    ("new", {}, None),
    ("new", {"status": "closed", "payable_cents": 0}, "paid"),
    ("new", {"status": "pending", "payable_cents": 0}, "payment pending"),
    ("new", {"status": "in_review", "payable_cents": 0, "held_cents": 100}, "in review"),
    ("new", {"status": "in_review", "payable_cents": 40, "held_cents": 60}, None),
    ("overdue", {}, "not overdue"),
    ("reissued", {"issues": [{"no": 1}, {"no": 2}]}, "superseded"),
    ("reissued", {"status": "closed"}, "paid"),
]


@pytest.mark.req("BX-01")
@pytest.mark.req("EP-18", part="without preferences")
@pytest.mark.parametrize(("kind", "state", "reason"), DECISIONS)
def test_an_invoice_is_mentioned_only_while_what_is_said_is_true(kind: str, state: dict[str, Any], reason: str | None) -> None:
    now = {"status": "due", "payable_cents": 100, "held_cents": 0, "due_on": "2026-12-20", "issues": [{"no": 1}]} | state
    assert decide.invoice_item(kind, 1, now, TODAY) == reason


@pytest.mark.req("BX-01")
def test_an_overdue_notice_goes_out_from_the_day_after_the_due_date() -> None:
    now = {"status": "overdue", "payable_cents": 100, "held_cents": 0, "due_on": "2026-12-20", "issues": [{"no": 1}]}
    assert decide.invoice_item("overdue", 1, now, LATE) is None


async def ready(notifier: Notifier, *people: Any) -> None:
    await notifier.give(PRACTICE_STATE, practice())
    await notifier.give(ACCOUNT_STATE, account())
    await notifier.give(CONTACT_STATE, *people)


@pytest.mark.req("BX-02", "NT-01", "NT-02")
@pytest.mark.req("EP-18", part="without preferences")
async def test_one_digest_a_day_covers_all_invoices_for_each_registered_contact(notifier: Notifier) -> None:
    one, two, gone = contact(1), contact(2), contact(3, status="revoked")
    await ready(notifier, one, two, gone)
    await notifier.give(INVOICE_STATE, invoice("i1"), invoice("i2"))
    await notifier.give(INVOICE_ISSUED, issued("i1"), issued("i2"), issued("i1"))
    assert await notifier.digests() == 0  # 9:00 in New York: what came after 8:00 waits for the morning
    notifier.clock.move(days=1)
    assert await notifier.digests() == 2
    assert await notifier.send() == 2
    assert (await notifier.digests(), await notifier.send()) == (0, 0)
    mail = (await notifier.mails(one.email))[0]
    assert mail["subject"] == "Employer Portal: 2 new invoices from Saltmarsh"
    assert "McDermott & Sons" in mail["text"] and "McDermott &amp; Sons" in mail["html"] and "10001" in mail["text"] and "10002" in mail["html"]
    assert len(await notifier.mails(two.email)) == 1 and await notifier.mails(gone.email) == []
    assert len(await notifier.said(NOTIFICATION_SENT)) == 2


@pytest.mark.req("BX-02")
@pytest.mark.req("EP-18", part="without preferences")
async def test_a_digest_that_a_replica_is_about_to_make_is_not_split_by_another(notifier: Notifier) -> None:
    person = contact()
    await ready(notifier, person)
    await notifier.give(INVOICE_STATE, invoice("i1"), invoice("i2"))
    await notifier.give(INVOICE_ISSUED, issued("i1"), issued("i2"))
    notifier.clock.move(days=1)
    async with notifier.worker.begin() as other:  # it has locked one of the two items so far
        assert await digest.alone(other, "7", "a1")
        await other.exec_driver_sql("SELECT 1 FROM items WHERE invoice_id = 'i1' FOR UPDATE")
        assert await notifier.digests() == 0
    assert (await notifier.digests(), await notifier.send()) == (1, 1)
    [mail] = await notifier.mails(person.email)
    assert mail["subject"] == "Employer Portal: 2 new invoices from Saltmarsh"


@pytest.mark.req("BX-02")
async def test_a_practice_whose_digest_has_an_hour_that_no_day_has_holds_up_no_other(notifier: Notifier, caplog: pytest.LogCaptureFixture) -> None:
    person, theirs = contact(1), {"practice_id": "6"}
    await ready(notifier, person)
    await notifier.give(PRACTICE_STATE, practice(**theirs, digest_at="25:00"))
    await notifier.give(ACCOUNT_STATE, replace(account(), **theirs))
    await notifier.give(CONTACT_STATE, contact(2, **theirs))
    await notifier.give(INVOICE_STATE, invoice(**theirs), invoice())
    await notifier.give(INVOICE_ISSUED, issued(**theirs), issued())
    notifier.clock.move(days=1)
    with pytest.raises(RuntimeError, match="not done for 6/a1; done for all others"):
        await notifier.digests()
    assert await notifier.send() == 1 and len(await notifier.mails(person.email)) == 1
    assert "not done for 6/a1" in caplog.text and "hour must be" in caplog.text


NAMES = [
    "Kittiwake Lane Family Practice Group",
    "Kittiwake Lane Family Medicine and Occupational Health Partners of Greater Boston and the Islands",
    "Health and Hope Medical Ärztehaus Überlingen für Gesundheit e. V.",
    "株式会社" * 30,
    "Á" + "B" * 200,
]


@pytest.mark.req("EP-25")
@pytest.mark.parametrize("name", NAMES)
async def test_a_subject_arrives_as_it_was_written_however_long_its_practice_is_called(notifier: Notifier, name: str) -> None:
    one = contact(1)
    await ready(notifier, one)
    await notifier.give(PRACTICE_STATE, practice(version=2, display_name=name))
    await notifier.give(INVOICE_STATE, invoice("i1"))
    await notifier.give(INVOICE_ISSUED, issued("i1"))
    notifier.clock.move(days=1)
    assert (await notifier.digests(), await notifier.send()) == (1, 1)
    assert (await notifier.mails(one.email))[0]["subject"] == f"Employer Portal: 1 new invoice from {name}"


@pytest.mark.req("EP-25")
@pytest.mark.parametrize("gap", ["\n", "\r\n", "\x1c", "\u2028"])
async def test_a_name_in_two_lines_which_a_header_does_not_take_keeps_no_mail_back(notifier: Notifier, gap: str) -> None:
    one = contact(1)
    await ready(notifier, one)
    broken = {"display_name": f"Salt{gap}marsh", "staff_addresses": {"billing": f"billing@salt.example{gap}"}}
    await notifier.give(PRACTICE_STATE, practice(version=2, **broken))
    await notifier.give(INVOICE_STATE, invoice("i1"))
    await notifier.give(INVOICE_ISSUED, issued("i1"))
    notifier.clock.move(days=1)
    assert (await notifier.digests(), await notifier.send()) == (1, 1)
    assert (await notifier.mails(one.email))[0]["subject"].startswith("Employer Portal: 1 new invoice from Salt")


@pytest.mark.req("BX-01")
async def test_a_digest_waits_for_the_state_that_a_fact_named_and_says_nothing_of_what_was_paid_meanwhile(notifier: Notifier) -> None:
    person = contact()
    await ready(notifier, person)
    await notifier.give(INVOICE_ISSUED, issued(state_version=3))
    await notifier.give(INVOICE_STATE, invoice(version=2))
    notifier.clock.move(days=1)
    notifier.clock.now -= timedelta(days=1)  # rows are stamped by the wall: do not let patience end the wait
    assert await notifier.digests() == 0
    await notifier.give(INVOICE_STATE, invoice(version=3))
    await notifier.give(INVOICE_CLOSED, issued(kind="closed", state_version=4))
    notifier.clock.move(days=1)
    assert await notifier.digests() == 0
    await notifier.give(INVOICE_STATE, invoice(version=4, status="closed", balance_cents=0, payable_cents=0, payments=[paid()]))
    assert await notifier.digests() == 1
    assert await notifier.send() == 1
    assert await notifier.mails(person.email) == []
    assert (await notifier.said(NOTIFICATION_FAILED))[0].reason == "paid"


async def test_what_is_older_than_three_days_is_recorded_as_skipped(notifier: Notifier) -> None:
    await ready(notifier, contact())
    await notifier.give(INVOICE_STATE, invoice())
    await notifier.give(INVOICE_OVERDUE, issued(kind="overdue", on=TODAY - timedelta(days=30)))
    assert await notifier.digests() == 0
    assert [row.ended for row in await notifier.rows("SELECT ended FROM items")] == ["skipped: old"]


def invited(notifier: Notifier, person: Any, number: int = 1) -> ContactInvited:
    sealed = seal(notifier.public_key, {"to": person.email, "link": "http://portal.example/r/t"})
    return ContactInvited(
        practice_id="7", contact_id=person.contact_id, account_id="a1", invite_no=number, kind="invitation",
        invited_at=notifier.clock.business(), sealed=sealed,
    )  # fmt: skip


@pytest.mark.req("EP-25", "NT-02", "NT-05")
async def test_an_invitation_goes_out_once_and_not_after_it_was_revoked(notifier: Notifier) -> None:
    person = contact(status="invited", invite_open=True)
    await ready(notifier, person)
    await notifier.give(CONTACT_INVITED, invited(notifier, person), invited(notifier, person))
    assert await notifier.send() == 1
    mail = (await notifier.mails(person.email))[0]
    assert mail["subject"].startswith("Employer Portal") and "Saltmarsh" in mail["subject"] and "Register Now" in mail["html"]
    assert "http://portal.example/r/t" in mail["links"]
    await notifier.give(CONTACT_STATE, replace(person, version=2, invite_no=2, status="revoked"))
    await notifier.give(CONTACT_INVITED, invited(notifier, person, 2))
    assert await notifier.send() == 1
    assert (await notifier.said(NOTIFICATION_FAILED))[0].reason == "revoked"
    assert "link" not in str(await notifier.rows("SELECT facts FROM mails"))


@pytest.mark.req("NT-05")
async def test_a_code_past_its_life_is_dropped_and_a_fresh_one_is_a_text(notifier: Notifier) -> None:
    await ready(notifier)

    def code(number: int, minutes: int) -> SigninCodeRequested:
        sealed = seal(notifier.public_key, {"to": "555-010-0199", "code": f"12345{number}"})
        at = notifier.clock.system() + timedelta(minutes=minutes)
        return SigninCodeRequested(
            practice_id="7", person_id="x", code_id=f"c{number}", purpose="registration", channel="sms", expires_at=at, sealed=sealed
        )

    await notifier.give(SIGNIN_CODE_REQUESTED, code(1, -1), code(2, 10))
    assert await notifier.send() == 2
    assert (await notifier.said(NOTIFICATION_FAILED))[0].reason == "expired"
    assert (await notifier.said(NOTIFICATION_SENT))[0].channel == "sms"


@pytest.mark.req("NT-02")
async def test_a_mail_survives_a_mail_server_that_refuses_for_a_while_and_holds_up_no_other(notifier: Notifier) -> None:
    person, other = contact(1, status="invited", invite_open=True), contact(2, status="invited", invite_open=True)
    await ready(notifier, person, other)
    async with httpx.AsyncClient() as http:
        await http.post(f"{notifier.box}/control", json={"fail": 1, "code": 451})
    await notifier.give(CONTACT_INVITED, invited(notifier, person), invited(notifier, other))
    assert await notifier.send() == 1
    notifier.clock.move(seconds=5)
    assert await notifier.send() == 1
    assert len(await notifier.mails(person.email)) == len(await notifier.mails(other.email)) == 1


@pytest.mark.req("NT-02")
async def test_a_mail_refused_for_good_is_failed_and_said(notifier: Notifier) -> None:
    person = contact(status="invited", invite_open=True)
    await ready(notifier, person)
    async with httpx.AsyncClient() as http:
        await http.post(f"{notifier.box}/control", json={"fail": 1, "code": 550})
    await notifier.give(CONTACT_INVITED, invited(notifier, person))
    assert await notifier.send() == 1
    assert (await notifier.said(NOTIFICATION_FAILED))[0].outcome == "failed"


@pytest.mark.req("EP-18", part="without preferences")
async def test_a_corrected_invoice_is_mentioned_with_what_is_payable_now(notifier: Notifier) -> None:
    person = contact()
    await ready(notifier, person)
    issues = [Issue(no=1, kind="new", on=TODAY, total_cents=100), Issue(no=2, kind="reissued", on=TODAY, total_cents=80)]
    await notifier.give(INVOICE_STATE, invoice(issues=issues, payable_cents=8000, balance_cents=8000))
    await notifier.give(INVOICE_ISSUED, issued(kind="reissued", issue_no=2))
    notifier.clock.move(days=1)
    assert (await notifier.digests(), await notifier.send()) == (1, 1)
    mail = (await notifier.mails(person.email))[0]
    assert "1 corrected invoice" in mail["subject"] and "80.00" in mail["text"]
