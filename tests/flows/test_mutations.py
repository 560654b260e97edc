"""Each rule of the flows is needed: without it, one known schedule breaks a promise; with it, the same schedule keeps all of them."""

import pytest

from tests.conftest import Database as Server
from tests.flows.flows import FLOWS
from tests.flows.mutations import MUTATIONS, Mutation
from tests.flows.play import play
from tests.flows.world import Broken, World


@pytest.mark.req("BX-01", "CF-05", "CF-06", "EP-12", "EP-13", "EP-14", "EP-16", "EP-17", "EP-21", "NT-02")
@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
async def test_a_rule_that_is_taken_out_is_missed(world: World, postgres: Server, monkeypatch: pytest.MonkeyPatch, mutation: Mutation) -> None:
    await play(world, postgres.admin_url, FLOWS[mutation.flow], mutation.seed)
    mutation.take_out(monkeypatch)
    with pytest.raises(Broken, match=mutation.breaks):
        await play(world, postgres.admin_url, FLOWS[mutation.flow], mutation.seed)
