"""Revisions beside a service at work: none holds it up or breaks it, and a migration that cannot have a table says so and can be repeated."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local.places import ROOT
from shared import db
from shared.db import Database, asyncpg_url, passing
from shared.events.registry import SERVICES
from shared.migrate import Busy, _config, head, migrate
from tests.conftest import Database as Server
from tests.shared.revisions import troubles


def revisions(service: str) -> list[tuple[str, str, str]]:
    """Each revision after the first, with the one before it."""
    found = ScriptDirectory.from_config(_config(service)).walk_revisions()
    return [(service, str(each.down_revision), each.revision) for each in reversed(list(found)) if each.down_revision]


LATER = [each for service in SERVICES for each in revisions(service)]
LATEST = {service: before for service, before, _ in LATER}  # the revision before the newest, of services that have one


@asynccontextmanager
async def administrator(postgres: Server, service: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(asyncpg_url(postgres.urls(service).admin))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize(("service", "before", "revision"), LATER)
@pytest.mark.req("PF-01")
async def test_a_revision_neither_holds_up_nor_breaks_the_release_before(postgres: Server, service: str, before: str, revision: str) -> None:
    urls = await postgres.fresh(service)
    await migrate(service, urls.owner, before)
    async with administrator(postgres, service) as connection:
        assert await troubles(connection, lambda: migrate(service, urls.owner, revision)) == []


@dataclass(frozen=True)
class Seeded:
    """An upgrade: its statements, in one transaction or each on its own, and what is found of it."""

    statements: Sequence[str]
    found: Sequence[str] = ()
    alone: bool = False


ADD = "ALTER TABLE claims ADD COLUMN more text"
FILL = "UPDATE claims SET name = 'x'"
INDEX = "INDEX ix_claims_name ON claims (name)"
KEPT = "keeps others out of claims during: "
GOOD = {
    "a column that may be null": Seeded([ADD]),
    "a column with a fixed default": Seeded(["ALTER TABLE claims ADD COLUMN more text NOT NULL DEFAULT ''"]),
    "a table with its index, filled from another": Seeded(
        ["CREATE TABLE more (id text PRIMARY KEY)", "CREATE INDEX ix_more ON more (id)", "INSERT INTO more SELECT id FROM claims"]
    ),
    "an index made beside the work": Seeded([f"CREATE {INDEX.replace('INDEX', 'INDEX CONCURRENTLY')}"], alone=True),
    "rows changed on their own": Seeded([ADD, FILL], alone=True),
    "an index that goes": Seeded(["DROP INDEX ix_claims_version"]),
    "a limit that goes": Seeded(["ALTER TABLE claims ALTER name DROP NOT NULL"]),
    "a limit for new rows, then looked at in old ones": Seeded(
        ["ALTER TABLE claims DROP CONSTRAINT kind", "ALTER TABLE claims ADD CONSTRAINT kind CHECK (kind < 9) NOT VALID",
         "ALTER TABLE claims VALIDATE CONSTRAINT kind"], alone=True,
    ),
}  # fmt: skip
BAD = {
    "another type": Seeded(
        ["ALTER TABLE claims ALTER version TYPE numeric"],
        ["rewrites all of claims", "claims.version was integer, is numeric"],
    ),
    "a default of each row's own": Seeded(["ALTER TABLE claims ADD COLUMN more uuid DEFAULT gen_random_uuid()"], ["rewrites all of claims"]),
    "a column that has to be given": Seeded(
        ["ALTER TABLE claims ADD COLUMN more text NOT NULL"], ["claims.more has to be given, which the release before does not do"]
    ),
    "a column that may no longer be null": Seeded(
        ["ALTER TABLE claims ALTER kind SET NOT NULL"], ["claims.kind has to be given, which the release before does not do"]
    ),
    "a default that goes": Seeded(
        ["ALTER TABLE claims ALTER version DROP DEFAULT"], ["claims.version has to be given, which the release before does not do"]
    ),
    "a column that goes": Seeded(["ALTER TABLE claims DROP COLUMN kind"], ["claims.kind is gone"]),
    "a column with another name": Seeded(["ALTER TABLE claims RENAME kind TO sort"], ["claims.kind is gone"]),
    "a table that goes": Seeded(["DROP TABLE claims"], ["table claims is gone"]),
    "a table with another name": Seeded(["ALTER TABLE claims RENAME TO bills"], ["table claims is gone"]),
    "a new limit": Seeded(
        ["ALTER TABLE claims ADD CONSTRAINT above CHECK (version > 0)"],
        ["reads all of claims and keeps writers out: ALTER TABLE claims ADD CONSTRAINT above CHECK (version > 0)", "claims has a new limit: above"],
    ),
    "a limit of another kind, looked at under the lock": Seeded(
        ["ALTER TABLE claims DROP CONSTRAINT kind", "ALTER TABLE claims ADD CONSTRAINT kind CHECK (kind < 9)"],
        ["reads all of claims and keeps writers out: ALTER TABLE claims ADD CONSTRAINT kind CHECK (kind < 9)"],
    ),
    "names that are one each": Seeded([f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX[6:]}"], ["claims has a new limit: ix_claims_name"], alone=True),
    "an index while nobody writes": Seeded([f"CREATE {INDEX}"], [f"reads all of claims and keeps writers out: CREATE {INDEX}"], alone=True),
    "rows changed behind a new column": Seeded([ADD, FILL], [f"{KEPT}{FILL}"]),
    "rows changed behind lifted security": Seeded(["ALTER TABLE claims NO FORCE ROW LEVEL SECURITY", FILL], [f"{KEPT}{FILL}"]),
    "rows copied behind a lock": Seeded(
        ["CREATE TABLE more (id text)", "LOCK TABLE claims IN SHARE MODE", "INSERT INTO more SELECT id FROM claims"],
        [f"{KEPT}INSERT INTO more SELECT id FROM claims"],
    ),
}
TOY = (
    "CREATE TABLE claims (id text PRIMARY KEY, name text NOT NULL, version integer NOT NULL DEFAULT 1, kind integer)",
    "ALTER TABLE claims ADD CONSTRAINT kind CHECK (kind < 5)",
    "CREATE INDEX ix_claims_version ON claims (version)",
    "INSERT INTO claims (id, name, kind) VALUES ('1', 'a', 1)",
)
EMPTIED = "a column that has to be given"  # with rows there, the database itself refuses it


@pytest.mark.parametrize("seeded", [*GOOD.values(), *BAD.values()], ids=[*GOOD, *BAD])
async def test_the_check_of_revisions_finds_what_is_wrong_and_nothing_else(postgres: Server, seeded: Seeded) -> None:
    urls = await postgres.fresh("toy")

    async def run(statements: Sequence[str], alone: bool = False) -> None:
        engine = create_async_engine(urls.owner, isolation_level="AUTOCOMMIT" if alone else "READ COMMITTED")
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await engine.dispose()

    await run(TOY[:-1] if seeded is BAD[EMPTIED] else TOY)
    async with administrator(postgres, "toy") as connection:
        assert await troubles(connection, lambda: run(seeded.statements, seeded.alone)) == list(seeded.found)


@pytest.mark.parametrize("service", LATEST)
@pytest.mark.req("PF-01")
async def test_a_migration_gives_up_in_words_on_a_table_in_use_and_can_be_repeated(
    postgres: Server, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = await postgres.fresh(service)
    await migrate(service, urls.owner, LATEST[service])
    monkeypatch.setattr(db, "MIGRATION_WAITS", "100ms")
    async with administrator(postgres, service) as connection:
        tables = [row["tablename"] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        async with connection.transaction():  # as one who reads and writes every table, and does not end
            await connection.execute(f"LOCK TABLE {', '.join(table for table in tables if table != 'alembic_version')} IN ROW EXCLUSIVE MODE")
            with pytest.raises(Busy, match="a table was in use and not free within 100ms for "):
                await migrate(service, urls.owner)
            worker = Database(urls.worker, "test")
            async with worker.begin() as tx:
                for table in tables:
                    await tx.execute(text(f'SELECT 1 FROM "{table}" LIMIT 1'))
            await worker.close()
        await migrate(service, urls.owner)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {', '.join(table for table in tables if table != 'alembic_version')} IN ROW EXCLUSIVE MODE")
            await migrate(service, urls.owner)  # with nothing left to do, it asks for no table
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == head(service)
        assert await connection.fetch("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []


async def test_a_revision_that_was_interrupted_half_way_goes_on_when_repeated(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = await postgres.fresh("invoicing")
    await migrate("invoicing", urls.owner, "0002")
    monkeypatch.setattr(db, "MIGRATION_WAITS", "100ms")
    async with administrator(postgres, "invoicing") as connection:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute("SELECT 1 FROM account")  # an index is made beside the work, but waits for whoever still sees the time before
            with pytest.raises(Busy, match="CREATE INDEX CONCURRENTLY"):
                await migrate("invoicing", urls.owner)
        assert len(await connection.fetch("SELECT 1 FROM pg_index WHERE NOT indisvalid")) == 1
        await migrate("invoicing", urls.owner)
        assert await connection.fetch("SELECT 1 FROM pg_index WHERE NOT indisvalid") == []


@pytest.mark.parametrize("service", LATEST)
async def test_a_migration_comes_through_while_everybody_works(postgres: Server, service: str) -> None:
    urls = await postgres.fresh(service)
    await migrate(service, urls.owner, "0001")
    worker, done = Database(urls.worker, "test"), asyncio.Event()
    async with administrator(postgres, service) as connection:
        tables = [row["tablename"] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]

    async def work(table: str) -> None:
        while not done.is_set():
            try:
                async with worker.begin() as tx:
                    await tx.execute(text(f'SELECT * FROM "{table}" LIMIT 1'))
                    await tx.execute(text(f'LOCK TABLE "{table}" IN ROW EXCLUSIVE MODE'))
            except Exception as error:
                assert passing(error)

    working = [asyncio.create_task(work(table)) for table in tables if table != "alembic_version"]
    try:
        await migrate(service, urls.owner)
    finally:
        done.set()
        await asyncio.gather(*working)
        await worker.close()


async def test_the_command_says_that_a_table_was_in_use(postgres: Server) -> None:
    urls = await postgres.fresh("portal")
    await migrate("portal", urls.owner, "0002")
    env = os.environ | {"PYTHONPATH": str(ROOT), "DATABASE_OWNER_URL": urls.owner}
    argv = [sys.executable, "-m", "services.portal", "migrate"]
    async with administrator(postgres, "portal") as connection, connection.transaction():
        await connection.execute("LOCK TABLE attempt_invoices IN ROW EXCLUSIVE MODE")
        refused = await asyncio.to_thread(subprocess.run, argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("portal is not migrated yet: a table was in use and not free within 3s for ALTER TABLE attempt_invoices ADD")
    assert refused.stderr.endswith("; run it again\n")
