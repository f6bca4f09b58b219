"""What holds for every engine, beside its rows: folders and files, odd paths, and errors that say what to do."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.model.contract import HOURLY_FACTS, RAW_TRACKING
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.transforms.engines import (
    TRANSFORMS,
    DuckDBEngine,
    Engine,
    SparkEngine,
    spark_config,
    write_day,
)
from recruitment_platform_tests.transforms.running import event, outcome, run

NOON = datetime(2024, 2, 28, 12, tzinfo=UTC)
TRANSFORM = "job_hourly_events"
PARAMETERS = {"sources": "Parquet"}


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "duckdb":
        return DuckDBEngine()
    spark: SparkEngine = request.getfixturevalue("spark_engine")
    return spark


def raw_tracking(path: Path, rows: int = 3, **replaced: pa.Array) -> Path:
    """A Parquet file of clicks in this many hours, some of its columns replaced."""
    table = pa.Table.from_pylist([event(NOON + timedelta(hours=n)) for n in range(rows)], arrow_schema(RAW_TRACKING))
    for name, values in replaced.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    pq.write_table(table, path)
    return path


def test_no_files_are_views_without_rows_and_no_day_is_written(engine: Engine, tmp_path: Path) -> None:
    engine.run(TRANSFORM, {"raw_tracking": [], "dim_jobs": []}, PARAMETERS, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_s_name_is_never_a_pattern_or_a_partition(engine: Engine, tmp_path: Path) -> None:
    odd = tmp_path / "a b %20 [c] {d} *?\\ é" / "dt=1999-01-01" / "kind=conversion"
    odd.mkdir(parents=True)
    (row,) = run(engine, odd, [[event(NOON)]], []).rows
    assert (row["dates"], row["clicks"]) == (NOON.date(), 1)


def test_each_day_is_one_file_sorted_by_key(engine: Engine, tmp_path: Path) -> None:
    rows = [
        event(NOON + timedelta(days=day, hours=hour), resolved_job_id=job_id)
        for day in (1, 0)
        for hour in (2, 1)
        for job_id in (7, None, 3)
    ]
    files = run(engine, tmp_path, [rows[::2], rows[1::2]], []).files
    assert {day: len(paths) for day, paths in files.items()} == {"2024-02-28": 1, "2024-02-29": 1}
    for (path,) in files.values():
        keys = [(row["hours"], row["job_id"]) for row in pq.read_table(path, partitioning=None).to_pylist()]
        assert keys == sorted(keys)
        assert len(keys) == 6
        assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_runs_side_by_side_see_their_own_views(engine: Engine, tmp_path: Path) -> None:
    def spend(number: int) -> list[int]:
        folder = tmp_path / str(number)
        folder.mkdir()
        rows = [event(NOON, bid_micros=number * 1_000_000)] * (number + 1)
        return [int(row["spend_hour"]) for row in run(engine, folder, [rows], []).rows]

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(spend, range(3))) == [[0], [2], [6]]


def test_bids_whose_sum_does_not_fit_are_an_error_never_null(engine: Engine, tmp_path: Path) -> None:
    for number, bids in enumerate(([10**18 - 1] * 2, [10**18 - 1] * 30)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InputError, match="the bids of one row's clicks sum up to more") as raised:
            run(engine, folder, [[event(NOON, bid_micros=bid) for bid in bids]], [])
        assert raised.value.__cause__ is not None


def test_a_damaged_page_is_an_error_that_says_what_to_do(engine: Engine, tmp_path: Path) -> None:
    path = raw_tracking(tmp_path / "raw.parquet", 10_000)
    metadata = pq.ParquetFile(path).metadata.row_group(0)
    (column,) = (
        metadata.column(number)
        for number in range(metadata.num_columns)
        if metadata.column(number).path_in_schema == "event_time"
    )
    content = bytearray(path.read_bytes())
    start = min(column.dictionary_page_offset or column.data_page_offset, column.data_page_offset)
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    pq.read_schema(path)  # The footer is whole.
    with pytest.raises(InputError, match="a file it reads is damaged, materialize its table again"):
        engine.run(TRANSFORM, {"raw_tracking": [path], "dim_jobs": []}, PARAMETERS, tmp_path / "out")


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("create_time,kind\n", encoding="utf-8")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def without_kind(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["kind"]), path)


def hours_as_text(path: Path) -> None:
    raw_tracking(path, event_hour=pa.array(["12", "13", "14"]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing, "cannot be read"),
        (folder, "cannot be read"),
        (text, "cannot be read"),
        (truncated, "cannot be read"),
        (without_kind, "has nothing as kind, not string; materialize raw_tracking again"),
        (hours_as_text, "has string as event_hour, not int32"),
    ],
)
def test_a_file_that_is_not_as_the_contract_says_is_refused_before_anything_runs(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    path = raw_tracking(tmp_path / "raw.parquet")
    spoil(path)
    with pytest.raises(InputError, match=message) as raised:
        DuckDBEngine().run(TRANSFORM, {"raw_tracking": [path], "dim_jobs": []}, PARAMETERS, tmp_path / "out")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_results_go_to_an_empty_folder_only(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run(DuckDBEngine(), tmp_path, [[event(NOON)]], [])
    before = outcome(tmp_path / "out-duckdb")
    with pytest.raises(FileExistsError, match="is not empty"):
        run(DuckDBEngine(), tmp_path, [[]], [])
    assert outcome(tmp_path / "out-duckdb") == before
    DuckDBEngine().run(TRANSFORM, {"raw_tracking": [], "dim_jobs": []}, PARAMETERS, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreUnavailableError, match=r"cannot write to .*out"):
        DuckDBEngine().run(TRANSFORM, {"raw_tracking": [], "dim_jobs": []}, PARAMETERS, tmp_path / "file" / "out")


def test_rows_that_cannot_be_written_are_an_error_that_names_the_folder(tmp_path: Path) -> None:
    rows = arrow_schema(HOURLY_FACTS).empty_table()
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(StoreUnavailableError, match=r"cannot write to .*out/dt=2024-02-28: .*Make room"):
        write_day(rows, TRANSFORMS[TRANSFORM], NOON.date(), tmp_path / "out")


@pytest.mark.parametrize(
    ("inputs", "parameters"),
    [({"raw_tracking": []}, PARAMETERS), ({"raw_tracking": [], "dim_jobs": []}, {}), ({"dims": []}, PARAMETERS)],
)
def test_inputs_and_parameters_are_all_or_nothing(
    tmp_path: Path, inputs: dict[str, list[Path]], parameters: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="takes the inputs"):
        DuckDBEngine().run(TRANSFORM, inputs, parameters, tmp_path / "out")


def test_spark_is_not_started_before_the_first_run_unless_it_is_begun(tmp_path: Path) -> None:
    def refuse() -> NoReturn:
        raise StoreUnavailableError("asked for")

    engine = SparkEngine(refuse)
    engine.stop()
    with pytest.raises(InputError):
        engine.run(TRANSFORM, {"raw_tracking": [tmp_path / "none"], "dim_jobs": []}, PARAMETERS, tmp_path / "out")
    with pytest.raises(StoreUnavailableError, match="asked for"):
        engine.run(TRANSFORM, {"raw_tracking": [], "dim_jobs": []}, PARAMETERS, tmp_path / "out")


def test_spark_that_is_begun_starts_once_and_a_start_that_failed_is_told_by_the_run_alone(tmp_path: Path) -> None:
    asked: list[str] = []

    def refuse() -> NoReturn:
        asked.append(threading.current_thread().name)
        raise StoreUnavailableError(f"start {len(asked)}")

    engine = SparkEngine(refuse)
    for _ in range(2):
        engine.begin()
    for number in (1, 2):
        with pytest.raises(StoreUnavailableError, match=f"start {number}"):
            engine.run(TRANSFORM, {"raw_tracking": [], "dim_jobs": []}, PARAMETERS, tmp_path / "out")
    engine.begin()
    engine.stop()
    assert [name.startswith("spark-start") for name in asked] == [True, False, True]


def test_spark_that_was_begun_for_nothing_is_stopped() -> None:
    stopped = threading.Event()
    engine = SparkEngine(lambda: cast("Any", SimpleNamespace(stop=stopped.set)))
    engine.begin()
    engine.stop()
    assert stopped.is_set()


def test_spark_s_settings_keep_everything_in_the_scratch_folder_and_make_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "a b" / "scratch"
    config = spark_config(memory="3g", cores=2, scratch=scratch)
    assert config["spark.master"] == "local[2]"
    assert config["spark.driver.memory"] == "3g"
    assert Path(config["spark.local.dir"]) == scratch
    assert Path(config["spark.sql.warehouse.dir"]).parent == scratch
    assert not scratch.parent.exists()
    assert spark_config(memory="1g", scratch=scratch)["spark.master"] == "local[*]"


def test_the_contract_s_types_reach_spark(spark_engine: SparkEngine, tmp_path: Path) -> None:
    """A snapshot with every column at its extremes reads on Spark as it was written."""
    extremes = {"resolved_job_id": 2**31 - 1, "resolved_publisher_id": -(2**31), "bid_micros": 10**18 - 1}
    (row,) = run(
        spark_engine, tmp_path, [[event(NOON, received_at=NOON.replace(microsecond=999_999), **extremes)]], []
    ).rows
    assert (row["job_id"], row["publisher_id"]) == (2**31 - 1, -(2**31))
    assert str(row["spend_hour"]) == "999999999999.999999"
    assert row["latest_update_time"] == NOON.replace(microsecond=999_999)
