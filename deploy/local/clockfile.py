"""The file that moves everyone's business clock: one integer, seconds added to the system's time."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


def now(clock: Path) -> datetime:
    """The business time that the file makes of now."""
    return datetime.now(UTC) + timedelta(seconds=int(clock.read_text()) if clock.exists() else 0)


def move(clock: Path, by: timedelta) -> datetime:
    """Move on; the business time then."""
    return put(clock, now(clock) + by)


def put(clock: Path, to: datetime) -> datetime:
    """Let it be `to` now, to the second."""
    half = clock.with_name(f"{clock.name}.{os.getpid()}")
    half.write_text(str(round((to - datetime.now(UTC)).total_seconds())))
    half.replace(clock)  # a service never reads half a number
    return now(clock)
