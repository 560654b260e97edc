import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.brand import CANVAS, INK_2, brand, contrast

colours = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06X}")


@pytest.mark.req("EP-19", part="colours")
@given(colours)
def test_any_colour_gives_a_button_that_can_be_read_an_edge_that_shows_and_a_row_that_stays_legible(colour):
    made = brand(colour)
    assert contrast(made.on, made.accent) >= 4.5
    assert contrast(made.edge, CANVAS) >= 3.0
    assert contrast(INK_2, made.soft) > 6.5
    assert (made.ratios.on, made.ratios.edge) == (contrast(made.on, made.accent), contrast(made.edge, CANVAS))


@pytest.mark.req("EP-19", part="colours")
def test_a_colour_that_is_safe_already_is_kept_as_it_is():
    made = brand("#0b5e6b")
    assert (made.accent, made.edge, made.on) == ("#0B5E6B", "#0B5E6B", "#FFFFFF")


@pytest.mark.req("EP-19", part="colours")
def test_a_light_colour_keeps_its_button_takes_ink_text_and_gets_a_darker_edge():
    made = brand("#F2B705")
    assert (made.accent, made.on) == ("#F2B705", "#16202B")
    assert made.edge != made.accent


@pytest.mark.req("EP-19", part="colours")
def test_a_middle_grey_that_neither_white_nor_ink_can_stand_on_is_darkened_until_white_can():
    made = brand("#6F7F8F")
    assert made.accent != "#6F7F8F"
    assert made.on == "#FFFFFF"


@pytest.mark.parametrize("text", ["", "0B5E6B", "#0B5E6", "#0B5E6BFF", "red", "#0B5E6G"])
def test_what_is_no_colour_is_refused_in_words(text):
    with pytest.raises(ValueError, match="six hexadecimal digits"):
        brand(text)


def test_black_on_white_is_the_largest_contrast_there_is():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
