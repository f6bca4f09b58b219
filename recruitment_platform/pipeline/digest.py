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
from recruitment_platform.sql import connect_duckdb, spilling

FACTS_LEFT_OUT = frozenset({"sources"})
"""Columns of the hourly facts that are not part of their digest: the same day read from another lake is the same."""

# Sorting spills to disk beyond this, so that a day of any size fits beside a Spark driver.
_MEGABYTES = 1000
# DuckDB's text columns hold at most 2 GiB a batch: rows of the widest table stay far below it with this many.
_BATCH_ROWS = 8192
_LENGTHS = f"string_split('{' '.join(f'{length}:' for length in range(40))}', ' ')"


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
    hashed = RunningDigest()
    if files:
        with tempfile.TemporaryDirectory(prefix="recruitment-digest-") as spill:
            try:
                with connect_duckdb(config=spilling(spill, _MEGABYTES)) as connection:
                    relation = connection.read_parquet([str(path) for path in files], hive_partitioning=False)
                    lines = relation.order(", ".join(f"{name} NULLS FIRST" for name in ordered)).project(
                        _line_sql(columns)
                    )
                    for batch in lines.to_arrow_reader(_BATCH_ROWS):
                        hashed.add(batch.column(0))
            except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
                raise StoreUnavailableError(f"{table.name}: cannot digest {files[0]}: {_first_line(error)}") from error
            except duckdb.Error as error:
                raise ReconciliationError(
                    f"{table.name}: {files[0]} is not as the contract says: {_first_line(error)}"
                ) from error
    return hashed.digest


class RunningDigest:
    """The digest of rows that come by in the table's order, as their texts (`line_sql`)."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._rows = 0

    def add(self, lines: pa.StringArray) -> None:
        """Takes the next rows' texts."""
        self._sha256.update(_text(lines))
        self._rows += len(lines)

    @property
    def digest(self) -> Digest:
        """Of the rows so far."""
        return Digest(self._sha256.hexdigest(), self._rows)


def line_sql(table: Table) -> str:
    """DuckDB's expression for a row's text, over the table's columns."""
    return _line_sql(table.columns)


def _line_sql(columns: Sequence[Column]) -> str:
    fields = ", ',', ".join(_field_sql(column) for column in columns)
    return f"concat({fields}, chr(10))"


def _field_sql(column: Column) -> str:
    match column.type.kind:
        case "int" | "bigint":
            value = f"{column.name}::BIGINT::VARCHAR"
        case "decimal":
            value = f"{column.name}::DECIMAL({column.type.precision},{column.type.scale})::VARCHAR"
        case "timestamp":
            value = f"epoch_us({column.name}::TIMESTAMPTZ)::VARCHAR"
        case "date":
            value = f"{column.name}::DATE::VARCHAR"
        case "text":
            value = f"{column.name}::VARCHAR"
    # `concat` leaves out what is null. Looking a length up is twice as fast as writing it.
    return f"coalesce({_LENGTHS}[strlen({value}) + 1], strlen({value}) || ':', '-'), {value}"


def _text(lines: pa.StringArray) -> memoryview:
    """The bytes of all lines as they lie in Arrow's data buffer: no Python object a row."""
    _, offsets, data = lines.buffers()
    positions = memoryview(offsets).cast("i")
    return memoryview(data)[positions[lines.offset] : positions[lines.offset + len(lines)]]


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
