"""A digest is a function of the rows: of nothing else, and of all that is in them (promises 2 and 5)."""

import hashlib
import random
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.model.contract import DIM_JOBS, HOURLY_FACTS, RAW_TRACKING, Column, ColumnType, Table
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.pipeline.digest import FACTS_LEFT_OUT, Digest, digest

Row = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLES = {table.name: table for table in (HOURLY_FACTS, RAW_TRACKING, DIM_JOBS)}
# Small, so that rows often agree in their keys, and full of what separates or quotes elsewhere.
TEXTS = ["", "-", "a", "b", "1:a", "a,1:b", "a\n", "é", "職", "\U0001f600", "Z", "\\N", "null", " a "]


def values(column_type: ColumnType) -> st.SearchStrategy[Any]:
    match column_type.kind:
        case "int":
            return st.sampled_from([0, 1, -1, 10, 9, 2**31 - 1, -(2**31)])
        case "bigint":
            return st.sampled_from([0, 1, -1, 10, 9, 2**63 - 1, -(2**63)])
        case "decimal":
            units = st.sampled_from([0, 1, -1, 5, 10, -50, 10**8 + 1, 10**17])
            return units.map(lambda unit: Decimal(unit).scaleb(-column_type.scale))
        case "date":
            return st.sampled_from([date(2022, 7, 6), date(1969, 12, 31), date(2022, 10, 1)])
        case "timestamp":
            # what nanoseconds can hold as well, since Spark's INT96 is read as such
            return st.integers(-(10**6), 1_700_000_000_000_001).map(
                lambda micros: EPOCH + timedelta(microseconds=micros)
            )
        case "text":
            return st.sampled_from([text for text in TEXTS if len(text) <= column_type.length])


def cells(column: Column) -> st.SearchStrategy[Any]:
    return st.none() | values(column.type) if column.nullable else values(column.type)


@st.composite
def rows_of(draw: st.DrawFn, table: Table, max_size: int = 8) -> list[Row]:
    """Rows, some of them equal but for one column: then it is that column that puts them in order."""
    row = st.fixed_dictionaries({column.name: cells(column) for column in table.columns})
    rows = draw(st.lists(row, max_size=max_size))
    for original in list(rows):
        for column in draw(st.lists(st.sampled_from(table.columns), max_size=2)):
            rows.append(original | {column.name: draw(cells(column))})
    return rows


def write(path: Path, rows: Sequence[Row], table: Table, **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows), arrow_schema(table)), path, **options)
    return path


def text_of(value: Any, column_type: ColumnType) -> bytes:
    """The documented text of a value, written without DuckDB."""
    if value is None:
        return b"-"
    match column_type.kind:
        case "decimal":
            plain = f"{value:.{column_type.scale}f}"
        case "timestamp":
            plain = str((value - EPOCH) // timedelta(microseconds=1))
        case _:
            plain = str(value)
    return f"{len(plain.encode())}:{plain}".encode()


def expected(rows: Sequence[Row], table: Table, leave_out: Collection[str] = ()) -> Digest:
    """The digest as documented, in plain Python."""
    columns = [column for column in table.columns if column.name not in leave_out]
    names = [*table.key, *(column.name for column in columns if column.name not in table.key)]

    def rank(row: Row) -> list[tuple[bool, Any]]:
        plain = [row[name].encode() if isinstance(row[name], str) else row[name] for name in names]
        return [(value is not None, 0 if value is None else value) for value in plain]

    lines = [
        b",".join(text_of(row[column.name], column.type) for column in columns) + b"\n"
        for row in sorted(rows, key=rank)
    ]
    return Digest(hashlib.sha256(b"".join(lines)).hexdigest(), len(rows))


def as_written(rows: list[Row], table: Table, path: Path) -> None:
    write(path, rows, table)


def as_spark_of_old(rows: list[Row], table: Table, path: Path) -> None:
    write(path, rows, table, use_deprecated_int96_timestamps=True, version="1.0", compression="snappy")


def as_small_row_groups(rows: list[Row], table: Table, path: Path) -> None:
    write(path, rows, table, row_group_size=2, use_dictionary=False, data_page_version="2.0", compression="zstd")


def as_other_types(rows: list[Row], table: Table, path: Path) -> None:
    """Columns backwards, text as dictionaries, times without zone in nanoseconds, integers wide, all nullable."""
    written = pa.Table.from_pylist(rows, arrow_schema(table))
    columns = {}
    for column in reversed(table.columns):
        values = written.column(column.name)
        match column.type.kind:
            case "text":
                values = values.dictionary_encode()
            case "timestamp":
                values = values.cast(pa.timestamp("us")).cast(pa.timestamp("ns"))
            case "int":
                values = values.cast(pa.int64())
            case "decimal":
                values = values.cast(pa.decimal128(24, column.type.scale))
        columns[column.name] = values
    pq.write_table(pa.table(columns), path, store_schema=False)


def as_duckdb(rows: list[Row], table: Table, path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Kathmandu'")
        connection.register("given", pa.Table.from_pylist(rows, arrow_schema(table)))
        connection.execute(f"COPY (SELECT * FROM given) TO '{path}' (FORMAT parquet)")


WRITERS: tuple[Callable[[list[Row], Table, Path], None], ...] = (
    as_written,
    as_spark_of_old,
    as_small_row_groups,
    as_other_types,
    as_duckdb,
)
GENTLE = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("name", sorted(TABLES))
@GENTLE
@given(data=st.data())
def test_the_digest_is_the_documented_one(tmp_path: Path, name: str, data: st.DataObject) -> None:
    table = TABLES[name]
    rows = data.draw(rows_of(table))
    leave_out = FACTS_LEFT_OUT if table is HOURLY_FACTS else frozenset[str]()
    assert digest([write(tmp_path / "file", rows, table)], table, leave_out=leave_out) == expected(
        rows, table, leave_out
    )


@pytest.mark.parametrize("name", sorted(TABLES))
@GENTLE
@given(data=st.data())
def test_it_depends_neither_on_order_nor_on_files_nor_on_the_writer(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    table = TABLES[name]
    rows = data.draw(rows_of(table))
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    files = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True)):
        path = tmp_path / f"part-{number}.parquet"
        path.unlink(missing_ok=True)
        data.draw(st.sampled_from(WRITERS))(shuffled[first:last], table, path)
        files.append(path)
    assert digest(files, table) == expected(rows, table)


@pytest.mark.parametrize("name", sorted(TABLES))
@GENTLE
@given(data=st.data())
def test_another_value_anywhere_is_another_digest(tmp_path: Path, name: str, data: st.DataObject) -> None:
    table = TABLES[name]
    rows = data.draw(rows_of(table, 4).filter(bool))
    number = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(table.columns))
    value = data.draw(cells(column).filter(lambda value: value != rows[number][column.name]))
    before = digest([write(tmp_path / "before", rows, table)], table)
    after = [row | ({column.name: value} if row is rows[number] else {}) for row in rows]
    assert digest([write(tmp_path / "after", after, table)], table) != before


