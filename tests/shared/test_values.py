"""Values that no column takes are the sender's mistake, not ours."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.db import unstorable
from tests.shared.conftest import Base


@pytest.mark.parametrize(("value", "kind"), [("a\0b", "text"), ("\ud800", "text"), (2**63, "bigint"), (2**31, "int")])
async def test_a_value_that_no_column_takes_is_told_from_our_mistakes(base: Base, value: Any, kind: str) -> None:
    with pytest.raises(DBAPIError) as found:
        async with base.worker.begin() as tx:
            await tx.execute(text(f"SELECT CAST(:value AS {kind})"), {"value": value})
    assert unstorable(found.value)


async def test_a_statement_of_ours_that_is_wrong_is_our_mistake(base: Base) -> None:
    with pytest.raises(DBAPIError) as found:
        async with base.worker.begin() as tx:
            await tx.execute(text("SELECT 1 / 0"))
    assert not unstorable(found.value)


async def test_an_error_names_no_value_that_was_sent(base: Base) -> None:
    with pytest.raises(DBAPIError) as found:
        async with base.worker.begin() as tx:
            await tx.execute(text("SELECT 1 / 0 WHERE :name <> ''"), {"name": "Ana Diaz"})
    assert "Ana Diaz" not in str(found.value)
