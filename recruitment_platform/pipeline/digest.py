"""A day's digest: one function over the Parquet, whatever engine wrote it (promises 2 and 5).

What belongs here: the canonical text of a row, and its hash. What does not: what a digest is compared with.
"""

import hashlib
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.model.contract import Column, Table
from recruitment_platform.sql import connect_duckdb

FACTS_LEFT_OUT = frozenset({"sources"})
"""Columns of the hourly facts that are not part of their digest: the same day read from another lake is the same."""

# Sorting spills to disk beyond this, so that a day of any size fits beside a Spark driver.
_MEMORY = "1GB"
# DuckDB's text columns hold at most 2 GiB a batch: rows of the widest table stay far below it with this many.
_BATCH_ROWS = 8192


@dataclass(frozen=True)
class Digest:
    """`sha256` in hex over `rows` rows."""

    sha256: str
    rows: int


def digest(files: Sequence[Path], table: Table, *, leave_out: Collection[str] = ()) -> Digest:
    """SHA-256 over the rows of the Parquet files, sorted by the table's key and then all other columns.

    A row's text is its columns in the contract's order, joined by commas and ended by a newline: `-` for null, else
    `<length in bytes>:<value>`. Values: integers in decimal, decimals at the contract's scale, timestamps as
    microseconds since 1970 UTC, dates as ISO 8601, text as it is. So it depends neither on the order of rows or columns
    nor on files, row groups or encodings. Without rows it is the SHA-256 of nothing.

    Raises ReconciliationError where the files lack a column, or hold a value that is not of the contract's type;
    StoreUnavailableError where they cannot be read, or sorting finds no room on disk.
    """
    columns = [column for column in table.columns if column.name not in leave_out]
    ordered = [*table.key, *(column.name for column in columns if column.name not in table.key)]
    line = " || ',' || ".join(_field_sql(column) for column in columns) + " || chr(10) AS line"
    sha256 = hashlib.sha256()
    rows = 0
    if files:
        with tempfile.TemporaryDirectory(prefix="recruitment-digest-") as spill:
            try:
                with connect_duckdb(config={"memory_limit": _MEMORY, "temp_directory": spill}) as connection:
                    relation = connection.read_parquet([str(path) for path in files], hive_partitioning=False)
                    lines = relation.order(", ".join(f"{name} NULLS FIRST" for name in ordered)).project(line)
                    for batch in lines.to_arrow_reader(_BATCH_ROWS):
                        sha256.update(_text(batch.column(0)))
                        rows += batch.num_rows
            except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
                raise StoreUnavailableError(f"{table.name}: cannot digest {files[0]}: {_first_line(error)}") from error
            except duckdb.Error as error:
                raise ReconciliationError(
                    f"{table.name}: {files[0]} is not as the contract says: {_first_line(error)}"
                ) from error
    return Digest(sha256.hexdigest(), rows)


def _field_sql(column: Column) -> str:
    match column.type.kind:
        case "int" | "bigint":
            value = f"{column.name}::BIGINT::VARCHAR"
        case "decimal":
            value = f"{column.name}::DECIMAL({column.type.precision},{column.type.scale})::VARCHAR"
        case "timestamp":
            value = f"epoch_us({column.name}::TIMESTAMPTZ)::VARCHAR"
        case "date":
            value = f"strftime({column.name}::DATE, '%Y-%m-%d')"
        case "text":
            value = f"{column.name}::VARCHAR"
    return f"coalesce(strlen({value})::VARCHAR || ':' || {value}, '-')"


def _text(lines: pa.StringArray) -> memoryview:
    """The bytes of all lines as they lie in Arrow's data buffer: no Python object a row."""
    _, offsets, data = lines.buffers()
    positions = memoryview(offsets).cast("i")
    return memoryview(data)[positions[lines.offset] : positions[lines.offset + len(lines)]]


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
