"""The flows of the product in any order, any number of times, with crashes between: no promise is broken, and the end is the same.

`ORDER_SCHEDULES` is how many schedules of each flow are played, `ORDER_SEED` the first of their seeds: a failure names its own.
"""

import os

import pytest

from tests.conftest import Database as Server
from tests.flows.flows import FLOWS
from tests.flows.play import Flow, play
from tests.flows.world import World
from tests.rows import rows

SCHEDULES = int(os.environ.get("ORDER_SCHEDULES", "2"))
FIRST = int(os.environ.get("ORDER_SEED", "0"))


PROVES = {
    "bill": ("RP-12",),
    "bill, hold and release": ("EP-29",),
    "bill, the same version again": ("RP-12",),
    "change": ("EP-12", "RP-12"),
    "change while paying": ("EP-12", "EP-13", "EP-14"),
    "payer away and back": ("EP-14",),
    "void and back while paying": ("EP-14",),
    "void and back during a call": ("EP-14",),
    "correction undone": ("EP-17: correct, re-drop", "EP-29"),
    "dispute": ("EP-16", "EP-17: correct, write off, re-drop", "EP-29"),
    "dispute and payment": ("EP-14", "EP-16", "EP-29"),
    "write-off and check": ("EP-17: write off, re-drop", "EP-29"),
    "equal amounts": ("EP-13", "EP-14"),
    "pay": ("EP-13", "EP-21: posted with no hand, the invoice closes"),
    "pay for two payer ids": ("EP-01: all but send corrected invoices", "EP-13", "EP-21: posted with no hand, the invoice closes"),
    "pay in parts": ("EP-13", "EP-21: posted with no hand, the invoice closes"),
    "two people, a call late": ("EP-13", "EP-14"),
    "two people and a check of all": ("EP-13", "EP-14"),
    "two people, a call lost": ("EP-13", "EP-14"),
    "two people, a call refused": ("EP-13", "EP-14"),
    "paid before posting has the version": ("EP-21: posted with no hand, the invoice closes",),
    "payment after a dispute": ("EP-13", "EP-16"),
    "payment while invoicing is behind": ("EP-13",),
    "dispute and payment at one moment": ("EP-14", "EP-16"),
    "anything with employers": (
        "EP-12", "EP-13", "EP-14", "EP-16", "EP-17: correct, write off, re-drop", "EP-21: posted with no hand, the invoice closes", "EP-29", "RP-12",
        "BX-01",
    ),
    "contract": ("CF-05", "CF-06"),
    "contract, cancelled": ("CF-05",),
    "contract, billed again": ("CF-05", "CF-06"),
    "contract, the balance rises": ("CF-06",),
    "contract, billed again after the charge": ("CF-06",),
    "contract, a limit for two claims": ("CF-06",),
    "contract, a call late": ("CF-08",),
    "contract, billed again during the call": ("CF-06", "CF-08"),
    "contract, mails down for four days": ("CF-05",),
    "anything with patients": ("CF-05", "CF-06", "CF-08", "RP-12"),
    "mails": ("EP-18: without preferences", "NT-02", "BX-01"),
    "mails, overdue": ("EP-18: without preferences", "NT-02", "BX-01"),
}  # fmt: skip


@pytest.mark.parametrize("flow", rows(PROVES, FLOWS))
async def test_a_flow_keeps_its_promises_in_any_order(world: World, postgres: Server, flow: Flow) -> None:
    expected = await play(world, postgres.admin_url, flow, None) if flow.same_end else None
    for seed in range(FIRST, FIRST + SCHEDULES):
        end = await play(world, postgres.admin_url, flow, seed)
        if flow.same_end:
            assert end == expected, f"seed {seed}:\n" + "\n".join(world.steps)


async def test_a_seed_repeats_to_the_last_step(world: World, postgres: Server) -> None:
    flow = FLOWS["change while paying"]
    ends = [(await play(world, postgres.admin_url, flow, 3), list(world.steps)) for _ in range(2)]
    assert ends[0] == ends[1]
