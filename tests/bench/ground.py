"""What every bench stands on: servers that sync to disk as in production, claims in any number, and how a result is told."""

import contextlib
import gc
import itertools
import json
import os
import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from deploy.local import plan as plans
from deploy.local import publisher
from deploy.local.places import LOCAL, free_port, home
from deploy.local.plan import Plan
from deploy.local.processes import Product, running
from deploy.local.seed import DATA
from shared.db import asyncpg_url

ROUNDS = 3


@dataclass(frozen=True)
class Result:
    """One bench: what was measured against its floor, and whether the bound holds. `goal` is where the design should come to."""

    name: str
    words: str
    ratio: float
    floor: float
    goal: float
    held: bool

    def line(self) -> str:
        return json.dumps({"name": self.name, "ratio": round(self.ratio, 3), "floor": round(self.floor, 3), "goal": self.goal})

    def keep(self) -> None:
        """Prints the result, and adds its line to `.local/bench.json`."""
        print(f"{self.name}: {self.words} {'— holds' if self.held else '— MISSED'} (load {os.getloadavg()[0]:.1f})", flush=True)
        LOCAL.mkdir(exist_ok=True)
        with (LOCAL / "bench.json").open("a") as file:
            file.write(self.line() + "\n")


@contextlib.contextmanager
def place(name: str) -> Iterator[Plan]:
    """A plan whose PostgreSQL is durable, on a directory that is removed afterwards."""
    where = home() / f"bench-{name}-{os.getpid()}"
    try:
        yield plans.make(where / "data", where / "state", {part: free_port() for part in plans.PARTS})
    finally:
        shutil.rmtree(where, ignore_errors=True)


@contextlib.contextmanager
def servers(name: str) -> Iterator[Product]:
    """Kafka and PostgreSQL with every service's database and topics; no service runs."""
    with place(name) as plan:
        product = Product(plan)
        try:
            product.start_servers()
            product.prepare()
            yield product
        finally:
            product.stop_all()


@contextlib.contextmanager
def whole(name: str) -> Iterator[Product]:
    """The whole product."""
    with place(name) as plan, running(plan) as product:
        yield product


def tune() -> None:
    """The garbage collector as services have it, for both sides."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def bodies(count: int) -> Iterator[dict[str, Any]]:
    """Claims like the sample's, each with an id of its own."""
    samples = itertools.cycle(publisher.lines(DATA / "claims.jsonl"))
    for number, sample in enumerate(itertools.islice(samples, count), 1):
        charges = [each | {"charge_id": f"b{number}-{n}"} for n, each in enumerate(sample["charges"], 1)]
        yield sample | {"claim_id": f"b{number}", "version": 1, "charges": charges}


def admin(product: Product, service: str) -> str:
    """The superuser's address of a service's database."""
    return asyncpg_url(product.plan.admin_url).rsplit("/", 1)[0] + f"/{service}"


async def sql(product: Product, service: str, statement: str) -> list[Any]:
    """Runs one statement as the superuser."""
    connection = await asyncpg.connect(admin(product, service))
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
