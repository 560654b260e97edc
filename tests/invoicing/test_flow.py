"""How invoices and lines come about and change when claims and days come, in whatever order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.claim import Refused
from shared.events.ingress import CLAIM_HOLD_REQUESTED, CLAIM_VOIDED
from shared.events.invoicing import Mask
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, claim, employer, hold_request, void


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_a_run_bills_what_waits_on_one_invoice_per_account(house: House) -> None:
    await house.bill(claim("c1"), claim("c2", cents=(100, 200)))
    made = await house.run()
    assert [(each.number, each.claims, each.total_cents) for each in made] == [("000123", 2, 18800)]
    events = await house.events()
    assert [body.status for body in events["invoice.line.state"]] == ["due", "due"]
    assert events["invoice.state"][0].balance_cents == 18800
    assert events["invoice.issued"][0].state_version == events["invoice.state"][0].version == 1
    assert events["invoice.issued"][0].due_on.isoformat() == "2026-12-04"
    assert await house.run() == []


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_a_run_leaves_out_what_is_held_later_free_or_outside_the_accounts_dates(house: House) -> None:
    await house.account(replace(employer(), effective_on=NOON.date().replace(day=2)), 1)
    await house.bill(
        claim("early", service_date=NOON.date().replace(day=1)),
        claim("later", billed_on=NOON.date().replace(day=5)),
        claim("free", cents=0),
        claim("void"),
        claim("c1"),
        claim("other", payer="nobody"),
        claim("own", payer=None),
        claim("good"),
    )
    await house.send(CLAIM_VOIDED, void(2, "void"))
    await house.send(CLAIM_HOLD_REQUESTED, hold_request(2))
    await house.run()
    assert await house.one("SELECT array_agg(claim_id) FROM invoice_line") == ["good"]


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_numbers_rise_without_gaps_and_each_account_gets_its_own_invoice(house: House) -> None:
    await house.account(employer("a2", ("e2",)))
    await house.bill(claim("c1"), claim("c2", payer="e2"))
    assert [(each.number, each.account_id) for each in await house.run()] == [("000123", "a1"), ("000124", "a2")]
    await house.bill(claim("c3"))
    assert [each.number for each in await house.run()] == ["000125"]


async def test_repeats_and_older_versions_change_nothing(house: House) -> None:
    await house.bill(claim(version=2, cents=200))
    await house.run()
    await house.events()
    await house.bill(claim(version=1, cents=100), claim(version=2, cents=200))
    assert await house.events() == {}


async def test_a_newer_version_moves_the_line_at_once(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.events()
    await house.bill(claim(version=2, cents=16500), claim(version=3, cents=16000))
    events = await house.events()
    assert [(body.version, body.balance_cents) for body in events["invoice.line.state"]] == [(2, 16000)]
    assert [(body.version, body.balance_cents) for body in events["invoice.state"]] == [(2, 16000)]
    assert (await house.invoice()).original_cents == 18500


async def test_the_same_version_with_other_content_counts_and_is_reported(house: House) -> None:
    await house.bill(claim(cents=100))
    await house.run()
    await house.events()
    await house.bill(claim(cents=300))
    events = await house.events()
    assert events["invoice.line.state"][0].balance_cents == 300
    assert "other content" in events["invoicing.dead_letter"][0].reason


async def test_several_versions_of_a_new_claim_in_one_batch_leave_the_newest(house: House) -> None:
    await house.bill(claim(version=1, cents=100), claim(version=3, cents=300), claim(version=2, cents=200))
    assert (await house.run())[0].total_cents == 300


@pytest.mark.req("EP-29")
async def test_a_void_before_or_after_its_claim_withdraws_it_until_it_is_billed_again(house: House) -> None:
    await house.send(CLAIM_VOIDED, void(2))
    await house.bill(claim(version=1))
    assert await house.run() == []
    await house.bill(claim(version=3))
    assert len(await house.run()) == 1
    await house.send(CLAIM_VOIDED, void(4))
    assert (await house.line()).status == "withdrawn"
    assert (await house.line()).balance_cents == 0
    state = await house.invoice()
    assert (state.status, state.claims, state.balance_cents) == ("closed", 0, 0)
    assert [body.closing_no for body in (await house.events())["invoice.closed"]] == [1]


async def test_a_payer_change_withdraws_the_line_and_the_next_run_asks_the_new_payer(house: House) -> None:
    await house.account(employer("a2", ("e2",)))
    await house.bill(claim())
    await house.run()
    await house.bill(claim(version=2, payer="e2"))
    assert (await house.line()).status == "withdrawn"
    assert [each.account_id for each in await house.run()] == ["a2"]
    assert await house.one("SELECT count(*) FROM invoice_line WHERE NOT withdrawn") == 1


@pytest.mark.req("EP-12")
@pytest.mark.req("EP-18", part="without preferences")
async def test_an_invoice_is_overdue_from_the_day_after_due_by_and_told_again_after_the_accounts_days(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.day(30)
    assert (await house.invoice()).status == "due"
    await house.events()
    await house.day(1)
    events = await house.events()
    assert [body.kind for body in events["invoice.overdue"]] == ["overdue"]
    assert events["invoice.line.state"][0].status == "overdue"
    await house.day(1)
    assert "invoice.overdue" not in await house.events()
    await house.day(59)
    events = await house.events()
    assert [(body.kind, body.issue_no) for body in events["invoice.overdue"]] == [("overdue_again", 2)]


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_the_daily_run_bills_by_the_accounts_rhythm_and_once_after_an_outage(house: House) -> None:
    await house.account(replace(employer(), frequency="weekly", weekday=0), 1)
    await house.bill(claim())
    await house.day()  # Thursday
    assert "invoice.issued" not in await house.events()
    await house.day(6)  # Wednesday: Monday was missed
    events = await house.events()
    assert len(events["invoice.issued"]) == 1
    assert [body.next_run_on.isoformat() for body in events["account.state"]] == ["2026-11-16"]
    await house.bill(claim("c2"))
    await house.day(0)
    assert "invoice.issued" not in await house.events()


@pytest.mark.req("BX-05")
async def test_a_changed_mask_reaches_every_line_that_was_published(house: House) -> None:
    await house.bill(claim())
    await house.run()
    line = await house.line()
    assert (line.patient.birth_date, line.patient.employee_id, line.charges[0].diagnosis_codes) == (None, None, [])
    await house.account(replace(employer(), mask=Mask(birth_date=True, employee_id=True, diagnosis=True)), 1)
    line = await house.line()
    assert (line.patient.birth_date.isoformat(), line.patient.employee_id, line.charges[0].diagnosis_codes) == ("1988-04-12", "E-7", ["Z02.1"])
    await house.account(replace(employer(), mask=Mask(hide_procedures=True)), 2)
    assert (await house.line()).charges == []


@pytest.mark.req("EP-01", part="all but send corrected invoices")
async def test_a_payer_id_belongs_to_one_account_and_an_unknown_one_waits_for_an_account(house: House) -> None:
    with pytest.raises(Refused, match="belongs to Kuvalis"):
        await house.account(employer("a2", ("e1",)))
    await house.bill(claim(payer="e2"))
    assert await house.run() == []
    await house.account(employer("a2", ("e2",)))
    assert [each.account_id for each in await house.run()] == ["a2"]


@pytest.mark.req("EP-27")
async def test_each_sending_keeps_what_it_showed(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.bill(claim(version=2, cents=100))
    frozen = await house.one("SELECT frozen FROM issue")
    assert frozen["lines"][0]["balance_cents"] == 18500
    assert frozen["account"]["name"] == "Kuvalis" and frozen["practice"]["display_name"] == "Saltmarsh"


@given(st.permutations([claim(version=v, cents=v * 100) for v in (1, 2, 3)]))
def test_content_is_the_newest_version_in_any_order(bodies: list[object]) -> None:
    from services.invoicing.domain.claim import Claim, Intake, as_billed, intake
    from shared.events.ingress import ClaimBilled

    known: Claim | None = None
    for body in bodies:
        assert isinstance(body, ClaimBilled)
        if intake(known, body) in (Intake.TAKEN, Intake.REPLACED):
            known = as_billed(body)
    assert known is not None and known.total_cents == 300
