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
    ADJUSTMENT_LEDGER,
    BILLING_CLOSE,
    DIM_JOBS,
    DIM_PUBLISHERS,
    DIMENSION_VERSION,
    FACT_ADJUSTMENTS,
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
    # As the facts, beside whose rows they are summed.
    FACT_ADJUSTMENTS.name: "DISTSTYLE KEY\nDISTKEY (job_id)\nCOMPOUND SORTKEY (dates, hours)",
    ADJUSTMENT_LEDGER.name: "DISTSTYLE ALL\nCOMPOUND SORTKEY (dates, manifest, number)",
    BILLING_CLOSE.name: "DISTSTYLE ALL",
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


class Money(sa.types.TypeDecorator[Decimal]):
    """Money: DECIMAL on MySQL, elsewhere (SQLite has none) integer millionths; Decimal in Python.

    ValueError where a value has more than `scale` decimals.
    """

    impl = sa.BigInteger
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__()
        self.precision = precision
        self.scale = scale

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Exact in each database."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(sa.Numeric(self.precision, self.scale))
        return dialect.type_descriptor(sa.BigInteger())

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> Decimal | int | None:
        """As the database keeps it."""
        if value is None:
            return None
        scaled = value.scaleb(self.scale)
        if scaled != int(scaled):
            raise ValueError(f"{value} has more than {self.scale} decimals")
        return value if dialect.name == "mysql" else int(value * 1_000_000)

    def process_result_value(self, value: Decimal | int | None, dialect: sa.Dialect) -> Decimal | None:
        """From what the database keeps."""
        if value is None or isinstance(value, Decimal):
            return value
        return Decimal(value).scaleb(-6)


class UtcTimestamp(sa.types.TypeDecorator[datetime]):
    """An instant with microseconds: UTC without offset in the database, timezone-aware in Python."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[datetime]:
        """MySQL's DATETIME drops the fraction unless told otherwise."""
        if dialect.name == "mysql":
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


ON_MYSQL: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""What every `sa.Table` says to MySQL: transactions, all of Unicode, and texts that differ by case or accent differ."""


def sqlalchemy_type(column_type: ColumnType) -> sa.types.TypeEngine[Any]:
    """SQLAlchemy's type of a contract's type: money is exact, timestamps are in UTC."""
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
            return Money(column_type.precision, column_type.scale)


def sqlalchemy_table(table: Table, metadata: sa.MetaData, name: str, *more: sa.Column[Any]) -> sa.Table:
    """The table under the name it has in the database, its key enforced, with `more` columns after the contract's."""
    columns = (
        sa.Column(column.name, sqlalchemy_type(column.type), nullable=column.nullable, autoincrement=False)
        for column in table.columns
    )
    # In the key's own order: rows lie by it where the database orders them by their key.
    return sa.Table(name, metadata, *columns, *more, sa.PrimaryKeyConstraint(*table.key), **ON_MYSQL)


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
