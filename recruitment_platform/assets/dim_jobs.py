"""dim_jobs: the jobs' history, a slowly changing dimension of type 2.

What belongs here: the asset, its configuration and metadata. What does not: how history is kept
(`resources.relational.dim_jobs`).
"""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from recruitment_platform.assets import metadata
from recruitment_platform.assets.catalog import (
    DIM_JOBS,
    DIMENSIONS_GROUP,
    DIMENSIONS_POOL,
    ENGINEERS,
    kinds,
    operational_key,
)
from recruitment_platform.assets.steps import PROGRESS, platform_failures, tried_again
from recruitment_platform.errors import InputError
from recruitment_platform.model import contract
from recruitment_platform.model.operational import OPERATIONAL_TABLES
from recruitment_platform.pipeline.dimensions import refresh_dimensions
from recruitment_platform.resources.dagster_resources import Opener
from recruitment_platform.resources.protocols import ObjectStore, RelationalStore
from recruitment_platform.settings import Settings
from recruitment_platform.sql import load_sql, sql_version
from recruitment_platform.transforms.lineage import column_lineage

DESCRIPTION = """Jobs as they were at each time: slowly changing, type 2; joined by `job_id` as of the event's time.

A refresh closes the version of every job that changed and opens a new one from its instant on, so that the past does
not change under a published day; a job's first version reaches back to the beginning of time. Refreshed on its own
schedule, before the daily job, and no part of backfills. The publishers are put in force together with it.

What a refresh tells: `version` is what facts and ledger name, `opened` and `closed` are the jobs' versions that it
began and ended, `file` holds all rows.
"""


class RefreshConfig(dg.Config):
    """How dim_jobs is refreshed."""

    as_of: str | None = Field(
        default=None,
        description="Instant from which the jobs hold as they are now, ISO 8601 with an offset; now by default. The "
        "same instant again replaces that refresh, one older than the newest is refused.",
    )

    def instant(self) -> datetime:
        """The instant, UTC; InputError where it is none."""
        if self.as_of is None:
            return datetime.now(UTC)
        try:
            parsed = datetime.fromisoformat(self.as_of)
        except ValueError:
            parsed = None
        if parsed is None or parsed.tzinfo is None:
            raise InputError(f"as_of: {self.as_of!r} is no instant; write it as 2022-07-06T12:00:00+07:00")
        return parsed.astimezone(UTC)


def dim_jobs_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset, without partitions."""
    tables = {table.physical_name: name for name, table in OPERATIONAL_TABLES.items()}
    found = column_lineage(
        load_sql("transforms", "dim_jobs"),
        dialect="sqlite",
        tables={table.physical_name: table.contract.column_names for table in OPERATIONAL_TABLES.values()},
    )
    spec = dg.AssetSpec(
        DIM_JOBS,
        deps=[operational_key(name) for name in OPERATIONAL_TABLES],
        description=DESCRIPTION,
        metadata=metadata.definition_metadata(
            DIM_JOBS,
            contract.DIM_JOBS,
            metadata.dim_jobs_lineage(found),
            {physical: operational_key(name) for physical, name in tables.items()},
        ),
        group_name=DIMENSIONS_GROUP,
        code_version=sql_version("transforms", "dim_jobs"),
        owners=ENGINEERS,
        kinds=kinds(settings, DIM_JOBS),
        tags={"layer": "dimension"},
    )

    @dg.multi_asset(name="dim_jobs", specs=[spec], pool=DIMENSIONS_POOL)
    def dim_jobs(
        context: dg.AssetExecutionContext,
        config: RefreshConfig,
        relational: dg.ResourceParam[Opener[RelationalStore]],
        objects: dg.ResourceParam[Opener[ObjectStore]],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with tried_again(context, settings), platform_failures():
            refreshed = refresh_dimensions(
                relational(),
                objects(),
                as_of=config.instant(),
                currency=settings.currency,
                aliases=settings.currency_aliases,
                run_id=context.run.run_id,
            )
        PROGRESS.info(
            f"dim_jobs: version {refreshed.manifest.number}, {refreshed.refresh.opened:,} opened, "
            f"{refreshed.refresh.closed:,} closed, {refreshed.manifest.rows:,} rows"
        )
        return dg.MaterializeResult(
            metadata=metadata.dimensions_metadata(objects(), refreshed),
            data_version=dg.DataVersion(refreshed.manifest.digest),
        )

    return dim_jobs
