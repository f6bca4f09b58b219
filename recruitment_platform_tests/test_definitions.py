"""The definitions load anywhere, and say of every asset what a reader of the web page needs."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from recruitment_platform.definitions import build_definitions
from recruitment_platform.model.contract import DIM_JOBS, HOURLY_FACTS, LAKE_TRACKING, RAW_TRACKING, Table
from recruitment_platform.model.operational import OPERATIONAL_TABLES
from recruitment_platform.pipeline.publish import STAGING_CHECKS, TABLE_CHECKS
from recruitment_platform.settings import Settings

TABLES = {
    "tracking": LAKE_TRACKING,
    "raw_tracking": RAW_TRACKING,
    "dim_jobs": DIM_JOBS,
    "job_hourly_events": HOURLY_FACTS,
    "s3_staged_events": HOURLY_FACTS,
    "redshift_fact_events": HOURLY_FACTS,
    "mysql_events": HOURLY_FACTS,
    **{f"operational/{name}": table.contract for name, table in OPERATIONAL_TABLES.items()},
}
DAILY = ("raw_tracking", "job_hourly_events", "s3_staged_events", "redshift_fact_events", "mysql_events")

LOAD = """
import os, socket, subprocess, sys

def refuse(*arguments, **named):
    raise AssertionError(f"reached out: {arguments}")

for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse

import dagster as dg  # which runs `file` once, to know whether Python has 64 bits

subprocess.Popen.__init__ = os.system = os.posix_spawn = refuse

from recruitment_platform import definitions

