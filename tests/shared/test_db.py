"""The database's side of a tenant: who sees which rows, by which way they are written, and what is the database's trouble."""

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import asyncpg
import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared import outbox
from shared.db import TECHNICAL, Database, asyncpg_url, copy, driver, fetch, passing, write_changes
from shared.events.ingress import CLAIM_VOIDED, ClaimVoided
from shared.outbox import Outgoing
from tests.conftest import Database as Server
from tests.shared.conftest import Base, copies, entries, people

SERVICES = ("invoicing", "portal", "posting", "contracts", "notifier")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROWS = [{"practice_id": practice, "thing_id": thing, "version": 1, "body": None} for practice in ("7", "8") for thing in ("a", "b")]


async def things(db: Database, practice_id: str | None) -> list[tuple[str, str]]:
    async with db.begin(practice_id) as tx:
        return [tuple(row) for row in await tx.execute(select(copies.c.practice_id, copies.c.thing_id).order_by(*copies.primary_key))]


@pytest.fixture
async def filled(base: Base) -> Base:
    async with base.worker.begin() as tx:
        await copy(tx, copies, ROWS)
    return base


@pytest.mark.parametrize(
    ("role", "practice_id", "seen"),
    [
        ("app", "7", ["7", "7"]),
        ("app", "8", ["8", "8"]),
        ("app", "9", []),
        ("app", "", []),
        ("app", "7' OR true --", []),
        ("app", None, []),
        ("worker", None, ["7", "7", "8", "8"]),
        ("worker", "7", ["7", "7", "8", "8"]),
        ("owner", None, []),
    ],
)
async def test_the_app_sees_one_practice_the_worker_all_and_the_owner_none(filled: Base, role: str, practice_id: str | None, seen: list[str]) -> None:
    assert [practice for practice, _ in await things(getattr(filled, role), practice_id)] == seen


async def test_a_connection_forgets_its_practice_with_the_transaction(filled: Base) -> None:
    alone = Database(filled.app.url, "toy", pool_size=1)
    assert len(await things(alone, "7")) == 2
    async with alone.engine.begin() as tx:  # not by `begin`, which would say that there is none
        assert (await tx.execute(select(copies))).all() == []
    await alone.close()


async def test_the_app_changes_nothing_of_another_practice(filled: Base) -> None:
    async with filled.app.begin("7") as tx:
        assert (await tx.execute(update(copies).values(version=2))).rowcount == 2
        assert (await tx.execute(delete(copies).where(copies.c.practice_id == "8"))).rowcount == 0
    async with filled.worker.begin() as tx:
        kept = await tx.execute(select(copies.c.practice_id, copies.c.version).order_by(*copies.primary_key))
        assert [tuple(row) for row in kept] == [("7", 2), ("7", 2), ("8", 1), ("8", 1)]


@pytest.mark.parametrize("practice_id", ["8", None])
async def test_the_app_writes_no_row_for_another_practice(base: Base, practice_id: str | None) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with base.app.begin(practice_id) as tx:
            await copy(tx, copies, ROWS[:1])
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with base.app.begin(practice_id) as tx:
            await tx.execute(insert(copies).values(ROWS[0]))
    async with base.app.begin("7") as tx:
        await copy(tx, copies, ROWS[:1])
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with base.app.begin("7") as tx:
            await tx.execute(update(copies).values(practice_id="8"))
    assert await things(base.worker, None) == [("7", "a")]


async def test_what_belongs_to_no_practice_is_seen_without_one(base: Base) -> None:
    async with base.app.begin() as tx:
        await tx.execute(insert(people).values(person_id="paula"))
    async with base.app.begin("7") as tx:
        assert (await tx.execute(select(people.c.person_id))).scalars().all() == ["paula"]


@pytest.mark.parametrize("role", ["app", "worker"])
@pytest.mark.parametrize("edit", [update(entries).values(cents=2), delete(entries)], ids=["update", "delete"])
async def test_nobody_edits_what_is_only_appended(base: Base, role: str, edit: Any) -> None:
    async with getattr(base, role).begin("7") as tx:
        await copy(tx, entries, [{"practice_id": "7", "cents": 1}])
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with getattr(base, role).begin("7") as tx:
            await tx.execute(edit)


