"""Keyset pages: a cursor names the row a page starts after, so that a page costs the same at 100 and at 100,000 rows."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from shared.http import Problem

T = TypeVar("T")


@dataclass(frozen=True)
class Cursor:
    """The sort values of a row, and whether the page wanted lies on its newer side (else the older one)."""

    values: tuple[Any, ...]
    newer: bool = False


@dataclass(frozen=True)
class Page(Generic[T]):
    """The rows of one page, newest first, and the cursors of its neighbours (None where there is no neighbour)."""

    items: tuple[T, ...]
    newer: str | None = None
    older: str | None = None


def encode_cursor(cursor: Cursor) -> str:
    """Opaque text for an address. Dates and times come back as ISO text."""
    return base64.urlsafe_b64encode(msgspec.json.encode([*cursor.values, cursor.newer])).decode().rstrip("=")


def decode_cursor(text: str | None, *types: type) -> Cursor | None:
    """The cursor of this text, its values converted to `types`; None for no text; Problem 400 for anything we did not write."""
    if not text:
        return None
    try:
        values = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(types) + 1:
            raise ValueError
        keys: list[Any] = [msgspec.convert(value, kind) for value, kind in zip(values, (*types, bool), strict=True)]
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        raise Problem(400, "This page address is not complete", "Open the list again from its first page.") from None
    return Cursor(tuple(keys[:-1]), keys[-1])


def make_page(rows: Sequence[T], limit: int, cursor: Cursor | None, key: Callable[[T], tuple[Any, ...]]) -> Page[T]:
    """A page from up to `limit + 1` rows, read in the direction of the cursor: ascending where it says newer, else descending.

    The row beyond the limit only tells that there are more.
    """
    more = len(rows) > limit
    items = tuple(rows[:limit])
    backwards = cursor is not None and cursor.newer
    if backwards:
        items = items[::-1]
    if not items:
        return Page(())
    newer = encode_cursor(Cursor(tuple(key(items[0])), newer=True)) if (more if backwards else cursor is not None) else None
    older = encode_cursor(Cursor(tuple(key(items[-1])))) if (backwards or more) else None
    return Page(items, newer, older)
