"""What of an invoice can be paid: cases by rule, and properties that hold whatever the copies say."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.portal.invoices.payable import Header, Line, Marks, payable

P, Q = frozenset({"p"}), frozenset({"p", "q"})
DUE = Header("i1", 3, "due", 300, frozenset())
ONE = Line("l1", "c1", 1, 0, "E", "due", 100)
TWO = Line("l2", "c2", 1, 0, "E", "due", 200)
BOTH = (ONE, TWO)
OTHER = replace(ONE, named=frozenset({"q"}))
GONE = Line("l3", "c3", 1, 0, "E", "withdrawn", 0)


def held(line: Line) -> Line:
    return replace(line, status="in_review")


CASES = [
    ("a due invoice is payable as a whole", DUE, BOTH, Marks(), (300, "")),
    ("an overdue one too", replace(DUE, status="overdue"), (replace(ONE, status="overdue"), replace(TWO, status="overdue")), Marks(), (300, "")),
    ("a closed one is not", replace(DUE, status="closed", payable_cents=0), BOTH, Marks(), (0, "closed")),
    ("a pending one is not", replace(DUE, status="pending"), BOTH, Marks(), (0, "pending")),
    ("one of a live attempt is not", DUE, BOTH, Marks(live_invoices={"i1"}), (0, "pending")),
    ("one whose claim is in a live attempt for another invoice is not", DUE, BOTH, Marks(live_claims={"c2"}), (0, "pending")),
    ("a captured payment that nobody names stands in the way", DUE, BOTH, Marks(captured={"c1": {"p"}}), (0, "pending")),
    ("named by the invoice only, it still does", replace(DUE, named=P), BOTH, Marks(captured={"c1": {"p"}}), (0, "pending")),
    ("named by the line only, it still does", DUE, (replace(ONE, named=P), TWO), Marks(captured={"c1": {"p"}}), (0, "pending")),
    ("another payment named does not help", replace(DUE, named=Q), (OTHER, TWO), Marks(captured={"c1": {"p"}}), (0, "pending")),
    ("named by both, the rest is payable", replace(DUE, named=P), (replace(ONE, named=P), TWO), Marks(captured={"c1": {"p"}}), (300, "")),
    ("a line with a payment that is not posted is not", replace(DUE, payable_cents=200), (replace(ONE, pending=True), TWO), Marks(), (200, "")),
    ("a claim in review waits, the rest is payable", replace(DUE, status="in_review", payable_cents=200), (held(ONE), TWO), Marks(), (200, "")),
    ("a dispute of ours waits before invoicing knows", DUE, BOTH, Marks(disputed={"c1"}), (200, "")),
    ("nor is its amount missed when only the line is here", DUE, (held(ONE), TWO), Marks(disputed={"c1"}), (200, "")),
    ("nothing but disputed claims is in review", replace(DUE, payable_cents=100), (ONE,), Marks(disputed={"c1"}), (0, "in_review")),
    ("an open case waits for its line", DUE, BOTH, Marks(open_cases={"c1"}), (0, "updating")),
    ("lines that do not add up are not payable now", replace(DUE, payable_cents=250), BOTH, Marks(), (0, "updating")),
    ("a line that has not come yet makes the invoice wait", DUE, (ONE,), Marks(), (0, "updating")),
    ("withdrawn and closed lines do not count", DUE, (*BOTH, GONE), Marks(), (300, "")),
    ("a live attempt of a withdrawn claim is another invoice's matter", DUE, (*BOTH, GONE), Marks(live_claims={"c3"}), (300, "")),
]


@pytest.mark.req("EP-12", "EP-13", "EP-14")
@pytest.mark.parametrize(("says", "header", "lines", "marks", "expected"), CASES, ids=[case[0] for case in CASES])
def test_payable(says: str, header: Header, lines: tuple[Line, ...], marks: Marks, expected: tuple[int, str]):
    found = payable(header, lines, marks)
    assert (found.cents, found.why) == expected


CLAIMS, PAYMENTS = ("c1", "c2", "c3"), ("p", "q")
some_claims = st.frozensets(st.sampled_from(CLAIMS))
some_payments = st.frozensets(st.sampled_from(PAYMENTS))
statuses = st.sampled_from(["due", "overdue", "in_review", "closed", "withdrawn"])


@st.composite
def situations(draw: st.DrawFn) -> tuple[Header, list[Line], Marks]:
    """Any copies beside any marks; sums that agree are made likely, since only then something is payable."""
    lines = [
        Line(f"l{n}", claim, 1, 0, "E", draw(statuses), draw(st.integers(0, 3)) * 100, draw(some_payments), draw(st.booleans()))
        for n, claim in enumerate(draw(st.lists(st.sampled_from(CLAIMS), max_size=4)))
    ]
    marks = Marks(
        draw(st.sampled_from([frozenset(), frozenset({"i1"})])),
        draw(some_claims) if draw(st.booleans()) else frozenset(),
        draw(st.dictionaries(st.sampled_from(CLAIMS), some_payments)) if draw(st.booleans()) else {},
        draw(some_claims),
        draw(some_claims),
    )
    agreed = sum(line.balance_cents for line in lines if line.status in ("due", "overdue"))
    cents = draw(st.sampled_from([agreed, *(line.balance_cents for line in lines), 0]))
    return Header("i1", 1, draw(st.sampled_from(["due", "overdue", "in_review", "pending", "closed"])), cents, draw(some_payments)), lines, marks


@pytest.mark.req("EP-12", "EP-14", "EP-16")
@given(situations())
def test_no_claim_is_payable_that_is_paid_for_already_or_disputed(situation: tuple[Header, list[Line], Marks]):
    header, lines, marks = situation
    for line in payable(header, lines, marks).lines:
        assert line.claim_id not in marks.live_claims and header.invoice_id not in marks.live_invoices
        assert line.claim_id not in marks.disputed and line.claim_id not in marks.open_cases
        assert set(marks.captured.get(line.claim_id, ())) <= line.named & header.named
        assert not line.pending and line.status in ("due", "overdue")


@pytest.mark.req("EP-13")
@given(situations())
def test_never_more_is_asked_than_the_invoice_says_and_every_refusal_has_a_reason(situation: tuple[Header, list[Line], Marks]):
    header, lines, marks = situation
    found = payable(header, lines, marks)
    assert 0 <= found.cents <= header.payable_cents
    assert bool(found.why) == (found.cents == 0)
    left = {line.claim_id for line in lines if line.status != "withdrawn" and line.balance_cents and line not in found.lines}
    assert set(found.withheld) == (left if found.lines else set())


@pytest.mark.req("EP-14")
@given(situations(), st.sampled_from(CLAIMS))
def test_one_more_mark_never_makes_more_payable(situation: tuple[Header, list[Line], Marks], claim: str):
    header, lines, marks = situation
    before = payable(header, lines, marks).cents
    assert payable(header, lines, replace(marks, live_claims={*marks.live_claims, claim})).cents <= before
    assert payable(header, lines, replace(marks, captured={**marks.captured, claim: {*marks.captured.get(claim, ()), "x"}})).cents <= before
