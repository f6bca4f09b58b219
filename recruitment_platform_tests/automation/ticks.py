"""Ticks by hand: sensors evaluated on a real instance, and the runs that they ask for, launched as the daemon would.

What belongs here: one look, and one run in each state. What does not: a real daemon (`daemon`).
"""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from recruitment_platform.automation.in_flight import days_of
from recruitment_platform.definitions import build_definitions
from recruitment_platform.model.door import DoorRules
from recruitment_platform.settings import Settings
from recruitment_platform_tests.site import Site, click

_NOW = datetime.now(UTC)

TIME_ZONE = f"Etc/GMT{_NOW.hour - 12:+d}"
"""One in which it is noon, so that no test is on both sides of midnight. (POSIX: `Etc/GMT-7` is UTC+7.)"""

ZONE = ZoneInfo(TIME_ZONE)
TODAY = _NOW.astimezone(ZONE).date()


def ago(days: int) -> date:
    """The day that many days before today."""
    return TODAY - timedelta(days=days)


def a_site_of_today(home: Path) -> Site:
    """A site in which it is noon."""
    return Site(home, DoorRules(time_zone=TIME_ZONE, first_day=date(2020, 1, 1)))


def send(site: Site, *days: int, source: str = "test:site", number: int = 0) -> None:
    """Sends a click of noon of each of these days, counted back from today."""
    noon = [datetime(day.year, day.month, day.day, 12, tzinfo=ZONE) for day in map(ago, days)]
    site.send([click(at.astimezone(UTC), number) for at in noon], source, datetime.now(UTC))


def lose_an_event(site: Site, days: int) -> None:
    """Makes the day's state tell one event more than the lake holds of it: no run can publish the day."""
    with closing(sqlite3.connect(site.lake.catalog)) as catalog, catalog:
        assert catalog.execute("UPDATE day_state SET rows = rows + 1 WHERE event_date = ?", [str(ago(days))]).rowcount


@contextmanager
def holding(warehouse: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program has the warehouse's file open, once those that have it now let go."""
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(warehouse)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


_HOLD = """
import sys, time, duckdb
while True:
    try:
        connection = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException:
        time.sleep(0.05)
print("held", flush=True)
time.sleep(600)
"""


def settings_at_once(site: Site, **more: Any) -> Settings:
    """Settings without any pause or grace, DuckDB as engine."""
    quick = dict.fromkeys(("freshness_grace", "attempt_pause", "retry_pause"), timedelta(0))
    return Settings(
        **{"home": site.home, "engine": "duckdb", "time_zone": TIME_ZONE, "step_retries": 0, **quick, **more}
    )


@dataclass(frozen=True)
class Look:
    """What a sensor asked for, or why it did not."""

    requests: tuple[dg.RunRequest, ...]
    message: str

    @property
    def jobs(self) -> list[str | None]:
        """The jobs that were asked for."""
        return [request.job_name for request in self.requests]

    @property
    def days(self) -> list[list[int]]:
        """The days of each request, counted back from today."""
        runs = (dg.DagsterRun(job_name="", tags=request.tags) for request in self.requests)
        return [[(TODAY - day).days for day in days_of(run)] for run in runs]


class Daemon:
    """Stands in for the daemon: evaluates sensors of a home on an instance, and launches what they ask for."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings, **overrides: Any) -> None:
        self.instance = instance
        self.definitions = build_definitions(settings, overrides)
        self._repository = self.definitions.get_repository_def()

    def look(self, sensor: str, cursor: str | None = None) -> Look:
        """One tick of the sensor."""
        with dg.build_sensor_context(
            self.instance, cursor=cursor, repository_def=self._repository, sensor_name=sensor
        ) as context:
            data = self._repository.get_sensor_def(sensor).evaluate_tick(context)
        return Look(tuple(data.run_requests or ()), data.skip_message or "")

    def run(self, request: dg.RunRequest) -> bool:
        """Runs what was asked for, here and now; whether it succeeded."""
        job = self.definitions.resolve_job_def(request.job_name)
        return job.execute_in_process(instance=self.instance, tags=request.tags, raise_on_error=False).success

    def refresh(self) -> None:
        """Refreshes dim_jobs, as the schedule does before."""
        assert self.definitions.resolve_job_def("refresh_dim_jobs").execute_in_process(instance=self.instance).success

    def launched(
        self, request: dg.RunRequest, status: dg.DagsterRunStatus = dg.DagsterRunStatus.QUEUED
    ) -> dg.DagsterRun:
        """The run that Dagster makes of the request, in that status."""
        job = request.job_name or ""
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("a test"), "__repository__")
        return self.instance.add_run(
            dg.DagsterRun(
                job_name=job, tags=request.tags, status=status, remote_job_origin=RemoteJobOrigin(repository, job)
            )
        )