@pytest.mark.parametrize("role", ["app", "worker"])
async def test_rows_are_copied_alike_by_either_role_with_json_and_nothing(base: Base, role: str) -> None:
    bodies = [{"name": 'Ana „Diaz"\n', "cents": [1, -2], "none": None}, [], "text", None]
    rows = [{"practice_id": "7", "thing_id": str(n), "version": n, "body": body} for n, body in enumerate(bodies)]
    async with getattr(base, role).begin("7") as tx:
        await copy(tx, copies, rows)
    async with base.worker.begin() as tx:
        assert [dict(row._mapping) for row in await tx.execute(select(copies).order_by(copies.c.version))] == rows
        assert (await tx.execute(select(func.count(copies.c.body)))).scalar_one() == 3  # nothing is NULL, not JSON's null


async def test_postgres_refuses_the_app_a_copy_under_row_level_security_and_allows_it_outside(base: Base) -> None:
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        async with base.app.begin("7") as tx:
            await (await driver(tx)).copy_records_to_table("copies", columns=["practice_id", "thing_id", "version"], records=[("7", "a", 1)])
    async with base.app.begin("7") as tx:
        await outbox.append(tx, NOON, [Outgoing(CLAIM_VOIDED, ClaimVoided(practice_id="7", claim_id="a", version=1, voided_on=NOON.date()))])
    async with base.worker.begin() as tx:
        assert (await tx.execute(select(outbox.outbox.c.key))).scalars().all() == ["7/a"]


BEFORE = {("7", "a"): 1, ("7", "b"): 1}


