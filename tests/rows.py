"""Tables of cases, each row with the rules that it proves."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest


def rows(proves: Mapping[str, Sequence[str]], table: Mapping[str, Any]) -> list[Any]:
    """A case for each row of a table, by its name; `proves` has rule ids for each, with the part that it proves after a colon."""
    assert proves.keys() == table.keys(), "every row says what it proves"
    return [pytest.param(row, id=name, marks=[_mark(each) for each in proves[name]]) for name, row in table.items()]


def _mark(rule: str) -> pytest.MarkDecorator:
    rule_id, _, part = rule.partition(": ")
    return pytest.mark.req(rule_id, part=part) if part else pytest.mark.req(rule_id)
