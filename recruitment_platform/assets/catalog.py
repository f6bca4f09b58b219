"""Who owns the assets, how they are grouped, and which kind of store each lies in.

What belongs here: names that several assets share. What does not: an asset's own description and metadata.
"""

import dagster as dg

from recruitment_platform.settings import Settings

TRACKING = dg.AssetKey("tracking")
RAW_TRACKING = dg.AssetKey("raw_tracking")
DIM_JOBS = dg.AssetKey("dim_jobs")
JOB_HOURLY_EVENTS = dg.AssetKey("job_hourly_events")
STAGED = dg.AssetKey("s3_staged_events")
FACTS = dg.AssetKey("redshift_fact_events")
MYSQL_EVENTS = dg.AssetKey("mysql_events")

ENGINEERS = ["team:data-engineering"]
ANALYSTS = ["team:data-engineering", "team:analytics"]

LAKE_GROUP = "lake"
OPERATIONAL_GROUP = "operational"
DIMENSIONS_GROUP = "dimensions"
FACTS_GROUP = "facts"

ENGINE_POOL = "engine"
"""Of runs that compute: two Sparks at once on one machine only wait for each other's memory."""
WAREHOUSE_POOL = "warehouse"
"""Of runs that load: the embedded warehouse takes one writer at a time."""
DIMENSIONS_POOL = "dimensions"
"""Of refreshes of dim_jobs: they would only wait for each other's transaction."""
POOLS = (ENGINE_POOL, WAREHOUSE_POOL, DIMENSIONS_POOL)

_EMBEDDED_KINDS = {
    TRACKING: {"parquet"},
    RAW_TRACKING: {"duckdb", "parquet"},
    DIM_JOBS: {"sqlite", "sql"},
    JOB_HOURLY_EVENTS: {"parquet"},
    STAGED: {"parquet", "file"},
    FACTS: {"duckdb", "table"},
}
_SERVER_KINDS = {
    TRACKING: {"cassandra"},
    RAW_TRACKING: {"cassandra", "parquet"},
    DIM_JOBS: {"mysql", "sql"},
    JOB_HOURLY_EVENTS: {"parquet"},
    STAGED: {"parquet", "s3"},
    FACTS: {"redshift", "table"},
}


def kinds(settings: Settings, key: dg.AssetKey) -> set[str]:
    """What the asset is made of in this profile: Dagster shows it on the asset's card."""
    embedded = settings.profile == "local"
    found = (_EMBEDDED_KINDS if embedded else _SERVER_KINDS).get(key, {"sqlite" if embedded else "mysql", "table"})
    if key == JOB_HOURLY_EVENTS:
        return found | {settings.engine}
    if key == FACTS and not settings.has_redshift:
        return set(_EMBEDDED_KINDS[FACTS])
    return found | {"kafka"} if key == TRACKING and settings.has_kafka else set(found)


def backfill_policy(settings: Settings) -> dg.BackfillPolicy:
    """How a backfill is parted into runs: all its days in one, or at most `days_per_run` in each.

    The same for all daily assets, as Dagster parts the job's backfills by the smallest of them.
    """
    if settings.days_per_run:
        return dg.BackfillPolicy.multi_run(settings.days_per_run)
    return dg.BackfillPolicy.single_run()


def operational_key(table: str) -> dg.AssetKey:
    """The asset of an operational table."""
    return dg.AssetKey(["operational", table])
