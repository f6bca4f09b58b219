"""Spark on other machines: the same facts as here, no secret left behind, and one clear line for what goes wrong."""

import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from recruitment_platform.addresses import S3Address, SparkAddress
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.model.contract import DIM_JOBS, HOURLY_FACTS, RAW_TRACKING
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.pipeline.digest import FACTS_LEFT_OUT, digest
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.objects.s3 import open_s3
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.servers.server import Server
from recruitment_platform.transforms.engines import DuckDBEngine
from recruitment_platform.transforms.remote_spark import RemoteSparkEngine, cluster_config
from recruitment_platform.transforms.spark_errors import place_of
from recruitment_platform.transforms.spark_sources import ObjectFiles
from recruitment_platform_tests.cli.command_line import free_port
from recruitment_platform_tests.processes import at_once
from recruitment_platform_tests.spark_servers import EXECUTOR_MEMORY, Cluster
from recruitment_platform_tests.transforms import remote_spark_process as process
from recruitment_platform_tests.transforms.running import CONTRACT_TYPES, event, job, outcome

NOON = datetime(2024, 2, 28, 12, tzinfo=UTC)
SECRET = "d7c1e0b2"
TOO_MUCH = "InputError: job_hourly_events: the bids of one row's clicks sum up to more"
KEYS: process.Keys = {"raw_tracking": ["raw/1.parquet", "raw/2.parquet"], "dim_jobs": ["dim.parquet"]}
EVENTS = [
    event(NOON + timedelta(hours=n % 60), kind, bid_micros=n * 1_111_111, resolved_job_id=n % 5, received_at=NOON)
    for n, kind in enumerate(("click", "conversion", "click", "not_countable", "qualified") * 80)
]
MUCH = [event(NOON, bid_micros=10**18 - 1, resolved_job_id=1)] * 2
JOBS = [
    job(1, company_id=10, campaign_id=100, until=NOON + timedelta(hours=3)),
    job(1, company_id=11, since=NOON + timedelta(hours=3)),
    job(2, company_id=20, group_id=2),
]


def put(store: ObjectStore, key: str, table: pa.Table, folder: Path) -> None:
    path = folder / "object.parquet"
    pq.write_table(table, path, row_group_size=90)
    store.put_file(path, key)


def fill(store: ObjectStore, folder: Path) -> None:
    """The objects of `KEYS`, in several row groups."""
    for number, rows in enumerate((EVENTS[::2], EVENTS[1::2]), start=1):
        put(store, f"raw/{number}.parquet", pa.Table.from_pylist(rows, arrow_schema(RAW_TRACKING)), folder)
    put(store, "dim.parquet", pa.Table.from_pylist(JOBS, arrow_schema(DIM_JOBS)), folder)


def facts(folder: Path) -> tuple[Mapping[str, str], list[tuple[str, pa.DataType]]]:
    """Digest of each day, and the types."""
    found = outcome(folder)
    assert all(len(files) == 1 for files in found.files.values())
    hashed = {day: digest(files, HOURLY_FACTS, leave_out=FACTS_LEFT_OUT).sha256 for day, files in found.files.items()}
    for files in found.files.values():
        rows = pq.read_table(files[0], partitioning=None).select(HOURLY_FACTS.key).to_pylist()
        keys = [tuple(row.values()) for row in rows]
        assert keys == sorted(keys)
        assert pq.ParquetFile(files[0]).metadata.row_group(0).column(0).compression == "ZSTD"
    return hashed, found.types


@pytest.fixture
def expected(tmp_path: Path) -> tuple[Mapping[str, str], list[tuple[str, pa.DataType]]]:
    """What DuckDB makes of the same."""
    store = FolderStore(tmp_path / "expected")
    fill(store, tmp_path)
    assert process.compute(DuckDBEngine(), store, KEYS, tmp_path / "by-duckdb") is None
    return facts(tmp_path / "by-duckdb")


@pytest.fixture
def s3_address(s3_server: Server, bucket: str) -> S3Address:
    return S3Address(
        endpoint=f"http://{s3_server.host}:{s3_server.port}",
        bucket=bucket,
        prefix="platform/",
        access_key=s3_server.user,
        secret_key=SecretStr(s3_server.password),
    )


def test_a_cluster_gives_the_same_facts_from_a_bucket_and_survives_a_worker_s_death(
    spark_cluster: Cluster, s3_address: S3Address, tmp_path: Path, expected: object
) -> None:
    store = open_s3(s3_address, tmp_path / "copies")
    fill(store, tmp_path)
    put(store, "much.parquet", pa.Table.from_pylist(MUCH, arrow_schema(RAW_TRACKING)), tmp_path)
    put(store, "less.parquet", pa.Table.from_pylist(MUCH, arrow_schema(RAW_TRACKING)).drop(["kind"]), tmp_path)
    _put_damaged(store, tmp_path)
    spoilt = {name: {"raw_tracking": [f"{name}.parquet"], "dim_jobs": []} for name in ("much", "less", "damaged")}
    address = SparkAddress(master=spark_cluster.url, memory="600m", executor_memory=EXECUTOR_MEMORY)
    doomed = spark_cluster.workers[0]
    assert doomed.process is not None
    arguments = (address, s3_address, KEYS, spoilt, doomed.process.pid, tmp_path)
    (found,) = at_once(process.on_cluster, [arguments])
    doomed.restart()
    if isinstance(found, Exception):
        raise found
    assert found["facts"] is None
    assert facts(tmp_path / "facts") == expected
    assert expected[1] == CONTRACT_TYPES
    assert found["much"].startswith(TOO_MUCH)
    assert "less.parquet has nothing as kind, not string; materialize raw_tracking again" in found["less"]
    there = f"job_hourly_events, on an executor of {place_of(address)}: "
    assert found["damaged"].startswith(f"InputError: {there}a file it reads is damaged, materialize its table again")
    assert "no such object" in found["gone"]
    assert found["keyless"].startswith(f"StoreUnavailableError: {there}s3://{s3_address.bucket}/platform/")
    assert "AWS Error" in found["keyless"]
    assert not any("\n" in text for text in found.values() if isinstance(text, str))
    # Both pieces, each once, both from the worker that is left.
    assert found["lost"] == [(0, "spark-worker-1"), (1, "spark-worker-1")]
    logs = spark_cluster.logs()
    assert "Executor: Running task" in logs, "the executors' logs are looked through too"
    for text in (logs, *map(str, found.values())):
        assert s3_address.secret_key.get_secret_value() not in text


