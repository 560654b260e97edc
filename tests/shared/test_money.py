"""Money: what people type, what they read, and how an amount is spread; no cent comes or goes."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import LIMIT_CENTS, BadAmount, parse, split, usd

CENTS = st.integers(0, LIMIT_CENTS)
CAPACITIES = st.lists(st.integers(0, 10**7), max_size=8)


@pytest.mark.parametrize(
    ("typed", "cents"),
    [
        ("62.4", 6240),
        ("62.40", 6240),
        ("62", 6200),
        ("0", 0),
        ("0.05", 5),
        ("0.5", 50),
        ("$1,240", 124_000),
        (" $ 1,240.00 ", 124_000),
        (" " * 1_000 + "7" + "\n" * 1_000, 700),
        ("1,234,567.89", 123_456_789),
        ("007", 700),
        ("10000000000.00", LIMIT_CENTS),
    ],
)
def test_what_a_person_types_is_read_to_the_cent(typed: str, cents: int) -> None:
    assert parse(typed) == cents


@pytest.mark.parametrize(
    "typed", ["", " ", "$", "abc", "-5", "−5", "+5", "1e3", "62.", ".50", "1.234", "1,24", "12,40.00", "1,2345", "1 240", "5 $", "1.2.3", "１２"]
)
def test_what_is_no_amount_is_refused_in_words(typed: str) -> None:
    with pytest.raises(BadAmount, match=r"^Enter an amount in dollars, like 62\.40$"):
        parse(typed)


@pytest.mark.parametrize("typed", ["9" * 41, "9" * 5_000, "$" + " " * 1_000_000 + "1", "1" + " " * 1_000_000 + "x", " " * 100_000 + "x"])
def test_what_is_longer_than_any_amount_is_refused_at_once(typed: str) -> None:
    before = time.process_time()
    with pytest.raises(BadAmount, match=r"^Enter an amount in dollars, like 62\.40$"):
        parse(typed)
    assert time.process_time() - before < 0.5


@pytest.mark.parametrize("typed", ["10,000,000,000.01", "9" * 40])
def test_an_amount_above_the_limit_is_refused_in_words(typed: str) -> None:
    with pytest.raises(BadAmount, match=r"^Enter a smaller amount$"):
        parse(typed)


@pytest.mark.parametrize(
    ("cents", "plain", "signed", "total"),
    [
        (0, "0.00", "0.00", "$0.00"),
        (5, "0.05", "+0.05", "$0.05"),
        (-5, "−0.05", "−0.05", "−$0.05"),
        (124_000, "1,240.00", "+1,240.00", "$1,240.00"),
        (-123_456_789, "−1,234,567.89", "−1,234,567.89", "−$1,234,567.89"),
    ],
)
def test_an_amount_is_written_one_way(cents: int, plain: str, signed: str, total: str) -> None:
    assert (usd(cents), usd(cents, sign=True), usd(cents, symbol=True)) == (plain, signed, total)


@given(CENTS, st.booleans())
def test_what_is_shown_can_be_typed_back(cents: int, symbol: bool) -> None:
    assert parse(usd(cents, symbol=symbol)) == cents


@given(st.text())
def test_any_text_is_an_amount_within_the_limit_or_refused(typed: str) -> None:
    with suppress(BadAmount):
        assert 0 <= parse(typed) <= LIMIT_CENTS


@given(CAPACITIES, st.data())
def test_an_amount_that_fits_is_spread_whole_and_each_place_is_filled_before_the_next(capacities: list[int], data: st.DataObject) -> None:
    cents = data.draw(st.integers(0, sum(capacities)))
    shares = split(cents, capacities)
    assert sum(shares) == cents and len(shares) == len(capacities)
    assert all(0 <= share <= capacity for share, capacity in zip(shares, capacities, strict=True))
    for n, share in enumerate(shares):
        assert share == capacities[n] or not any(shares[n + 1 :])


@given(CAPACITIES, st.integers(1, 10**7))
def test_what_does_not_fit_is_refused_and_so_is_less_than_nothing(capacities: list[int], more: int) -> None:
    with pytest.raises(ValueError, match=f"^{more} cents are left over$"):
        split(sum(capacities) + more, capacities)
    with pytest.raises(ValueError, match="not negative"):
        split(-more, capacities)
