from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http import Problem
from shared.keyset import Cursor, decode_cursor, encode_cursor, make_page

ROWS = [(date(2026, 11, 30 - n % 3), n) for n in range(10)]
NEWEST_FIRST = sorted(ROWS, reverse=True)


def read(cursor: Cursor | None, limit: int) -> list[tuple[date, int]]:
    """What a query by keyset answers: rows past the cursor in its direction, one more than asked for."""
    if cursor is None:
        return NEWEST_FIRST[: limit + 1]
    if cursor.newer:
        return [row for row in sorted(ROWS) if row > cursor.values][: limit + 1]
    return [row for row in NEWEST_FIRST if row < cursor.values][: limit + 1]


@pytest.mark.parametrize("limit", [1, 3, 5, 9, 10, 11])
def test_going_older_and_back_newer_shows_every_row_once_in_the_same_order(limit):
    cursor, down, pages = None, [], []
    while True:
        page = make_page(read(cursor, limit), limit, cursor, key=lambda row: row)
        pages.append(page.items)
        down += page.items
        if page.older is None:
            break
        cursor = decode_cursor(page.older, date, int)
    assert down == NEWEST_FIRST
    up = [page.items]
    while page.newer is not None:
        cursor = decode_cursor(page.newer, date, int)
        page = make_page(read(cursor, limit), limit, cursor, key=lambda row: row)
        up.insert(0, page.items)
    assert up == pages


def test_the_first_page_has_no_newer_neighbour_and_an_empty_list_none_at_all():
    assert make_page(read(None, 3), 3, None, key=lambda row: row).newer is None
    empty = make_page([], 3, None, key=lambda row: row)
    assert (empty.items, empty.newer, empty.older) == ((), None, None)


@pytest.mark.parametrize("text", ["x", "####", "bnVsbA", "W10", "WzEsMl0", "W3RydWUsMSxmYWxzZV0", "é", "e30"])
def test_a_cursor_that_we_did_not_write_is_refused_with_400(text):
    with pytest.raises(Problem) as refused:
        decode_cursor(text, date, int)
    assert refused.value.status_code == 400


@given(st.text())
def test_no_text_at_all_breaks_the_cursor(text):
    try:
        decode_cursor(text, date, int)
    except Problem as refused:
        assert refused.status_code == 400


def test_no_text_is_no_cursor():
    assert decode_cursor(None, int) is None
    assert decode_cursor("", int) is None


def test_a_cursor_is_safe_in_an_address():
    text = encode_cursor(Cursor(("ÿ?&=/+", 7), newer=True))
    assert text.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(text, str, int) == Cursor(("ÿ?&=/+", 7), newer=True)