def test_a_cluster_without_room_is_waited_for_as_long_as_is_said(spark_cluster: Cluster, tmp_path: Path) -> None:
    address = SparkAddress(master=spark_cluster.url, memory="600m", executor_memory="8g", wait=2)
    (found,) = at_once(process.without_room, [(address, tmp_path)])
    assert found == (
        f"StoreUnavailableError: pieces: no executor of Spark at {spark_cluster.url} has worked for 2 s: the cluster "
        "has no room for one of RECRUITMENT_SPARK_EXECUTOR_MEMORY=8g, or it cannot reach this machine. "
        "RECRUITMENT_SPARK_WAIT sets how long to wait"
    )


def test_spark_connect_gives_the_same_facts_whatever_its_own_settings_are(
    spark_connect: Server, tmp_path: Path, expected: object
) -> None:
    store = FolderStore(tmp_path / "objects")
    fill(store, tmp_path)
    put(store, "much.parquet", pa.Table.from_pylist(MUCH, arrow_schema(RAW_TRACKING)), tmp_path)
    address = SparkAddress(remote=f"sc://{spark_connect.host}:{spark_connect.port}/;user_id=tester")
    assert spark_connect.process is not None
    arguments = (address, KEYS, tmp_path / "objects", spark_connect.process.pid, tmp_path)
    (found,) = at_once(process.behind_connect, [arguments])
    spark_connect.restart()
    if isinstance(found, Exception):
        raise found
    assert found["facts"] is None
    assert facts(tmp_path / "facts") == expected
    assert found["much"].startswith(TOO_MUCH), "the server's own settings would make null of it"
    assert found["empty"] is None
    assert list((tmp_path / "empty").iterdir()) == []
    place = f"Spark Connect at {spark_connect.host}:{spark_connect.port}"
    assert found["refused"].startswith(f"SettingsError: {place} does not let a session set spark.driver.memory=1g")
    assert found["version"].startswith(f"SettingsError: {place} is Spark 4.2.1, and this platform's is 9.8.7")
    assert found["killed"].startswith(f"StoreUnavailableError: job_hourly_events: {place} could not go on: ")
    assert not any("\n" in text for text in found.values() if text)


@pytest.mark.parametrize("form", ["spark://127.0.0.1:{}", "sc://127.0.0.1:{}/;use_ssl=true;token=" + SECRET])
def test_where_nobody_listens_is_told_at_once_and_without_the_token(form: str, tmp_path: Path) -> None:
    port = free_port()
    url = form.format(port)
    address = SparkAddress(remote=url) if url.startswith("sc:") else SparkAddress(master=url)
    engine = RemoteSparkEngine(lambda: pytest.fail("Spark was started"), address, ObjectFiles(None))
    with pytest.raises(StoreUnavailableError) as raised:
        engine.run(process.TRANSFORM, {"raw_tracking": [], "dim_jobs": []}, process.PARAMETERS, tmp_path / "out")
    assert str(raised.value) == f"{place_of(address)} cannot be reached: Connection refused"
    assert str(port) in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_cluster_s_settings_leave_the_network_to_it_and_the_results_as_they_are(tmp_path: Path) -> None:
    config = cluster_config(SparkAddress(master="yarn", memory="3g", executor_memory="5g"), tmp_path)
    assert (config["spark.master"], config["spark.driver.memory"], config["spark.executor.memory"]) == (
        "yarn",
        "3g",
        "5g",
    )
    assert config["spark.sql.ansi.enabled"] == "true"
    assert config["spark.sql.session.timeZone"] == "UTC"
    assert not any("127.0.0.1" in value or value.startswith("file:") for value in config.values())


def _put_damaged(store: ObjectStore, folder: Path) -> None:
    """A file whose footer is whole."""
    path = folder / "damaged.parquet"
    rows = [event(NOON, resolved_job_id=number) for number in range(1000)]
    pq.write_table(pa.Table.from_pylist(rows, arrow_schema(RAW_TRACKING)), path)
    metadata = pq.ParquetFile(path).metadata.row_group(0)
    column = next(c for c in map(metadata.column, range(metadata.num_columns)) if c.path_in_schema == "event_time")
    content = bytearray(path.read_bytes())
    start = min(column.dictionary_page_offset or column.data_page_offset, column.data_page_offset)
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    store.put_file(path, "damaged.parquet")
