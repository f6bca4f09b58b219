"""What holds for every warehouse: a day is its old rows or its new ones, and the ledger says which (promise 3)."""

import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import ReconciliationError, SupersededError
from recruitment_platform.model.contract import (
    DIM_JOBS,
    HOURLY_FACTS,
)
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.protocols import DayTotals, ObjectStore, Warehouse
from recruitment_platform_tests.processes import at_once, event, in_background
from recruitment_platform_tests.resources.warehouse_days import (
    DAY,
    OPENERS,
    check_day,
    fact_rows,
    ledger_row,
    load,
    load_on_and_on,
    open_store,
    open_warehouse,
    staged,
)

NEXT_DAY = DAY + timedelta(days=1)
NOTHING = DayTotals(0, 0, 0, 0, 0, 0)


@pytest.fixture(params=sorted(OPENERS))
def kind(request: pytest.FixtureRequest) -> str:
    """The warehouse's kind; what a kind needs beside its folder is a fixture of its name."""
    if request.param != "duckdb":
        request.getfixturevalue(request.param)
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> ObjectStore:
    return open_store(kind, tmp_path)


@pytest.fixture
def warehouse(kind: str, tmp_path: Path) -> Warehouse:
    return open_warehouse(kind, tmp_path)


def test_before_the_first_load_every_day_is_empty(warehouse: Warehouse) -> None:
    assert warehouse.ledger() == warehouse.ledger([DAY]) == {}
    assert warehouse.loads(DAY) == []
    assert warehouse.totals([DAY, NEXT_DAY]) == {DAY: NOTHING, NEXT_DAY: NOTHING}
    assert warehouse.facts(DAY, NEXT_DAY).equals(arrow_schema(HOURLY_FACTS).empty_table())


@pytest.mark.parametrize("files", [1, 3])
def test_a_load_replaces_its_day_and_no_other(store: ObjectStore, warehouse: Warehouse, files: int) -> None:
    others = {DAY - timedelta(days=1): fact_rows(DAY - timedelta(days=1), 30), NEXT_DAY: fact_rows(NEXT_DAY, 20)}
    for day, rows in others.items():
        assert warehouse.load_day(*staged(store, day, 1, rows))
    for manifest, rows in ((1, fact_rows(DAY, 50)), (2, fact_rows(DAY, 70, clicks=5)), (5, fact_rows(DAY, 3))):
        row, keys = staged(store, DAY, manifest, rows, files)
        assert warehouse.load_day(row, keys)
        check_day(warehouse, row, rows)
    for day, rows in others.items():
        check_day(warehouse, ledger_row(day, 1, rows), rows)
    assert list(warehouse.ledger()) == [DAY - timedelta(days=1), DAY, NEXT_DAY]
    assert list(warehouse.ledger([NEXT_DAY, date(1999, 1, 1)])) == [NEXT_DAY]
    assert (warehouse.ledger([]), warehouse.totals([])) == ({}, {})
    assert warehouse.facts(DAY, NEXT_DAY).num_rows == 23


def test_every_load_of_a_day_is_kept_oldest_first(store: ObjectStore, warehouse: Warehouse) -> None:
    """What a load changed since the one before is told by the two rows, whoever asks and whenever."""
    warehouse.load_day(*staged(store, NEXT_DAY, 3, fact_rows(NEXT_DAY, 5)))
    made = [(1, fact_rows(DAY, 50)), (2, fact_rows(DAY, 0)), (10, fact_rows(DAY, 70, clicks=5))]
    rows = []
    for manifest, found in made:
        row, keys = staged(store, DAY, manifest, found)
        rows.append(row)
        warehouse.load_day(row, keys)
        warehouse.load_day(row, keys)
        assert warehouse.loads(DAY) == rows
    with pytest.raises(SupersededError):
        warehouse.load_day(*staged(store, DAY, 9, fact_rows(DAY, 1)))
    assert warehouse.loads(DAY) == rows
    assert warehouse.ledger([DAY]) == {DAY: rows[-1]}


