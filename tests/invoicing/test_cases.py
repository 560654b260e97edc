"""Disputes, holds and releases, and the re-issue after them, in whatever order messages arrive."""

from dataclasses import replace

import pytest

from services.invoicing.handlers import holds
from services.invoicing.store import invoices
from shared.events.ingress import CLAIM_HOLD_REQUESTED, CLAIM_REDROP_REQUESTED
from tests.invoicing.conftest import House
from tests.invoicing.made import claim, hold_request, release


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


async def test_what_was_never_published_is_at_version_0(house: House) -> None:
    await house.bill(claim())
    await house.run()
    line = await house.line()
    async with house.worker.begin() as tx:
        await tx.exec_driver_sql("UPDATE invoice_line SET state = NULL")
        await tx.exec_driver_sql("UPDATE invoice SET state = NULL")
        assert await invoices.line_version(tx, ("p1", line.line_id)) == await invoices.line_version(tx, ("p1", "nobody's")) == 0
        assert await invoices.version(tx, ("p1", line.invoice_id)) == await invoices.version(tx, ("p1", "nobody's")) == 0


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
@pytest.mark.parametrize("again", [False, True], ids=["released once", "held and released again"])
async def test_a_reissue_waits_for_the_write_offs_of_its_claim_by_name(house: House, again: bool) -> None:
    body = claim()
    await house.bill(body)
    await house.run()
    await house.dispute()
    await house.posting(body, 1)
    await house.redrop(write_offs=[("c1-1", 2000, "Courtesy")])
    asked = (await house.events())["claim.redropped"][0].write_offs[0]
    if again:
        async with house.app.begin("p1") as tx:
            await holds.hold_by_staff(tx, house.clock.now, ("p1", "c1"), "Look once more", "dokafor")
        await house.redrop()
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
