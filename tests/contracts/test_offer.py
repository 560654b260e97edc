"""What a department offers, and what it is short of (CF-03, CF-07, CF-11)."""

from dataclasses import replace
from typing import Any

import pytest

from services.contracts.domain.contract import Offer

WHOLE = Offer(True, "R1", "N1", "d1", 150_000, ("VI",))


@pytest.mark.req("CF-03", "CF-07", "CF-11", part="one-year contracts")
@pytest.mark.parametrize(
    ("without", "words"),
    [
        ({"contracts_on": False}, "switched off for this practice"),
        ({"retail_merchant_id": None}, "no retail merchant id"),
        ({"card_not_present_merchant_id": ""}, "no card-not-present merchant id"),
        ({"auto_contract_department_id": None}, "no auto-contract department"),
        ({"max_cents": None}, "not offered here"),
        ({"max_cents": 0}, "not offered here"),
    ],
)
def test_a_department_says_what_it_is_short_of(without: dict[str, Any], words: str) -> None:
    assert WHOLE.shortcomings == []
    (said,) = replace(WHOLE, **without).shortcomings
    assert words in said
