"""A day's digest: one function over the Parquet, whatever engine wrote it (promises 2 and 5).

What belongs here: the order of the rows, and the hash over their canonical text. What does not: how that text is
written (`row_bytes`), what a digest is compared with.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.model.contract import Column, Table
from recruitment_platform.sql import shared_duckdb

FACTS_LEFT_OUT = frozenset({"sources"})
"""Columns of the hourly facts that are not part of their digest: the same day read from another lake is the same."""

_BATCH_ROWS = 20_480


@dataclass(frozen=True)
class Digest:
    """`sha256` in hex over `rows` rows."""

    sha256: str
    rows: int


def digest(files: Sequence[Path], table: Table, *, leave_out: Collection[str] = ()) -> Digest:
    """SHA-256 over the rows of the Parquet files, sorted by the table's key and then all other columns.

    A row's text is its columns in the contract's order as `LineWriter` writes them, decimals at the contract's scale.
    So it depends neither on the order of rows or columns nor on files, row groups or encodings. Without rows it is
    the SHA-256 of nothing.

    Raises ReconciliationError where the files lack a column, or hold a value that is not of the contract's type;
    StoreUnavailableError where they cannot be read, or sorting finds no room on disk.
    """
    columns = [column for column in table.columns if column.name not in leave_out]
    ordered = [*table.key, *(column.name for column in columns if column.name not in table.key)]
    hashed = RunningDigest()
    if files:
        try:
            with shared_duckdb() as connection:
                relation = connection.read_parquet([str(path) for path in files], hive_partitioning=False)
                rows = relation.order(", ".join(f"{name} NULLS FIRST" for name in ordered)).project(
                    ", ".join(f"{_typed_sql(column)} AS {column.name}" for column in columns)
                )
                for batch in rows.to_arrow_reader(_BATCH_ROWS):
                    hashed.add(batch.columns)
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise StoreUnavailableError(f"{table.name}: cannot digest {files[0]}: {_first_line(error)}") from error
        except duckdb.Error as error:
            raise ReconciliationError(
                f"{table.name}: {files[0]} is not as the contract says: {_first_line(error)}"
            ) from error
    return hashed.digest


class RunningDigest:
    """The digest of rows that come by in the table's order."""

    def __init__(self) -> None:
        # Not above: numba takes long to load.
        from recruitment_platform.pipeline.row_bytes import LineWriter

        self._sha256 = hashlib.sha256()
        self._rows = 0
        self._writer = LineWriter()

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Takes the next rows' columns, which are of the contract's types and in its order."""
        self._sha256.update(self._writer.lines(columns))
        self._rows += len(columns[0])

    @property
    def digest(self) -> Digest:
        """Of the rows so far."""
        return Digest(self._sha256.hexdigest(), self._rows)


def _typed_sql(column: Column) -> str:
    match column.type.kind:
        case "int" | "bigint":
            kind = "BIGINT"
        case "decimal":
            kind = f"DECIMAL({column.type.precision}, {column.type.scale})"
        case "timestamp":
            kind = "TIMESTAMPTZ"
        case "date":
            kind = "DATE"
        case "text":
            kind = "VARCHAR"
    return f"{column.name}::{kind}"


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
