"""What never reaches COPY on Redshift, and what COPY is given and refuses by itself.

What breaks around it is in `test_redshift`.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.protocols import LedgerRow, ObjectStore
from recruitment_platform.resources.redshift.warehouse import RedshiftWarehouse, open_redshift
from recruitment_platform_tests.redshift_fixtures import (
    RedshiftPlace,
    at_the_same_time,
)
from recruitment_platform_tests.resources.warehouse_days import (
    DAY,
    check_day,
    fact_rows,
    ledger_row,
    staged,
    totals_of,
)

FEW, MANY = fact_rows(DAY, 20), fact_rows(DAY, 300, clicks=2)


@pytest.fixture
def store(redshift: RedshiftPlace) -> ObjectStore:
    return redshift.store()


@pytest.fixture
def warehouse(redshift: RedshiftPlace, store: ObjectStore) -> RedshiftWarehouse:
    return open_redshift(redshift.address, store)


@pytest.fixture
def loaded(warehouse: RedshiftWarehouse, store: ObjectStore) -> LedgerRow:
    """The day is there already, with few rows."""
    row, keys = staged(store, DAY, 1, FEW)
    warehouse.load_day(row, keys)
    return row


def spoilt(rows: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def swapped(rows: pa.Table) -> pa.Table:
    """Of the same type, so that COPY, which knows no names, would take each for the other."""
    names = list(HOURLY_FACTS.column_names)
    first, second = names.index("clicks"), names.index("conversion")
    names[first], names[second] = names[second], names[first]
    return rows.select(names)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda rows: rows.drop_columns(["hours"]), "column hours is missing"),
        (swapped, r"the columns' order is .*hours, conversion, clicks, .* instead of .*hours, clicks, conversion, "),
        (lambda rows: spoilt(rows, hours=rows["hours"].cast(pa.int64())), "column hours is int64 instead of int32"),
        (lambda rows: spoilt(rows, dates=rows["dates"].cast(pa.string())), r"column dates is string instead of date32"),
        (lambda rows: spoilt(rows, sources=pa.array(["é" * 33] * 30)), "a value of 66 bytes in column sources, which"),
        (lambda rows: spoilt(rows, hours=pa.nulls(30, pa.int32())), "a null in column hours"),
    ],
    ids=["missing", "swapped", "retyped", "retyped text", "over-long UTF-8", "null"],
)
def test_a_file_that_does_not_fit_the_table_never_reaches_copy(
    redshift: RedshiftPlace,
    store: ObjectStore,
    warehouse: RedshiftWarehouse,
    loaded: LedgerRow,
    tmp_path: Path,
    spoil: Callable[[pa.Table], pa.Table],
    told: str,
) -> None:
    good, rows = fact_rows(DAY, 300), fact_rows(DAY, 30).cast(nullable(arrow_schema(HOURLY_FACTS)))
    _, keys = staged(store, DAY, 2, good)
    pq.write_table(spoil(rows), tmp_path / "spoilt.parquet")
    store.put_file(tmp_path / "spoilt.parquet", f"runs/dt={DAY}/spoilt.parquet")
    before = len(redshift.gate.statements())
    with pytest.raises(ReconciliationError, match=told) as caught:
        warehouse.load_day(ledger_row(DAY, 2, good), [*keys, f"runs/dt={DAY}/spoilt.parquet"])
    message = str(caught.value)
    assert f"redshift_fact_events {DAY}: the staged file runs/dt={DAY}/spoilt.parquet" in message
    assert "\n" not in message
    assert redshift.gate.statements(before) == []
    check_day(warehouse, loaded, FEW)
    assert store.list("copies/") == []


def nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])


def test_a_text_that_just_fits_in_bytes_is_loaded(store: ObjectStore, warehouse: RedshiftWarehouse) -> None:
    rows = spoilt(FEW, sources=pa.array(["é" * 32] * 20)).cast(FEW.schema)
    row, keys = staged(store, DAY, 1, rows)
    assert warehouse.load_day(row, keys)
    check_day(warehouse, row, rows)


def test_a_file_that_is_cut_short_never_reaches_copy(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow
) -> None:
    row, [key] = staged(store, DAY, 2, MANY)
    store.put_if_absent("cut.parquet", store.get(key)[:-100])
    before = len(redshift.gate.statements())
    with pytest.raises(ReconciliationError, match=r"the staged file cut.parquet is no whole Parquet file"):
        warehouse.load_day(row, ["cut.parquet"])
    assert redshift.gate.statements(before) == []
    check_day(warehouse, loaded, FEW)


def test_a_copy_of_a_file_that_is_not_the_one_in_the_store_never_reaches_copy(
    redshift: RedshiftPlace,
    store: ObjectStore,
    warehouse: RedshiftWarehouse,
    loaded: LedgerRow,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row, [key] = staged(store, DAY, 2, MANY)
    pq.write_table(FEW, tmp_path / "stale.parquet")
    size = (tmp_path / "stale.parquet").stat().st_size
    monkeypatch.setattr(store, "local", lambda key: tmp_path / "stale.parquet")
    before = len(redshift.gate.statements())
    with pytest.raises(ReconciliationError, match=rf"{key} has \d+ bytes in the store, but {size} were read"):
        warehouse.load_day(row, [key])
    assert redshift.gate.statements(before) == []
    check_day(warehouse, loaded, FEW)


def test_a_file_that_changes_under_its_manifest_is_refused_by_copy_itself_and_named(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow
) -> None:
    row, [key] = staged(store, DAY, 2, MANY)
    content = store.get(key)
    held = redshift.gate.hold("COPY", "before")
    with at_the_same_time(warehouse.load_day, row, [key]) as result:
        assert redshift.gate.wait_until_reached(held)
        store.delete([key])
        store.put_if_absent(key, content + b"more")
        redshift.gate.release(held)
        with pytest.raises(ReconciliationError, match=r"COPY failed: .*content_length mismatch") as caught:
            result()
    # what the driver was told, and what the cluster noted of it in its own tables
    assert str(caught.value).count(store.uri(key)) == 2
    assert "\n" not in str(caught.value)
    check_day(warehouse, loaded, FEW)
    assert store.list("copies/") == []


@pytest.mark.parametrize("views", [0, 1, 2])
def test_what_the_cluster_noted_of_a_failed_copy_is_told_from_whichever_view_there_is(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, views: int
) -> None:
    row, [key] = staged(store, DAY, 2, MANY)
    held = redshift.gate.hold("COPY", "before")
    refusals = [
        redshift.gate.fail(f"SELECT.*FROM {view}", "42501", f"permission denied for relation {view}")
        for view in ("sys_load_error_detail", "stl_load_errors")[:views]
    ]
    with at_the_same_time(warehouse.load_day, row, [key]) as result:
        assert redshift.gate.wait_until_reached(held)
        store.delete([key])
        redshift.gate.release(held)
        with pytest.raises(ReconciliationError, match="The specified key does not exist") as caught:
            result()
    assert all(redshift.gate.wait_until_reached(refusal) for refusal in refusals)
    # told by the driver, and noted: the older view cuts what it notes
    assert str(caught.value).count(store.uri("job_hourly_events")) == (2 if views < 2 else 1)


def test_copy_is_given_a_manifest_of_mandatory_files_with_their_sizes_which_is_gone_afterwards(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse
) -> None:
    row, keys = staged(store, DAY, 1, MANY, files=2)
    held = redshift.gate.hold("COPY", "before")
    with at_the_same_time(warehouse.load_day, row, keys) as result:
        assert redshift.gate.wait_until_reached(held)
        [manifest] = store.list("copies/")
        entries = json.loads(store.get(manifest.key))["entries"]
        redshift.gate.release(held)
        assert result()
    assert entries == [
        {"url": store.uri(key), "mandatory": True, "meta": {"content_length": len(store.get(key))}} for key in keys
    ]
    assert store.list("copies/") == []
    assert warehouse.totals([DAY]) == {DAY: totals_of(MANY)}


def test_a_copy_that_somebody_cancels_is_told_as_that_and_changes_nothing(
    redshift: RedshiftPlace, store: ObjectStore, warehouse: RedshiftWarehouse, loaded: LedgerRow
) -> None:
    redshift.gate.fail("COPY", "57014", "Query cancelled by WLM abort action")
    with pytest.raises(StoreUnavailableError, match="COPY failed: Query cancelled by WLM abort action; nothing was"):
        warehouse.load_day(*staged(store, DAY, 2, MANY))
    check_day(warehouse, loaded, FEW)
