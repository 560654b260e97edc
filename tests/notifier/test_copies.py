"""Copies of an agreement and of its receipt, decided when they are sent (CF-02, CF-04, BX-01)."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.notifier import decide
from shared.events.contracts import CONTRACT_STATE, COPY_REQUESTED, ContractState, CopyRequested
from shared.events.invoicing import PRACTICE_STATE
from shared.events.notifier import NOTIFICATION_FAILED, NOTIFICATION_SENT
from shared.events.types import Card
from shared.sealing import seal
from tests.contract.schemas import wrong
from tests.notifier.conftest import TODAY, Notifier, practice

TO = "grandma@example.org"


def contract(notifier: Notifier, **changes: Any) -> ContractState:
    made = ContractState(
        practice_id="7", contract_id="1", version=2, kind="oneyear", status="active", patient_id="p1",
        sealed=seal(notifier.public_key, {"to": "ana@example.org", "name": "Ana Diaz"}), signed_on=TODAY, expires_on=TODAY + timedelta(days=365),
        limit_cents=150_000, used_cents=0, left_cents=150_000, card=Card(brand="VI", last4="4242"), charges=[],
    )  # fmt: skip
    return replace(made, **changes)


def requested(notifier: Notifier, **changes: Any) -> CopyRequested:
    """As it is read: from JSON that keeps the schema."""
    made = CopyRequested(
        practice_id="7", contract_id="1", contract_version=2, request_id="r1", copy="agreement", epayment_id=12,
        terms=["Card on file with Salt & Co.", "You may cancel at any time."], sealed=seal(notifier.public_key, {"to": TO, "name": "Ana Diaz"}),
        requested_at=notifier.clock.business(),
    )  # fmt: skip
    text = COPY_REQUESTED.encode(replace(made, **changes))
    assert wrong("contract.copy_requested", json.loads(text)) == []
    return COPY_REQUESTED.decode(text)


@pytest.mark.req("NT-01", "NT-02")
@pytest.mark.req("CF-02", part="one-year contracts")
async def test_an_agreement_goes_once_to_the_address_that_was_given_with_its_terms_in_html_and_text(notifier: Notifier) -> None:
    await notifier.give(PRACTICE_STATE, practice())
    await notifier.give(CONTRACT_STATE, contract(notifier))
    asked = requested(notifier)
    await notifier.give(COPY_REQUESTED, asked, asked)
    assert (await notifier.send(), await notifier.send()) == (1, 0)
    (mail,) = await notifier.mails(TO)
    assert mail["subject"] == "Saltmarsh: your card agreement" and await notifier.mails("ana@example.org") == []
    for words in ("Hello Ana", "Visa ending 4242", "$1,500.00", "Nov 20, 2027", "Active, signed on Nov 20, 2026", "You may cancel at any time."):
        assert words in mail["text"] and words in mail["html"]
    assert "Salt & Co." in mail["text"] and "Salt &amp; Co." in mail["html"]
    (sent,) = await notifier.said(NOTIFICATION_SENT)
    assert (sent.template, sent.cause.kind, sent.cause.contract_id, sent.cause.charge_id) == ("contract_copy", "contract_copy", "1", None)
    assert "sealed" not in str(await notifier.rows("SELECT facts FROM mails"))
    await notifier.give(COPY_REQUESTED, requested(notifier, request_id="r2"))
    assert await notifier.send() == 1 and len(await notifier.mails(TO)) == 2


@pytest.mark.req("BX-01")
@pytest.mark.req("CF-02", "CF-04", part="one-year contracts")
async def test_a_copy_waits_for_the_contract_it_names_and_says_what_became_of_it(notifier: Notifier) -> None:
    await notifier.give(PRACTICE_STATE, practice())
    await notifier.give(CONTRACT_STATE, contract(notifier, version=1, status="awaiting_signature", signed_on=None))
    await notifier.give(COPY_REQUESTED, requested(notifier), requested(notifier, request_id="r2", copy="receipt"))
    assert await notifier.send() == 0
    await notifier.give(CONTRACT_STATE, contract(notifier, version=3, status="cancelled"))
    notifier.clock.move(seconds=5)
    assert await notifier.send() == 2
    (mail,) = await notifier.mails(TO)
    assert mail["subject"] == "Saltmarsh: receipt of your card agreement"
    assert "Receipt number: 12" in mail["text"] and "Status: Cancelled" in mail["text"]
    (skipped,) = await notifier.said(NOTIFICATION_FAILED)
    assert (skipped.outcome, skipped.reason, skipped.template) == ("skipped", "withdrawn", "contract_copy")


DECISIONS = [
    ("awaiting_signature", "agreement", None),
    ("active", "agreement", None),
    ("cancelled", "agreement", "withdrawn"),
    ("used_up", "agreement", "withdrawn"),
    ("expired", "agreement", "withdrawn"),
    ("awaiting_signature", "receipt", None),
    ("cancelled", "receipt", None),
    ("expired", "receipt", None),
]


@pytest.mark.req("BX-01")
@pytest.mark.parametrize(("status", "copy", "reason"), DECISIONS)
def test_an_agreement_is_mailed_while_there_is_one_and_a_receipt_always(status: str, copy: str, reason: str | None) -> None:
    assert decide.contract_copy({"status": status}, copy) == reason
