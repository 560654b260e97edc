"""How long chaos looks for a clean product."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.local.verify.facts import Facts
from tests.chaos import __main__ as chaos


@pytest.mark.parametrize("wrong", [{}, {"ledger sums to zero": ["a cent"]}])
async def test_it_looks_once_though_the_minute_was_over_before(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, list[str]]) -> None:
    async def nothing(*_: Any) -> None: ...

    async def gathered(_: Any) -> Facts:
        return Facts(tables={"invoicing": {"claim": [], "claim_mark": []}, "contracts": {"charges": []}, "notifier": {"mails": []}})

    monkeypatch.setattr(chaos.settled, "settle", nothing)
    monkeypatch.setattr(chaos, "gather", gathered)
    monkeypatch.setattr(chaos, "findings", lambda _: wrong)
    load: Any = SimpleNamespace(bill=nothing, published={}, done={})
    seconds, found = await chaos.clean({}, load, time.monotonic() - 2 * chaos.CLEAN_WITHIN)
    assert seconds > chaos.CLEAN_WITHIN and found == wrong
