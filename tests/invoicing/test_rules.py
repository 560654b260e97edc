"""The rules of invoicing as tables and properties: no database, no clock."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain import account, hold, invoice, money
from services.invoicing.domain.account import Account
from services.invoicing.domain.claim import Intake, Marks, Refused, amounts, as_billed, corrected, intake, is_void, undoes_correction
from services.invoicing.domain.hold import Hold
from services.invoicing.domain.invoice import Fact, Line, Paid, Totals
from services.invoicing.domain.money import Money
from tests.invoicing.made import balances, claim, employer, open_invoice

TODAY = date(2026, 11, 4)
CENTS = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("known", "billed", "expected"),
    [
        (None, claim(version=1), Intake.TAKEN),
        (claim(version=1), claim(version=2), Intake.TAKEN),
        (claim(version=2), claim(version=1), Intake.OLDER),
        (claim(version=2), claim(version=2), Intake.REPEATED),
        (claim(version=2), claim(version=2, cents=1), Intake.REPLACED),
    ],
)
def test_the_highest_version_counts_and_at_one_version_the_later_record(known: object, billed: object, expected: Intake) -> None:
    assert intake(as_billed(known) if known else None, billed) == expected  # type: ignore[arg-type]


def test_a_correction_outlives_its_own_version_and_yields_to_the_next() -> None:
    known = corrected(as_billed(claim()), {"c1-1": 100})
    assert intake(known, claim(version=1, cents=5)) == Intake.OLDER
    assert intake(known, claim(version=2)) == Intake.TAKEN


@pytest.mark.req("EP-29")
@pytest.mark.parametrize(("version", "cents", "expected"), [(2, 18500, True), (2, 14500, False), (1, 18500, False)])
def test_a_version_conflicts_when_it_asks_other_amounts_than_staff_corrected(version: int, cents: int, expected: bool) -> None:
    known = corrected(as_billed(claim()), {"c1-1": 14500})
    assert undoes_correction(known, claim(version=version, cents=cents)) is expected
    assert not undoes_correction(as_billed(claim()), claim(version=2, cents=1))


@pytest.mark.parametrize(("void", "billed", "expected"), [(0, 1, False), (2, 1, True), (1, 1, False), (2, 3, False)])
def test_a_claim_is_void_while_its_highest_void_is_above_its_highest_bill(void: int, billed: int, expected: bool) -> None:
    assert is_void(as_billed(claim(version=billed)), Marks(void_version=void)) is expected


def test_corrections_name_known_charges_and_change_nothing_but_amounts() -> None:
    known = as_billed(claim(cents=(100, 200)))
    assert corrected(known, {"c1-2": 200}) is known
    new = corrected(known, {"c1-2": 150})
    assert (new.revision, amounts(new)) == (1, {"c1-1": 100, "c1-2": 150})
    with pytest.raises(Refused, match="no charge c9"):
        corrected(known, {"c9": 1})
    with pytest.raises(Refused, match=r"0\.00 or more"):
        corrected(known, {"c1-1": -1})


@given(CENTS, CENTS, CENTS)
def test_own_money_is_charge_less_paid_less_adjusted_and_never_below_nothing(charged: int, paid: int, adjusted: int) -> None:
    behind = balances(claim(cents=paid + adjusted), 1, paid=paid, adjusted=adjusted)
    part = money.by_charge(as_billed(claim(version=2, cents=charged)), "e1", behind)["c1-1"]
    assert part.balance == max(0, charged - paid - adjusted)
    assert min(part.paid, part.adjusted) >= 0


@pytest.mark.parametrize(
    ("version", "revision", "voided", "expected"),
    [(1, 0, False, False), (2, 0, False, True), (2, 1, False, True), (3, 0, False, True), (1, 0, True, True)],
)
def test_posting_covers_content_at_its_version_and_revision_or_higher(version: int, revision: int, voided: bool, expected: bool) -> None:
    copy = balances(claim(version=version), 9, revision=revision, voided=voided)
    assert money.covers(copy, (2, 0)) is expected


def test_another_payers_column_does_not_count() -> None:
    copy = balances(claim(payer="e2"), 1, paid=100)
    assert money.by_charge(as_billed(claim()), "e1", copy) == {"c1-1": Money()}


def test_a_redrop_is_covered_only_with_its_write_offs() -> None:
    assert not money.covers_redrop(None, (1, 0), [])
    assert not money.covers_redrop(balances(claim(), 1), (1, 0), ["w1"])
    assert money.covers_redrop(balances(claim(), 1, write_offs=("w1", "w2")), (1, 0), ["w1"])


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
def test_a_redrop_after_a_void_and_a_new_bill_waits_until_posting_has_the_bill() -> None:
    assert not money.covers_redrop(balances(claim(), 2, voided=True), (3, 0), [])
    assert money.covers_redrop(balances(claim(version=3), 3), (3, 0), [])


@pytest.mark.req("EP-12")
@pytest.mark.parametrize(
    ("balance", "pending", "held", "today", "expected"),
    [
        (0, 5, 1, 31, "closed"),
        (5, 5, 1, 31, "pending"),
        (5, 0, 1, 31, "in_review"),
        (5, 0, 0, 31, "overdue"),
        (5, 0, 0, 30, "due"),
    ],
)
def test_the_status_is_the_first_that_holds(balance: int, pending: int, held: int, today: int, expected: str) -> None:
    sums = Totals(1, held, Money(balance), 0, pending)
    assert invoice.status(sums, TODAY + timedelta(days=30), TODAY + timedelta(days=today)) == expected


@pytest.mark.req("EP-29")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (Line(Money(), True, True), "withdrawn"),
        (Line(Money(5, 5), True, False), "closed"),
        (Line(Money(5), True, False), "in_review"),
        (Line(Money(5), False, False), "overdue"),
    ],
)
def test_a_line_shows_the_first_that_holds(line: Line, expected: str) -> None:
    assert invoice.line_status(line, TODAY, TODAY + timedelta(days=1)) == expected


@pytest.mark.req("EP-13")
@given(CENTS, CENTS, CENTS)
def test_what_is_payable_is_what_is_left_after_held_and_pending_and_never_below_nothing(balance: int, held: int, pending: int) -> None:
    assert Totals(1, 0, Money(balance), held, pending).payable_cents == max(0, balance - held - pending)


@pytest.mark.req("EP-18", part="without preferences")
@pytest.mark.parametrize(
    ("status", "told", "expected"),
    [("overdue", None, Fact.OVERDUE), ("overdue", 59, None), ("overdue", 60, Fact.OVERDUE_AGAIN), ("pending", None, None), ("in_review", 99, None)],
)
def test_overdue_is_said_once_and_again_after_the_accounts_days(status: str, told: int | None, expected: Fact | None) -> None:
    told_on = TODAY - timedelta(days=told) if told is not None else None
    assert invoice.reminder(status, told_on, 60, TODAY) == expected  # type: ignore[arg-type]


@pytest.mark.req("EP-12")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
def test_a_closed_invoice_closes_once_is_not_sent_again_and_may_open_again() -> None:
    paid = Totals(1, 0, Money(100, 100), 0)
    closing = invoice.turn(open_invoice(), paid, (), Fact.REISSUED, False, TODAY)
    assert closing is not None and (closing.facts, closing.state.closing_no, closing.state.issues) == ((Fact.CLOSED,), 1, [])
    closed = replace(open_invoice("closed"), state=closing.state, closing_no=1)
    assert invoice.turn(closed, paid, (), Fact.REISSUED, True, TODAY) is None
    opened = invoice.turn(closed, Totals(1, 0, Money(100, 40), 0), (), None, False, TODAY)
    assert opened is not None and (opened.state.status, opened.state.version, opened.facts) == ("due", closing.state.version + 1, ())


@pytest.mark.req("EP-12")
@pytest.mark.parametrize(
    ("restart", "told", "left", "due", "status"),
    [
        (None, Fact.REISSUED, 100, 0, "overdue"),
        (30, Fact.REISSUED, 100, 40, "due"),
        (0, Fact.REISSUED, 100, 10, "due"),
        (30, None, 100, 0, "overdue"),
        (30, Fact.OVERDUE_AGAIN, 100, 0, "overdue"),
        (30, Fact.REISSUED, 0, 0, "closed"),
    ],
)
def test_a_reissue_moves_due_by_only_where_it_restarts_the_terms(restart: int | None, told: Fact | None, left: int, due: int, status: str) -> None:
    """Days are counted from the first due-by; today is ten days after it, and overdue was told the day after it."""
    told_on = TODAY + timedelta(days=1)
    late = replace(open_invoice("overdue"), overdue_on=told_on, told_on=told_on, restart_days=restart)
    turn = invoice.turn(late, Totals(1, 0, Money(100, 100 - left), 0), (), told, True, TODAY + timedelta(days=10))
    assert turn is not None and (turn.state.due_on, turn.state.status) == (TODAY + timedelta(days=due), status)
    assert (turn.state.overdue_on is None, turn.told_on is None) == ((True, True) if due else (False, False))


def test_an_unchanged_invoice_is_not_published_again() -> None:
    paid = [Paid("p1", 100, 0, "pending", TODAY)]
    first = invoice.turn(open_invoice(), Totals(1, 0, Money(100), 0), paid, Fact.NEW, False, TODAY)
    assert first is not None and first.state.status == "pending" and first.state.payable_cents == 0
    known = replace(open_invoice("pending"), state=first.state, issues=tuple(first.state.issues))
    assert invoice.turn(known, Totals(1, 0, Money(100), 0), paid, None, False, TODAY) is None
    posted = invoice.turn(known, Totals(1, 0, Money(100, 80), 0), [replace(paid[0], standing="posted", applied_cents=80)], None, False, TODAY)
    assert posted is not None and posted.state.payments[0].credited_cents == 20


@pytest.mark.req("EP-12")
@pytest.mark.parametrize(("heard", "posted", "waiting", "behind", "expected"), [
    (2, 2, 0, 0, "posted"), (1, 2, 0, 0, "pending"), (2, 1, 0, 0, "pending"), (2, 2, 5, 0, "pending"), (2, 2, 0, 1, "pending"),
])  # fmt: skip
def test_a_payment_is_posted_when_complete_and_reached(heard: int, posted: int, waiting: int, behind: int, expected: str) -> None:
    from shared.events.posting import PaymentState

    state = PaymentState(
        practice_id="p1", payment_id="y", version=1, source="portal", parts_posted=posted, parts=2, amount_cents=1, applied_cents=1, credited_cents=0,
        waiting_cents=waiting, refunded_cents=0, batch_id="b", posted_on=TODAY, claims=[],
    )  # fmt: skip
    assert invoice.payment_standing(heard, 2, state, behind) == expected
    assert invoice.payment_standing(2, 2, None, 0) == "pending"


def test_staff_have_five_business_days() -> None:
    assert hold.act_by(date(2026, 11, 20), [date(2026, 11, 26)]) == date(2026, 11, 30)
    assert hold.business_days_left(date(2026, 11, 25), date(2026, 11, 30), [date(2026, 11, 26)]) == 2
    assert hold.business_days_left(date(2026, 12, 2), date(2026, 11, 30), []) == -2


@pytest.mark.req("EP-28")
@pytest.mark.parametrize("code", ["EM", "DN", "WA", "CH", "AP", "XX"])
def test_every_dispute_code_has_words_for_the_payer_and_for_staff(code: str) -> None:
    chosen, meant = hold.REASONS[code]
    assert chosen and meant.endswith(".") and hold.reason_words(code) == meant
    assert "K9" in hold.reason_words("K9")


def a_hold(source: str, pm_version: int = 0, dispute_id: str | None = None) -> Hold:
    return Hold("h", 1, source, dispute_id, pm_version, "K", "r", None, datetime(2026, 11, 4, tzinfo=UTC), TODAY)  # type: ignore[arg-type]


@pytest.mark.req("EP-29")
def test_a_release_closes_holds_of_its_own_up_to_its_version_and_the_dispute_it_names() -> None:
    old, same, new = a_hold("pm", 2), a_hold("pm", 5), a_hold("pm", 9)
    ours, disputed = a_hold("staff"), a_hold("dispute", 0, "d1")
    assert hold.closed_by_pm([old, same, new, ours, disputed], 5, None) == [old, same]
    assert hold.closed_by_pm([old, same, new, ours, disputed], 5, "d1") == [old, same, disputed]


@pytest.mark.parametrize(("marks", "version", "expected"), [
    (Marks(), 3, True), (Marks(hold_version=3), 3, None), (Marks(redrop_version=4), 3, False), (Marks(hold_version=2, redrop_version=2), 3, True),
    (Marks(redrop_version=3), 3, False),
])  # fmt: skip
def test_a_hold_request_counts_by_version(marks: Marks, version: int, expected: bool | None) -> None:
    assert hold.pm_hold(marks, version) is expected


def test_a_write_off_has_an_amount_a_reason_and_room() -> None:
    hold.check_write_off(5, "Courtesy", 5)
    for asked, reason in ((0, "Courtesy"), (5, " "), (5, "Ana Diaz did not show up"), (6, "Courtesy")):
        with pytest.raises(Refused):
            hold.check_write_off(asked, reason, 5)


@pytest.mark.req("EP-32", part="all but send corrected invoices")
@pytest.mark.parametrize(("rhythm", "after", "expected"), [
    ({"frequency": "daily"}, date(2026, 11, 4), date(2026, 11, 5)),
    ({"frequency": "weekly", "weekday": 0}, date(2026, 11, 4), date(2026, 11, 9)),
    ({"frequency": "weekly", "weekday": 0}, date(2026, 11, 9), date(2026, 11, 16)),
    ({"frequency": "monthly", "month_day": 28}, date(2026, 2, 28), date(2026, 3, 28)),
])  # fmt: skip
def test_the_next_run_is_the_next_of_the_accounts_days(rhythm: dict[str, object], after: date, expected: date) -> None:
    assert account.next_run(employer(**rhythm), after) == expected


@pytest.mark.req("EP-01", part="all but send corrected invoices")
@pytest.mark.parametrize("wrong", [
    {"name": " "}, {"net_days": 366}, {"payer_ids": ()}, {"frequency": "weekly", "weekday": 7}, {"frequency": "monthly", "month_day": 29},
    {"overdue_again_days": 59}, {"effective_on": TODAY, "expires_on": TODAY - timedelta(days=1)},
])  # fmt: skip
def test_an_account_says_what_is_wrong_with_it(wrong: dict[str, object]) -> None:
    made: Account = employer()
    account.check(made)
    with pytest.raises(Refused):
        account.check(replace(made, **wrong))  # type: ignore[arg-type]


@pytest.mark.req("EP-32", part="all but send corrected invoices")
def test_an_account_pays_within_its_dates() -> None:
    bound = replace(employer(), effective_on=TODAY, expires_on=TODAY)
    assert [account.in_term(bound, TODAY + timedelta(days=n)) for n in (-1, 0, 1)] == [False, True, False]
    assert account.in_term(employer(), date(1990, 1, 1))
    assert [account.standing(bound, TODAY + timedelta(days=n)) for n in (-1, 0, 1)] == ["not yet active", "active", "expired"]