def test_a_day_that_became_empty_ends_empty(store: ObjectStore, warehouse: Warehouse) -> None:
    warehouse.load_day(*staged(store, DAY, 1, fact_rows(DAY, 30)))
    row = ledger_row(DAY, 2, fact_rows(DAY, 0))
    assert warehouse.load_day(row, [])
    check_day(warehouse, row, fact_rows(DAY, 0))
    row, keys = staged(store, DAY, 3, fact_rows(DAY, 0))
    assert warehouse.load_day(row, keys)
    check_day(warehouse, row, fact_rows(DAY, 0))


def test_the_same_manifest_again_changes_nothing(store: ObjectStore, warehouse: Warehouse) -> None:
    rows = fact_rows(DAY, 30)
    row, keys = staged(store, DAY, 1, rows)
    assert warehouse.load_day(row, keys)
    assert not warehouse.load_day(replace(row, run_id="again", loaded_at=row.loaded_at + timedelta(1)), keys)
    check_day(warehouse, row, rows)


def test_a_manifest_that_was_published_anew_under_its_number_is_loaded(
    store: ObjectStore, warehouse: Warehouse
) -> None:
    """A damaged manifest that was removed leaves its number to the next one, whose content then counts."""
    warehouse.load_day(*staged(store, DAY, 1, fact_rows(DAY, 30)))
    rows = fact_rows(DAY, 31)
    row = replace(ledger_row(DAY, 1, rows), digest="anew")
    store.delete([found.key for found in store.list("")])
    _, keys = staged(store, DAY, 1, rows)
    assert warehouse.load_day(row, keys)
    check_day(warehouse, row, rows)


def test_an_older_manifest_after_a_newer_one_is_refused_and_changes_nothing(
    store: ObjectStore, warehouse: Warehouse
) -> None:
    older, newer = fact_rows(DAY, 10), fact_rows(DAY, 20)
    older_row, older_keys = staged(store, DAY, 2, older)
    row, keys = staged(store, DAY, 3, newer)
    warehouse.load_day(row, keys)
    with pytest.raises(SupersededError, match=f"{DAY}: manifest 3 is already loaded; 2 is older"):
        warehouse.load_day(older_row, older_keys)
    check_day(warehouse, row, newer)


def other_columns(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["clicks"]).append_column("click", rows["clicks"])


def other_type(rows: pa.Table) -> pa.Table:
    return rows.set_column(7, "clicks", rows["clicks"].cast(pa.float64()))


def other_scale(rows: pa.Table) -> pa.Table:
    return rows.set_column(11, "spend_hour", rows["spend_hour"].cast(pa.decimal128(20, 7)))


def other_order(rows: pa.Table) -> pa.Table:
    return rows.select(list(reversed(rows.column_names)))


def a_null(rows: pa.Table) -> pa.Table:
    nulls = pa.array([None] * rows.num_rows, pa.int32())
    return rows.cast(pa.schema([field.with_nullable(True) for field in rows.schema])).set_column(0, "job_id", nulls)


def another_day(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows, fact_rows(NEXT_DAY, 1)])