FACT: Row = {
    "job_id": 1,
    "publisher_id": 2,
    "campaign_id": 3,
    "group_id": 0,
    "company_id": 5,
    "dates": date(2022, 7, 6),
    "hours": 23,
    "clicks": 3,
    "conversion": 0,
    "qualified_application": 0,
    "disqualified_application": 1,
    "spend_hour": Decimal("1.500000"),
    "bid_set": Decimal("0.50"),
    "impressions": None,
    "sources": "Parquet",
    "latest_update_time": datetime(2022, 7, 7, 1, 2, 3, 4, tzinfo=UTC),
}


def test_a_digest_stays_what_it_was_in_the_version_before(tmp_path: Path) -> None:
    """Published manifests hold digests: a change of the canonical text would make every published day differ."""
    text = b"1:1,1:2,1:3,1:0,1:5,10:2022-07-06,2:23,1:3,1:0,1:0,1:1,8:1.500000,4:0.50,-,16:1657155723000004\n"
    files = [write(tmp_path / "facts.parquet", [FACT], HOURLY_FACTS)]
    found = digest(files, HOURLY_FACTS, leave_out=FACTS_LEFT_OUT)
    assert found == Digest(hashlib.sha256(text).hexdigest(), 1)


def test_the_lake_that_was_read_is_no_part_of_the_facts_digest(tmp_path: Path) -> None:
    parquet = [write(tmp_path / "parquet", [FACT], HOURLY_FACTS)]
    cassandra = [write(tmp_path / "cassandra", [FACT | {"sources": "Cassandra"}], HOURLY_FACTS)]
    assert digest(parquet, HOURLY_FACTS, leave_out=FACTS_LEFT_OUT) == digest(
        cassandra, HOURLY_FACTS, leave_out=FACTS_LEFT_OUT
    )
    assert digest(parquet, HOURLY_FACTS) != digest(cassandra, HOURLY_FACTS)


def test_no_rows_have_a_digest_however_few_files_there_are(tmp_path: Path) -> None:
    nothing = Digest(hashlib.sha256(b"").hexdigest(), 0)
    assert digest([], HOURLY_FACTS) == nothing
    assert digest([write(tmp_path / "empty", [], HOURLY_FACTS)], HOURLY_FACTS) == nothing


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "run=1" / "job_id=9" / "dates=1999-01-01"
    folder.mkdir(parents=True)
    file = write(folder / "part [1] *.parquet", [FACT], HOURLY_FACTS)
    assert digest([file], HOURLY_FACTS) == expected([FACT], HOURLY_FACTS)


def test_many_rows_in_many_batches_are_all_counted_in_one_order(tmp_path: Path) -> None:
    rows = [FACT | {"job_id": number % 500, "hours": number % 24, "clicks": number} for number in range(50_000)]
    random.Random(1).shuffle(rows)
    assert digest([write(tmp_path / "many", rows, HOURLY_FACTS)], HOURLY_FACTS) == expected(rows, HOURLY_FACTS)


def lacking_a_column(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([FACT], arrow_schema(HOURLY_FACTS)).drop_columns(["clicks"]), path)


def holding_text_for_a_number(path: Path) -> None:
    rows = pa.Table.from_pylist([FACT], arrow_schema(HOURLY_FACTS))
    pq.write_table(rows.set_column(7, "clicks", pa.array(["three"])), path)


def holding_no_parquet(path: Path) -> None:
    path.write_bytes(b"not Parquet at all, not even nearly")


def absent(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lacking_a_column, ReconciliationError, "clicks"),
        (holding_text_for_a_number, ReconciliationError, "three"),
        (holding_no_parquet, ReconciliationError, "file.parquet"),
        (absent, StoreUnavailableError, "file.parquet"),
    ],
)
def test_files_that_cannot_be_digested_are_named(
    tmp_path: Path, make: Callable[[Path], None], error: type[Exception], told: str
) -> None:
    make(tmp_path / "file.parquet")
    with pytest.raises(error, match=told) as caught:
        digest([tmp_path / "file.parquet"], HOURLY_FACTS)
    assert str(caught.value).startswith("redshift_fact_events: ")
    assert "\n" not in str(caught.value)
