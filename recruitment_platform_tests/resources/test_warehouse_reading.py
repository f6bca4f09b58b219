"""What holds for every warehouse: its dimensions, the view that analysts read, and what a query may do."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recruitment_platform.errors import InputError, ReconciliationError
from recruitment_platform.model.contract import (
    DIM_JOBS,
    DIM_PUBLISHERS,
    FACT_KEY,
    HOURLY_FACTS,
    JOB_PERFORMANCE,
    LOAD_LEDGER,
    Table,
)
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.protocols import ObjectStore, Warehouse
from recruitment_platform_tests.resources.warehouse_days import (
    DAY,
    OPENERS,
    check_day,
    fact_rows,
    open_store,
    open_warehouse,
    staged,
)


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


BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
CHANGED = datetime(2022, 8, 1, tzinfo=UTC)


def job(job_id: int, valid_from: datetime = BEGINNING, **columns: Any) -> dict[str, Any]:
    empty = {column.name: None for column in DIM_JOBS.columns}
    return empty | {"job_id": job_id, "currency": "USD", "valid_from": valid_from, "is_current": 1} | columns


def table_of(rows: list[dict[str, Any]], columns: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, columns)


JOBS = table_of(
    [
        job(
            1,
            valid_to=CHANGED,
            is_current=0,
            title="Cook",
            campaign_id=10,
            campaign_name="Old",
            company_name="Old",
            company_id=100,
            group_id=0,
            group_name="Old",
        ),
        job(1, CHANGED, title="Chef", campaign_id=11, campaign_name="Other", company_id=100, company_name="Inn"),
        job(
            2,
            CHANGED,
            city="Huế",
            campaign_id=10,
            campaign_name="Summer",
            company_id=100,
            company_name="Tavern",
            group_id=0,
            group_name="Waiters",
        ),
        job(3, valid_to=CHANGED, is_current=0, title="Gone"),
        job(4, CHANGED, campaign_id=10, company_id=100),
    ],
    arrow_schema(DIM_JOBS),
)
PUBLISHERS = table_of(
    [{"publisher_id": number, "publisher_name": f"Board {number}"} for number in (0, 1)], arrow_schema(DIM_PUBLISHERS)
)


def test_the_view_has_each_fact_row_once_with_the_newest_names(store: ObjectStore, warehouse: Warehouse) -> None:
    rows = fact_rows(DAY, 24 * 5)  # jobs 1 to 5, publishers 0 to 2, campaign 10, company 100
    warehouse.load_day(*staged(store, DAY, 1, rows))
    assert warehouse.replace_dimension("dim_jobs", JOBS, 1)
    assert warehouse.replace_dimension("dim_publishers", PUBLISHERS, 1)
    view = warehouse.query("SELECT * FROM job_performance ORDER BY dates, hours, job_id, publisher_id")
    assert tuple(view.column_names) == JOB_PERFORMANCE.column_names
    shared = [name for name in HOURLY_FACTS.column_names if name in JOB_PERFORMANCE.column_names]
    facts = rows.sort_by([(name, "ascending") for name in FACT_KEY])
    assert view.select(shared).cast(facts.select(shared).schema).equals(facts.select(shared))
    names = {
        (row["job_id"], row["job_title"], row["city"], row["campaign_name"], row["company_name"], row["group_name"])
        for row in view.to_pylist()
    }
    assert names == {
        (1, "Chef", None, "Summer", "Tavern", "Waiters"),
        (2, None, "Huế", "Summer", "Tavern", "Waiters"),
        (3, "Gone", None, "Summer", "Tavern", "Waiters"),
        (4, None, None, "Summer", "Tavern", "Waiters"),
        (5, None, None, "Summer", "Tavern", "Waiters"),
    }
    publishers = {(row["publisher_id"], row["publisher_name"]) for row in view.to_pylist()}
    assert publishers == {(0, "Board 0"), (1, "Board 1"), (2, None)}


def test_the_view_has_each_fact_row_once_even_where_a_dimension_repeats_its_key(
    store: ObjectStore, warehouse: Warehouse
) -> None:
    warehouse.load_day(*staged(store, DAY, 1, fact_rows(DAY, 48)))
    warehouse.replace_dimension("dim_jobs", pa.concat_tables([JOBS, JOBS]), 1)
    warehouse.replace_dimension("dim_publishers", pa.concat_tables([PUBLISHERS, PUBLISHERS]), 1)
    assert warehouse.query("SELECT count(*) AS n FROM job_performance").to_pylist() == [{"n": 48}]


def test_a_dimension_is_replaced_by_a_newer_version_only(store: ObjectStore, warehouse: Warehouse) -> None:
    def jobs() -> list[int]:
        return [row["job_id"] for row in warehouse.query("SELECT job_id FROM dim_jobs ORDER BY job_id").to_pylist()]

    assert warehouse.replace_dimension("dim_jobs", JOBS, 3)
    assert warehouse.replace_dimension("dim_publishers", PUBLISHERS, 1)
    assert not warehouse.replace_dimension("dim_jobs", JOBS.slice(0, 1), 3)
    assert not warehouse.replace_dimension("dim_jobs", JOBS.slice(0, 1), 2)
    assert jobs() == [1, 1, 2, 3, 4]
    assert warehouse.replace_dimension("dim_jobs", JOBS.slice(2), 4)
    assert jobs() == [2, 3, 4]
    assert warehouse.query("SELECT count(*) AS n FROM dim_publishers").to_pylist() == [{"n": 2}]
    assert warehouse.ledger() == {}


def test_a_dimension_that_is_not_as_the_contract_says_is_refused(warehouse: Warehouse) -> None:
    warehouse.replace_dimension("dim_jobs", JOBS, 1)
    with pytest.raises(ReconciliationError, match="dim_jobs version 2: column title is missing"):
        warehouse.replace_dimension("dim_jobs", JOBS.drop_columns(["title"]), 2)
    with pytest.raises(InputError, match="load_ledger is no dimension"):
        warehouse.replace_dimension("load_ledger", JOBS, 2)
    assert warehouse.query("SELECT count(*) AS n FROM dim_jobs").to_pylist() == [{"n": 5}]


def test_a_query_reads_tables_named_as_the_assets(store: ObjectStore, warehouse: Warehouse) -> None:
    row, keys = staged(store, DAY, 1, fact_rows(DAY, 30, clicks=2))
    warehouse.load_day(row, keys)
    found = warehouse.query(
        "-- what a day cost\nWITH day AS (SELECT * FROM redshift_fact_events)\n"
        "SELECT dates, sum(spend_hour)::DECIMAL(18,6) AS spend, max(latest_update_time) AS newest\n"
        "FROM day GROUP BY dates; "
    )
    newest = datetime(2022, 7, 6, 3, 4, 5, 29, tzinfo=UTC)
    assert found.to_pylist() == [{"dates": DAY, "spend": Decimal("15.000060"), "newest": newest}]
    assert found.schema.field("newest").type == pa.timestamp("us", "UTC")
    ledger = warehouse.query("SELECT * FROM load_ledger")
    assert tuple(ledger.column_names) == LOAD_LEDGER.column_names
    assert warehouse.query("SELECT * FROM load_ledger WHERE false").num_rows == 0


@pytest.mark.parametrize("table", [HOURLY_FACTS, LOAD_LEDGER, DIM_JOBS], ids=lambda table: str(table.name))
def test_a_query_gives_the_contracts_types(store: ObjectStore, warehouse: Warehouse, table: Table) -> None:
    warehouse.load_day(*staged(store, DAY, 1, fact_rows(DAY, 3)))
    warehouse.replace_dimension("dim_jobs", JOBS, 1)
    for found in (
        warehouse.query(f"SELECT * FROM {table.name}"),
        warehouse.query(f"SELECT * FROM {table.name} WHERE 1 = 0"),
    ):
        types = {field.name: field.type for field in found.schema}
        assert types == {field.name: field.type for field in arrow_schema(table)}


def test_sums_are_exact_and_typed_alike_in_every_warehouse(store: ObjectStore, warehouse: Warehouse) -> None:
    warehouse.load_day(*staged(store, DAY, 1, fact_rows(DAY, 3)))
    found = warehouse.query(
        "SELECT sum(clicks) AS clicks, sum(spend_hour) AS spend, count(*) AS n, sum(impressions) AS nothing"
        " FROM redshift_fact_events"
    )
    assert found.to_pylist() == [{"clicks": 3, "spend": Decimal("0.750003"), "n": 3, "nothing": None}]
    kinds = [pa.decimal128(38, 0), pa.decimal128(38, 6), pa.int64(), pa.decimal128(38, 0)]
    assert found.schema.types == kinds


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE load_ledger",
        "SELEC 1",
        "SELECT nothing FROM load_ledger",
        "SELECT * FROM nowhere",
        "SELECT CAST('x' AS INTEGER)",
        "DELETE FROM load_ledger",
        "WITH gone AS (DELETE FROM load_ledger RETURNING *) SELECT * FROM gone",
        "INSERT INTO load_ledger SELECT * FROM load_ledger",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE TEMPORARY TABLE mine AS SELECT 1",
        "SELECT 1 INTO mine",
        "DROP VIEW job_performance",
        "BEGIN",
        "COMMIT",
        "COMMIT; DELETE FROM load_ledger",
        "SET threads = 1",
        "SET search_path TO pg_catalog",
        "PREPARE mine AS SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "COPY load_ledger TO 'ledger.csv'",
        "COPY load_ledger FROM 's3://bucket/ledger.json' IAM_ROLE DEFAULT FORMAT AS PARQUET MANIFEST",
        "UNLOAD ('SELECT 1') TO 's3://bucket/ledger' IAM_ROLE DEFAULT",
        "LOCK TABLE load_ledger",
        "TRUNCATE load_ledger",
        "VACUUM",
        "CALL mine()",
        "SELECT * FROM statement",
        "SELECT * FROM rows",
        "SELECT st_point(1, 2)",
    ],
)
def test_a_query_can_do_nothing_but_read_the_warehouse(
    store: ObjectStore, warehouse: Warehouse, tmp_path: Path, statement: str
) -> None:
    rows = fact_rows(DAY, 3)
    row, keys = staged(store, DAY, 1, rows)
    warehouse.load_day(row, keys)
    files = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        warehouse.query(statement)
    assert "\n" not in str(caught.value)
    check_day(warehouse, row, rows)
    assert sorted(tmp_path.rglob("*")) == files
