"""What the assets' steps have in common: which days the run asks for, and how the platform's errors become Dagster's.

What belongs here: the run as Dagster's context tells it. What does not: anything of one asset.
"""

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date

import dagster as dg

from recruitment_platform.assets.catalog import JOB_HOURLY_EVENTS
from recruitment_platform.errors import PlatformError, StoreUnavailableError
from recruitment_platform.partitions import days
from recruitment_platform.settings import Settings

FAILED_DAYS = "failed_days"
"""Key of a failure's metadata: JSON of each day that failed to its error."""

EXIT_CODE = "exit_code"
"""Key of a failure's metadata: `PlatformError.exit_code`, with which the command line leaves."""

ATTENDED_TAG = "recruitment/attended"
"""Tag of a run of the command line: whoever started it sees at once what is wrong, and can try again."""

RESTATE_TAG = "recruitment/restate"
"""A run's tag: with the value `true`, days that are closed for billing are loaded like others, on purpose."""

PROGRESS = logging.getLogger("recruitment_platform.progress")
"""Takes a line for every day. `context.log` would store each as an event, which takes longer than a small day."""


def days_of_run(context: dg.AssetExecutionContext) -> list[date]:
    """The days of the run's partition or range, ascending; fails the step where the run names none."""
    if not context.has_partition_key and not context.has_partition_key_range:
        raise dg.Failure("this run names no days: materialize the asset, with its checks, for a range of them")
    return days(context.partition_keys)


def computing_run(context: dg.AssetExecutionContext) -> str:
    """The run that computed the facts to be published: this one, or the one that is run again from publishing on.

    What that run recorded of its days, errors and candidates, stands under its id.
    """
    run = context.run
    while run.parent_run_id is not None and not computes(run):
        parent = context.instance.get_run_by_id(run.parent_run_id)
        if parent is None:
            break
        run = parent
    return run.run_id


def computes(run: dg.DagsterRun) -> bool:
    """Whether facts are computed in the run."""
    steps, assets = run.step_keys_to_execute, run.asset_selection
    # A run that was asked for no assets in particular is of all, whether Dagster tells it by None or by none at all.
    return (steps is None or JOB_HOURLY_EVENTS.path[0] in steps) and (not assets or JOB_HOURLY_EVENTS in assets)


@contextmanager
def platform_failures() -> Iterator[None]:
    """Turns a PlatformError into the step's failure, with its message alone."""
    try:
        yield
    except PlatformError as error:
        raise failure(str(error), error) from None


@contextmanager
def tried_again(context: dg.AssetExecutionContext, settings: Settings) -> Iterator[None]:
    """Has Dagster try the step again, later and later, where it failed because a store is away.

    Not by Dagster's RetryPolicy, which would also start a step again that someone cancels. Pauses are those of the
    setting, doubled from one time to the next, and half as long to half as long again at random, so that several runs
    do not come back in step.
    """
    try:
        yield
    except dg.Failure as failed:
        if not failed.allow_retries or ATTENDED_TAG in context.run.tags:
            raise
        seconds = settings.retry_pause.total_seconds() * 2**context.retry_number * random.uniform(0.5, 1.5)
        raise dg.RetryRequested(settings.step_retries, seconds) from failed


def failure(
    description: str, error: PlatformError, failed_days: Mapping[date, PlatformError] | None = None
) -> dg.Failure:
    """A step's failure by that error; `failed_days` are told to whoever started the run.

    Only where a store is away may Dagster try again: nothing else changes by itself.
    """
    metadata: dict[str, dg.MetadataValue] = {EXIT_CODE: dg.MetadataValue.int(error.exit_code)}
    if failed_days:
        found = {str(day): str(problem) for day, problem in sorted(failed_days.items())}
        metadata[FAILED_DAYS] = dg.MetadataValue.json(found)
    return dg.Failure(description, metadata=metadata, allow_retries=isinstance(error, StoreUnavailableError))
