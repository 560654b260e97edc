"""What a run of chaos has met, however few its kills are."""

import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.local import plan as plans
from deploy.local.places import ROOT
from tests.chaos.__main__ import too_little
from tests.chaos.killer import MANY, Killer
from tests.chaos.victim import ALL

BEFORE = Path("/before")


class Quick(random.Random):
    """Chooses by its seed, and waits for nothing."""

    def uniform(self, a: float, b: float) -> float:
        return 0


class Played:
    """A product whose processes die as they are told to."""

    def __init__(self, replicas: int) -> None:
        self.plan = SimpleNamespace(replicas=replicas)
        self.running: dict[str, Any] = {}
        self.ran: set[tuple[str, Path]] = set()

    def instances(self) -> list[str]:
        return [each for service in ALL for each in plans.instances(service, self.plan.replicas)]

    def start(self, instance: str, code: Path, module: Any = ()) -> Any:
        self.ran.add((plans.service_of(instance), code))
        self.running[instance] = SimpleNamespace(returncode=0, poll=lambda: -signal.SIGKILL)
        return self.running[instance]

    def kill(self, instance: str) -> None: ...

    def wait(self, instance: str) -> None: ...

    def stop(self, instance: str) -> None: ...


@pytest.mark.parametrize("seed", range(5))
async def test_a_run_of_few_kills_runs_both_releases_of_every_service_and_restarts_one_in_order(seed: int) -> None:
    product: Any = Played(replicas=2)
    product.running = dict.fromkeys(product.instances(), SimpleNamespace(returncode=0))
    killer = Killer(product, Quick(seed), 4, [ROOT, BEFORE])
    await killer.run()
    assert product.ran == {(service, code) for service in ALL for code in (ROOT, BEFORE)} and killer.rolls
    assert killer.not_met() == []


def test_a_run_says_what_it_did_not_meet() -> None:
    product: Any = Played(replicas=2)
    alone: Any = Played(replicas=1)
    load: Any = SimpleNamespace(done={})
    killer = Killer(product, Quick(1), 4, [ROOT, BEFORE], ran={(service, ROOT) for service in ALL} | {("portal", BEFORE)})
    never = [f"{service} did not run the release before" for service in ALL if service != "portal"]
    assert too_little(killer, load) == [*never, "no service restarted in order"]
    killer.wanted = MANY
    assert {*never, "no service restarted in order", "relay: acknowledged and deleted", "payments confirmed: 0"} <= set(too_little(killer, load))
    assert too_little(Killer(alone, Quick(1), 4), load) == []
