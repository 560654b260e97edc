"""Where rules meet: re-issues that are overtaken, payments over several claims, claims that share an invoice."""

from dataclasses import replace

import pytest

from shared.events.ingress import CLAIM_HOLD_REQUESTED, ClaimHoldRequested
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, claim, employer
from tests.together import together

CORRECTED = replace(claim(), charges=[replace(claim().charges[0], amount_cents=14500)])


async def redropped(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.dispute()
    await house.redrop(corrections={"c1-1": 14500})
    await house.events()


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_reissue_is_never_on_the_day_of_its_redrop(house: House) -> None:
    await redropped(house)
    await house.posting(CORRECTED, 2, revision=1)
    assert "invoice.reissued" not in await house.events()
    assert (await house.line()).status == "in_review"
    await house.day()
    assert len((await house.events())["invoice.reissued"]) == 1


@pytest.mark.req("EP-29")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_new_hold_calls_the_reissue_off_until_the_next_redrop(house: House) -> None:
    await redropped(house)
    await house.posting(CORRECTED, 2, revision=1)
    await house.send(CLAIM_HOLD_REQUESTED, ClaimHoldRequested(practice_id="p1", claim_id="c1", version=2, kick_code="K", requested_at=NOON))
    assert await house.one("SELECT count(*) FROM claim WHERE reissue_on IS NOT NULL") == 0
    await house.day()
    assert "invoice.reissued" not in await house.events()
    await house.redrop()
    assert await house.one("SELECT reissue_on FROM claim") == house.clock.now.date().replace(day=6)
    await house.day()
    assert len((await house.events())["invoice.reissued"]) == 1


@pytest.mark.req("EP-12")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
@pytest.mark.parametrize(("restarts", "due", "shown"), [(False, "2026-12-04", "overdue"), (True, "2027-01-05", "due")])
async def test_a_reissue_restarts_the_terms_of_all_its_claims_only_where_the_account_says_so(
    house: House, restarts: bool, due: str, shown: str
) -> None:
    await house.account(employer(reissue_restarts_terms=restarts), 1)
    await house.bill(claim("c2"), claim())
    await house.run()
    await house.day(31)
    assert [(await house.line(each)).status for each in ("c1", "c2")] == ["overdue", "overdue"]
    await house.dispute()
    await house.redrop(corrections={"c1-1": 14500})
    await house.events()
    await house.day()
    await house.posting(CORRECTED, 2, revision=1)
    events = await house.events()
    lines = events["invoice.line.state"]
    assert {line.claim_id for line in lines} == ({"c1", "c2"} if restarts else {"c1"})
    assert [line.line_id for line in lines] == sorted(line.line_id for line in lines), "in key order"
    fact = events["invoice.reissued"][0]
    assert (fact.due_on.isoformat(), (await house.invoice()).due_on.isoformat()) == (due, due)
    assert [(await house.line(each)).status for each in ("c1", "c2")] == [shown, shown]
    assert await house.one("SELECT frozen->'invoice'->>'due_on' FROM issue ORDER BY no DESC LIMIT 1") == due
    await house.day(30)
    assert "invoice.overdue" not in await house.events() and (await house.invoice()).due_on.isoformat() == due
    await house.day()
    assert [fact.kind for fact in (await house.events()).get("invoice.overdue", [])] == (["overdue"] if restarts else [])


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_withdrawn_line_is_not_waited_for(house: House) -> None:
    await redropped(house)
    await house.bill(claim(version=2, cents=14500, payer="e2"))
    assert await house.one("SELECT count(*) FROM claim WHERE reissue_on IS NOT NULL") == 0


@pytest.mark.req("EP-12")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_closing_invoice_forgets_its_reissue_at_once_and_shows_due_when_it_opens_again(house: House) -> None:
    await redropped(house)
    await house.posting(claim(), 2, paid=18500)
    assert (await house.invoice()).status == "closed"
    assert await house.one("SELECT count(*) FROM claim WHERE reissue_on IS NOT NULL") == 0
    await house.posting(CORRECTED, 3, revision=1, paid=500)
    state = await house.invoice()
    assert (state.status, state.held_claims, state.balance_cents) == ("due", 0, 14000)


@pytest.mark.req("EP-12")
async def test_the_last_balance_of_a_payment_posts_it_on_all_its_claims(house: House) -> None:
    one, two = claim("c1"), claim("c2")
    await house.bill(one, two)
    await house.run()
    await house.pay("c1", "c2")
    await house.posted(c1=(18500, 2), c2=(18500, 2))
    await house.posting(one, 2, paid=18500)
    assert (await house.line("c1")).payments[0].state == "pending"
    await house.posting(two, 2, paid=18500)
    assert [(await house.line(at)).payments[0].state for at in ("c1", "c2")] == ["posted", "posted"]
    assert (await house.invoice()).status == "closed"


async def test_claims_that_change_at_once_leave_their_invoice_with_the_right_sum(house: House) -> None:
    names = [f"c{n}" for n in range(6)]
    await house.bill(*(claim(name, cents=100) for name in names))
    await house.run()
    for version in range(2, 8):
        found = await together(house.worker, version, *(house.bill(claim(name, version=version, cents=version * 100)) for name in names))
        assert found == [None] * len(names)
        state = await house.invoice()
        assert state.balance_cents == state.charged_cents == len(names) * version * 100


@pytest.mark.req("EP-12")
async def test_money_that_comes_before_its_claim_is_kept_and_counts_when_the_claim_is_billed(house: House) -> None:
    await house.bill(claim("c1"))
    await house.run()
    await house.pay("c1", payment_id="early")
    await house.posted("early", c1=(18500, 9))
    assert (await house.invoice()).status == "pending"
    await house.posting(claim("c1"), 9, paid=18500)
    assert (await house.invoice()).status == "closed"
