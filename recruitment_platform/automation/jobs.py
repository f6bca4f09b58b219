"""The jobs: what is materialized together, and in which process.

What belongs here: selections of assets. What does not: when they run (`schedules`), how a run is started from the
command line (`run`). https://docs.dagster.io/guides/build/jobs/asset-jobs
"""

import dagster as dg

from recruitment_platform.assets.catalog import DIM_JOBS, FACTS, JOB_HOURLY_EVENTS, MYSQL_EVENTS, RAW_TRACKING, STAGED
from recruitment_platform.automation.executor import in_one_process

DAILY_FACTS = "daily_facts"
REFRESH_DIM_JOBS = "refresh_dim_jobs"

daily_facts = dg.define_asset_job(
    DAILY_FACTS,
    selection=dg.AssetSelection.assets(RAW_TRACKING, JOB_HOURLY_EVENTS, STAGED, FACTS, MYSQL_EVENTS),
    description=(
        "From the lake to the fact table and the reports' events, for a day or a range of days in one run. To run days "
        "again: *Partitions*, *Materialize…*, the days, *Launch backfill*; nothing changes unless events, jobs or code "
        "have. Backfill this job rather than the assets: then a range is one run, or as many as "
        "RECRUITMENT_DAYS_PER_RUN makes of it, each with one start of Spark. Refresh dim_jobs first where the "
        "operational tables have changed. By hand: `recruitment-platform backfill`."
    ),
    executor_def=in_one_process,
)

refresh_dim_jobs = dg.define_asset_job(
    REFRESH_DIM_JOBS,
    selection=dg.AssetSelection.assets(DIM_JOBS),
    description="Brings dim_jobs up to the operational tables; run before the daily job, never as a part of it.",
    executor_def=in_one_process,
)
