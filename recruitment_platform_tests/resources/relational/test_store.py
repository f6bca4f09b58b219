"""The operational tables are kept by id, once, whoever writes them; a conformance suite for every relational store.

The dimension has a suite of its own, `test_dim_jobs`.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recruitment_platform.errors import InputError
from recruitment_platform.model.contract import DIM_PUBLISHERS
from recruitment_platform.model.operational import GENERIC_TABLES, OPERATIONAL_TABLES
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.relational.store import SqlRelationalStore
from recruitment_platform_tests.resources.relational_stores import OPENERS, chosen, empty, table_rows


@pytest.fixture(params=sorted(OPENERS))
def store_name(request: pytest.FixtureRequest) -> str:
    return chosen(request)


@pytest.fixture
def store(store_name: str, tmp_path: Path) -> SqlRelationalStore:
    store = OPENERS[store_name](tmp_path)
    empty(store)
    return store


SAMPLES: Mapping[str, Any] = {
    "int": -(2**31),
    "text": 'Đà Nẵng 🍜 it\'s "50 %" :x ?; \\',
    "decimal": Decimal("999999999999.999999"),
    "timestamp": datetime(2022, 7, 27, 23, 59, 59, 999999, tzinfo=UTC),
}


@pytest.mark.parametrize("table", OPERATIONAL_TABLES)
def test_every_column_of_every_table_comes_back_as_it_was_given(store: SqlRelationalStore, table: str) -> None:
    operational = OPERATIONAL_TABLES[table]
    full = {column.name: SAMPLES[column.type.kind] for column in operational.contract.columns} | {"id": 7}
    nulls = dict.fromkeys(operational.contract.column_names) | {"id": 8}
    assert store.upsert(table, [full, nulls]) == 2
    assert table_rows(store, operational.physical_name) == [full, nulls]
    assert store.upsert(table, [full, nulls]) == 0


def test_rows_of_an_earlier_session_are_there(store: SqlRelationalStore, store_name: str, tmp_path: Path) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    store.store_generic("search", ['{"q": "cook"}'])
    again = OPENERS[store_name](tmp_path)
    assert again.counts() == {"job": 1, "search": 1}
    assert again.upsert("job", [{"id": 1, "title": "Cook"}]) == 0


@pytest.mark.parametrize(
    ("rows", "changed", "titles"),
    [
        ([], 0, {1: "Cook", 2: "Waiter"}),
        ([{"id": 1, "title": "Cook"}], 0, {1: "Cook", 2: "Waiter"}),
        ([{"id": 1, "title": "Chef"}], 1, {1: "Chef", 2: "Waiter"}),
        ([{"id": 1, "title": "cook"}], 1, {1: "cook", 2: "Waiter"}),
        ([{"id": 1, "title": "Cook "}], 1, {1: "Cook ", 2: "Waiter"}),
        ([{"id": 3, "title": "Baker"}, {"id": 2, "title": "Waiter"}], 1, {1: "Cook", 2: "Waiter", 3: "Baker"}),
        ([{"id": 1}], 1, {1: None, 2: "Waiter"}),
        ([{"id": 1, "title": "Chef"}, {"id": 1, "title": "Cook"}], 0, {1: "Cook", 2: "Waiter"}),
        ([{"id": 1, "title": "Cook", "group_id": 0}], 1, {1: "Cook", 2: "Waiter"}),
    ],
    ids=["none", "known", "changed", "case", "space", "new", "null", "same id twice", "null to 0"],
)
def test_an_upsert_counts_the_rows_that_are_new_or_changed(
    store: SqlRelationalStore, rows: list[dict[str, Any]], changed: int, titles: dict[int, str | None]
) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}, {"id": 2, "title": "Waiter"}])
    assert store.upsert("job", rows) == changed
    assert {row["id"]: row["title"] for row in table_rows(store, "job")} == titles


def test_an_upsert_takes_thousands_of_rows(store: SqlRelationalStore) -> None:
    rows = [{"id": number, "title": f"Job {number}"} for number in range(1, 3002)]
    assert store.upsert("job", rows) == 3001
    rows[1700]["title"] = "Chef"
    assert store.upsert("job", rows) == 1
    assert store.counts() == {"job": 3001}


NASTY = (
    'a "quoted" text',
    '"',
    '",',
    '"",""\n"',
    "NULL",
    "\\N",
    "a\\",
    "",
    " ",
    "tab\tand\r\nlines\n",
    "nul\0byte",
    "🍜",
    None,
)


def test_thousands_of_rows_come_back_as_they_were_given_whatever_is_in_them(store: SqlRelationalStore) -> None:
    given = [
        {
            "id": number,
            "title": NASTY[number % len(NASTY)],
            "budget": None if number % 3 else Decimal(number).scaleb(-6),
            "created_date": None if number % 5 else datetime(1000, 1, 1, microsecond=abs(number), tzinfo=UTC),
            "company_id": number if number % 2 else None,
        }
        for number in range(-1500, 1500)
    ]
    assert store.upsert("job", given) == 3000
    found = table_rows(store, "job")
    assert [{name: row[name] for name in given[0]} for row in found] == given
    assert store.upsert("job", given) == 0
    texts = [f'{{"text": "{text}", "n": {number}}}' for number in range(200) for text in NASTY]
    assert store.store_generic("search", texts) == len(texts)
    assert {row["content"] for row in table_rows(store, "generic_row")} == set(texts)


def test_an_upsert_is_whole_or_nothing(store: SqlRelationalStore) -> None:
    with pytest.raises(Exception, match="more than 6 decimals"):
        store.upsert("job", [{"id": 1}, {"id": 2, "budget": Decimal("0.0000001")}])
    assert store.counts() == {}


def test_times_are_kept_in_utc(store: SqlRelationalStore) -> None:
    hanoi = datetime(2024, 3, 1, 7, tzinfo=timezone(timedelta(hours=7)))
    store.upsert("company", [{"id": 1, "created_date": hanoi}])
    (row,) = table_rows(store, "company")
    assert (row["created_date"], row["created_date"].tzinfo) == (hanoi, UTC)
    assert store.upsert("company", [{"id": 1, "created_date": hanoi.astimezone(UTC)}]) == 0


@pytest.mark.parametrize(
    ("table", "rows", "message"),
    [
        ("jobs", [{"id": 1}], "jobs is not an operational table; known are job, campaign"),
        ("search", [{"id": 1}], "search is not an operational table"),
        ("job_group", [{"id": 1}], "job_group is not an operational table"),
        ("job", [{"id": 1}, {"id": 2, "titel": "Cook"}], "table job has no column titel"),
        ("job", [{"id": 1}, {"title": "Cook"}], "a row of table job has no id"),
        ("job", [{"id": 1}, {"id": None}], "a row of table job has no id"),
    ],
)
def test_what_does_not_fit_a_contract_is_refused(
    store: SqlRelationalStore, table: str, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        store.upsert(table, rows)
    assert store.counts() == {}


@pytest.mark.parametrize("table", GENERIC_TABLES)
def test_generic_rows_are_kept_once_each(store: SqlRelationalStore, table: str) -> None:
    rows = ['{"id": 1, "name": "Nguyễn"}', '{"id": 2}', '{"id": 2}', "{}"]
    assert store.store_generic(table, rows) == 3
    assert store.store_generic(table, [*rows, '{"id": 3}']) == 1
    assert store.counts() == {table: 4}
    assert {row["content"] for row in table_rows(store, "generic_row")} == {*rows, '{"id": 3}'}


def test_the_same_text_in_two_generic_tables_is_two_rows(store: SqlRelationalStore) -> None:
    assert [store.store_generic(table, ["{}"]) for table in ("events", "search")] == [1, 1]
    assert store.counts() == {"events": 1, "search": 1}


def test_a_large_generic_row_is_kept_whole(store: SqlRelationalStore) -> None:
    content = '{"text": "' + "é" * 100_000 + '"}'
    assert store.store_generic("conversation", [content]) == 1
    assert table_rows(store, "generic_row")[0]["content"] == content


@pytest.mark.parametrize("table", ["job", "tracking", "dev_users"])
def test_only_tables_without_contract_are_kept_generically(store: SqlRelationalStore, table: str) -> None:
    with pytest.raises(InputError, match=f"{table} is not a table that is kept as it comes"):
        store.store_generic(table, ["{}"])


def test_publishers_are_a_dimension_by_id(store: SqlRelationalStore) -> None:
    assert store.dim_publishers().schema == arrow_schema(DIM_PUBLISHERS)
    store.upsert("master_publisher", [{"id": 12, "publisher_name": "Board", "publisher_type": 1}, {"id": 3}])
    table = store.dim_publishers()
    assert table.schema == arrow_schema(DIM_PUBLISHERS)
    assert [tuple(row.values()) for row in table.to_pylist()] == [(3, None, None, None), (12, "Board", 1, None)]


def test_of_writers_at_once_each_row_is_new_for_one(store: SqlRelationalStore) -> None:
    jobs = [{"id": number, "title": f"Job {number}"} for number in range(1, 801)]
    texts = [f'{{"id": {number}}}' for number in range(800)]

    def write(writer: int) -> int:
        return store.upsert("job", jobs) if writer % 2 else store.store_generic("events", texts)

    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(write, range(8)))
    assert sorted(counted) == [0] * 6 + [800] * 2
    assert store.counts() == {"job": 800, "events": 800}
