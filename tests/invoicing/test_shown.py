"""What an employer sees: lines by their mask, and papers exactly as they were sent."""

import io
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pypdf
import pytest

from services.invoicing.domain import invoice
from services.invoicing.domain.claim import as_billed
from services.invoicing.domain.invoice import Fact, Totals
from services.invoicing.domain.line import Case, entries, line_state, renumbered
from services.invoicing.domain.money import Money
from services.invoicing.papers import TEMPLATE, breakable, contents, corrected_since, recent_payments
from services.invoicing.store import plain
from shared import pdf
from shared.events.ingress import CLAIM_BILLED
from shared.events.invoicing import Mask
from shared.events.posting import Cause, Entry
from tests.invoicing.made import claim, employer, open_invoice

TODAY = date(2026, 11, 4)


def a_case(mask: Mask | None = None, **more: object) -> Case:
    fields: dict[str, object] = {"line_id": "l1", "invoice_id": "i1", "payer_id": "e1", "withdrawn": False, "held": False, "dispute_id": None}
    fields |= {"claim": as_billed(claim()), "balances": None, "payments": (), "due_on": TODAY, "mask": mask or Mask()}
    return Case(**(fields | more))  # type: ignore[arg-type]


@pytest.mark.req("BX-05")
def test_the_least_of_a_patient_is_shown_until_the_practice_turns_more_on() -> None:
    shown = plain(line_state(a_case(), 1, TODAY))
    assert "1988" not in str(shown) and "Z02.1" not in str(shown) and "E-7" not in str(shown)
    more = plain(line_state(a_case(Mask(birth_date=True, diagnosis=True, employee_id=True)), 1, TODAY))
    assert "1988-04-12" in str(more) and "Z02.1" in str(more) and "E-7" in str(more)


def test_a_line_gets_a_new_version_only_when_something_changed() -> None:
    first = renumbered(line_state(a_case(), 0, TODAY), None)
    assert first is not None and first.version == 1
    assert renumbered(line_state(a_case(), 0, TODAY), first) is None
    held = renumbered(line_state(a_case(held=True), 0, TODAY), first)
    assert held is not None and (held.version, held.status) == (2, "in_review")


@pytest.mark.req("BX-07", part="the list of entries")
def test_entries_say_how_each_movement_changed_the_balance() -> None:
    def entry(entry_id: str, kind: str, cents: int, payer: str = "e1") -> Entry:
        return Entry(
            entry_id=entry_id, on=TODAY, kind=kind, charge_id="c1-1", payer_id=payer, amount_cents=cents, group=None, code=None,  # type: ignore[arg-type]
            cause=Cause(kind="check", id="k"), voids=None,
        )  # fmt: skip

    posted = [entry("1", "charge", 185), entry("2", "payment", 100), entry("3", "adjustment", 20), entry("4", "transfer", -30)]
    posted.append(entry("5", "payment", 9, payer="another"))
    assert [each.change_cents for each in entries(posted, "e1")] == [185, -100, -20, -30]


def frozen(**account: Any) -> dict[str, Any]:
    """What a first sending of one claim keeps; its line had one payment lately and one before."""
    line = plain(line_state(a_case(claim=as_billed(claim("V00248099E02"))), 1, TODAY))
    line["entries"] = [
        {"entry_id": "1", "on": "2026-10-20", "kind": "payment", "change_cents": -500, "cause": "check"},
        {"entry_id": "2", "on": "2026-09-01", "kind": "payment", "change_cents": -700, "cause": "check"},
    ]
    state = invoice.turn(open_invoice(), Totals(1, 0, Money(18500), 0), (), Fact.NEW, False, TODAY)
    assert state is not None
    made = employer(**account)
    practice = {
        "display_name": "Saltmarsh", "postal_address": plain(made.address), "phone": "555",
        "brand": {"accent": "#000000", "logo_id": None, "logo_alt": ""},
        "remit_to_name": "S", "remit_to_address": plain(made.address), "portal_address": "https://pay.example/employerportal/login",
    }  # fmt: skip
    return {"practice": practice, "account": plain(made), "invoice": plain(state.state), "lines": [line]}


