"""At which instants the schedules tick, and which day each tick means: also where a day has 23 or 25 hours."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES
from dagster._utils.schedules import schedule_execution_time_iterator

from recruitment_platform.automation.refresh import newest_time
from recruitment_platform.definitions import build_definitions
from recruitment_platform.partitions import last_expected_day
from recruitment_platform.settings import Settings

BERLIN = "Europe/Berlin"
DAILY = "daily_facts_schedule"
DIM_JOBS = "refresh_dim_jobs_schedule"
REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("a test"), "__repository__")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as local:
        yield local


def definitions(time_zone: str, first_day: date = date(2020, 1, 1)) -> dg.Definitions:
    return build_definitions(Settings(home=Path("nowhere"), time_zone=time_zone, first_day=first_day))


def ticks(definitions: dg.Definitions, name: str, after: datetime, count: int) -> list[datetime]:
    """The schedule's next instants, as the daemon counts them."""
    schedule = definitions.resolve_schedule_def(name)
    assert schedule.execution_timezone is not None
    found = schedule_execution_time_iterator(after.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    return list(islice(found, count))


def refreshed(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS) -> dg.DagsterRun:
    """A run of the refresh, now."""
    job = "refresh_dim_jobs"
    origin = RemoteJobOrigin(REPOSITORY, job)
    return instance.add_run(dg.DagsterRun(job_name=job, status=status, remote_job_origin=origin))


def requested(definitions: dg.Definitions, name: str, at: datetime, instance: dg.DagsterInstance) -> Any:
    """What the schedule asks for at that instant."""
    schedule, repository = definitions.resolve_schedule_def(name), definitions.get_repository_def()
    with dg.build_schedule_context(instance, at, repository_def=repository) as context:
        return schedule.evaluate_tick(context)


@pytest.mark.parametrize(
    ("time_zone", "after", "expected"),
    [
        # the clock goes forward on 2024-03-31 at 01:00 UTC, and back on 2024-10-27 at 01:00 UTC
        (BERLIN, "2024-03-30 12:00", ["2024-03-31 04:00", "2024-04-01 04:00", "2024-04-02 04:00"]),
        (BERLIN, "2024-10-26 12:00", ["2024-10-27 05:00", "2024-10-28 05:00", "2024-10-29 05:00"]),
        ("UTC", "2024-10-26 06:00", ["2024-10-26 06:00", "2024-10-27 06:00", "2024-10-28 06:00"]),
        ("Asia/Ho_Chi_Minh", "2024-10-26 00:00", ["2024-10-26 23:00", "2024-10-27 23:00", "2024-10-28 23:00"]),
    ],
)
def test_the_daily_job_runs_at_six_in_the_platforms_time_zone_for_the_day_before(
    instance: dg.DagsterInstance, time_zone: str, after: str, expected: list[str]
) -> None:
    platform = definitions(time_zone)
    refreshed(instance)
    found = ticks(platform, DAILY, datetime.fromisoformat(after).replace(tzinfo=UTC), 3)
    assert [f"{tick.astimezone(UTC):%Y-%m-%d %H:%M}" for tick in found] == expected
    for tick in found:
        local = tick.astimezone(ZoneInfo(time_zone))
        assert local.hour == 6
        (request,) = requested(platform, DAILY, tick, instance).run_requests
        day_before = date.fromordinal(local.toordinal() - 1)
        assert (request.partition_key, request.run_key) == (str(day_before), str(day_before))
        assert request.tags["dagster/partition"] == str(day_before)


def test_no_day_is_left_out_and_none_is_named_twice_in_a_year(instance: dg.DagsterInstance) -> None:
    platform = definitions(BERLIN)
    refreshed(instance)
    found = ticks(platform, DAILY, datetime(2024, 1, 1, 12, tzinfo=UTC), 366)
    days = [requested(platform, DAILY, tick, instance).run_requests[0].partition_key for tick in found]
    assert days == [str(date.fromordinal(date(2024, 1, 1).toordinal() + n)) for n in range(366)]


@pytest.mark.parametrize(("day", "hour"), [("2024-03-31", 3), ("2024-06-01", 3), ("2024-10-27", 4)])
def test_dim_jobs_is_refreshed_half_an_hour_before(day: str, hour: int) -> None:
    (tick,) = ticks(definitions(BERLIN), DIM_JOBS, datetime.fromisoformat(day).replace(tzinfo=UTC), 1)
    assert tick.astimezone(UTC) == datetime.fromisoformat(day).replace(hour=hour, minute=30, tzinfo=UTC)


@pytest.mark.parametrize("status", [*NOT_FINISHED_STATUSES, None])
def test_the_daily_job_waits_for_the_refresh_when_both_are_due_at_once_and_leaves_the_day_to_the_sensors(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus | None
) -> None:
    platform, six = definitions("UTC"), datetime(2024, 6, 2, 6, tzinfo=UTC)
    if status is not None:
        refreshed(instance, status)
    skipped = requested(platform, DAILY, six, instance)
    assert not skipped.run_requests
    assert skipped.skip_message == ("dim_jobs is not refreshed yet: the sensors ask for 2024-06-01 as soon as it is")


@pytest.mark.parametrize("status", FINISHED_STATUSES)
def test_a_refresh_that_failed_holds_up_no_day(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    refreshed(instance, status)
    assert requested(definitions("UTC"), DAILY, datetime(2024, 6, 2, 6, tzinfo=UTC), instance).run_requests


def test_where_the_refresh_is_turned_off_no_day_waits_for_it(instance: dg.DagsterInstance) -> None:
    platform = definitions("UTC")
    origin = RemoteInstigatorOrigin(REPOSITORY, DIM_JOBS)
    instance.add_instigator_state(
        InstigatorState(
            origin,
            InstigatorType.SCHEDULE,
            InstigatorStatus.STOPPED,
            ScheduleInstigatorData("30 5 * * *", start_timestamp=None),
        )
    )
    assert requested(platform, DAILY, datetime(2024, 6, 2, 6, tzinfo=UTC), instance).run_requests


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # the clock goes forward on 2024-03-31 at 01:00 UTC, and back on 2024-10-27 at 01:00 UTC
        ("2024-03-31 04:59", "2024-03-29"),
        ("2024-03-31 05:00", "2024-03-30"),
        ("2024-06-01 04:59", "2024-05-30"),
        ("2024-06-01 05:00", "2024-05-31"),
        ("2024-10-27 05:59", "2024-10-25"),
        ("2024-10-27 06:00", "2024-10-26"),
    ],
)
def test_a_day_is_expected_from_seven_of_the_next_on_by_the_clock(now: str, expected: str) -> None:
    settings = Settings(time_zone=BERLIN)
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert last_expected_day(at, settings) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2024-03-31 03:29", "2024-03-30 04:30"),
        ("2024-03-31 03:30", "2024-03-31 03:30"),
        ("2024-10-27 04:29", "2024-10-26 03:30"),
        ("2024-10-27 04:30", "2024-10-27 04:30"),
    ],
)
def test_the_refresh_that_days_wait_for_is_that_of_the_schedule(now: str, expected: str) -> None:
    at, due = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (now, expected))
    assert newest_time(at, Settings(time_zone=BERLIN)) == due
    assert ticks(definitions(BERLIN), DIM_JOBS, due, 1) == [due]


def test_before_the_first_day_is_over_there_is_nothing_to_run(instance: dg.DagsterInstance) -> None:
    platform = definitions("UTC", date(2024, 6, 1))
    skipped = requested(platform, DAILY, datetime(2024, 6, 1, 6, tzinfo=UTC), instance)
    assert not skipped.run_requests
    assert skipped.skip_message == "2024-05-31 is before the first day, 2024-06-01"
    refreshed(instance)
    assert requested(platform, DAILY, datetime(2024, 6, 2, 6, tzinfo=UTC), instance).run_requests


def test_schedules_run_unless_they_are_turned_off() -> None:
    for name in (DAILY, DIM_JOBS):
        schedule = definitions(BERLIN).resolve_schedule_def(name)
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        assert schedule.execution_timezone == BERLIN
