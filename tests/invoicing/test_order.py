"""Messages of one claim in any order, repeated, and at the same time: the end is the same."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.invoicing import consumers
from services.invoicing.handlers import runs
from services.invoicing.store import plain
from shared import ids
from shared.events.ingress import (
    CLAIM_BILLED,
    CLAIM_HOLD_REQUESTED,
    CLAIM_REDROP_REQUESTED,
    CLAIM_VOIDED,
    ClaimHoldRequested,
    ClaimRedropRequested,
    ClaimVoided,
)
from shared.events.posting import CLAIM_BALANCES, PAYMENT_STATE, PaymentClaim, PaymentState
from shared.messages import Message
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, balances, claim
from tests.together import together

V1, V2 = claim(cents=18500), claim(version=2, cents=16500)


def payment_state(version: int, applied: int, at: int, waiting: int) -> PaymentState:
    return PaymentState(
        practice_id="p1", payment_id="pay1", version=version, source="portal", parts_posted=1, parts=1, amount_cents=18500, applied_cents=applied,
        credited_cents=18500 - applied - waiting, waiting_cents=waiting, refunded_cents=0, batch_id="b", posted_on=NOON.date(),
        claims=[PaymentClaim(claim_id="c1", applied_cents=applied, balances_version=at)] if applied else [],
    )  # fmt: skip


FLOW: list[tuple[Any, Any]] = [
    (CLAIM_BILLED, V2),
    (CLAIM_BILLED, V1),
    (CLAIM_BALANCES, balances(V1, 1)),
    (CLAIM_BALANCES, balances(V2, 2)),
    (CLAIM_BALANCES, balances(V2, 3, paid=16500)),
    (PAYMENT_STATE, payment_state(1, 0, 0, 18500)),
    (PAYMENT_STATE, payment_state(2, 16500, 3, 0)),
    (CLAIM_HOLD_REQUESTED, ClaimHoldRequested(practice_id="p1", claim_id="c1", version=3, kick_code="K", requested_at=NOON)),
    (CLAIM_REDROP_REQUESTED, ClaimRedropRequested(practice_id="p1", claim_id="c1", version=4, requested_at=NOON)),
    (CLAIM_VOIDED, ClaimVoided(practice_id="p1", claim_id="c1", version=1, voided_on=NOON.date())),
]


async def play(house: House, order: list[int], pay_at: int) -> dict[str, Any]:
    """Bills the claim, then the flow in this order, the payment captured somewhere between; answers how everything ends."""
    house.clock.now = NOON
    await house.bill(V1)
    await house.run()
    for n, step in enumerate(order):
        if n == pay_at:
            await house.pay("c1")
        topic, body = FLOW[step]
        await house.send(topic, body)
    await house.day()
    line, header = plain(await house.line()), plain(await house.invoice())
    for name in ("version", "line_id", "invoice_id"):
        line.pop(name)
        header.pop(name, None)
    header.pop("number")
    for payment in header["payments"]:
        payment.pop("asked_cents")  # what the payer saw, which depends on when they paid
        payment.pop("credited_cents")
    header["issues"] = len(header["issues"]) > 0
    header.pop("last_billed_on")
    header.pop("closing_no")
    return {"line": line, "invoice": header}


@pytest.mark.req("EP-12", "EP-29")
async def test_any_order_and_repetition_ends_the_same(house: House) -> None:
    chooser = random.Random(7)
    expected = None
    for _ in range(12):
        order = list(range(len(FLOW))) + chooser.sample(range(len(FLOW)), 3)
        if expected is not None:
            chooser.shuffle(order)
        # Nobody pays a claim that shows no balance: the payment comes before posting has it.
        pay_at = min(order.index(4), chooser.randrange(len(order)))
        await fresh(house)
        end = await play(house, order, pay_at)
        expected = expected or end
        assert end == expected, order
    assert expected is not None and expected["invoice"]["status"] == "closed"


async def fresh(house: House) -> None:
    """The house as it was, without the claims and invoices of the last round; append-only tables need their owner."""
    from sqlalchemy import make_url

    from shared.db import Database as Db
    from tests.conftest import PASSWORDS

    url = make_url(house.worker.url).set(username="invoicing_owner", password=PASSWORDS["owner"]).render_as_string(hide_password=False)
    owner = Db(url, "fresh")
    gone = "claim, charge, claim_mark, hold, claim_note, invoice_line, issue, invoice, balance, payment, payment_claim, payment_posting"
    async with owner.begin() as tx:
        await tx.execute(text(f"TRUNCATE {gone}, payment_posting_claim, billing_run, daily_runs, outbox"))
    await owner.close()
    async with house.worker.begin() as tx:
        await tx.execute(text("UPDATE practice SET ran_on = NULL"))


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_two_runs_at_once_bill_a_claim_once(house: House) -> None:
    for n in range(10):
        await house.bill(claim(f"c{n}"), claim(f"d{n}"))
        made = await together(house.worker, n, house.run(), house.run())
        assert sorted(each.claims for run in made for each in run) == [2]
    assert await house.one("SELECT count(DISTINCT number) = max(number) - min(number) + 1 FROM invoice")


@pytest.mark.req("EP-16")
async def test_disputes_payments_and_new_versions_at_once_leave_one_truth(house: House) -> None:
    for n in range(10):
        at = f"c{n}"
        await house.bill(claim(at))
        await house.run()
        found = await together(
            house.worker,
            n,
            house.dispute(at, f"d{n}"),
            house.dispute(at, f"e{n}"),
            house.pay(at, payment_id=f"y{n}"),
            house.bill(claim(at, version=2, cents=16500)),
            house.posting(claim(at), 1),
        )
        assert found == [None] * 5
        line, header = await house.line(at), await house.invoice()
        assert (line.claim_version, line.charged_cents, line.status) == (2, 16500, "in_review")
        assert [each.payment_id for each in line.payments] == [f"y{n}"]
        assert (header.balance_cents, header.held_cents, header.status) == (16500, 16500, "pending")
        assert await house.one("SELECT count(*) FROM hold WHERE claim_id = :at AND closed_at IS NULL", at=at) == 1


async def test_a_practice_that_is_not_there_yet_is_waited_for(house: House) -> None:
    asked = replace(FLOW[7][1], practice_id="p9")
    await house.bill(replace(V1, practice_id="p9"))
    await house.send(CLAIM_HOLD_REQUESTED, asked)
    assert await consumers.retry_waiting(house.worker, house.clock) == 0
    from services.invoicing.handlers import practices
    from tests.invoicing.made import PRACTICE

    async with house.worker.begin("p9") as tx:
        await practices.set_up(tx, NOON, PRACTICE | {"practice_id": "p9"}, None, "")
    assert await consumers.retry_waiting(house.worker, house.clock) == 1
    assert await house.one("SELECT count(*) FROM hold WHERE practice_id = 'p9'") == 1


@given(st.binary(max_size=40))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_topic_that_is_read_refuses_what_is_not_its_shape(value: bytes) -> None:
    import msgspec

    from shared.clock import FixedClock

    for topic in consumers.handlers(FixedClock(NOON)):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            topic.decode(value)


def test_every_topic_that_is_read_decodes_what_its_writer_encodes() -> None:
    for topic, body in FLOW:
        assert topic.decode(topic.encode(body)) == body
        assert Message(topic, topic.key_of(body), ids.new(), NOON, body, None).practice_id == "p1"


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_a_run_over_many_claims_is_one_invoice_in_seconds(house: House) -> None:
    await house.bill(*(claim(f"m{n}", cents=(100, 200, 300)) for n in range(500)))
    async with asyncio.timeout(10):
        made: list[runs.Billed] = await house.run()
    assert [(each.claims, each.total_cents) for each in made] == [(500, 300_000)]
