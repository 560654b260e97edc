"""PostgreSQL: engines, transactions, COPY, and the roles and row-level security of each service's own database.

Three roles per service: `<service>_owner` owns the tables and migrates, `<service>_app` serves HTTP and sees one practice
at a time, `<service>_worker` runs consumers, jobs and the relay.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from opentelemetry import trace
from sqlalchemy import JSON, MetaData, Table, bindparam, insert, null, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from shared import telemetry
from shared.events import ENCODER

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
SERVICES = Path(__file__).parents[1] / "services"
ROLES = ("owner", "app", "worker")
# What answers to people do in tables of the ground; the others hold messages of all practices and are the worker's alone.
APP_MAY = {"outbox": "INSERT", "idempotency": "SELECT, INSERT, UPDATE", "timers": "SELECT, INSERT, UPDATE, DELETE"}
MIGRATION_WAITS = "3s"  # for a table in use; meanwhile everybody else who wants that table waits too
# Connection, transaction rollback, resources, operator intervention, system: the database's trouble, not the record's.
_PASSING_STATES = re.compile(r"^(08|40|53|57|58)|^(55P03|25006)$")
# As asyncpg found before sending; not in repertoire, out of range, untranslatable, of another kind, as PostgreSQL found.
_UNSTORABLE_STATES = ("22000", "22021", "22003", "22P05", "22P02")

_NAME = re.compile(r"(?<!:):(\w+)")
_NOTHING = text("SELECT")
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

UNGUARDED = """
SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL($1)
 AND NOT (relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = pg_class.oid AND polname = 'tenant'))