@pytest.mark.req("EP-27", "BX-05")
def test_a_paper_shows_what_was_frozen_and_its_recent_payments() -> None:
    kept = frozen()
    assert [(each["on"], each["how"], each["cents"]) for each in recent_payments(kept["lines"], TODAY)] == [("Oct 20, 2026", "Check", 500)]
    assert breakable("48613") == "48613" and "\u200b" in breakable("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
    shown = contents(kept, 1, None)
    assert shown["portal"] == "pay.example/employerportal/login"
    assert (shown["claims"][0]["charged"], shown["totals"]["balance"], shown["corrected"]) == (18500, 18500, False)


@pytest.mark.req("EP-27")
@pytest.mark.parametrize(("changes", "words"), [
    ([{}], ""),
    ([{"claim_revision": 1}], "Claim V00248099E02 was corrected after sending 1."),
    ([{"adjusted_cents": 500}, {"claim_version": 2}, {}], "2 claims were corrected after sending 1."),
    ([{"paid_cents": 500}], ""),
])  # fmt: skip
def test_a_later_sending_names_what_was_corrected_since_the_one_before(changes: list[dict[str, Any]], words: str) -> None:
    line = frozen()["lines"][0]
    before = [line | {"line_id": str(n)} for n in range(len(changes))]
    assert corrected_since([line | {"line_id": "new"}, *(old | change for old, change in zip(before, changes, strict=True))], before, 1) == words


@pytest.mark.req("EP-27")
@pytest.mark.req("EP-01", part="all but send corrected invoices")
async def test_a_cover_sheet_names_no_patient_and_the_claims_follow_on_page_two() -> None:
    plainly, covered = [await printed(cover_sheet=wanted) for wanted in (False, True)]
    assert len(plainly) == 1 and "Ana Diaz" in plainly[0] and "Payments in the last 30 days" in plainly[0]
    assert len(covered) == 2 and "Ana Diaz" not in covered[0] and "Ana Diaz" in covered[1]
    for words in ("Kuvalis", "Due by", "Payments", "Remaining balance"):
        assert words in covered[0]


@pytest.mark.req("EP-27")
async def test_every_page_of_the_claims_but_the_last_says_where_they_go_on() -> None:
    pages = await printed(claims=40)
    said = [re.findall(r"Continued on page (\d+)", page) for page in pages]
    last = max(number for number, page in enumerate(pages) if "Ana Diaz" in page)
    assert last > 0 and said[:last] == [[str(number + 2)] for number in range(last)] and not any(said[last:])


async def printed(claims: int = 1, **account: Any) -> list[str]:
    """The words of each page, with the one claim as many times as wanted."""
    kept = frozen(**account)
    made = await pdf.render(TEMPLATE, contents(kept | {"lines": kept["lines"] * claims}, 1, None))
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(made)).pages]


@pytest.mark.parametrize("units", ["0", "-1", "1.0001", "1000000000", "1e25", "1e400", "1e-400"])
def test_units_that_nobody_can_count_are_told_with_their_place(units: str) -> None:
    sent = CLAIM_BILLED.encode(claim("c1")).replace(b'"units":1', f'"units":{units}'.encode())
    with pytest.raises(msgspec.ValidationError, match=r"units is a number above 0 .* - at `\$\.charges\[0\]`"):
        CLAIM_BILLED.decode(sent)


def test_units_keep_their_decimals() -> None:
    body = claim()
    exact = replace(body, charges=[replace(body.charges[0], units=Decimal("1.5"))])
    assert line_state(a_case(claim=as_billed(exact)), 1, TODAY).charges[0].units == Decimal("1.5")
