"""What invoicing's tables are made of: one metadata, and the kinds of columns they share."""

from collections.abc import Iterable
from typing import get_args

from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint, Text

from shared.db import new_metadata

metadata = new_metadata()


def one_of(column: str, words: object) -> CheckConstraint:
    """The column holds one of the words of a Literal."""
    listed: Iterable[str] = get_args(words)
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in listed)})", name=column)


def cents(name: str, **more: object) -> "Column[int]":
    return Column(name, BigInteger, nullable=False, **more)  # type: ignore[arg-type]


def key(*columns: str) -> PrimaryKeyConstraint:
    return PrimaryKeyConstraint("practice_id", *columns)


def words(name: str) -> "Column[str]":
    return Column(name, Text, nullable=False)
