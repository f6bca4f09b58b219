"""dim_jobs first: whether they were refreshed since the time of day at which they should be, before days are run.

What belongs here: looking that up, so that the order holds when a daemon comes back late and all is due at once, when a
refresh takes long, and when there was none yet. What does not: the refresh itself (`pipeline.dimensions`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import dagster as dg

from recruitment_platform.automation.attempts import ended_at, pause
from recruitment_platform.automation.jobs import REFRESH_DIM_JOBS
from recruitment_platform.settings import Settings

HOUR, MINUTE = 5, 30
"""Half an hour before the daily job, which joins the newest version."""

State = Literal["done", "under way", "due", "waiting", "given up"]


@dataclass(frozen=True)
class Refresh:
    """How the newest refresh that should be there stands: `since` is from when on it counts (UTC), `made` its attempts.

    `due` is from when on it may be tried again, where it is waiting.
    """

    state: State
    since: datetime
    made: int
    due: datetime


def newest_time(now: datetime, settings: Settings) -> datetime:
    """The newest instant (UTC) at which dim_jobs should have been refreshed: the same hour by the clock, every day."""
    zone = ZoneInfo(settings.time_zone)
    clock = now.astimezone(zone).replace(tzinfo=None)
    at = clock.replace(hour=HOUR, minute=MINUTE, second=0, microsecond=0)
    return (at if at <= clock else at - timedelta(days=1)).replace(tzinfo=zone).astimezone(UTC)


def newest_refresh(instance: dg.DagsterInstance, settings: Settings, now: datetime) -> Refresh:
    """How it stands, by the runs that were created since it was due, whoever launched them."""
    since = newest_time(now, settings)
    records = instance.get_run_records(dg.RunsFilter(job_name=REFRESH_DIM_JOBS, created_after=since))
    made = len(records)
    due = max((ended_at(record) for record in records), default=now) + pause(made, settings)
    if any(not record.dagster_run.is_finished for record in records):
        return Refresh("under way", since, made, due)
    if any(record.dagster_run.is_success for record in records):
        return Refresh("done", since, made, due)
    if made >= settings.max_attempts:
        return Refresh("given up", since, made, due)
    return Refresh("waiting" if due > now else "due", since, made, due)


def refresh_request(refresh: Refresh) -> dg.RunRequest:
    """A run of the refresh; Dagster runs a key once, for ever, so it has the number of the attempt in it."""
    return dg.RunRequest(
        job_name=REFRESH_DIM_JOBS, run_key=f"{REFRESH_DIM_JOBS}:{refresh.since.isoformat()}:{refresh.made}"
    )
