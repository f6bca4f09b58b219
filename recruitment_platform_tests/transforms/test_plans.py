"""How the engines run a transform: the columns that it needs, one pass, counted before rows move, no Python a row.

The plans of the transform as it is tell that, on both engines, where a timing could not.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.model.contract import DIM_JOBS, RAW_TRACKING
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.sql import connect_duckdb
from recruitment_platform.transforms import engines
from recruitment_platform.transforms.engines import TRANSFORMS, SparkEngine, duckdb_result, spark_result
from recruitment_platform.transforms.lineage import columns_read
from recruitment_platform.transforms.transpile import for_duckdb
from recruitment_platform_tests.transforms.running import SOURCES, event, job

NOON = datetime(2024, 2, 28, 12, tzinfo=UTC)
TRANSFORM = TRANSFORMS["job_hourly_events"]
SQL = TRANSFORM.sql
NEEDED = columns_read(TRANSFORM.name)
Inputs = dict[str, list[Path]]
PlanOf = Callable[[Inputs], list[str]]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    ids = {"company_id": 1, "campaign_id": 2, "group_id": 3, "title": "Nurse"}
    versions = [job(1, until=NOON, **ids), job(1, since=NOON, **ids)]
    rows = {RAW_TRACKING: [event(NOON, resolved_job_id=number % 7) for number in range(100)], DIM_JOBS: versions}
    for table, some in rows.items():
        pq.write_table(pa.Table.from_pylist(some, arrow_schema(table)), tmp_path / f"{table.name}.parquet")
    return {table.name: [tmp_path / f"{table.name}.parquet"] for table in rows}


@pytest.fixture(params=["duckdb", "spark"])
def faults(request: pytest.FixtureRequest) -> PlanOf:
    """What is wrong with the plan of the engine."""
    if request.param == "duckdb":
        return faults_on_duckdb
    engine: SparkEngine = request.getfixturevalue("spark_engine")
    return lambda inputs: faults_on_spark(engine, inputs)


def faults_on_spark(engine: SparkEngine, inputs: Inputs) -> list[str]:
    session = engine._started().newSession()
    session.conf.set("spark.sql.maxMetadataStringLength", "10000")
    result = spark_result(session, TRANSFORM, inputs, {"sources": SOURCES})
    plan = result._jdf.queryExecution().executedPlan().toString().splitlines()
    assert any("FileScan" in step for step in plan)
    read = [re.findall(r"(\w+):", found[1]) for step in plan if (found := re.search("ReadSchema: struct<(.*)>", step))]
    # From the result down: the step that counts what it has read lies below all that moves the events' rows.
    moving = [number for number, step in enumerate(plan) if re.search(r"\bExchange\b", step)]
    counting = [number for number, step in enumerate(plan) if "partial_" in step]
    return [
        *faults_of_reading(read),
        *([] if len(counting) == 1 and moving and max(moving) < counting[0] else ["rows move before they are counted"]),
        *(f"Python: {step.strip()}" for step in plan if re.search("Python|InPandas|InArrow|EvalArrow", step)),
    ]


def faults_on_duckdb(inputs: Inputs) -> list[str]:
    with connect_duckdb() as connection:
        result = duckdb_result(connection, TRANSFORM, inputs, {"sources": SOURCES})
        steps = list(steps_of(json.loads(result.explain(format="json"))))
        functions = connection.sql("SELECT function_name FROM duckdb_functions() WHERE NOT internal").fetchall()
    told = [step["extra_info"]["Projections"] for step in steps if step["name"] == "PARQUET_SCAN"]
    # One alone is told without a list.
    read = [[columns] if isinstance(columns, str) else columns for columns in told]
    counting = sum("GROUP_BY" in step["name"] for step in steps)
    return [
        *faults_of_reading(read),
        *([] if counting == 1 else [f"rows are counted {counting} times"]),
        *(f"Python: {name}" for (name,) in functions),
        *(f"not from a file: {step['name']}" for step in steps if step["name"].endswith(("PYTHON_SCAN", "ARROW_SCAN"))),
    ]


def steps_of(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in plan:
        yield step
        yield from steps_of(step["children"])


def faults_of_reading(read: Sequence[Sequence[str]]) -> list[str]:
    """What is wrong with the columns that each scan of a file reads."""
    tables = ["dim_jobs" if "job_id" in columns else "raw_tracking" for columns in read]
    times = {table: tables.count(table) for table in NEEDED}
    return [
        *(f"{table} is read {number} times" for table, number in times.items() if number != 1),
        *(
            f"{table}.{name} is read"
            for table, columns in zip(tables, read, strict=True)
            for name in sorted(set(columns) - set(NEEDED[table]))
        ),
    ]


def test_one_pass_over_the_columns_needed_counts_before_rows_move_and_asks_no_python(
    faults: PlanOf, inputs: Inputs
) -> None:
    assert faults(inputs) == []


WORSE = {
    "another column": ("e.measure AS measure", "e.measure + LENGTH(e.time_source) AS measure"),
    "a text for each event": ("e.measure AS measure", "CASE e.kind WHEN 'click' THEN 1 ELSE 2 END AS measure"),
    "another column of the jobs": ("COALESCE(j.company_id, 0)", "COALESCE(j.company_id + LENGTH(j.title), 0)"),
    "another pass": ("FROM hourly\n", "FROM hourly WHERE clicks > (SELECT SUM(bid_micros) FROM raw_tracking)\n"),
    "a pass for each hour": ("FROM hourly\n", "FROM hourly WHERE hours IN (SELECT event_hour FROM raw_tracking)\n"),
}
"""What makes the text worse on any engine: a part of it, and what stands there instead."""


@pytest.mark.parametrize("worse", WORSE.values(), ids=WORSE)
def test_a_worse_text_is_found_out(
    faults: PlanOf, inputs: Inputs, worse: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worse[0] in SQL
    text = SQL.replace(*worse)
    monkeypatch.setattr(engines, "load_sql", lambda _, name: for_duckdb(text) if name.endswith("duckdb") else text)
    assert faults(inputs)


@pytest.mark.parametrize(
    "worse",
    [
        pytest.param(
            ("FROM raw_tracking AS e", "FROM (SELECT /*+ REPARTITION(3) */ * FROM raw_tracking) AS e"), id="moved"
        ),
        pytest.param(
            ("SUM(CASE WHEN measure = 1 THEN bid_micros ELSE 0 END)", "SUM(DISTINCT bid_micros)"), id="distinct"
        ),
        pytest.param(("CAST(:sources AS STRING)", "in_python(:sources)"), id="Python"),
        pytest.param(("e.measure AS measure", "in_python(e.measure) AS measure"), id="Python a row"),
    ],
)
def test_what_spark_would_do_worse_is_found_out(
    spark_engine: SparkEngine, inputs: Inputs, worse: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worse[0] in SQL
    monkeypatch.setattr(engines, "load_sql", lambda *_: SQL.replace(*worse))
    monkeypatch.setattr(engines, "_spark_input", with_python(engines._spark_input))
    assert faults_on_spark(spark_engine, inputs)


def with_python(read: Callable[..., Any]) -> Callable[..., Any]:
    """Reads, and tells the session of a function of Python's."""

    def reading(session: Any, *arguments: Any) -> Any:
        session.udf.register("in_python", str)
        return read(session, *arguments)

    return reading
