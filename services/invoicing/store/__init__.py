"""Explicit SQL: rows to dataclasses and back. Sets of keys travel as two arrays, so that a batch is one statement whatever its size."""

from collections.abc import Iterable
from typing import Any

import msgspec

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
