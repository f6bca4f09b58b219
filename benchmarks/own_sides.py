"""The platform's sides of comparisons that time a part of a process: `python -m benchmarks.own_sides NAME ARGUMENT…`.

Each prints the seconds of that part as JSON. What belongs here: calling the platform. What does not: the peers
(`peer_sides`), runs of Dagster (`dagster_sides`), and sides that are a command of the command line.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks import traffic
from recruitment_platform.pipeline.facts import TRANSFORM
from recruitment_platform.pipeline.snapshot import take_snapshots
from recruitment_platform.pipeline.totals import fact_totals
from recruitment_platform.resources.stores import open_stores
from recruitment_platform.settings import Settings
from recruitment_platform.transforms.engines import (
    DuckDBEngine,
    Engine,
    SparkEngine,
    local_spark_session,
    spark_config,
)

Told = Mapping[str, float]
"""What a side prints: `seconds`, and whatever shows where they went."""


def facts(name: str, inputs: str, out: str) -> Told:
    """The transform on an engine that is started but has run nothing."""
    engine: Engine = DuckDBEngine()
    if name == SparkEngine.name:
        config = spark_config(memory=Settings().spark.memory, scratch=Path(out).with_name("scratch"))
        session = local_spark_session(config)
        engine = SparkEngine(lambda: session)
    began = time.perf_counter()
    files = {table: [Path(inputs) / f"{table}.parquet"] for table in ("raw_tracking", "dim_jobs")}
    engine.run(TRANSFORM, files, {"sources": "Parquet"}, Path(out))
    seconds = time.perf_counter() - began
    engine.stop()
    return {"seconds": seconds}


def snapshot(day: str) -> Told:
    """The day's snapshot of the home's lake, digested, counted and in force."""
    settings = Settings.from_environment()
    stores = open_stores(settings)
    began = time.perf_counter()
    days = [date.fromisoformat(day)]
    for _, taken in take_snapshots(stores.lake, stores.objects, days, time_zone=settings.time_zone, run_id="bench"):
        if isinstance(taken, Exception):
            raise taken
    return {"seconds": time.perf_counter() - began}


def load(day: str, file: str) -> Told:
    """The load of a day into a warehouse that is there; `verification` is reading the day's totals again."""
    settings = Settings.from_environment()
    stores = open_stores(settings)
    stores.warehouse.closed_through()
    # The store takes a file over.
    stores.objects.put_file(Path(shutil.copy2(file, settings.home)), "facts.parquet")
    of = date.fromisoformat(day)
    totals = fact_totals([Path(file)], of)
    row = traffic.ledger_row(of, totals)
    began = time.perf_counter()
    stores.warehouse.load_day(row, ["facts.parquet"])
    loaded = time.perf_counter()
    stores.warehouse.totals([of])
    verification = time.perf_counter() - loaded
    return {"seconds": loaded - began - verification, "verification": verification}


SIDES: Mapping[str, Callable[..., Told]] = {
    "facts-spark": partial(facts, SparkEngine.name),
    "facts-duckdb": partial(facts, DuckDBEngine.name),
    "snapshot": snapshot,
    "load": load,
}

if __name__ == "__main__":
    print(json.dumps(dict(SIDES[sys.argv[1]](*sys.argv[2:]))))
