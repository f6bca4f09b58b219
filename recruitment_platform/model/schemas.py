"""Schemas of other systems, derived from the contract: Arrow, DuckDB, Redshift, SQLAlchemy, Spark.

What belongs here: one function a system that turns a contract's `Table` into that system's schema.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from recruitment_platform.model.contract import (
    DIM_JOBS,
    DIM_PUBLISHERS,
    DIMENSION_VERSION,
    HOURLY_FACTS,
    LOAD_LEDGER,
    ColumnType,
    Table,
)


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """The Arrow type of a contract's type: timestamps are `timestamp[us, tz=UTC]`, money `decimal128`."""
    match column_type.kind:
        case "int":
            return pa.int32()
        case "bigint":
            return pa.int64()
        case "text":
            return pa.string()
        case "date":
            return pa.date32()
        case "timestamp":
            return pa.timestamp("us", tz="UTC")
        case "decimal":
            return pa.decimal128(column_type.precision, column_type.scale)


def arrow_schema(table: Table) -> pa.Schema:
    """The table's Arrow schema, nullability included."""
    return pa.schema(
        pa.field(column.name, arrow_type(column.type), nullable=column.nullable) for column in table.columns
    )


def duckdb_type(column_type: ColumnType) -> str:
    """DuckDB's type of a contract's type."""
    match column_type.kind:
        case "int":
            return "INTEGER"
        case "text":
            return "VARCHAR"
        case "timestamp":
            return "TIMESTAMPTZ"
        case "decimal":
            return f"DECIMAL({column_type.precision},{column_type.scale})"
        case _:
            return column_type.kind.upper()


def duckdb_ddl(table: Table) -> str:
    """`CREATE TABLE IF NOT EXISTS` for DuckDB. Keys are not enforced: the load replaces whole days."""
    columns = ",\n".join(
        f"    {column.name} {duckdb_type(column.type)}{'' if column.nullable else ' NOT NULL'}"
        for column in table.columns
    )
    return f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}\n)"


_REDSHIFT_LAYOUT = {
    # Days are deleted, copied and asked for by date: sorted by it, a day is a few blocks, and the others are not read.
    # Analysts group by job: with a job's rows on one node they are summed where they lie.
    HOURLY_FACTS.name: "DISTSTYLE KEY\nDISTKEY (job_id)\nCOMPOUND SORTKEY (dates, hours)",
    # Thousands of rows: a copy on every node, so that no join with the facts moves any of them.
    DIM_JOBS.name: "DISTSTYLE ALL\nCOMPOUND SORTKEY (job_id, valid_from)",
    DIM_PUBLISHERS.name: "DISTSTYLE ALL\nCOMPOUND SORTKEY (publisher_id)",
    # One row a load, looked up by its day.
    LOAD_LEDGER.name: "DISTSTYLE ALL\nCOMPOUND SORTKEY (dates, manifest)",
    DIMENSION_VERSION.name: "DISTSTYLE ALL",
}
_LONGEST_VARCHAR = 65535
_BYTES_OF_A_CHARACTER = 4


def redshift_bytes(column_type: ColumnType) -> int:
    """How many bytes of UTF-8 a text column holds on Redshift, which counts bytes, and no more than 65535 of them."""
    return min(column_type.length * _BYTES_OF_A_CHARACTER, _LONGEST_VARCHAR)


def redshift_type(column_type: ColumnType) -> str:
    """Redshift's type of a contract's type: timestamps are without zone, UTC."""
    match column_type.kind:
        case "int":
            return "INTEGER"
        case "text":
            return f"VARCHAR({redshift_bytes(column_type)})"
        case "decimal":
            return f"DECIMAL({column_type.precision}, {column_type.scale})"
        case _:
            return column_type.kind.upper()


def redshift_ddl(table: Table) -> str:
    """`CREATE TABLE IF NOT EXISTS` for Redshift, with how its rows are distributed and sorted.

    No key is declared: Redshift enforces none, and its planner would believe one that did not hold.
    """
    columns = ",\n".join(
        f"    {column.name} {redshift_type(column.type)}{'' if column.nullable else ' NOT NULL'}"
        for column in table.columns
    )
    return f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}\n)\n{_REDSHIFT_LAYOUT[table.name]}"


class Micros(sa.types.TypeDecorator[Decimal]):
    """Money as integer millionths in the database, Decimal in Python; ValueError where six decimals do not hold it."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:
        """To micros."""
        if value is None:
            return None
        micros = int(value * 1_000_000)
        if micros != value * 1_000_000:
            raise ValueError(f"{value} has more than 6 decimals")
        return micros

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> Decimal | None:
        """From micros."""
        return None if value is None else Decimal(value).scaleb(-6)


class UtcTimestamp(sa.types.TypeDecorator[datetime]):
    """An instant with microseconds: UTC without offset in the database, timezone-aware in Python."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[datetime]:
        """MySQL's DATETIME drops the fraction unless told otherwise."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To UTC; ValueError where the value has no time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """From UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def sqlalchemy_type(column_type: ColumnType) -> sa.types.TypeEngine[Any]:
    """SQLAlchemy's type of a contract's type: money in integer micros, timestamps in UTC."""
    match column_type.kind:
        case "int":
            return sa.Integer()
        case "bigint":
            return sa.BigInteger()
        case "text":
            return sa.String(column_type.length)
        case "date":
            return sa.Date()
        case "timestamp":
            return UtcTimestamp()
        case "decimal":
            return Micros()


def sqlalchemy_table(table: Table, metadata: sa.MetaData, name: str, *more: sa.Column[Any]) -> sa.Table:
    """The table under the name it has in the database, its key enforced, with `more` columns after the contract's."""
    columns = (
        sa.Column(
            column.name,
            sqlalchemy_type(column.type),
            primary_key=column.name in table.key,
            nullable=column.nullable,
            autoincrement=False,
        )
        for column in table.columns
    )
    return sa.Table(name, metadata, *columns, *more)


def spark_type(column_type: ColumnType) -> str:
    """Spark SQL's type of a contract's type."""
    match column_type.kind:
        case "text":
            return "STRING"
        case "decimal":
            return f"DECIMAL({column_type.precision},{column_type.scale})"
        case _:
            return column_type.kind.upper()


def spark_schema(table: Table) -> str:
    """The table's schema as Spark's readers take it: `name TYPE, …`. Spark knows no nullability on reading."""
    return ", ".join(f"{column.name} {spark_type(column.type)}" for column in table.columns)
