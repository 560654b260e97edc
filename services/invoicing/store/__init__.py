"""Explicit SQL: rows to dataclasses and back. Sets of keys travel as two arrays, so that a batch is one statement whatever its size."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import fetch, recordset
from shared.events import ENCODER

Key = tuple[str, str]  # practice_id and the thing's own id

WANT = "unnest(CAST(:practices AS text[]), CAST(:ids AS text[])) AS want(practice_id, id)"


def joined(table: str, alias: str, column: str) -> str:
    """A join of `WANT` with a table by its key column."""
    return f" JOIN {table} {alias} ON {alias}.practice_id = want.practice_id AND {alias}.{column} = want.id"


def keyed(keys: Iterable[Key]) -> dict[str, list[str]]:
    """The parameters of `WANT`, in key order."""
    ordered = sorted(set(keys))
    return {"practices": [practice_id for practice_id, _ in ordered], "ids": [id_ for _, id_ in ordered]}


def as_json(value: object) -> str:
    """JSON text of a body, for JSONB parameters of SQL written as text."""
    return ENCODER.encode(value).decode()


def plain(value: object) -> Any:
    """A body as dicts and lists, for JSONB columns in statements of SQLAlchemy."""
    return msgspec.json.decode(ENCODER.encode(value))


async def rewrite(tx: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Changes rows by primary key, in one statement of one parameter whatever their number. All have the same columns, the key among them."""
    if rows:
        await fetch(tx, rewriting(table, tuple(rows[0])), {"rows": as_json(rows)})


@cache
def rewriting(table: Table, columns: tuple[str, ...]) -> str:
    """The statement of `rewrite`, with the rows as JSON in `:rows`."""
    key = [column.name for column in table.primary_key]
    new = ", ".join(f'"{name}" = rows."{name}"' for name in columns if name not in key)
    same = " AND ".join(f'kept."{name}" = rows."{name}"' for name in key)
    return f'UPDATE "{table.name}" AS kept SET {new} FROM {recordset(table, columns, "rows")} WHERE {same}'
