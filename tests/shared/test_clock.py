"""The two clocks, and the dates and hours of a practice's own place."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from shared.clock import FixedClock, SystemClock, local_date, local_time

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NEW_YORK, PHOENIX, HONOLULU = "America/New_York", "America/Phoenix", "Pacific/Honolulu"


class Still(SystemClock):
    """Its wall clock stands at noon."""

    def system(self) -> datetime:
        return NOON


@pytest.mark.parametrize(("text", "moved"), [(None, 0), ("", 0), ("0", 0), ("86400\n", 86_400), ("-3600", -3_600)])
def test_business_time_is_moved_by_the_file_and_system_time_never(tmp_path: Path, text: str | None, moved: int) -> None:
    file = tmp_path / "offset"
    if text is not None:
        file.write_text(text)
    clock = Still(file)
    assert (clock.system(), clock.business()) == (NOON, NOON + timedelta(seconds=moved))


def test_business_time_follows_the_file_and_is_the_walls_without_one(tmp_path: Path) -> None:
    file = tmp_path / "offset"
    clock = Still(file)
    for hours in (1, 5):
        file.write_text(str(hours * 3600))
        assert clock.business() == NOON + timedelta(hours=hours)
    assert Still().business() == NOON


def test_the_clock_on_the_wall_answers_in_utc() -> None:
    assert SystemClock().system().tzinfo is UTC


def test_a_fixed_clock_stands_until_it_is_moved() -> None:
    clock = FixedClock(NOON)
    assert (clock.business(), clock.system()) == (NOON, NOON)
    clock.move(days=1, minutes=30)
    assert clock.business() == clock.system() == datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "zone", "day"),
    [
        (datetime(2026, 11, 22, 4, 59, tzinfo=UTC), NEW_YORK, date(2026, 11, 21)),
        (datetime(2026, 11, 22, 5, 0, tzinfo=UTC), NEW_YORK, date(2026, 11, 22)),
        (datetime(2026, 7, 1, 3, 59, tzinfo=UTC), NEW_YORK, date(2026, 6, 30)),
        (datetime(2026, 7, 1, 4, 0, tzinfo=UTC), NEW_YORK, date(2026, 7, 1)),
        (datetime(2026, 7, 1, 4, 0, tzinfo=UTC), PHOENIX, date(2026, 6, 30)),
        (datetime(2027, 1, 1, 9, 59, tzinfo=UTC), HONOLULU, date(2026, 12, 31)),
    ],
)
def test_a_date_is_that_of_the_practices_own_place(instant: datetime, zone: str, day: date) -> None:
    assert local_date(instant, zone) == day


@pytest.mark.parametrize(
    ("day", "hour", "minute", "zone", "instant"),
    [
        (date(2026, 11, 22), 8, 30, NEW_YORK, datetime(2026, 11, 22, 13, 30, tzinfo=UTC)),
        (date(2026, 7, 1), 8, 30, NEW_YORK, datetime(2026, 7, 1, 12, 30, tzinfo=UTC)),
        (date(2026, 7, 1), 8, 30, PHOENIX, datetime(2026, 7, 1, 15, 30, tzinfo=UTC)),
        # An hour that the clocks skip counts on from the one before; of an hour that comes twice it is the first.
        (date(2026, 3, 8), 2, 30, NEW_YORK, datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),
        (date(2026, 11, 1), 1, 30, NEW_YORK, datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
    ],
)
def test_an_hour_at_the_practice_is_one_instant(day: date, hour: int, minute: int, zone: str, instant: datetime) -> None:
    assert local_time(day, hour, minute, zone) == instant
