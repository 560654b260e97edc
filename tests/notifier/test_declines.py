"""Patient and practice are told of a declined charge, each once, in mails that are true when they are sent (CF-08)."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.notifier import decide
from shared.events.contracts import CHARGE_FAILED, CONTRACT_STATE, ChargeFailed, ContractCharge, ContractState
from shared.events.invoicing import PRACTICE_STATE
from shared.events.notifier import NOTIFICATION_FAILED
from shared.events.types import Card
from shared.sealing import seal
from tests.notifier.conftest import TODAY, Notifier, practice

TOMORROW = TODAY + timedelta(days=1)
DESK = "desk@salt.example"
# contract, its charge, next try, day of sending → why the mail is not sent
DECISIONS: list[tuple[str, str | None, date | None, date, str | None]] = [
    ("active", "due", TOMORROW, TODAY, None),
    ("active", "due", TOMORROW, TOMORROW, "superseded"),
    ("active", "submitted", TOMORROW, TODAY, "superseded"),
    ("active", "charged", TOMORROW, TODAY, "superseded"),
    ("active", "failed", TOMORROW, TODAY, "superseded"),
    ("active", None, TOMORROW, TODAY, "superseded"),
    ("cancelled", "withdrawn", TOMORROW, TODAY, "withdrawn"),
    ("used_up", "due", TOMORROW, TODAY, "withdrawn"),
    ("active", "failed", None, TODAY, None),
    ("cancelled", "failed", None, TODAY, None),
    ("expired", None, None, TODAY, None),
]


@pytest.mark.req("CF-08", "BX-01")
@pytest.mark.parametrize(("status", "charge", "retry_on", "today", "reason"), DECISIONS)
def test_a_decline_is_told_while_what_is_said_of_the_next_try_is_true(
    status: str, charge: str | None, retry_on: date | None, today: date, reason: str | None
) -> None:
    charges = [{"charge_id": "g1", "status": charge}] if charge else []
    assert decide.contract_declined({"status": status, "charges": charges}, "g1", retry_on, today) == reason


def contract(notifier: Notifier, to: str, status: Any = "due", **changes: Any) -> ContractState:
    made = ContractState(
        practice_id="7", contract_id="12", version=5, kind="oneyear", status="active", patient_id="p1", signed_on=TODAY,
        sealed=seal(notifier.public_key, {"to": to, "name": "Ana Diaz"}), expires_on=date(2027, 11, 20), limit_cents=10_000, used_cents=0,
        left_cents=10_000, card=Card(brand="VI", last4="9995"),
        charges=[ContractCharge(charge_id="g1", notice_no=1, status=status, noticed_cents=4200)],
    )  # fmt: skip
    return replace(made, **changes)


def declined(notifier: Notifier, retry_on: date | None = TOMORROW, version: int = 5, tries: int = 1) -> ChargeFailed:
    return ChargeFailed(
        practice_id="7", contract_id="12", contract_version=version, charge_id="g1", notice_no=1, payment_id=f"g1.1.{tries}", amount_cents=4200,
        failed_at=notifier.clock.business(), kind="soft" if retry_on else "hard", retry_on=retry_on,
    )  # fmt: skip


@pytest.mark.req("CF-08", "NT-01", "NT-02")
@pytest.mark.parametrize(("retry_on", "words"), [(TOMORROW, "Next try: Nov 21, 2026"), (None, "This charge is not tried again")])
async def test_patient_and_practice_are_told_once_each_when_the_copy_has_the_decline(notifier: Notifier, retry_on: date | None, words: str) -> None:
    await notifier.give(PRACTICE_STATE, practice(staff_addresses={"contracts": DESK}))
    patient = "ana@patient.example"
    await notifier.give(CONTRACT_STATE, contract(notifier, patient, "unknown", version=4))
    await notifier.give(CHARGE_FAILED, declined(notifier, retry_on), declined(notifier, retry_on))
    assert await notifier.send() == 0
    await notifier.give(CONTRACT_STATE, contract(notifier, patient, "due" if retry_on else "failed"))
    notifier.clock.move(seconds=2)
    assert (await notifier.send(), await notifier.send()) == (2, 0)
    (told,), (desk,) = await notifier.mails(patient), await notifier.mails(DESK)
    assert told["subject"] == "Saltmarsh: your card was declined"
    assert ("Next try" in told["text"]) == ("Next try" in told["html"]) == bool(retry_on)
    assert ("None" in desk["text"], "None" in desk["html"]) == ("None planned" in desk["text"], "None planned" in desk["html"]) == (not retry_on,) * 2
    assert words in told["text"] and "42.00" in told["text"] and "ending 9995" in told["html"] and "Saltmarsh" in told["html"]
    assert desk["subject"] == "Saltmarsh: card agreement 12, the card was declined"
    assert "http://contracts.example/staff/7/agreements/12" in desk["links"] and "Ana" not in desk["text"] + desk["html"]


@pytest.mark.req("CF-08", "BX-01")
async def test_a_try_that_is_over_is_not_announced_and_a_practice_without_an_address_gets_no_mail(notifier: Notifier) -> None:
    await notifier.give(PRACTICE_STATE, practice())
    await notifier.give(CONTRACT_STATE, contract(notifier, "bo@patient.example", version=8))
    await notifier.give(CHARGE_FAILED, declined(notifier, TODAY, 5, 1), declined(notifier, TOMORROW, 8, 2))
    assert await notifier.send() == 4
    assert len(await notifier.mails("bo@patient.example")) == 1
    told = [(end.template, end.cause.payment_id, end.reason) for end in await notifier.said(NOTIFICATION_FAILED)]
    assert sorted(told) == [
        ("contract_declined", "g1.1.1", "superseded"),
        ("contract_declined_staff", "g1.1.1", "superseded"),
        ("contract_declined_staff", "g1.1.2", "the practice has no address for contracts"),
    ]
