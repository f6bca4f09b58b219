"""The one partitioning of the platform: days, in the platform's time zone.

What belongs here: which days are partitions, and the way from days to partition keys and back. What does not: which of
them are expected or stale (`pipeline.status`), when they run (`automation`).
https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from recruitment_platform.errors import InputError
from recruitment_platform.settings import Settings


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition a day, from the first day to today; `end_offset=1` is what makes today one.

    Today is a partition because events of it are there already, and a run may want them; it is never an expected day.
    """
    return dg.DailyPartitionsDefinition(
        start_date=settings.first_day.isoformat(), timezone=settings.time_zone, end_offset=1
    )


def days(keys: Iterable[str]) -> list[date]:
    """The days of partition keys."""
    return [date.fromisoformat(key) for key in keys]


def local_day(at: datetime, settings: Settings) -> date:
    """The day of that instant in the platform's time zone."""
    return at.astimezone(ZoneInfo(settings.time_zone)).date()


def last_expected_day(at: datetime, settings: Settings) -> date:
    """The newest day that must be published at that instant: the day before, once the grace has passed by the clock.

    By the clock of the platform's time zone, so that it is the same hour on days of 23 and 25 hours too.
    """
    clock = at.astimezone(ZoneInfo(settings.time_zone)).replace(tzinfo=None)
    return (clock - settings.freshness_grace).date() - timedelta(days=1)


def check_range(settings: Settings, first: date, last: date, now: datetime | None = None) -> None:
    """Raises InputError unless every day from `first` to `last` is a partition, saying which is none and why."""
    today = local_day(now or datetime.now(UTC), settings)
    if last < first:
        raise InputError(f"the range ends on {last}, before it begins on {first}")
    if first < settings.first_day:
        raise InputError(
            f"{first} is before the first day, {settings.first_day}; RECRUITMENT_FIRST_DAY sets another for a new home"
        )
    if last > today:
        raise InputError(f"{last} has not begun: the last day that can be run is today, {today} ({settings.time_zone})")


def days_between(first: date, last: date) -> list[date]:
    """The days from `first` to `last`, both included."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def spans(days: Iterable[date]) -> str:
    """The days in words, those that follow on each other as one: `2024-03-01 to 2024-03-03, 2024-03-09`."""
    rows: list[list[date]] = []
    for day in sorted(days):
        if rows and day - rows[-1][-1] == timedelta(days=1):
            rows[-1].append(day)
        else:
            rows.append([day])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 1 else f"{row[0]}" for row in rows)
