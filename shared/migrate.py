"""Migrations: each service has its own revisions and its own database; a service never migrates by itself.

`python -m shared.migrate make <service> "<what changes>"` writes a revision from the difference to the database at DATABASE_OWNER_URL.
"""

import asyncio
import importlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from shared import db, technical

ROOT = Path(__file__).parent


class Busy(Exception):
    """A table that a revision changes was in use for as long as a migration waits. What was done stays; repeated, it goes on from there."""


def _tables(service: str) -> Any:
    return importlib.import_module(f"services.{service}.tables")


def _config(service: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(Path(_tables(service).__file__).parent / "migrations"))
    config.attributes["metadata"] = [db.TECHNICAL, _tables(service).metadata]
    return config


def tables(service: str) -> list[str]:
    """The tables that this code knows, technical ones too."""
    return sorted({*db.TECHNICAL.tables, *_tables(service).metadata.tables})


def head(service: str) -> str | None:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(_config(service)).get_current_head()


def behind(service: str, found: str | None) -> str | None:
    """What is wrong in words where a schema at revision `found` lacks what this code needs; None where it can work with it.

    A newer schema is no trouble: the release before goes on beside the new one, and a revision takes away only what neither of them uses.
    """
    needed = head(service)
    if found is not None and needed is not None and found >= needed:
        return None
    return f"the schema is at revision {found or 'none'}, this code needs {needed}: run `python -m services.{service} migrate`"


async def migrate(service: str, owner_url: str, revision: str = "head") -> None:
    """Brings the database to this code's revision (or to an earlier one), then grants and row-level security; repeatable.

    A service of the release before may be at work meanwhile: new columns keep a default, what changes rows lifts row-level security, and
    neither happens in the transaction that locked a table. Raises Busy rather than hold up everybody behind a lock it waits for.
    """
    tables = _tables(service)
    triggers = (*technical.outbox.TRIGGERS, *getattr(tables, "TRIGGERS", ()))
    try:
        await _with_connection(owner_url, service, lambda config: command.upgrade(config, revision))
        await db.secure(owner_url, service, getattr(tables, "PLATFORM_TABLES", ()), getattr(tables, "APPEND_ONLY", ()), triggers)
    except (DBAPIError, asyncpg.PostgresError) as error:
        origin = error.orig if isinstance(error, DBAPIError) else error
        if getattr(origin, "sqlstate", None) != asyncpg.LockNotAvailableError.sqlstate:
            raise
        statement = f" for {error.statement}" if isinstance(error, DBAPIError) else ""
        raise Busy(f"a table was in use and not free within {db.MIGRATION_WAITS}{statement}") from error


async def make(service: str, message: str, owner_url: str) -> None:
    """Writes the revision that leads from the database to the declared tables."""
    await _with_connection(owner_url, service, lambda config: command.upgrade(config, "head"))
    await _with_connection(owner_url, service, lambda config: command.revision(config, message, autogenerate=True, rev_id=_next(config)))


def _next(config: Config) -> str:
    current = ScriptDirectory.from_config(config).get_current_head()
    return f"{int(current or 0) + 1:04d}"


async def _with_connection(owner_url: str, service: str, run: Any) -> None:
    engine = create_async_engine(owner_url, async_creator=partial(db.connect, owner_url, server_settings={"lock_timeout": db.MIGRATION_WAITS}))
    config = _config(service)

    def go(connection: Connection) -> None:
        config.attributes["connection"] = connection
        run(config)

    async with engine.connect() as connection:
        await connection.run_sync(go)
        await connection.commit()
    await engine.dispose()


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[1] != "make":
        sys.exit('usage: DATABASE_OWNER_URL=… python -m shared.migrate make <service> "<what changes>"')
    asyncio.run(make(sys.argv[2], sys.argv[3], os.environ["DATABASE_OWNER_URL"]))


if __name__ == "__main__":
    main()