def fewer_rows(rows: pa.Table) -> pa.Table:
    return rows.slice(1)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (other_columns, "column clicks is missing; column click is not in the contract"),
        (other_type, "column clicks is double instead of int64"),
        (other_scale, r"column spend_hour is decimal128\(20, 7\) instead of decimal128\(18, 6\)"),
        (other_order, "the columns' order is latest_update_time, sources"),
        (a_null, "(NOT NULL constraint failed: redshift_fact_events.|null in column )job_id"),
        (another_day, "rows in the files 31 instead of 30"),
        (fewer_rows, "rows in the files 29 instead of 30, rows of the day 29 instead of 30, clicks 29 instead of 30"),
    ],
)
def test_files_that_are_not_what_the_manifest_says_change_nothing(
    store: ObjectStore,
    warehouse: Warehouse,
    tmp_path: Path,
    spoil: Callable[[pa.Table], pa.Table],
    told: str,
) -> None:
    rows = fact_rows(DAY, 20)
    row, keys = staged(store, DAY, 1, rows)
    warehouse.load_day(row, keys)
    pq.write_table(spoil(fact_rows(DAY, 30)), tmp_path / "spoilt.parquet")
    store.put_file(tmp_path / "spoilt.parquet", "spoilt.parquet")
    with pytest.raises(ReconciliationError, match=told) as caught:
        warehouse.load_day(ledger_row(DAY, 2, fact_rows(DAY, 30)), ["spoilt.parquet"])
    assert str(DAY) in str(caught.value)
    check_day(warehouse, row, rows)
    assert warehouse.totals([NEXT_DAY]) == {NEXT_DAY: NOTHING}


@pytest.mark.parametrize(("field", "told"), [("rows", "rows"), ("clicks", "clicks"), ("spend_micros", "micros")])
def test_a_manifest_that_counts_otherwise_changes_nothing(
    store: ObjectStore, warehouse: Warehouse, field: str, told: str
) -> None:
    row, keys = staged(store, DAY, 1, fact_rows(DAY, 20))
    wrong = replace(row, **{field: getattr(row, field) + 1})
    with pytest.raises(ReconciliationError, match=f"{told}.* instead of {getattr(wrong, field)}"):
        warehouse.load_day(wrong, keys)
    assert warehouse.ledger() == {}
    assert warehouse.totals([DAY]) == {DAY: NOTHING}


