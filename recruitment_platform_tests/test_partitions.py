"""Which days are partitions."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import PartitionKeyRange

from recruitment_platform.errors import InputError
from recruitment_platform.partitions import check_range, daily_partitions, days, days_between, local_day
from recruitment_platform.settings import Settings

EVENING = datetime(2024, 6, 30, 18, 0, tzinfo=UTC)


def settings(time_zone: str = "UTC", first_day: date = date(2024, 6, 1)) -> Settings:
    return Settings(home=Path("nowhere"), time_zone=time_zone, first_day=first_day)


@pytest.mark.parametrize(
    ("time_zone", "today"),
    [("UTC", "2024-06-30"), ("Asia/Ho_Chi_Minh", "2024-07-01"), ("America/New_York", "2024-06-30")],
)
def test_partitions_reach_from_the_first_day_to_today_in_the_time_zone(time_zone: str, today: str) -> None:
    keys = daily_partitions(settings(time_zone)).get_partition_keys(current_time=EVENING)
    assert (keys[0], keys[-1]) == ("2024-06-01", today)
    assert days(keys) == days_between(date(2024, 6, 1), date.fromisoformat(today))
    assert str(local_day(EVENING, settings(time_zone))) == today


@pytest.mark.parametrize("changing", [date(2024, 3, 31), date(2024, 10, 27)])
def test_days_of_23_and_25_hours_are_partitions_like_others(changing: date) -> None:
    first, last = changing - timedelta(days=1), changing + timedelta(days=1)
    partitions = daily_partitions(settings("Europe/Berlin", first))
    keys = partitions.get_partition_keys_in_range(PartitionKeyRange(str(first), str(last)))
    assert days(keys) == days_between(first, last)


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        (date(2024, 6, 2), date(2024, 6, 1), "the range ends on 2024-06-01, before it begins on 2024-06-02"),
        (date(2024, 5, 31), date(2024, 6, 1), "2024-05-31 is before the first day, 2024-06-01; RECRUITMENT_FIRST_DAY"),
        (date(2024, 6, 1), date(2024, 7, 1), "2024-07-01 has not begun: the last day that can be run is today"),
    ],
)
def test_a_range_with_a_day_that_is_no_partition_is_refused(first: date, last: date, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_range(settings(), first, last, EVENING)


def test_a_range_up_to_today_is_accepted() -> None:
    check_range(settings(), date(2024, 6, 1), date(2024, 6, 30), EVENING)
    check_range(settings("Asia/Ho_Chi_Minh"), date(2024, 6, 1), date(2024, 7, 1), EVENING)
