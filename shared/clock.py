"""Two clocks. *Business* time decides dates, notices and `ce_time` and can be moved; *system* time decides sessions, codes and leases."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """Both clocks answer in UTC."""

    def business(self) -> datetime:
        """The time by which the practice does its business."""

    def system(self) -> datetime:
        """The time on the wall."""


@dataclass(frozen=True)
class SystemClock:
    """Real time, with business time moved by the whole seconds that `offset_file` holds, where there is one."""

    offset_file: Path | None = None

    def system(self) -> datetime:
        return datetime.now(UTC)

    def business(self) -> datetime:
        return self.system() + timedelta(seconds=self._offset())

    def _offset(self) -> int:
        if self.offset_file is None:
            return 0
        try:
            return int(self.offset_file.read_text() or 0)
        except FileNotFoundError:
            return 0


@dataclass
class FixedClock:
    """Stands still until it is moved: for rules, and tests."""

    now: datetime

    def system(self) -> datetime:
        return self.now

    def business(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def local_date(instant: datetime, zone: str) -> date:
    """The calendar date at a practice when this instant is there."""
    return instant.astimezone(ZoneInfo(zone)).date()


def local_time(day: date, hour: int, minute: int, zone: str) -> datetime:
    """The instant, in UTC, at which a practice's clocks show this."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(UTC)
