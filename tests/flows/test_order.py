"""Flows in any order."""

import pytest

from tests.conftest import Database as Server
from tests.flows.flows import FLOWS
from tests.flows.play import play
from tests.flows.world import World


@pytest.mark.parametrize("name", FLOWS)
async def test_flow(world: World, postgres: Server, name: str) -> None:
    import time
    flow = FLOWS[name]
    expected = await play(world, postgres.admin_url, flow, None)
    print(expected)
    for seed in range(5):
        t = time.time(); n = world.delivered
        end = await play(world, postgres.admin_url, flow, seed)
        print(seed, time.time() - t, world.delivered - n)
        if flow.same_end:
            assert end == expected, "\n".join(world.steps)
