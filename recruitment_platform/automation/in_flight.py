"""Days in flight: which days are being materialized, or wait to be, by whoever asked for them.

What belongs here: reading this from Dagster's instance, which knows of runs, ranges and backfills. What does not: what
is done about it (`backfill`).
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.errors import DagsterDefinitionChangedDeserializationError
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from recruitment_platform.partitions import days, days_between

if TYPE_CHECKING:
    from dagster._core.execution.backfill import PartitionBackfill

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def days_in_flight(
    instance: dg.DagsterInstance, definitions: dg.Definitions, *, gone: Collection[str] = ()
) -> dict[date, str]:
    """Each such day, and who has it: `run <id>`, or `backfill <id>` where its run is not there yet.

    `gone` are the ids of runs that look as if they were under way, and whose process is gone.
    """
    # It takes a tenth of a second to load, for which a run need not wait.
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    found: dict[date, str] = {}
    unfinished = BulkActionsFilter(
        statuses=[BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    )
    for backfill in instance.get_backfills(unfinished):
        found |= dict.fromkeys(_days_left(instance, definitions, backfill), f"backfill {backfill.backfill_id}")
    for run in instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
        if run.run_id not in gone:
            found |= dict.fromkeys(days_of(run), f"run {run.run_id}")
    return found


def days_of(run: dg.DagsterRun) -> list[date]:
    """The days of the run's partition or range, ascending; none where it has neither."""
    if RANGE_START_TAG in run.tags and RANGE_END_TAG in run.tags:
        return days_between(*days([run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]]))
    return days([run.tags[PARTITION_TAG]]) if PARTITION_TAG in run.tags else []


def _days_left(
    instance: dg.DagsterInstance, definitions: dg.Definitions, backfill: "PartitionBackfill"
) -> Iterable[date]:
    """The backfill's days without those of its runs: some of these have ended, the others are known by themselves."""
    runs = instance.get_runs(dg.RunsFilter(tags=dg.DagsterRun.tags_for_backfill_id(backfill.backfill_id)))
    return set(_days_asked(definitions, backfill)).difference(day for run in runs for day in days_of(run))


def _days_asked(definitions: dg.Definitions, backfill: "PartitionBackfill") -> Iterator[date]:
    if not backfill.is_asset_backfill:
        yield from days(backfill.partition_names or ())
        return
    try:
        data = backfill.get_asset_backfill_data(definitions.resolve_asset_graph())
    except DagsterDefinitionChangedDeserializationError:
        return  # of an asset that is no more, or has other partitions: Dagster ends it by itself
    for subset in data.target_subset.partitions_subsets_by_asset_key.values():
        yield from days(subset.get_partition_keys())
