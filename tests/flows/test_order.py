"""The flows of the product in any order, any number of times, with crashes between: no promise is broken, and the end is the same.

`ORDER_SCHEDULES` is how many schedules of each flow are played, `ORDER_SEED` the first of their seeds: a failure names its own.
"""

import os

import pytest

from tests.conftest import Database as Server
from tests.flows.flows import FLOWS
from tests.flows.play import play
from tests.flows.world import World

SCHEDULES = int(os.environ.get("ORDER_SCHEDULES", "2"))
FIRST = int(os.environ.get("ORDER_SEED", "0"))


@pytest.mark.req("EP-12", "EP-13", "EP-14", "EP-16", "EP-17", "EP-21", "EP-28", "EP-29", "RP-12", "BX-01")
@pytest.mark.req("EP-18", part="without preferences")
@pytest.mark.req("CF-05", "CF-06", "CF-08", "NT-02")
@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_keeps_its_promises_in_any_order(world: World, postgres: Server, name: str) -> None:
    flow = FLOWS[name]
    expected = await play(world, postgres.admin_url, flow, None) if flow.same_end else None
    for seed in range(FIRST, FIRST + SCHEDULES):
        end = await play(world, postgres.admin_url, flow, seed)
        if flow.same_end:
            assert end == expected, f"seed {seed}:\n" + "\n".join(world.steps)


async def test_a_seed_repeats_to_the_last_step(world: World, postgres: Server) -> None:
    flow = FLOWS["change while paying"]
    ends = [(await play(world, postgres.admin_url, flow, 3), list(world.steps)) for _ in range(2)]
    assert ends[0] == ends[1]
