"""Identifiers: new ones sort by time, derived ones are decided by what they are about."""

import time
import uuid

import pytest

from shared import ids


def test_a_new_id_is_a_uuid_of_version_7_with_its_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_000_000_123_999_999)
    made = uuid.UUID(ids.new())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_795_000_000_123


def test_ids_made_later_sort_later_and_no_two_of_a_moment_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for moment in range(3):
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: 1_795_000_000_000_000_000 + moment * 1_000_000)
        made.append({ids.new() for _ in range(1000)})
    assert [len(each) for each in made] == [1000] * 3
    assert max(made[0]) < min(made[1]) and max(made[1]) < min(made[2])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("p1", "batch", 7), ("p1", "batch", 7), True),
        (("p1", "batch", 7), ("p1", "batch", 8), False),
        (("p1", "a", "bc"), ("p1", "ab", "c"), False),
        (("p1", "a"), ("a", "p1"), False),
        (("p1",), ("p1", ""), False),
    ],
)
def test_derived_ids_are_equal_where_all_parts_are(one: tuple[object, ...], other: tuple[object, ...], same: bool) -> None:
    assert (ids.derived(*one) == ids.derived(*other)) is same


def test_a_derived_id_is_the_same_in_every_release() -> None:
    assert ids.derived("p1", "batch", 7) == "82708437-c3c8-509c-ba29-0fcd1bbc1beb"
