"""What a service writes about an error: where and why, and nothing of a person."""

import json
import logging
import sys

import pytest
from sqlalchemy import insert

from shared.db import driver
from shared.telemetry import JsonLines
from tests.shared.conftest import Base, copies

WHO = "Ana\nDiaz"


@pytest.mark.req("PF-05", part="logs hold nothing of a person")
@pytest.mark.parametrize("by_driver", [False, True])
async def test_an_error_of_the_database_is_logged_without_the_row_it_is_about(base: Base, by_driver: bool) -> None:
    try:
        async with base.worker.begin() as tx:
            if by_driver:
                await (await driver(tx)).execute("INSERT INTO copies (practice_id, thing_id) VALUES ($1, $2)", "7", WHO)
            else:
                await tx.execute(insert(copies).values(practice_id="7", thing_id=WHO))
    except Exception:
        record = logging.LogRecord("toy", logging.ERROR, "", 0, "job failed", (), sys.exc_info())
    said = json.loads(JsonLines("toy").format(record))["error"]
    assert 'column "version"' in said and "Failing row" not in said and "Diaz" not in said, said
