"""State copies: a row is replaced only by a newer version, so order and repeats of a versioned topic do not matter (events: two kinds)."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Table, delete, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import fetch, recordset
from shared.events import ENCODER
from shared.messages import Handler, Message


async def keep_newer(tx: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Stores those rows whose `version` is newer than the stored one, and returns them in key order.

    Rows have equal columns; of one key only the newest counts. Rows are written in key order, so that writers cannot deadlock.
    """
    key = [column.name for column in table.primary_key]
    newest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        at = tuple(row[name] for name in key)
        if at not in newest or row["version"] >= newest[at]["version"]:
            newest[at] = row
    ordered = [dict(newest[at]) for at in sorted(newest)]
    if not ordered:
        return []
    stored = await fetch(tx, _upsert(table, tuple(ordered[0])), {"rows": ENCODER.encode(ordered).decode()})
    kept = {tuple(row) for row in stored}
    return [row for row in ordered if tuple(row[name] for name in key) in kept]


@cache
def _upsert(table: Table, columns: tuple[str, ...]) -> str:
    """One statement with one parameter, whatever the number of rows: neither is compiled or prepared anew for each batch.

    The function gives the rows in the order of the array, which is key order.
    """
    key = [column.name for column in table.primary_key]
    names = ", ".join(f'"{name}"' for name in columns)
    new = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in key)
    return (
        f'INSERT INTO "{table.name}" AS kept ({names}) SELECT {names} FROM {recordset(table, columns, "rows")}'
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {new} WHERE kept.version < excluded.version"
        f" RETURNING {', '.join(f'kept.{name}' for name in key)}"
    )


def keeper(table: Table, key: str, *more: str) -> Handler:
    """A handler that keeps the newest bodies of a state topic in `table`; a null value forgets one. `more`: fields with a column of their own."""
    names = tuple(dict.fromkeys(("practice_id", key, "version", *more)))

    async def keep(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        await forget(tx, table, [(m.practice_id, m.key.split("/", 1)[1])[: len(table.primary_key)] for m in messages if m.body is None])
        rows = [{name: getattr(m.body, name) for name in names} | {"body": msgspec.to_builtins(m.body)} for m in messages if m.body]
        await keep_newer(tx, table, rows)

    return keep


async def forget(tx: AsyncConnection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
    """Deletes copies whose owner deleted them."""
    if keys:
        await tx.execute(delete(table).where(tuple_(*table.primary_key).in_(sorted(keys))))
