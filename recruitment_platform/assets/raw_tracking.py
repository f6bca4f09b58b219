"""raw_tracking: each day's immutable snapshot of the lake.

What belongs here: the asset, its metadata, its days. What does not: how a snapshot is taken (`pipeline.snapshot`).
"""

from collections import defaultdict
from typing import Any

import dagster as dg

from recruitment_platform.assets import metadata
from recruitment_platform.assets.catalog import (
    ENGINE_POOL,
    ENGINEERS,
    LAKE_GROUP,
    RAW_TRACKING,
    TRACKING,
    backfill_policy,
    kinds,
)
from recruitment_platform.assets.steps import PROGRESS, computes, days_of_run, platform_failures, tried_again
from recruitment_platform.model import contract
from recruitment_platform.model.door import DoorRules
from recruitment_platform.partitions import daily_partitions
from recruitment_platform.pipeline.extraction import extraction
from recruitment_platform.pipeline.manifests import SnapshotManifest
from recruitment_platform.pipeline.retention import BEING_WRITTEN
from recruitment_platform.pipeline.snapshot import CODE_VERSION, take_snapshots
from recruitment_platform.resources.dagster_resources import Opener
from recruitment_platform.resources.protocols import EventLake, ObjectStore
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.settings import Settings
from recruitment_platform.sql import load_sql
from recruitment_platform.transforms.engines import Engine
from recruitment_platform.transforms.lineage import ColumnLineage, column_lineage

DESCRIPTION = """The day's snapshot: its distinct events, with the columns that transforms read.

Everything downstream reads the snapshot, never the moving lake, so a day can be computed again and gives the same. A
snapshot equal to the one in force is not written again. Where events come through Kafka, what is still waiting there is
taken in first. A day that does not add up (accepted = distinct + duplicates +
conflicts) has `error` in its metadata, and is failed by the publishing step; the other days go on.

What a day tells: `duplicates` came again with the same content, `conflicts` with another, of which one counts;
`fallback_times` are events whose own time cannot be believed, they have that of their receipt; `clicks_without_job` end
under job 0, `clicks_without_bid` cost nothing; `ids_on_two_days` are two events. `listing` is a file that names the
conflicts and the ids on two days; `positions` are where the day's events lie in their sources.
"""


def raw_tracking_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset, daily."""
    spec = dg.AssetSpec(
        RAW_TRACKING,
        deps=[TRACKING],
        description=DESCRIPTION,
        metadata=metadata.definition_metadata(RAW_TRACKING, contract.RAW_TRACKING, _lineage(), {"events": TRACKING}),
        group_name=LAKE_GROUP,
        code_version=CODE_VERSION,
        owners=ENGINEERS,
        kinds=kinds(settings, RAW_TRACKING),
        tags={"layer": "raw"},
    )

    @dg.multi_asset(
        name="raw_tracking",
        specs=[spec],
        partitions_def=daily_partitions(settings),
        backfill_policy=backfill_policy(settings),
        pool=ENGINE_POOL,
    )
    def raw_tracking(
        context: dg.AssetExecutionContext,
        lake: dg.ResourceParam[Opener[EventLake]],
        objects: dg.ResourceParam[Opener[ObjectStore]],
        engine: dg.ResourceParam[Opener[Engine]],
        event_log: dg.ResourceParam[Opener[Any]],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        wanted = days_of_run(context)
        with tried_again(context, settings), platform_failures():
            if computes(context.run):
                engine().begin()
            _drain(event_log(), lake(), door_rules(settings))
            rejected = {state.source: state.rejected for state in lake().sources()}
            brought = defaultdict(list)
            for state in lake().day_states(wanted):
                brought[state.event_date].append(state)
            taken = take_snapshots(
                lake(),
                objects(),
                wanted,
                time_zone=settings.time_zone,
                run_id=context.run.run_id,
                extract=extraction(engine(), lake()),
            )
            for day, snapshot in taken:
                if isinstance(snapshot, SnapshotManifest):
                    told = metadata.snapshot_metadata(objects(), snapshot, brought[day], rejected)
                    PROGRESS.info(
                        f"raw_tracking {day}: {snapshot.distinct:,} distinct of {snapshot.accepted:,} accepted events"
                    )
                else:
                    told = metadata.error_metadata(str(snapshot))
                    context.log.warning(str(snapshot))
                    PROGRESS.warning(str(snapshot))
                context.add_asset_metadata(told, partition_key=str(day))
            left = lake().clean(BEING_WRITTEN)
            if left:
                PROGRESS.info(f"raw_tracking: {left:,} files of killed writers removed from the lake")
        return dg.MaterializeResult()

    return raw_tracking


def _drain(event_log: Any, lake: EventLake, rules: DoorRules) -> None:
    """Takes in what waits in the event log, a `KafkaEventLog` or None: its module is not loaded where there is none."""
    if event_log is None:
        return
    from recruitment_platform.ingest.event_log import drain

    came = drain(event_log, lake, rules)
    PROGRESS.info(f"raw_tracking: {came.received:,} messages taken in that waited in Kafka")


def _lineage() -> ColumnLineage:
    found = column_lineage(
        load_sql("pipeline", "snapshot"), dialect="duckdb", tables={"events": contract.LAKE_TRACKING.column_names}
    )
    return {column: found[column] for column in contract.RAW_TRACKING.column_names}
