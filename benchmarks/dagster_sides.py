"""Sides that run Dagster in their own process: `python -m benchmarks.dagster_sides NAME ARGUMENT…`.

Those that time a part print its seconds as JSON. What belongs here: a run of the platform with an engine of its own, a
run of Dagster that does nothing. What does not: other sides (`own_sides`, `peer_sides`).
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path

import dagster as dg

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.run import QUIET, refresh_dimensions, run_days, run_partitions
from recruitment_platform.definitions import build_definitions
from recruitment_platform.resources.dagster_resources import SparkEngineResource
from recruitment_platform.settings import Settings
from recruitment_platform.transforms.engines import RESULT_SETTINGS, DuckDBEngine, Inputs

Told = Mapping[str, float]

# What decides the rows, without which the platform's other steps would refuse them.
STOCK = {
    **RESULT_SETTINGS,
    "spark.master": "local[*]",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
}


class _TimedEngine(DuckDBEngine):
    """DuckDB, and the seconds that it ran."""

    seconds = 0.0

    def run(self, transform: str, inputs: Inputs, parameters: Mapping[str, str], out: Path) -> None:
        began = time.perf_counter()
        super().run(transform, inputs, parameters, out)
        self.seconds += time.perf_counter() - began


def own_day(first: str, second: str) -> Told:
    """The second day's run, once the first has warmed everything; the steps' seconds are told by Dagster's events."""
    settings = Settings.from_environment()
    engine = _TimedEngine()
    definitions = build_definitions(settings, {"engine": lambda: engine})
    with open_instance(settings) as instance:
        for outcome in (
            refresh_dimensions(instance, settings, definitions),
            run_days(instance, settings, definitions, date.fromisoformat(first), date.fromisoformat(first)),
        ):
            if not outcome.success:
                raise RuntimeError(outcome.message)
        warm = engine.seconds
        began = time.perf_counter()
        day = date.fromisoformat(second)
        outcome = run_days(instance, settings, definitions, day, day)
        seconds = time.perf_counter() - began
        if not outcome.success:
            raise RuntimeError(outcome.message)
        steps = step_seconds(instance, outcome.run_id)
    return {"seconds": seconds, "engine": engine.seconds - warm, **steps}


def step_seconds(instance: dg.DagsterInstance, run_id: str) -> dict[str, float]:
    """How long each step of the run took, by its name."""
    return {
        f"step {step.step_key}": step.end_time - step.start_time
        for step in instance.get_run_step_stats(run_id)
        if step.start_time is not None and step.end_time is not None
    }


def run_stock(day: str) -> None:
    """The platform's own run of a day, its Spark with the settings that Spark has by itself."""
    settings = Settings.from_environment()
    definitions = build_definitions(settings, {"engine": SparkEngineResource(spark_config=STOCK)})
    of = date.fromisoformat(day)
    with open_instance(settings) as instance:
        outcome = run_partitions(instance, settings, of, of, definitions=definitions)
    if not outcome.success:
        raise RuntimeError(outcome.message)


def empty_day(first: str, second: str) -> Told:
    """A run of as many assets as the daily job has, which do nothing, once another run has warmed everything."""
    partitions = dg.DailyPartitionsDefinition("2020-01-01")
    specs = [dg.AssetSpec(name, partitions_def=partitions) for name in ("staged", "facts", "reports")]

    @dg.asset(partitions_def=partitions)
    def raw() -> None: ...

    @dg.asset(partitions_def=partitions, deps=[raw])
    def hourly() -> None: ...

    @dg.multi_asset(specs=[spec.replace_attributes(deps=["hourly"]) for spec in specs])
    def publish() -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        yield from (dg.MaterializeResult(asset_key=spec.key) for spec in specs)

    assets = [raw, hourly, publish]
    definitions = dg.Definitions(assets=assets, jobs=[dg.define_asset_job("daily", assets)])
    with open_instance(Settings.from_environment()) as instance:
        for day in (first, second):
            began = time.perf_counter()
            definitions.resolve_job_def("daily").execute_in_process(
                instance=instance, partition_key=day, run_config={"loggers": QUIET}
            )
            seconds = time.perf_counter() - began
    return {"seconds": seconds}


SIDES: Mapping[str, Callable[..., Told | None]] = {
    "own-day": own_day,
    "empty-day": empty_day,
    "run-stock": run_stock,
}

if __name__ == "__main__":
    print(json.dumps(SIDES[sys.argv[1]](*sys.argv[2:])))
