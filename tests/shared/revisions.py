"""What a revision would do to a service at work: looks at its statements, the locks they hold, and the tables before and after."""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

# Locks in which a session keeps those out who write, or everybody. A revision's own new tables do not count.
STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
HELD = f"SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode IN {STRONG}"
ROW_WORK = re.compile(r"\s*(UPDATE|INSERT|DELETE|CREATE (UNIQUE )?INDEX)\b(?! alembic_version| INTO alembic_version| FROM alembic_version)")
INDEX = re.compile(r"\s*CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).*? ON (?:ONLY )?\"?(\w+)", re.DOTALL)
CONSTRAINT = re.compile(r"\s*ALTER TABLE \"?(\w+)\"? ADD (?:CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)(?!.*NOT VALID)", re.DOTALL)
TABLES = "SELECT oid, relname, relfilenode FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
COLUMNS = (
    "SELECT attrelid, attname, format_type(atttypid, atttypmod) AS type, attnotnull, atthasdef OR attidentity <> '' AS filled FROM pg_attribute"
    " WHERE attnum > 0 AND NOT attisdropped AND attrelid = ANY($1)"
)
LIMITS = (
    "SELECT conrelid AS relation, conname AS name FROM pg_constraint WHERE contype <> 'n' AND conrelid = ANY($1)"
    " UNION SELECT indrelid, indexrelid::regclass::name FROM pg_index WHERE indisunique AND indrelid = ANY($1)"
)


@dataclass(frozen=True)
class Column:
    """`filled`: by a default, where the writer does not name it."""

    type: str
    not_null: bool
    filled: bool


@dataclass
class Shape:
    """A table: its columns, its constraints and unique indexes, and the file its rows are in."""

    file: int
    columns: dict[str, Column] = field(default_factory=dict)
    limits: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Step:
    """A statement, and the tables that its session kept others out of when it began."""

    statement: str
    kept_out_of: frozenset[str]


async def shapes(connection: asyncpg.Connection) -> dict[str, Shape]:
    """Every table by name."""
    found = {row["oid"]: (row["relname"], Shape(row["relfilenode"])) for row in await connection.fetch(TABLES)}
    for row in await connection.fetch(COLUMNS, list(found)):
        found[row["attrelid"]][1].columns[row["attname"]] = Column(row["type"], row["attnotnull"], row["filled"])
    for row in await connection.fetch(LIMITS, list(found)):
        found[row["relation"]][1].limits.add(row["name"])
    return dict(found.values())


@contextmanager
def steps() -> Iterator[list[Step]]:
    """Collects the statements of every owner's session meanwhile."""
    found: list[Step] = []

    def before(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        if statement != HELD and str(connection.engine.url.username).endswith("_owner"):
            held = connection.exec_driver_sql(HELD).scalars()
            found.append(Step(statement, frozenset(held)))

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", before)


async def troubles(connection: asyncpg.Connection, upgrade: Callable[[], Awaitable[None]]) -> list[str]:
    """What of an upgrade would hold up or break a service of the release before, in words."""
    before = await shapes(connection)
    with steps() as found:
        await upgrade()
    return [*of_statements(set(before), found), *of_tables(before, await shapes(connection))]


def of_statements(old: set[str], found: list[Step]) -> Iterator[str]:
    """Statements that keep others out of a table that was there for as long as they work on rows."""
    for step in found:
        said = " ".join(step.statement.split())[:60]
        if ROW_WORK.match(step.statement):
            yield from (f"keeps others out of {table} during: {said}" for table in sorted(step.kept_out_of & old))
        for pattern in (INDEX, CONSTRAINT):
            if (match := pattern.match(step.statement)) and match[1] in old:
                yield f"reads all of {match[1]} and keeps writers out: {said}"


def of_tables(before: dict[str, Shape], after: dict[str, Shape]) -> Iterator[str]:
    """Changes of tables that were there by which what the release before reads or writes fails, and rewritten files."""
    for name, was in before.items():
        if name not in after:
            yield f"table {name} is gone"
            continue
        now = after[name]
        if now.file != was.file:
            yield f"rewrites all of {name}"
        yield from (f"{name} has a new limit: {limit}" for limit in sorted(now.limits - was.limits))
        for column, old in was.columns.items():
            if column not in now.columns:
                yield f"{name}.{column} is gone"
            elif now.columns[column].type != old.type:
                yield f"{name}.{column} was {old.type}, is {now.columns[column].type}"
        for column, new in now.columns.items():
            known = was.columns.get(column)
            if new.not_null and not new.filled and (known is None or known.filled or not known.not_null):
                yield f"{name}.{column} has to be given, which the release before does not do"