def test_a_staged_file_that_is_gone_or_damaged_is_named(store: ObjectStore, warehouse: Warehouse) -> None:
    row, [key] = staged(store, DAY, 1, fact_rows(DAY, 20))
    content = store.get(key)
    store.delete([key])
    with pytest.raises(ReconciliationError, match=f"{DAY}: the staged file {key} is gone"):
        warehouse.load_day(row, [key])
    store.put_if_absent(key, content[: len(content) // 2])
    with pytest.raises(ReconciliationError, match=f"{DAY}: the staged file {key} is no whole Parquet file") as caught:
        warehouse.load_day(row, [key])
    assert "\n" not in str(caught.value)
    assert warehouse.ledger() == {}


def write_int96(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, use_deprecated_int96_timestamps=True, version="1.0")


def write_without_zone(rows: pa.Table, path: Path) -> None:
    number = rows.column_names.index("latest_update_time")
    times = rows["latest_update_time"].cast(pa.timestamp("us"))
    pq.write_table(rows.set_column(number, "latest_update_time", times), path)


@pytest.mark.parametrize("write", [write_int96, write_without_zone])
def test_times_are_the_same_instant_however_an_engine_writes_them(
    store: ObjectStore, warehouse: Warehouse, tmp_path: Path, write: Callable[[pa.Table, Path], None]
) -> None:
    rows = fact_rows(DAY, 20)
    write(rows, tmp_path / "rows.parquet")
    store.put_file(tmp_path / "rows.parquet", "rows.parquet")
    row = ledger_row(DAY, 1, rows)
    warehouse.load_day(row, ["rows.parquet"])
    check_day(warehouse, row, rows)


# Several at once, and killed


def test_an_empty_day_loaded_by_many_at_once_is_not_doubled(store: ObjectStore, kind: str, tmp_path: Path) -> None:
    rows = fact_rows(DAY, 100)
    row, keys = staged(store, DAY, 1, rows)
    new = at_once(load, [(kind, tmp_path, row, keys)] * 3)
    assert sorted(new) == [False, False, True]
    check_day(open_warehouse(kind, tmp_path), row, rows)


def test_an_empty_day_loaded_by_threads_at_once_is_not_doubled(store: ObjectStore, kind: str, tmp_path: Path) -> None:
    rows = fact_rows(DAY, 100)
    row, keys = staged(store, DAY, 1, rows)
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(lambda _: open_warehouse(kind, tmp_path).load_day(row, keys), range(4)))
    assert sorted(new) == [False, False, False, True]
    check_day(open_warehouse(kind, tmp_path), row, rows)


def test_of_manifests_loaded_at_once_the_newest_is_in_force_whole(
    store: ObjectStore, kind: str, tmp_path: Path
) -> None:
    rows = {manifest: fact_rows(DAY, 10 * manifest, clicks=manifest) for manifest in (1, 2, 3)}
    loads = [staged(store, DAY, manifest, rows[manifest]) for manifest in (3, 1, 2)]
    results = at_once(load, [(kind, tmp_path, *given) for given in loads])
    assert results[0] is True
    assert all(result is True or isinstance(result, SupersededError) for result in results[1:])
    check_day(open_warehouse(kind, tmp_path), loads[0][0], rows[3])


def test_a_reader_sees_a_day_before_or_after_a_load_and_never_between(
    store: ObjectStore, kind: str, tmp_path: Path
) -> None:
    warehouse = open_warehouse(kind, tmp_path)
    days = [staged(store, DAY, count, fact_rows(DAY, count)) for count in (100, 250)]
    started = event()
    loader = in_background(load_on_and_on, kind, tmp_path, days, started)
    assert started.wait(60)
    seen: set[int] = set()
    until = time.monotonic() + 60
    while len(seen) < 5 and time.monotonic() < until:
        # one statement: what the ledger says, and the rows of the same moment
        [found] = warehouse.query(
            "SELECT manifest, rows_loaded AS loaded, (SELECT count(*) FROM redshift_fact_events) AS counted"
            " FROM load_ledger ORDER BY manifest DESC LIMIT 1"
        ).to_pylist()
        assert found["manifest"] >= max(seen, default=0)
        assert found["counted"] == found["loaded"] == (100, 250)[found["manifest"] % 2]
        seen.add(found["manifest"])
    loader.kill()
    loader.join(60)
    assert len(seen) >= 5


@pytest.mark.parametrize("seed", range(3))
def test_a_load_killed_at_any_moment_leaves_a_whole_day_and_can_be_run_again(
    store: ObjectStore, kind: str, tmp_path: Path, seed: int
) -> None:
    rows = [fact_rows(DAY, count, clicks=count) for count in (300, 400)]
    days = [staged(store, DAY, number + 1, rows[number]) for number in (0, 1)]
    started = event()
    loader = in_background(load_on_and_on, kind, tmp_path, days, started)
    assert started.wait(60)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    loader.kill()
    loader.join(60)
    assert loader.exitcode == -signal.SIGKILL
    warehouse = open_warehouse(kind, tmp_path)
    manifest = warehouse.ledger()[DAY].manifest
    check_day(warehouse, replace(days[manifest % 2][0], manifest=manifest), rows[manifest % 2])
    again = replace(days[(manifest + 1) % 2][0], manifest=manifest + 1)
    assert warehouse.load_day(again, days[(manifest + 1) % 2][1])
    check_day(warehouse, again, rows[(manifest + 1) % 2])


def test_every_operation_lets_go_of_the_warehouse(store: ObjectStore, kind: str, tmp_path: Path) -> None:
    """Whatever this process still holds in its hands, another one can load."""
    warehouse = open_warehouse(kind, tmp_path, wait=0)
    kept = (
        warehouse.load_day(*staged(store, DAY, 1, fact_rows(DAY, 3))),
        warehouse.query("SELECT * FROM load_ledger"),
        warehouse.facts(DAY, DAY),
        warehouse.ledger(),
        warehouse.totals([DAY]),
        warehouse.replace_dimension("dim_jobs", arrow_schema(DIM_JOBS).empty_table(), 1),
    )
    assert at_once(load, [(kind, tmp_path, *staged(store, NEXT_DAY, 1, fact_rows(NEXT_DAY, 3)), 0)]) == [True]
    assert all(kept)
