"""What a user would write instead of the platform's part: `python -m benchmarks.peer_sides NAME ARGUMENT…`.

Each prints the seconds of the part that is compared as JSON. What belongs here: peers, written plainly and as well as
their kind goes. What does not: the import by pandas (`pandas_import`), runs of
Dagster (`dagster_sides`), the platform's own sides (`own_sides`).
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path

import duckdb

from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.model.schemas import duckdb_ddl
from recruitment_platform.settings import Settings
from recruitment_platform.transforms.engines import local_spark_session, spark_config

Told = Mapping[str, float]

KEY = ["job_id", "publisher_id", "campaign_id", "group_id", "company_id", "dates", "hours"]
MEASURES = {
    "click": "clicks",
    "conversion": "conversion",
    "qualified": "qualified_application",
    "unqualified": "disqualified_application",
}


# What the platform's Spark need not be told, as it writes no files.
WRITING = {
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
}


def sql(name: str) -> str:
    """A statement of this folder."""
    return Path(__file__).with_name(f"{name}.sql").read_text()


def facts_spark(inputs: str, out: str) -> Told:
    """PySpark as tutorials have it: the events of each kind are counted by themselves, and the counts joined."""
    config = spark_config(memory=Settings().spark.memory, scratch=Path(out).with_name("scratch"))
    session = local_spark_session(config | WRITING)
    from pyspark.sql import functions as f

    began = time.perf_counter()
    events = session.read.parquet(f"{inputs}/raw_tracking.parquet").alias("e")
    jobs = session.read.parquet(f"{inputs}/dim_jobs.parquet").alias("j")
    is_job = (
        (f.col("e.resolved_job_id") == f.col("j.job_id"))
        & (f.col("j.valid_from") <= f.col("e.event_time"))
        & (f.col("j.valid_to").isNull() | (f.col("e.event_time") < f.col("j.valid_to")))
    )
    zero = f.lit(0)
    joined = events.join(jobs, is_job, "left").select(
        f.coalesce("e.resolved_job_id", zero).alias("job_id"),
        f.coalesce("e.resolved_publisher_id", zero).alias("publisher_id"),
        f.coalesce("e.campaign_id", "j.campaign_id", zero).alias("campaign_id"),
        f.coalesce("e.group_id", "j.group_id", zero).alias("group_id"),
        f.coalesce("j.company_id", zero).alias("company_id"),
        f.col("e.event_date").alias("dates"),
        f.col("e.event_hour").alias("hours"),
        "e.kind",
        "e.bid_micros",
        "e.received_at",
    )
    counted = []
    for kind, name in MEASURES.items():
        measures = [f.count("*").alias(name), f.max("received_at").alias(f"latest_{name}")]
        if kind == "click":
            measures.append(f.sum("bid_micros").alias("micros"))
        counted.append(joined.filter(f.col("kind") == kind).groupBy(KEY).agg(*measures))
    together = reduce(lambda left, right: left.join(right, KEY, "outer"), counted)
    together = together.fillna(0, [*MEASURES.values(), "micros"])
    cents = f.expr("(2 * micros + 10000 * clicks) DIV (20000 * GREATEST(clicks, 1))")
    facts = together.select(
        *KEY,
        *MEASURES.values(),
        (f.col("micros").cast("decimal(18,0)") * f.lit("0.000001").cast("decimal(6,6)"))
        .cast("decimal(18,6)")
        .alias("spend_hour"),
        (cents.cast("decimal(16,0)") * f.lit("0.01").cast("decimal(2,2)")).cast("decimal(18,2)").alias("bid_set"),
        f.lit(None).cast("bigint").alias("impressions"),
        f.lit("Parquet").alias("sources"),
        f.greatest(*(f"latest_{name}" for name in MEASURES.values())).alias("latest_update_time"),
    )
    facts.write.option("compression", "zstd").parquet(out)
    seconds = time.perf_counter() - began
    session.stop()
    return {"seconds": seconds}


def facts_duckdb(inputs: str, out: str) -> Told:
    """DuckDB's SQL by hand."""
    began = time.perf_counter()
    Path(out).mkdir()
    files = {table: f"{inputs}/{table}.parquet" for table in ("raw_tracking", "dim_jobs")}
    _write(sql("peer_hourly_facts"), files, f"{out}/facts.parquet")
    return {"seconds": time.perf_counter() - began}


def snapshot(day: str, out: str) -> Told:
    """DuckDB over the day's files in the home's lake."""
    files = f"{Settings.from_environment().lake_path}/tracking/event_date={day}/*.parquet"
    began = time.perf_counter()
    _write(sql("peer_snapshot"), {"files": files}, out)
    return {"seconds": time.perf_counter() - began}


def load(file: str) -> Told:
    """DuckDB's insert from Parquet, into a table that is there."""
    path = Settings.from_environment().warehouse_path
    path.parent.mkdir()
    with duckdb.connect(path) as connection:
        connection.execute(duckdb_ddl(HOURLY_FACTS))
    began = time.perf_counter()
    with duckdb.connect(path) as connection:
        statement = f"INSERT INTO {HOURLY_FACTS.name} BY NAME SELECT * FROM read_parquet($file)"  # noqa: S608
        connection.execute(statement, {"file": file})
    return {"seconds": time.perf_counter() - began}


def _write(statement: str, parameters: Mapping[str, str], out: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.sql(statement, params=dict(parameters)).write_parquet(out, compression="zstd")


SIDES: Mapping[str, Callable[..., Told]] = {
    "facts-spark": facts_spark,
    "facts-duckdb": facts_duckdb,
    "snapshot": snapshot,
    "load": load,
}

if __name__ == "__main__":
    print(json.dumps(SIDES[sys.argv[1]](*sys.argv[2:])))
