"""Real Kafka and PostgreSQL for the tests that ask for them. Both start on first use, with throw-away data, and end with the run."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from deploy.local import kafka as kafka_server
from deploy.local import plan as plans
from deploy.local import postgres as postgres_server
from deploy.local.places import free_port, home
from deploy.local.processes import Product, running
from shared.db import asyncpg_url, setup
from shared.migrate import migrate
from tests.whole import Played, play

PASSWORDS = {"owner": "owner-of-the-tests", "app": "app-of-the-tests", "worker": "worker-of-the-tests"}


@dataclass(frozen=True)
class Urls:
    """One service's database by role: `owner` migrates, `app` serves one practice at a time, `worker` consumes and runs jobs."""

    admin: str
    owner: str
    app: str
    worker: str


@dataclass(frozen=True)
class Database:
    """The PostgreSQL server of the run."""

    admin_url: str
    kept: set[str] = field(default_factory=set)  # services of which a migrated copy is kept as a template

    async def fresh(self, service: str) -> Urls:
        """An empty database named as the service, with its three roles; what an earlier test left there is dropped."""
        await self.drop(service)
        await setup(self.admin_url, service, PASSWORDS)
        return self.urls(service)

    async def migrated(self, service: str) -> Urls:
        """A fresh database at the newest revision of the service. Only the first one of a run is migrated, the others are copies of it."""
        if service not in self.kept:
            urls = await self.fresh(service)
            await migrate(service, urls.owner)
            await self._admin(f'CREATE DATABASE "{service}_kept" TEMPLATE "{service}" OWNER "{service}_owner"')
            self.kept.add(service)
            return urls
        await self.drop(service)
        await self._admin(f'CREATE DATABASE "{service}" TEMPLATE "{service}_kept" OWNER "{service}_owner"')
        await setup(self.admin_url, service, PASSWORDS)  # rights on a database are not copied with it
        return self.urls(service)

    async def drop(self, service: str) -> None:
        await self._admin(f'DROP DATABASE IF EXISTS "{service}" WITH (FORCE)')

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(asyncpg_url(self.admin_url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def urls(self, service: str) -> Urls:
        """The addresses of a service's database, whether it exists or not."""
        def url(user: str, password: str | None) -> str:
            address = make_url(self.admin_url).set(username=user, password=password, database=service)
            return address.render_as_string(hide_password=False)

        return Urls(url("postgres", None), *(url(f"{service}_{role}", PASSWORDS[role]) for role in ("owner", "app", "worker")))


@pytest.fixture(scope="session")
def throw_away() -> Iterator[Path]:
    """A directory that the servers of this run may use. Directories of runs that were killed are removed on the way."""
    for old in home().glob("tests-*"):
        if not Path(f"/proc/{old.name.removeprefix('tests-')}").exists():
            shutil.rmtree(old, ignore_errors=True)
    place = home() / f"tests-{os.getpid()}"
    place.mkdir()
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(throw_away: Path) -> Iterator[Database]:
    """A real PostgreSQL with fsync off."""
    server = postgres_server.start(throw_away / "postgres", free_port(), throw_away / "postgres.log", throw_away=True)
    yield Database(server.admin_url)
    postgres_server.stop(server)


@pytest.fixture(scope="session")
def kafka(throw_away: Path) -> Iterator[str]:
    """The address of a real Kafka broker. Tests make topics and groups of their own names on it."""
    server = kafka_server.start(throw_away / "kafka", free_port(), free_port(), throw_away / "kafka.log", heap="384m")
    yield server.servers
    kafka_server.stop(server)


@pytest.fixture(scope="module")
def product(throw_away: Path) -> Iterator[Product]:
    """The whole product on servers of its own, not seeded: every service of the checkout, and the local tools. One for each module."""
    ports = {name: free_port() for name in plans.PARTS}
    place = throw_away / f"product-{ports['kafka']}"
    plan = plans.make(place / "data", place / "state", ports, throw_away=True)
    with running(plan) as product:
        yield product


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With FORBID_SKIPS set, as CI sets it, a skipped test fails the run: a gap is not a pass."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("FORBID_SKIPS") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("tests were skipped, and FORBID_SKIPS is set")
        session.exitstatus = 1


@pytest.fixture(scope="module")
async def played(product: Product) -> Played:
    """The whole product after its story."""
    return await play(product)
