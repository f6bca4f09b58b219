"""Running days from the command line: dim_jobs, then a range of days in one run, in this process, as Dagster's runs.

What belongs here: starting runs, and telling what became of them. What does not: what is run (`jobs`), showing it
(`cli`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import dagster as dg

from recruitment_platform.assets.steps import EXIT_CODE, FAILED_DAYS, RESTATE_TAG
from recruitment_platform.automation.event_log import connected
from recruitment_platform.automation.in_flight import RANGE_END_TAG, RANGE_START_TAG
from recruitment_platform.automation.instance import process_tag
from recruitment_platform.automation.interrupts import interrupts_seen
from recruitment_platform.automation.jobs import DAILY_FACTS, REFRESH_DIM_JOBS
from recruitment_platform.automation.progress import Progress, watching
from recruitment_platform.definitions import build_definitions
from recruitment_platform.errors import PlatformError
from recruitment_platform.partitions import check_range
from recruitment_platform.resources.dagster_resources import SparkEngineResource
from recruitment_platform.settings import Settings

INTERRUPTED = frozenset({"DagsterExecutionInterruptedError", "KeyboardInterrupt"})
"""Names of the errors by which Dagster tells of Ctrl-C."""

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
"""Dagster's console logger would write every event, and failures with their stacks, to stderr."""


@dataclass(frozen=True)
class RunOutcome:
    """What became of a run: `failed_days` maps each day that failed by itself to its error.

    Where `message` is not empty the run failed; then `exit_code` is that of the error behind it. Days of the range that
    are not in `failed_days` were published, unless `failed_days` is empty too: then the run failed as a whole.
    `interrupted` tells that Ctrl-C came too late to end this run: nothing that follows it is to begin.
    """

    run_id: str
    message: str = ""
    failed_days: Mapping[date, str] = field(default_factory=dict)
    exit_code: int = 0
    interrupted: bool = False

    @property
    def success(self) -> bool:
        """Whether everything was materialized."""
        return not self.message


def run_partitions(
    instance: dg.DagsterInstance,
    settings: Settings,
    first: date,
    last: date,
    *,
    as_of: datetime | None = None,
    restate: bool = False,
    progress: Progress | None = None,
    definitions: dg.Definitions | None = None,
) -> RunOutcome:
    """Refreshes dim_jobs as of that instant (now by default), then materializes the days, all in one run.

    With `restate` days that are closed for billing are loaded too. The outcome is that of the refresh where it fails,
    the days are then left alone. `progress` is called with each line that the assets tell. Raises InputError where a
    day is no partition, StoreUnavailableError where Dagster's own storage cannot be written, KeyboardInterrupt after
    Ctrl-C, once the run is recorded as failed.
    """
    check_range(settings, first, last)
    platform = definitions or build_definitions(settings)
    refreshed = refresh_before_days(instance, settings, platform, as_of=as_of, progress=progress)
    if not refreshed.success:
        return refreshed
    return run_days(instance, settings, platform, first, last, restate=restate, progress=progress)


def refresh_before_days(
    instance: dg.DagsterInstance,
    settings: Settings,
    definitions: dg.Definitions,
    *,
    as_of: datetime | None = None,
    progress: Progress | None = None,
) -> RunOutcome:
    """As `refresh_dimensions`, while Spark starts for the run of days that follows, which stops it.

    Raises KeyboardInterrupt after Ctrl-C, whether the refresh has ended or not.
    """
    resource = (definitions.resources or {}).get("engine")
    # Its start takes longer than the steps that come before its use.
    engine = resource.engine() if isinstance(resource, SparkEngineResource) else None
    if engine is not None:
        engine.begin()
    refreshed = refresh_dimensions(instance, settings, definitions, as_of=as_of, progress=progress)
    if engine is not None and (refreshed.interrupted or not refreshed.success):
        engine.stop()
    if refreshed.interrupted:
        raise KeyboardInterrupt
    return refreshed


def refresh_dimensions(
    instance: dg.DagsterInstance,
    settings: Settings,
    definitions: dg.Definitions,
    *,
    as_of: datetime | None = None,
    progress: Progress | None = None,
) -> RunOutcome:
    """Refreshes dim_jobs as of that instant, now by default; raises as `run_partitions` does."""
    refresh = {"ops": {"dim_jobs": {"config": {"as_of": as_of.isoformat()}}}} if as_of is not None else {}
    with watching(progress), process_tag(settings) as tag:
        return _run(instance, definitions, REFRESH_DIM_JOBS, tag, refresh)


def run_days(
    instance: dg.DagsterInstance,
    settings: Settings,
    definitions: dg.Definitions,
    first: date,
    last: date,
    *,
    restate: bool = False,
    progress: Progress | None = None,
) -> RunOutcome:
    """Materializes the days in one run, with dim_jobs as they are; raises as `run_partitions` does."""
    days = {RANGE_START_TAG: str(first), RANGE_END_TAG: str(last)} | ({RESTATE_TAG: "true"} if restate else {})
    with watching(progress), process_tag(settings) as tag:
        return _run(instance, definitions, DAILY_FACTS, tag | days, {})


def _run(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    job: str,
    tags: Mapping[str, str],
    run_config: Mapping[str, Any],
) -> RunOutcome:
    with connected(instance), interrupts_seen() as interrupted:
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            tags=tags,
            run_config={**run_config, "loggers": QUIET},
            raise_on_error=False,
        )
        late = interrupted()
    outcome = RunOutcome(result.run_id) if result.success else _outcome(result.run_id, result.all_events)
    return replace(outcome, interrupted=late)


def _outcome(run_id: str, events: Sequence[dg.DagsterEvent]) -> RunOutcome:
    """The outcome that the failed step tells, or, where Dagster itself failed, what was at the root of it."""
    step = next((event for event in events if event.is_step_failure), None)
    told = step.step_failure_data.user_failure_data if step else None
    if told is None:
        run = next(event for event in events if event.is_failure)
        error = step.step_failure_data.error if step else run.job_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None and error.cls_name in INTERRUPTED:
            raise KeyboardInterrupt
        why = error.message.strip() if error else "it ended early"
        return RunOutcome(run_id, f"run {run_id} failed: {why}", exit_code=PlatformError.exit_code)
    values = {name: value.value for name, value in told.metadata.items()}
    failed, code = values.get(FAILED_DAYS), values.get(EXIT_CODE)
    return RunOutcome(
        run_id,
        told.description or "",
        {date.fromisoformat(day): str(why) for day, why in failed.items()} if isinstance(failed, dict) else {},
        code if isinstance(code, int) else PlatformError.exit_code,
    )
