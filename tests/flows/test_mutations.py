"""Each rule of the flows is needed: without it, one known schedule breaks a promise; with it, the same schedule keeps all of them."""

import pytest

from tests.conftest import Database as Server
from tests.flows.flows import FLOWS
from tests.flows.mutations import MUTATIONS, Mutation
from tests.flows.play import play
from tests.flows.world import Broken, World
from tests.rows import rows

PROVES = {
    "write_off_of_nothing": ("EP-17: write off, re-drop", "EP-29"),
    "release_first": ("EP-13", "EP-14"),
    "dispute_versions": ("EP-16",),
    "highest_version_named": ("BX-01",),
    "captures_and_disputes_read": ("BX-01",),
    "skipped_is_said": ("CF-05", "NT-02"),
    "balance_whole": ("EP-12", "EP-13"),
    "line_names_payments": ("EP-14",),
    "captures_joined_with_balances": ("CF-06",),
    "later_record_of_a_version": ("EP-12",),
    "content_the_payer_saw": ("EP-21: posted with no hand, the invoice closes",),
    "marks_belong_to_the_claim": ("EP-14",),
    "credit_of_captures": ("CF-06",),
    "same_locks": ("EP-14", "EP-16"),
    "looked_at_again": ("CF-05",),
}


@pytest.mark.parametrize("mutation", rows(PROVES, MUTATIONS))
async def test_a_rule_that_is_taken_out_is_missed(world: World, postgres: Server, monkeypatch: pytest.MonkeyPatch, mutation: Mutation) -> None:
    await play(world, postgres.admin_url, FLOWS[mutation.flow], mutation.seed)
    mutation.take_out(monkeypatch)
    with pytest.raises(Broken, match=mutation.breaks):
        await play(world, postgres.admin_url, FLOWS[mutation.flow], mutation.seed)
