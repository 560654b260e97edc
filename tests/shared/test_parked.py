"""What operators do with parked records, however many there are: `parked`, `replay`, `replay <parked id> …`."""

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from shared import command, parking
from shared.clock import FixedClock
from shared.events.ingress import CLAIM_HOLD_REQUESTED
from shared.kafka import Consumption
from tests.shared.conftest import Base, Toy, envelope
from tests.shared.test_consumption import hold

TOPIC = CLAIM_HOLD_REQUESTED.name
CLAIMS = ("1", "2", "3", "1", "4", "5", "6")


@pytest.fixture
async def service(base: Base, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A service with a record parked per claim of CLAIMS, of which the first cannot be handled yet; two are read at once."""
    monkeypatch.setattr(parking, "PAGE", 2)
    toy = Toy(base.worker.url, base.worker, base.app, "", FixedClock(datetime(2026, 11, 20, 15, tzinfo=UTC)))
    taken = Consumption("invoicing", "invoicing.claims", base.worker, toy.clock, {CLAIM_HOLD_REQUESTED: toy.keep})
    async with base.worker.begin() as tx:
        for offset, claim in enumerate(CLAIMS):
            body = hold(claim, "none" if offset else "refuse")
            record = ConsumerRecord(TOPIC, 0, offset, 0, 0, f"7/{claim}".encode(), body, None, 0, len(body), tuple(envelope(CLAIM_HOLD_REQUESTED)))
            await parking.park(tx, "invoicing", taken.group, record, ValueError("since mended") if offset != 3 else None)
    return SimpleNamespace(worker=base.worker, consumptions=[taken], rows=toy.rows)


async def listed(service: Any) -> dict[int, str]:
    """Offset → parked id, as `parked` prints them."""
    said = await command.list_parked(service)
    found = {int(offset): parked_id for parked_id, offset in re.findall(rf"^(\S+)  \S+  {re.escape(TOPIC)}/0/(\d+)  ", said, re.MULTILINE)}
    assert said.endswith(f"\n{len(found)} parked records")
    return found


@pytest.mark.req("PF-02")
async def test_all_parked_records_are_listed_and_counted(service: Any) -> None:
    assert list(await listed(service)) == list(range(len(CLAIMS)))


@pytest.mark.req("PF-02")
async def test_one_is_replayed_by_its_id_wherever_it_stands(service: Any) -> None:
    last = (await listed(service))[6]
    assert await command.replay(service, [last]) == "1 records replayed"
    assert [row.key for row in await service.rows()] == ["7/6"]
    with pytest.raises(SystemExit, match=f"0 records replayed; nothing is parked under {last}"):
        await command.replay(service, [last])


@pytest.mark.req("PF-02")
async def test_all_are_replayed_but_for_what_stands_behind_one_that_still_fails(service: Any) -> None:
    with pytest.raises(SystemExit, match="5 records replayed, 2 still fail"):
        await command.replay(service, [])
    assert [row.key for row in await service.rows()] == [f"7/{claim}" for claim in "23456"]
    assert list(await listed(service)) == [0, 3]
