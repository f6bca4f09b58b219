"""Schemas of other systems, derived from the contract: Arrow, DuckDB.

What belongs here: one function a system that turns a contract's `Table` into that system's schema.
"""

import pyarrow as pa

from recruitment_platform.model.contract import ColumnType, Table


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
