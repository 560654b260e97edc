"""An account may have several payer ids and pay for all of them at once: each claim's money is the money of its own payer."""

from typing import Any

import msgspec
import pytest

from deploy.local.verify.facts import Facts
from deploy.local.verify.money import credit_is_not_asked_again, credits_equal_payments
from shared.events.ingress import CLAIM_BILLED, CLAIM_VOIDED
from shared.events.portal import PAYMENT_CAPTURED, PaymentCaptured
from shared.events.posting import CLAIM_BALANCES, CREDIT_STATE, PAYMENT_STATE
from tests.posting.conftest import SECOND, Posting, billed, captured, voided

LOOKED_AT = ("payments", "shares", "credits", "claims", "columns")


async def facts(posting: Posting, *paid: PaymentCaptured) -> Facts:
    """What the oracle looks at."""
    kept: dict[str, list[dict[str, Any]]] = {}
    async with posting.worker.begin() as tx:
        for table in LOOKED_AT:
            kept[table] = [dict(row._mapping) for row in await tx.exec_driver_sql(f"SELECT * FROM {table}")]
    found = Facts({"posting": kept})
    found.told["invoice.payment_captured"] = [msgspec.to_builtins(each) for each in paid]
    return found


async def standing(posting: Posting, payment_id: str = "p1") -> tuple[int, int, int]:
    state = (await posting.newest(PAYMENT_STATE))[f"7/{payment_id}"]
    return state.applied_cents, state.credited_cents, state.waiting_cents


async def credits(posting: Posting) -> dict[str, int]:
    return {key.removeprefix("7/corporate:"): state.credit_cents for key, state in (await posting.newest(CREDIT_STATE)).items()}


@pytest.mark.req("EP-01", part="all but send corrected invoices")
@pytest.mark.req("EP-21", part="posted with no hand, the invoice closes")
async def test_a_payment_for_two_payer_ids_is_applied_to_the_claims_of_both(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"), billed("c2", cents=(50,), payers=(SECOND,)))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 100, "c2": 50}, payers={"c2": "F"}))
    assert await standing(posting) == (150, 0, 0) and await credits(posting) == {}
    for state in (await posting.newest(CLAIM_BALANCES)).values():
        assert state.adjudicated and sum(line.balance_cents for line in state.lines) == 0
    assert await posting.ledger_total() == {"cash": 150, "revenue": -150}


@pytest.mark.req("EP-01", part="all but send corrected invoices")
@pytest.mark.req("EP-21", part="posted with no hand, the invoice closes")
async def test_money_of_the_second_payer_id_waits_for_its_claim_and_is_applied_there(posting: Posting) -> None:
    await posting.give(CLAIM_BILLED, billed("c1"))
    await posting.give(PAYMENT_CAPTURED, captured("p1", {"c1": 100, "c2": 50}, payers={"c2": "F"}))
    assert await standing(posting) == (100, 0, 50)
    await posting.give(CLAIM_BILLED, billed("c2", cents=(50,), payers=(SECOND,)))
    assert await standing(posting) == (150, 0, 0) and await credits(posting) == {}
    assert await posting.ledger_total() == {"cash": 150, "revenue": -150}


@pytest.mark.req("EP-33", part="kept and shown")
async def test_credit_is_of_the_payer_id_whose_money_it_was(posting: Posting) -> None:
    paid = captured("p1", {"c1": 60, "c2": 50}, part=1, parts=2, total=180, payers={"c2": "F"})
    rest = captured("p1", {"c3": 70}, part=2, parts=2, total=180, payers={"c3": "F"})
    await posting.give(CLAIM_BILLED, billed("c1", cents=(60,)), billed("c2", cents=(30,), payers=(SECOND,)))
    await posting.give(PAYMENT_CAPTURED, paid)
    await posting.give(PAYMENT_CAPTURED, rest)
    assert await credits(posting) == {"F": 20} and await standing(posting) == (90, 20, 70)
    await posting.give(CLAIM_BILLED, billed("c3", cents=(65,), payers=(SECOND,)))
    assert await credits(posting) == {"F": 25} and await standing(posting) == (155, 25, 0)
    await posting.give(CLAIM_VOIDED, voided("c1", 2))
    assert await credits(posting) == {"F": 25, "E": 60}
    await posting.give(CLAIM_VOIDED, voided("c2", 2))
    assert await credits(posting) == {"F": 55, "E": 60} and await standing(posting) == (65, 115, 0)
    assert await posting.ledger_total() == {"cash": 180, "revenue": -65, "credit": -115}
    at_rest = await facts(posting, paid, rest)
    assert not [*credits_equal_payments(at_rest), *credit_is_not_asked_again(at_rest)]


async def test_a_share_of_the_release_before_is_the_payments_own_payers(posting: Posting) -> None:
    """It writes no payer. What it posted stays as it is, and the oracle finds what that leaves open."""
    paid = captured("p1", {"c1": 100, "c2": 50}, payers={"c2": "F"})
    await posting.give(PAYMENT_CAPTURED, paid)
    async with posting.worker.begin() as tx:
        await tx.exec_driver_sql("UPDATE shares SET payer_id = NULL, given_cents = NULL")
    await posting.give(CLAIM_BILLED, billed("c1"), billed("c2", cents=(50,), payers=(SECOND,)))
    assert await standing(posting) == (100, 50, 0) and await credits(posting) == {"E": 50}
    at_rest = await facts(posting, paid)
    assert not list(credits_equal_payments(at_rest))
    assert list(credit_is_not_asked_again(at_rest)) == ["payment p1 has 50 for claim c2 as credit, and 50 are asked of its payer again"]