@pytest.mark.parametrize("role", ["app", "worker"])
@pytest.mark.parametrize(
    ("after", "stored"),
    [
        ({}, {"a": 1, "b": 1}),
        ({("7", "a"): 1, ("7", "b"): 1}, {"a": 1, "b": 1}),
        ({("7", "a"): 2}, {"a": 2, "b": 1}),
        ({("7", "a"): 2, ("7", "b"): 3, ("7", "d"): 1, ("7", "c"): 1}, {"a": 2, "b": 3, "c": 1, "d": 1}),
    ],
)
async def test_of_two_sets_of_rows_what_differs_is_written(base: Base, role: str, after: dict[tuple[str, str], int], stored: dict[str, int]) -> None:
    def rows(versions: dict[tuple[str, str], int]) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {at: {"practice_id": at[0], "thing_id": at[1], "version": version, "body": {"v": version}} for at, version in versions.items()}

    async with getattr(base, role).begin("7") as tx:
        await write_changes(tx, copies, {}, rows(BEFORE))
    async with getattr(base, role).begin("7") as tx:
        await write_changes(tx, copies, rows(BEFORE), rows(after))
    async with base.worker.begin() as tx:
        found = {row.thing_id: row for row in await tx.execute(select(copies))}
    assert {name: row.version for name, row in found.items()} == stored
    assert all(row.body == {"v": row.version} for row in found.values())


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
async def test_every_table_of_a_service_is_of_one_practice_and_guarded_unless_it_is_named(postgres: Server, service: str) -> None:
    await postgres.migrated(service)
    connection = await asyncpg.connect(asyncpg_url(postgres.urls(service).admin))
    try:
        guarded = await connection.fetch(
            "SELECT relname, relrowsecurity AND relforcerowsecurity AS closed, (SELECT array_agg(a.attname ORDER BY n) FROM pg_index,"
            " unnest(indkey) WITH ORDINALITY AS k (attnum, n) JOIN pg_attribute a ON a.attnum = k.attnum AND a.attrelid = pg_class.oid"
            " WHERE indrelid = pg_class.oid AND indisprimary) AS key FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
    finally:
        await connection.close()
    named = {*TECHNICAL.tables, "alembic_version", *getattr(import_module(f"services.{service}.tables"), "PLATFORM_TABLES", ())}
    assert {row["relname"] for row in guarded if not row["closed"]} == named
    assert [row["relname"] for row in guarded if row["closed"] and row["key"][0] != "practice_id"] == []


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
async def test_who_answers_people_reads_no_messages_of_all_practices(postgres: Server, service: str) -> None:
    await postgres.migrated(service)
    connection = await asyncpg.connect(asyncpg_url(postgres.urls(service).admin))
    try:
        granted = await connection.fetch(
            "SELECT table_name, array_agg(privilege_type::text ORDER BY privilege_type) AS may FROM information_schema.role_table_grants"
            " WHERE grantee = $1 AND table_name = ANY($2) GROUP BY table_name",
            f"{service}_app",
            [*TECHNICAL.tables],
        )
    finally:
        await connection.close()
    assert {row["table_name"]: row["may"] for row in granted} == {
        "outbox": ["INSERT"],
        "idempotency": ["INSERT", "SELECT", "UPDATE"],
        "timers": ["DELETE", "INSERT", "SELECT", "UPDATE"],
    }


async def test_the_drivers_own_statements_belong_to_the_transaction(base: Base) -> None:
    with pytest.raises(ZeroDivisionError):
        async with base.worker.begin() as tx:
            await fetch(tx, "INSERT INTO copies (practice_id, thing_id, version) VALUES ('7', 'a', 1)", {})
            raise ZeroDivisionError
    assert await things(base.worker, None) == []
    async with base.worker.begin() as tx:
        await fetch(tx, "INSERT INTO copies (practice_id, thing_id, version, body) VALUES ('7', 'a', 1, '{\"cents\": 5}')", {})
    async with base.worker.begin() as tx:
        asked = "SELECT thing_id, body, :version::int AS wanted FROM copies WHERE version = :version AND practice_id = :practice_id"
        (row,) = await fetch(tx, asked, {"practice_id": "7", "version": 1})
    assert (row.thing_id, row.body, row.wanted) == ("a", {"cents": 5}, 1)
    with pytest.raises(AttributeError):
        _ = row.elsewhere


@pytest.mark.parametrize("ask", [fetch, lambda tx, statement, values: tx.execute(text(statement), values)], ids=["driver", "engine"])
async def test_a_statement_that_a_migration_outlived_passes_and_works_the_next_time(base: Base, ask: Any) -> None:
    alone = Database(base.worker.url, "toy", pool_size=1)
    owner = await asyncpg.connect(asyncpg_url(base.owner.url))

    async def once() -> None:
        async with alone.begin() as tx:
            await ask(tx, "SELECT * FROM copies WHERE practice_id = :practice_id", {"practice_id": "7"})

    await once()
    await owner.execute("ALTER TABLE copies ADD COLUMN more text")
    try:
        with pytest.raises(Exception) as caught:
            await once()
        assert passing(caught.value)
        await once()
    finally:
        await owner.execute("ALTER TABLE copies DROP COLUMN more")
        await owner.close()
        await alone.close()


def database_error(sqlstate: str, lost: bool = False) -> DBAPIError:
    cause = Exception()
    cause.sqlstate = sqlstate  # type: ignore[attr-defined]
    return DBAPIError("SELECT", {}, cause, connection_invalidated=lost)


@pytest.mark.parametrize(
    ("error", "is_passing"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (PoolTimeout(), True),
        (asyncpg.InterfaceError("closed"), True),
        (asyncpg.DeadlockDetectedError(), True),
        (asyncpg.CannotConnectNowError(), True),
        (asyncpg.DiskFullError(), True),
        (asyncpg.ReadOnlySQLTransactionError(), True),
        (asyncpg.LockNotAvailableError(), True),
        (database_error("40001"), True),
        (database_error("23505", lost=True), True),
        (database_error("23505"), False),
        (asyncpg.UniqueViolationError(), False),
        (asyncpg.InsufficientPrivilegeError(), False),
        (asyncpg.UndefinedTableError(), False),
        (ValueError(), False),
        (KeyError(), False),
    ],
    ids=repr,
)
def test_trouble_of_the_database_passes_and_trouble_of_a_record_does_not(error: Exception, is_passing: bool) -> None:
    assert passing(error) is is_passing