loaded = definitions.defs()
dg.Definitions.validate_loadable(loaded)
assert "pyspark" not in sys.modules or sys.modules["pyspark"].SparkContext._gateway is None
print(len(list(loaded.resolve_all_asset_specs())))
"""


def spec(definitions: dg.Definitions, asset: str) -> dg.AssetSpec:
    """The asset by its name with slashes."""
    return next(found for found in definitions.resolve_all_asset_specs() if found.key.to_user_string() == asset)


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings(home=Path("nowhere")))


@pytest.mark.parametrize("engine", ["spark", "duckdb"])
def test_definitions_load_in_a_fresh_interpreter_without_network_java_warnings_or_a_folder(
    tmp_path: Path, engine: str
) -> None:
    environment = {
        "RECRUITMENT_HOME": str(tmp_path / "home"),
        "RECRUITMENT_ENGINE": engine,
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD],
        env=environment,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert loaded.stdout == f"{len(TABLES)}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_is_not_known_fails_the_code_location_by_name(tmp_path: Path) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={"RECRUITMENT_HOME": str(tmp_path), "RECRUITMENT_ENGIN": "duckdb"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 1
    assert "SettingsError: unknown setting RECRUITMENT_ENGIN; known are" in loaded.stderr


def test_the_assets_are_those_of_the_design(definitions: dg.Definitions) -> None:
    assert {found.key.to_user_string() for found in definitions.resolve_all_asset_specs()} == set(TABLES)


@pytest.mark.parametrize(("asset", "table"), TABLES.items())
def test_every_asset_is_described_owned_grouped_and_has_its_contract_as_columns(
    definitions: dg.Definitions, asset: str, table: Table
) -> None:
    found = spec(definitions, asset)
    assert found.description
    assert found.owners
    assert found.group_name
    assert found.kinds
    schema = found.metadata["dagster/column_schema"]
    assert [(one.name, one.type, one.constraints.nullable) for one in schema.columns] == [
        (column.name, str(column.type), column.nullable) for column in table.columns
    ]
    assert all(
        one.description.startswith(column.doc) for one, column in zip(schema.columns, table.columns, strict=True)
    )


@pytest.mark.parametrize("asset", ["dim_jobs", *DAILY])
def test_every_asset_that_is_made_has_a_code_version_and_a_lineage_of_existing_columns(
    definitions: dg.Definitions, asset: str
) -> None:
    found = spec(definitions, asset)
    assert found.code_version
    lineage = found.metadata["dagster/column_lineage"].deps_by_column
    assert set(lineage) <= set(TABLES[asset].column_names)
    upstream = {dep.asset_key for dep in found.deps}
    for deps in lineage.values():
        for dep in deps:
            assert dep.asset_key in upstream
            assert dep.column_name in TABLES[dep.asset_key.to_user_string()].column_names


@pytest.mark.parametrize(
    ("asset", "column", "sources"),
    [
        ("job_hourly_events", "company_id", {"dim_jobs.company_id"}),
        ("job_hourly_events", "campaign_id", {"dim_jobs.campaign_id", "raw_tracking.campaign_id"}),
        ("job_hourly_events", "spend_hour", {"raw_tracking.bid_micros", "raw_tracking.measure"}),
        ("raw_tracking", "kind", {"tracking.custom_track"}),
        ("raw_tracking", "measure", {"tracking.custom_track"}),
        ("raw_tracking", "event_hour", {"tracking.event_time"}),
        ("dim_jobs", "city", {"operational/master_city.city_name"}),
        ("dim_jobs", "group_name", {"operational/group.name"}),
        ("redshift_fact_events", "clicks", {"s3_staged_events.clicks"}),
    ],
)
def test_column_lineage_says_where_values_come_from(
    definitions: dg.Definitions, asset: str, column: str, sources: set[str]
) -> None:
    metadata = spec(definitions, asset).metadata
    deps = metadata["dagster/column_lineage"].deps_by_column[column]
    assert {f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps} == sources
    (shown,) = (one.description for one in metadata["dagster/column_schema"].columns if one.name == column)
    assert set(re.findall(r"`(\S+)`", shown.partition(" From ")[2])) == sources


def test_the_graph_is_that_of_the_design(definitions: dg.Definitions) -> None:
    upstream = {
        name: {dep.asset_key.to_user_string() for dep in spec(definitions, name).deps} for name in ("dim_jobs", *DAILY)
    }
    assert upstream == {
        "dim_jobs": {f"operational/{name}" for name in OPERATIONAL_TABLES},
        "raw_tracking": {"tracking"},
        "job_hourly_events": {"raw_tracking", "dim_jobs"},
        "s3_staged_events": {"job_hourly_events"},
        "redshift_fact_events": {"s3_staged_events", "dim_jobs"},
        "mysql_events": {"s3_staged_events"},
    }


def test_daily_assets_share_one_partitioning_and_run_a_range_at_once(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    nodes = [graph.get(dg.AssetKey(asset)) for asset in DAILY]
    assert {node.backfill_policy for node in nodes} == {dg.BackfillPolicy.single_run()}
    (partitions,) = {node.partitions_def for node in nodes}
    assert partitions == dg.DailyPartitionsDefinition(start_date="2020-01-01", timezone="UTC", end_offset=1)
    assert graph.get(dg.AssetKey("dim_jobs")).partitions_def is None


@pytest.mark.parametrize("most", [1, 7])
def test_the_setting_parts_backfills_of_the_daily_job_into_runs_of_so_many_days(most: int) -> None:
    parted = build_definitions(Settings(home=Path("nowhere"), days_per_run=most))
    assert parted.resolve_job_def("daily_facts").backfill_policy == dg.BackfillPolicy.multi_run(most)
    whole = build_definitions(Settings(home=Path("nowhere"), days_per_run=0))
    assert whole.resolve_job_def("daily_facts").backfill_policy == dg.BackfillPolicy.single_run()


def test_the_daily_job_is_the_five_daily_assets_in_one_process(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("daily_facts")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == set(DAILY)
    assert job.executor_def.name == "in_process"
    assert definitions.resolve_job_def("refresh_dim_jobs").executor_def.name == "in_process"


def test_the_checks_are_those_of_the_publishing_step(definitions: dg.Definitions) -> None:
    keys = definitions.resolve_asset_graph().asset_check_keys
    found = {(key.asset_key.to_user_string(), key.name) for key in keys}
    assert found == {("s3_staged_events", name) for name in STAGING_CHECKS} | {
        ("redshift_fact_events", name) for name in TABLE_CHECKS
    }


def test_the_engine_shows_on_the_asset_that_it_computes(definitions: dg.Definitions) -> None:
    duckdb = build_definitions(Settings(home=Path("nowhere"), engine="duckdb"))
    assert spec(definitions, "job_hourly_events").kinds == {"spark", "parquet"}
    assert spec(duckdb, "job_hourly_events").kinds == {"duckdb", "parquet"}


@pytest.mark.parametrize(
    ("asset", "deadline"),
    [
        ("dim_jobs", "0 6 * * *"),
        ("s3_staged_events", "0 8 * * *"),
        ("redshift_fact_events", "0 8 * * *"),
        ("mysql_events", "0 8 * * *"),
        ("raw_tracking", None),
        ("job_hourly_events", None),
    ],
)
def test_what_others_read_has_a_contract_of_freshness_in_the_platforms_time_zone(
    asset: str, deadline: str | None
) -> None:
    found = spec(build_definitions(Settings(home=Path("nowhere"), time_zone="Asia/Ho_Chi_Minh")), asset)
    policy = found.freshness_policy
    assert (policy and (policy.deadline_cron, policy.timezone)) == (deadline and (deadline, "Asia/Ho_Chi_Minh"))


def test_sensors_run_unless_they_are_turned_off_as_often_as_is_set() -> None:
    settings = Settings(home=Path("nowhere"), freshness_interval=timedelta(seconds=70), late_data_interval=timedelta(0))
    found = build_definitions(settings).get_repository_def().sensor_defs
    assert {sensor.name: sensor.minimum_interval_seconds for sensor in found} == {
        "freshness_sensor": 70,
        "late_data_sensor": 1,
        "alert_on_failure": 1,
    }
    assert {sensor.default_status for sensor in found} == {dg.DefaultSensorStatus.RUNNING}