"""

OF_THESE = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY($1)"


def new_metadata() -> MetaData:
    """Metadata with the naming convention by which constraints are found in errors and migrations."""
    return MetaData(naming_convention=NAMING)


TECHNICAL = new_metadata()  # tables of the ground itself: in every service's database, outside row-level security


class Database:
    """One role's engine. `begin` opens the one transaction of a message, request or job."""

    def __init__(self, url: str, name: str, pool_size: int = 10) -> None:
        self.url, self.name = url, name
        settings = {"application_name": name, "timezone": "UTC"}
        self.engine = create_async_engine(
            url,
            async_creator=partial(connect, url, server_settings=settings, timeout=5),
            json_serializer=lambda value: ENCODER.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
            pool_size=pool_size,
            pool_timeout=10,
            hide_parameters=True,  # they are people's names and money, and errors go to logs
        )

    @asynccontextmanager
    async def begin(self, practice_id: str | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees `practice_id` only (architecture: tenant); with none, the app role sees platform tables only."""
        with telemetry.transaction(self.name, [trace.get_current_span()]):
            async with self.engine.begin() as tx:
                if practice_id:
                    await enter(tx, practice_id)
                yield tx

    async def close(self) -> None:
        await self.engine.dispose()


async def enter(tx: AsyncConnection, practice_id: str) -> None:
    """From here on this transaction sees this practice only: also for a person who has accounts in several."""
    await tx.execute(text("SELECT set_config('billfold.practice_id', :practice_id, true)"), {"practice_id": practice_id})


async def copy(tx: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows of equal keys by COPY, the quickest way for two rows and for thousands.

    The app role inserts them by one statement where row-level security holds, since PostgreSQL refuses COPY under it.
    """
    if not rows:
        return
    if str(tx.engine.url.username).endswith("_app") and table.metadata is not TECHNICAL:
        # NULL as COPY writes it: of a JSON column None would become JSON's null.
        await tx.execute(insert(table).values([{name: null() if value is None else value for name, value in row.items()} for row in rows]))
        return
    columns = list(rows[0])
    as_json = {name for name in columns if isinstance(table.c[name].type, JSON)}

    def value(row: Mapping[str, Any], name: str) -> Any:
        return ENCODER.encode(row[name]).decode() if name in as_json and row[name] is not None else row[name]

    raw = await driver(tx)
    await raw.copy_records_to_table(table.name, columns=columns, records=[tuple(value(row, name) for name in columns) for row in rows])


async def write_changes(
    tx: AsyncConnection, table: Table, before: Mapping[tuple[Any, ...], Mapping[str, Any]], after: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> None:
    """Writes what differs between two sets of rows by primary key: new ones by COPY, changed ones by UPDATE. Absent ones stay."""
    await copy(tx, table, [after[at] for at in sorted(after) if at not in before])
    if changed := [after[at] for at in sorted(after) if at in before and before[at] != after[at]]:
        key = [column.name for column in table.primary_key]
        where = [table.c[name] == bindparam(f"key_{name}") for name in key]
        new: dict[str, Any] = {name: bindparam(name) for name in changed[0] if name not in key}
        rows = [{f"key_{name}": row[name] for name in key} | {name: row[name] for name in new} for row in changed]
        await tx.execute(update(table).where(*where).values(new), rows)


class Row(asyncpg.Record):  # type: ignore[misc]
    """A row of the driver's, read like one of the engine's: by attribute."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


async def fetch(tx: AsyncConnection, statement: str, values: Mapping[str, Any]) -> list[Any]:
    """Rows of a statement with `:names`, by the driver itself.

    For what consumers ask with every batch: the engine's own work on a statement is more than the database's on a small batch.
    """
    numbered, names = _numbered(statement)
    raw = await driver(tx)
    rows: list[Any] = await raw.fetch(numbered, *[values[name] for name in names], record_class=Row)
    return rows


@cache
def recordset(table: Table, columns: tuple[str, ...], name: str) -> str:
    """A FROM item that turns the JSON parameter `:name` into rows of these columns, under the alias `name`."""
    types = ", ".join(f'"{each}" {table.c[each].type.compile(dialect=_DIALECT)}' for each in columns)
    return f"jsonb_to_recordset(CAST(:{name} AS jsonb)) AS {name} ({types})"


@cache
def _numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """A statement with the driver's `$1` for each name, and the names in that order."""
    names = tuple(dict.fromkeys(_NAME.findall(statement)))
    return _NAME.sub(lambda found: f"${names.index(found[1]) + 1}", statement), names


async def driver(tx: AsyncConnection) -> asyncpg.Connection:
    """The driver's connection under an open transaction. The engine opens one only before its own first statement."""
    assert tx.sync_connection, "the transaction has begun"
    raw = tx.sync_connection.connection.driver_connection
    assert isinstance(raw, asyncpg.Connection)
    if not raw.is_in_transaction():
        await tx.execute(_NOTHING)
    return raw


def cause(error: BaseException) -> BaseException:
    """What the driver said, where the engine wrapped it."""
    return (error.orig and error.orig.__cause__) or error if isinstance(error, DBAPIError) else error


def passing(error: BaseException) -> bool:
    """Whether this is trouble of database or network, which passes: a reason to wait, never to give up on a record."""
    if isinstance(error, OSError):
        return error.filename is None  # a file that is missing stays missing
    if isinstance(error, PoolTimeout | InterfaceError | asyncpg.InterfaceError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or passing_state(getattr(error.orig, "sqlstate", None)) or _outlived(cause(error))
    return isinstance(error, asyncpg.PostgresError) and (passing_state(error.sqlstate) or _outlived(error))


def _outlived(error: BaseException | None) -> bool:
    """Whether a migration changed a table after a connection had prepared a statement on it; the next try prepares it anew."""
    return isinstance(error, asyncpg.InvalidCachedStatementError)


def passing_state(sqlstate: str | None) -> bool:
    return bool(sqlstate and _PASSING_STATES.search(sqlstate))


def unstorable(error: BaseException) -> bool:
    """Whether a value is one that no column of its kind takes: a NUL or half a character in a text, a number out of range."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return getattr(origin, "sqlstate", None) in _UNSTORABLE_STATES


def asyncpg_url(url: str) -> str:
    """The address as the driver itself takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


async def connect(url: str, **options: Any) -> asyncpg.Connection:
    """A connection of the driver's own, for engines too: only the driver understands an address with `?sslmode=…&sslrootcert=…`."""
    return await asyncpg.connect(asyncpg_url(url), **options)


async def setup(admin_url: str, service: str, passwords: Mapping[str, str]) -> None:
    """An administrator's step: the service's database and three roles, with these passwords by role; repeatable."""
    admin = await connect(admin_url, timeout=10)
    try:
        for role in ROLES:
            name, bypass = f"{service}_{role}", "BYPASSRLS" if role == "worker" else "NOBYPASSRLS"
            known = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
            secret = await admin.fetchval("SELECT quote_literal($1)", passwords[role])
            await admin.execute(f'{"ALTER" if known else "CREATE"} ROLE "{name}" LOGIN {bypass} PASSWORD {secret}')
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", service):
            await admin.execute(f'CREATE DATABASE "{service}" OWNER "{service}_owner"')
        await admin.execute(f'REVOKE ALL ON DATABASE "{service}" FROM PUBLIC')
        await admin.execute(f'GRANT CONNECT ON DATABASE "{service}" TO "{service}_app", "{service}_worker"')
    finally:
        await admin.close()


async def secure(owner_url: str, service: str, platform: Collection[str], append_only: Collection[str], triggers: Sequence[str]) -> None:
    """After each migration: forced row-level security on every tenant table, grants, no edits in append-only ones, triggers; repeatable.

    A policy or trigger that is there is left alone, since putting it there locks the table: one that changes gets another name.
    """
    owner = await connect(owner_url, server_settings={"lock_timeout": MIGRATION_WAITS})
    try:
        open_to_all = (*platform, *TECHNICAL.tables, "alembic_version")
        for (table,) in await owner.fetch(UNGUARDED, open_to_all):
            async with owner.transaction():
                await owner.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY')
                await owner.execute(f'DROP POLICY IF EXISTS tenant ON "{table}"')
                await owner.execute(f"CREATE POLICY tenant ON \"{table}\" USING (practice_id = current_setting('billfold.practice_id', true))")
        async with owner.transaction():
            await owner.execute(f'GRANT USAGE ON SCHEMA public TO "{service}_app", "{service}_worker"')
            await owner.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{service}_app", "{service}_worker"')
            for (table,) in await owner.fetch(OF_THESE, [*TECHNICAL.tables]):
                await owner.execute(f'REVOKE ALL ON "{table}" FROM "{service}_app"')
                if table in APP_MAY:
                    await owner.execute(f'GRANT {APP_MAY[table]} ON "{table}" TO "{service}_app"')
            await owner.execute(f'GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO "{service}_app", "{service}_worker"')
            await owner.execute(f'REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM "{service}_app", "{service}_worker"')
            for (table,) in await owner.fetch(OF_THESE, append_only):
                await owner.execute(f'REVOKE UPDATE, DELETE, TRUNCATE ON "{table}" FROM "{service}_app", "{service}_worker"')
        there = [row["tgname"] for row in await owner.fetch("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")]
        for trigger in triggers:
            if not any(f"TRIGGER {name} " in trigger for name in there):
                await owner.execute(trigger)
    finally:
        await owner.close()


def main() -> None:
    """`python -m shared.db setup <service>` with ADMIN_DATABASE_URL, OWNER_PASSWORD, APP_PASSWORD, WORKER_PASSWORD."""
    if len(sys.argv) != 3 or sys.argv[1] != "setup":
        sys.exit("usage: python -m shared.db setup <service>")
    service, env = sys.argv[2], os.environ
    if service not in (here := sorted(file.parent.name for file in SERVICES.glob("*/__main__.py"))):
        sys.exit(f"there is no service {service} here, only {', '.join(here)}")
    needed = ["ADMIN_DATABASE_URL", *(f"{role.upper()}_PASSWORD" for role in ROLES)]
    if missing := [name for name in needed if not env.get(name)]:
        sys.exit(f"not set: {', '.join(missing)}")
    try:
        asyncio.run(setup(env["ADMIN_DATABASE_URL"], service, {role: env[f"{role.upper()}_PASSWORD"] for role in ROLES}))
    except (ArgumentError, ValueError):
        sys.exit("ADMIN_DATABASE_URL is no postgresql://role:password@host/database")
    except OSError as error:
        sys.exit(f"the database does not answer ({error or type(error).__name__})")
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.exit(f"the database refuses ({str(error).splitlines()[0]})")
    sys.stdout.write(f"database {service} and its three roles are there\n")


if __name__ == "__main__":
    main()
