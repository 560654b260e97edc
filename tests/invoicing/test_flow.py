"""How invoices, lines, holds and payments move when messages arrive, in whatever order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.claim import Refused
from shared.events.ingress import CLAIM_HOLD_REQUESTED, CLAIM_REDROP_REQUESTED, CLAIM_VOIDED, ClaimHoldRequested, ClaimRedropRequested, ClaimVoided
from shared.events.invoicing import Mask
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, claim, employer


def void(version: int, claim_id: str = "c1") -> ClaimVoided:
    return ClaimVoided(practice_id="p1", claim_id=claim_id, version=version, voided_on=NOON.date())


def hold_request(version: int) -> ClaimHoldRequested:
    return ClaimHoldRequested(practice_id="p1", claim_id="c1", version=version, kick_code="K9", reason="Wrong form", requested_at=NOON)


def release(version: int, dispute_id: str | None = None) -> ClaimRedropRequested:
    return ClaimRedropRequested(practice_id="p1", claim_id="c1", version=version, dispute_id=dispute_id, requested_at=NOON)


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


async def test_the_line_takes_postings_balance_whole_once_posting_knows_its_content(house: House) -> None:
    body = claim(cents=(10000, 8500))
    await house.bill(body)
    await house.run()
    await house.posting(body, 1, paid=4000, adjusted=500)
    line = await house.line()
    assert (line.paid_cents, line.adjusted_cents, line.balance_cents, line.balances_version) == (4000, 500, 14000, 1)
    assert [charge.balance_cents for charge in line.charges] == [5500, 8500]
    await house.bill(claim(version=2, cents=(4200, 8500)))  # posting is behind: own charges, adjustments give way first
    line = await house.line()
    assert (line.charged_cents, line.paid_cents, line.adjusted_cents, line.balance_cents) == (12700, 4000, 200, 8500)
    await house.posting(body, 1, paid=0)  # a repeat
    assert (await house.line()).paid_cents == 4000


@pytest.mark.req("EP-12", "EP-13")
async def test_a_captured_payment_is_pending_until_our_balance_copy_has_what_posting_named(house: House) -> None:
    body = claim()
    await house.bill(body)
    await house.run()
    await house.pay("c1")
    state = await house.invoice()
    assert (state.status, state.pending_cents, state.payable_cents, state.payments[0].state) == ("pending", 18500, 0, "pending")
    assert (await house.line()).payments[0].state == "pending"
    await house.posted(c1=(18500, 2))
    assert (await house.invoice()).payments[0].state == "pending"
    await house.events()
    await house.posting(body, 2, paid=18500)
    state = await house.invoice()
    assert (state.status, state.paid_cents, state.payments[0].state, state.payments[0].applied_cents) == ("closed", 18500, "posted", 18500)
    assert (await house.line()).payments[0].state == "posted"
    events = await house.events()
    assert [body.state_version for body in events["invoice.closed"]] == [state.version]
    assert len(events["invoice.state"]) == len(events["invoice.line.state"]) == 1


@pytest.mark.req("EP-12")
async def test_a_payment_in_parts_is_pending_until_all_parts_are_heard_posted_and_none_waits(house: House) -> None:
    one, two = claim("c1"), claim("c2")
    await house.bill(one, two)
    await house.run()
    await house.pay("c1", part=1, parts=2)
    await house.posting(one, 2, paid=18500)
    await house.posting(two, 2, paid=18500)
    await house.posted(version=1, parts=2, c1=(18500, 2), c2=(18500, 2))
    assert (await house.line("c1")).payments[0].state == "pending"
    await house.pay("c2", part=2, parts=2)
    assert (await house.line("c1")).payments[0].state == "posted"
    await house.posted(version=2, parts=2, waiting=5, c1=(18500, 2), c2=(18500, 2))
    assert (await house.line("c1")).payments[0].state == "pending"


async def test_a_pending_payment_follows_its_claim_to_another_invoice(house: House) -> None:
    await house.account(employer("a2", ("e2",)))
    await house.bill(claim())
    await house.run()
    await house.pay("c1")
    await house.bill(claim(version=2, payer="e2"))
    await house.run()
    state = await house.invoice()
    assert (state.account_id, state.status, state.pending_cents, state.payable_cents) == ("a2", "pending", 18500, 0)


@pytest.mark.req("EP-16", "EP-28")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_dispute_holds_its_claim_and_names_the_versions_that_contain_it(house: House) -> None:
    await house.bill(claim("c1"), claim("c2"))
    await house.run()
    await house.events()
    await house.dispute()
    events = await house.events()
    held, line, header, case = (events[name][0] for name in ("claim.held", "invoice.line.state", "invoice.state", "dispute.state"))
    assert (held.kick_code, held.reason, held.note) == ("WA", "The charge is not the rate agreed in the contract.", "Contracted rate is 165.00")
    assert held.act_by.isoformat() == "2026-11-12"  # five business days, Veterans Day not one of them
    assert (line.status, line.dispute_id) == ("in_review", "d1")
    assert (header.status, header.held_claims, header.held_cents, header.payable_cents) == ("in_review", 1, 18500, 18500)
    assert (case.status, case.line_version, case.invoice_version) == ("open", line.version, header.version)
    await house.dispute()  # the same dispute again
    assert await house.events() == {}


@pytest.mark.req("EP-16")
async def test_a_second_dispute_and_one_of_a_paid_or_withdrawn_claim_are_closed_at_once(house: House) -> None:
    body = claim()
    await house.bill(body, claim("c2"))
    await house.run()
    await house.dispute()
    await house.dispute(dispute_id="d2")
    await house.posting(claim("c2"), 1, paid=18500)
    await house.dispute("c2", "d3")
    cases = {case.dispute_id: case for case in (await house.events())["dispute.state"]}
    assert [cases[name].status for name in ("d1", "d2", "d3")] == ["open", "closed", "closed"]
    assert cases["d3"].outcome == "not_applicable"
    assert cases["d3"].line_version == (await house.line("c2")).version


@pytest.mark.req("EP-29")
@pytest.mark.req("EP-32", part="all but send corrected invoices")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_corrected_dispute_is_sent_again_the_next_day_once_posting_covers_it(house: House) -> None:
    body = claim()
    await house.bill(body)
    await house.run()
    await house.dispute()
    await house.events()
    await house.redrop(corrections={"c1-1": 14500}, answer="You are right")
    events = await house.events()
    assert (events["claim.corrected.state"][0].revision, events["claim.corrected.state"][0].total_cents) == (1, 14500)
    dropped = events["claim.redropped"][0]
    assert (dropped.outcome, dropped.claim_revision, dropped.reissue_on.isoformat()) == ("corrected", 1, "2026-11-05")
    case = events["dispute.state"][-1]
    assert (case.status, case.outcome, case.line_version) == ("closed", "corrected", (await house.line()).version)
    assert (await house.line()).status == "in_review"
    await house.day()
    assert "invoice.reissued" not in await house.events()  # posting has not said that it has the correction
    await house.posting(replace(body, charges=[replace(body.charges[0], amount_cents=14500)]), 3, revision=1)
    events = await house.events()
    assert (events["invoice.reissued"][0].issue_no, events["invoice.reissued"][0].total_cents) == (2, 14500)
    state = await house.invoice()
    assert (state.status, state.last_billed_on.isoformat(), state.due_on.isoformat()) == ("due", "2026-11-05", "2026-12-04")
    assert (await house.line()).status == "due"


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_reissue_waits_for_its_write_offs_by_name(house: House) -> None:
    body = claim()
    await house.bill(body)
    await house.run()
    await house.dispute()
    await house.posting(body, 1)
    await house.redrop(write_offs=[("c1-1", 2000, "Courtesy")])
    asked = (await house.events())["claim.redropped"][0].write_offs[0]
    await house.day()
    assert "invoice.reissued" not in await house.events()
    await house.posting(body, 2, adjusted=2000, write_offs=(asked.write_off_id,))
    assert (await house.events())["invoice.reissued"][0].total_cents == 16500


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_closing_invoice_and_a_withdrawn_line_cancel_the_reissue(house: House) -> None:
    body = claim()
    await house.bill(body)
    await house.run()
    await house.dispute()
    await house.redrop()
    await house.posting(body, 1, paid=18500)
    await house.day()
    events = await house.events()
    assert "invoice.reissued" not in events and len(events["invoice.closed"]) == 1
    assert await house.one("SELECT count(*) FROM claim WHERE reissue_on IS NOT NULL") == 0


@pytest.mark.req("EP-29")
async def test_the_practice_systems_holds_and_releases_are_ordered_by_version(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.send(CLAIM_REDROP_REQUESTED, release(5))
    await house.send(CLAIM_HOLD_REQUESTED, hold_request(4))  # released since
    assert (await house.line()).status == "due"
    await house.send(CLAIM_HOLD_REQUESTED, hold_request(6))
    assert (await house.line()).status == "in_review"
    await house.send(CLAIM_REDROP_REQUESTED, release(5))
    assert (await house.line()).status == "in_review"
    await house.send(CLAIM_REDROP_REQUESTED, release(7))
    assert await house.one("SELECT count(*) FROM hold WHERE closed_at IS NULL") == 0


@pytest.mark.req("EP-29")
async def test_a_release_by_the_practice_system_closes_a_dispute_only_where_it_names_it(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.dispute()
    await house.send(CLAIM_HOLD_REQUESTED, hold_request(2))
    await house.send(CLAIM_REDROP_REQUESTED, release(3))
    assert await house.one("SELECT array_agg(source) FROM hold WHERE closed_at IS NULL") == ["dispute"]
    assert "invoice.reissued" not in await house.events()
    await house.send(CLAIM_REDROP_REQUESTED, release(4, "d1"))
    assert (await house.events())["dispute.state"][0].outcome == "answered"


@pytest.mark.req("EP-29")
async def test_a_version_that_undoes_a_correction_puts_the_claim_on_hold(house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.dispute()
    await house.redrop(corrections={"c1-1": 14500})
    await house.events()
    await house.bill(claim(version=2, cents=14500))  # agrees with the correction
    assert "claim.held" not in await house.events()
    await house.send(CLAIM_HOLD_REQUESTED, hold_request(3))
    await house.redrop(corrections={"c1-1": 14000})
    await house.bill(claim(version=4, cents=18500))
    assert (await house.events())["claim.held"][-1].source == "conflict"
    assert (await house.line()).status == "in_review"


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
