"""job_hourly_events: the hourly facts as computed, not yet verified.

What belongs here: the asset, its metadata, its days. What does not: the computation (`transforms`, `pipeline.facts`).
"""

import dagster as dg

from recruitment_platform.assets import metadata
from recruitment_platform.assets.catalog import (
    DIM_JOBS,
    ENGINE_POOL,
    ENGINEERS,
    FACTS_GROUP,
    JOB_HOURLY_EVENTS,
    RAW_TRACKING,
    backfill_policy,
    kinds,
)
from recruitment_platform.assets.steps import PROGRESS, days_of_run, platform_failures, tried_again
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.partitions import daily_partitions
from recruitment_platform.pipeline.facts import CODE_VERSION, compute_facts
from recruitment_platform.pipeline.manifests import FactsManifest
from recruitment_platform.resources.dagster_resources import Opener
from recruitment_platform.resources.protocols import EventLake, ObjectStore
from recruitment_platform.settings import Settings
from recruitment_platform.transforms.engines import Engine

DESCRIPTION = """Hourly facts per job: one SQL file over the days' snapshots and dim_jobs as of the events' time.

A range is computed many days at once, into files of this run: a candidate for each day, which counts for nothing
until s3_staged_events has verified it. A day that cannot be computed has `error` in its metadata, and is failed by the
publishing step; the other days go on.
"""


def job_hourly_events_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset, daily."""
    spec = dg.AssetSpec(
        JOB_HOURLY_EVENTS,
        deps=[RAW_TRACKING, DIM_JOBS],
        description=DESCRIPTION,
        metadata=metadata.definition_metadata(
            JOB_HOURLY_EVENTS,
            HOURLY_FACTS,
            metadata.facts_lineage(),
            {"raw_tracking": RAW_TRACKING, "dim_jobs": DIM_JOBS},
        ),
        group_name=FACTS_GROUP,
        code_version=CODE_VERSION,
        owners=ENGINEERS,
        kinds=kinds(settings, JOB_HOURLY_EVENTS),
        tags={"layer": "facts"},
    )

    @dg.multi_asset(
        name="job_hourly_events",
        specs=[spec],
        partitions_def=daily_partitions(settings),
        backfill_policy=backfill_policy(settings),
        pool=ENGINE_POOL,
    )
    def job_hourly_events(
        context: dg.AssetExecutionContext,
        lake: dg.ResourceParam[Opener[EventLake]],
        objects: dg.ResourceParam[Opener[ObjectStore]],
        engine: dg.ResourceParam[Opener[Engine]],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        wanted = days_of_run(context)
        PROGRESS.info(f"job_hourly_events: computing {len(wanted)} days on {settings.engine}")
        with tried_again(context, settings), platform_failures():
            computed = compute_facts(objects(), engine(), wanted, lake_name=lake().name, run_id=context.run.run_id)
            for day, facts in computed:
                if isinstance(facts, FactsManifest):
                    told = metadata.facts_metadata(facts, settings.currency)
                    PROGRESS.info(f"job_hourly_events {day}: {facts.rows:,} rows, {facts.clicks:,} clicks")
                else:
                    told = metadata.error_metadata(str(facts))
                    context.log.warning(str(facts))
                    PROGRESS.warning(str(facts))
                context.add_asset_metadata(told, partition_key=str(day))
        return dg.MaterializeResult()

    return job_hourly_events
