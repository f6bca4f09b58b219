"""The sensors: they look how the days stand, ask for the runs that are needed, and tell of runs that failed.

Neither of the two that ask keeps anything from one look to the next: a look that is lost, or done twice, changes
nothing. What belongs here: the looks. What does not: what a day needs (`pipeline.freshness`), how often it is asked for
(`attempts`), what an alert says (`alerts`). https://docs.dagster.io/guides/automate/sensors
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import dagster as dg

from recruitment_platform.assets.catalog import FACTS
from recruitment_platform.automation import alerts
from recruitment_platform.automation.attempts import Triage, run_requests, triage
from recruitment_platform.automation.in_flight import days_in_flight
from recruitment_platform.automation.instance import fail_abandoned_runs
from recruitment_platform.automation.jobs import daily_facts, refresh_dim_jobs
from recruitment_platform.automation.refresh import newest_refresh, refresh_request
from recruitment_platform.errors import PlatformError
from recruitment_platform.partitions import daily_partitions, last_expected_day, local_day, spans
from recruitment_platform.pipeline.billing import accounted
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.freshness import (
    DayNeed,
    Window,
    day_needs,
    for_freshness,
    for_late_data,
)
from recruitment_platform.resources.protocols import EventLake, ObjectStore, Warehouse
from recruitment_platform.resources.stores import open_event_lake, open_object_store, open_warehouse
from recruitment_platform.settings import Settings

FRESHNESS = "freshness_sensor"
LATE_DATA = "late_data_sensor"
ALERTS = "alert_on_failure"

WAREHOUSE_WAIT = timedelta(seconds=5)
"""How long a look waits for a load that holds the embedded warehouse: the next look comes soon."""

Look = dg.SensorResult | dg.SkipReason


@dataclass(frozen=True)
class Looked:
    """What a look reads: the stores, and the definitions, by which Dagster's backfills of assets are understood."""

    definitions: dg.Definitions
    lake: EventLake
    objects: ObjectStore
    warehouse: Warehouse


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors, running by default."""
    stores = cache(lambda: _open(settings))

    @dg.sensor(
        name=FRESHNESS,
        jobs=[daily_facts, refresh_dim_jobs],
        minimum_interval_seconds=_seconds(settings.freshness_interval),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Asks for every expected day that is missing, failed or overdue. Attempts are counted for each day and "
            "input, and capped; days in flight are left alone, whoever launched them."
        ),
    )
    def freshness_sensor(context: dg.SensorEvaluationContext) -> Look:
        return _look(
            context,
            settings,
            stores,
            lambda needs, now: for_freshness(needs, now, settings.freshness_grace),
            "every expected day is published",
        )

    @dg.sensor(
        name=LATE_DATA,
        jobs=[daily_facts, refresh_dim_jobs],
        minimum_interval_seconds=_seconds(settings.late_data_interval),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Asks for exactly the days of which the lake holds something else than their facts were made from, today "
            "included."
        ),
    )
    def late_data_sensor(context: dg.SensorEvaluationContext) -> Look:
        return _look(context, settings, stores, lambda needs, now: for_late_data(needs), "no new data")

    @dg.run_failure_sensor(
        name=ALERTS,
        minimum_interval_seconds=_seconds(min(settings.freshness_interval, settings.late_data_interval)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of every failed run: in the log, and where RECRUITMENT_ALERT_WEBHOOK says.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> None:
        alerts.send(alerts.alert_of(context, settings), settings)

    return [freshness_sensor, late_data_sensor, alert_on_failure]


def needs_now(stores: Looked, instance: dg.DagsterInstance, settings: Settings, now: datetime) -> list[DayNeed]:
    """What every day needs. StoreUnavailableError where a store cannot be read."""
    window = Window(
        first=settings.first_day,
        today=local_day(now, settings),
        expected=last_expected_day(now, settings),
        look_back=settings.look_back_days,
    )
    return day_needs(
        stores.lake.day_states(), accounted(stores.warehouse), _failed_days(instance, settings, window), window
    )


def _look(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    stores: Callable[[], Looked],
    choose: Callable[[Iterable[DayNeed], datetime], Sequence[DayNeed]],
    nothing: str,
) -> Look:
    now = datetime.now(UTC)
    try:
        for run_id in fail_abandoned_runs(context.instance, settings):
            context.log.warning(f"run {run_id} is failed: its process is gone")
        wanted = choose(needs_now(stores(), context.instance, settings, now), now)
        if not wanted:
            return dg.SkipReason(nothing)
        in_flight = days_in_flight(context.instance, stores().definitions)
        found = triage(context.instance, wanted, in_flight, settings, now)
        told = _told(found)
        if not found.ready:
            return dg.SkipReason("; ".join(told))
        return _after_refresh(context, settings, stores, found, told, now)
    except PlatformError as error:
        return dg.SkipReason(f"nothing could be told this time: {error}")


def _after_refresh(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    stores: Callable[[], Looked],
    found: Triage,
    told: Sequence[str],
    now: datetime,
) -> Look:
    """Asks for the days, or first for dim_jobs, where they were not refreshed since they should have been."""
    refresh = newest_refresh(context.instance, settings, now)
    if refresh.state == "due":
        context.log.info("dim_jobs is refreshed first")
        return dg.SensorResult(run_requests=[refresh_request(refresh)])
    if refresh.state in ("under way", "waiting"):
        when = f", again from {refresh.due:%H:%M:%S} UTC on" if refresh.state == "waiting" else ""
        return dg.SkipReason("; ".join([f"dim_jobs is refreshed first{when}", *told]))
    if refresh.state == "given up" and current_dimensions(stores().objects) is None:
        return dg.SkipReason(
            "; ".join([f"dim_jobs could not be refreshed, {refresh.made} times; materialize it by hand", *told])
        )
    for line in told:  # which a look that asks for nothing tells as its reason
        context.log.info(line)
    requests = run_requests(found.ready, settings)
    context.log.info(f"days asked for: {len(found.ready)}, in runs: {len(requests)}")
    return dg.SensorResult(run_requests=requests)


def _told(found: Triage) -> list[str]:
    """A look in words: days given up first, which must not be overlooked. Days of which the same is told are one."""
    lines = [
        *(
            (
                need.day,
                f" given up after {made.made} attempts, the last in run {made.run_id} ({need.reason}): mend what that "
                "tells, then run it by hand",
            )
            for need, made in found.given_up
        ),
        *(
            (need.day, f" waiting for attempt {made.made + 1} until {due:%H:%M:%S} UTC ({need.reason})")
            for need, made, due in found.waiting
        ),
        *((need.day, f" in flight in {who} ({need.reason})") for need, who in found.in_flight),
        *((need.day, f" asked for, attempt {made.made + 1} ({need.reason})") for need, made in found.ready),
    ]
    days: dict[str, list[date]] = defaultdict(list)
    for day, line in lines:
        days[line].append(day)
    return [f"{spans(same)}{line}" for line, same in days.items()]


def _failed_days(instance: dg.DagsterInstance, settings: Settings, window: Window) -> set[date]:
    """Expected days whose newest run failed to materialize the facts, as Dagster knows it."""
    keys = [str(day) for n in range(window.look_back) if (day := window.expected - timedelta(days=n)) >= window.first]
    statuses = instance.get_status_by_partition(FACTS, keys, daily_partitions(settings)) or {}
    return {date.fromisoformat(key) for key, status in statuses.items() if status and status.name == "FAILED"}


def _open(settings: Settings) -> Looked:
    # Not from the top: the sensors are a part of the definitions.
    from recruitment_platform.definitions import build_definitions

    patient = settings.model_copy(update={"warehouse_wait": min(settings.warehouse_wait, WAREHOUSE_WAIT)})
    objects = open_object_store(patient)
    return Looked(build_definitions(settings), open_event_lake(patient), objects, open_warehouse(patient, objects))


def _seconds(interval: timedelta) -> int:
    return max(1, round(interval.total_seconds()))
