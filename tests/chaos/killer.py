"""What happens to the services: SIGKILL anywhere and at named points, and orderly restarts one replica after the other."""

import asyncio
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import children
from deploy.local import plan as plans
from deploy.local.places import ROOT
from deploy.local.plan import service_of
from deploy.local.processes import Product
from tests.chaos.victim import ALL, POINTS

LONGEST_LIFE = 15.0  # of a victim, from being up, that does not reach its point: then it is killed wherever it is
AT_ONCE = 2
MANY = 3 * len(POINTS)  # so many kills have to meet every point, and so much of the work has to be done meanwhile
ROLLS = 0.25  # of the turns of a product with replicas, after the first, are rolling restarts


@dataclass
class Killer:
    """Kills instances of services, two at a time, and starts them again; with replicas it restarts whole services in an orderly way too.

    Each start takes one of the `releases`: checkouts of this code and, for a release step, of the one before.
    """

    product: Product
    rnd: random.Random
    wanted: int
    releases: list[Path] = field(default_factory=lambda: [ROOT])
    kills: int = 0
    rolls: int = 0
    by_point: dict[str, int] = field(default_factory=dict)
    ran: set[tuple[str, Path]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    restarted_at: float = field(default_factory=time.monotonic)  # the last start of an instance that was killed
    busy: set[str] = field(default_factory=set)

    async def run(self) -> None:
        await asyncio.gather(*(self._worker() for _ in range(AT_ONCE)))

    async def _worker(self) -> None:
        while self.kills < self.wanted or self.more():
            instance = self.rnd.choice(self.more() or [name for name in self.product.instances() if name not in self.busy])
            whole = plans.instances(service_of(instance), self.product.plan.replicas)
            rolling = len(whole) > 1 and not self.busy & set(whole) and (not self.rolls or self.rnd.random() < ROLLS)
            taken = set(whole) if rolling else {instance}
            self.busy |= taken
            try:
                await asyncio.sleep(self.rnd.uniform(0, 1.5))
                await (self._roll(whole) if rolling else self._death(instance))
            finally:
                self.busy -= taken

    async def _death(self, instance: str) -> None:
        """Killed anywhere, then at one of the points that were met least, then up again."""
        await self._kill(instance, "anywhere")
        passed = [point for point, (passed_by, _) in POINTS.items() if service_of(instance) in passed_by]
        least = min(self.by_point.get(point, 0) for point in passed)
        await self._victim(instance, self.rnd.choice([point for point in passed if self.by_point.get(point, 0) == least]))
        await asyncio.to_thread(self._start, instance)

    async def _roll(self, whole: list[str]) -> None:
        """A new release comes out: each replica ends in order and starts again, while the others work."""
        for instance in whole:
            process = self.product.running[instance]
            await asyncio.to_thread(self.product.stop, instance)
            if process.returncode == -signal.SIGKILL:
                self.wrong.append(f"{instance} did not end when it was asked to")
            await asyncio.to_thread(self._start, instance)
        self.rolls += 1

    def missed(self) -> list[str]:
        """The points that no service died at."""
        return [point for point in POINTS if point not in self.by_point] if self.wanted >= MANY else []

    def more(self) -> list[str]:
        """When the kills are done but points or releases are left: the instances that can still meet one, for a while."""
        if not self.wanted <= self.kills < self.wanted + MANY:
            return []
        left = {service for point in self.missed() for service in POINTS[point][0]} | {service for service, _ in self.untried()}
        return [name for name in self.product.instances() if name not in self.busy and service_of(name) in left]

    async def _kill(self, instance: str, point: str) -> None:
        await asyncio.to_thread(self.product.kill, instance)
        self.kills += 1
        self.by_point[point] = self.by_point.get(point, 0) + 1

    async def _victim(self, instance: str, point: str) -> None:
        """A life that ends at a point, or anywhere if it does not come to it."""
        after = self.rnd.choice((1, 1, 2, 3, 5, 8)) if POINTS[point][0] == ALL else 1  # people, charges and mails come by seldom
        process = self.product.start(instance, self._release(instance), ("tests.chaos.victim", service_of(instance), point, str(after)))
        if await asyncio.to_thread(self._dies, instance, process):
            self.kills += 1
            self.by_point[point] = self.by_point.get(point, 0) + 1
        else:
            await self._kill(instance, "anywhere")
            await asyncio.to_thread(process.wait)

    def _dies(self, instance: str, process: children.Process) -> bool:
        """Whether it reaches its point: at once, or within its life once it is ready."""
        end: float | None = None
        while process.poll() is None and (end is None or time.monotonic() < end):
            if end is None and self.product.is_ready(instance):
                end = time.monotonic() + LONGEST_LIFE
            time.sleep(0.1)
        return process.poll() == -signal.SIGKILL

    def _start(self, instance: str) -> None:
        self.restarted_at = time.monotonic()
        self.product.start(instance, self._release(instance))
        self.product.wait(instance)

    def _release(self, instance: str) -> Path:
        """The one that this service has not run yet, or any."""
        service = service_of(instance)
        chosen = self.rnd.choice([each for each in self.releases if (service, each) not in self.ran] or self.releases)
        self.ran.add((service, chosen))
        return chosen

    def untried(self) -> list[tuple[str, Path]]:
        """The services with each of several releases that they did not run."""
        releases = self.releases if len(self.releases) > 1 else ()
        return [(service, release) for service in ALL for release in releases if (service, release) not in self.ran]

    def not_met(self) -> list[str]:
        """What makes a run what it is called and did not happen in it, however few its kills were."""
        never = [f"{service} did not run {'this code' if release == ROOT else 'the release before'}" for service, release in self.untried()]
        return never + (["no service restarted in order"] if self.product.plan.replicas > 1 and not self.rolls else [])
