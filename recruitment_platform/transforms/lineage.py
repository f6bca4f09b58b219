"""Column lineage, derived from the SQL itself.

What belongs here: which input columns an output column's value is made of, and which are looked at in any way. What
does not: how Dagster shows it.
"""

from collections.abc import Iterable, Mapping
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from recruitment_platform.transforms.engines import DAY_COLUMN, SPARK_DIALECT, TRANSFORMS

ColumnLineage = dict[str, tuple[tuple[str, str], ...]]
"""Output column to the (table, column) pairs its value is made of, sorted; none for a constant or a parameter."""


def transform_lineage(transform: str) -> ColumnLineage:
    """The lineage of a transform's columns, from the views it reads; without the column that partitions its files."""
    known = TRANSFORMS[transform]
    inputs = {table.name: table.column_names for table in known.inputs}
    found = column_lineage(known.sql, dialect=SPARK_DIALECT, tables=inputs)
    return {column: sources for column, sources in found.items() if column != DAY_COLUMN}


@cache
def columns_read(transform: str) -> Mapping[str, tuple[str, ...]]:
    """Which columns of each view the transform looks at, in the view's order, those that only join or filter too."""
    known = TRANSFORMS[transform]
    schema: dict[str, object] = {table.name: dict.fromkeys(table.column_names, "unknown") for table in known.inputs}
    query = qualify(_query(known.sql, SPARK_DIALECT), schema=schema, dialect=SPARK_DIALECT, quote_identifiers=False)
    read: dict[str, set[str]] = {table.name: set() for table in known.inputs}
    for scope in traverse_scope(query):
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                read[source.name].add(column.name)
    return {
        table.name: tuple(name for name in table.column_names if name in read[table.name]) for table in known.inputs
    }


def column_lineage(sql: str, *, dialect: str, tables: Mapping[str, Iterable[str]]) -> ColumnLineage:
    """The lineage of a query's columns, in their order, from `tables` (name to its columns).

    ValueError where the statement is no query.
    """
    return dict(_column_lineage(sql, dialect, tuple((name, tuple(columns)) for name, columns in tables.items())))


@cache
def _column_lineage(sql: str, dialect: str, tables: tuple[tuple[str, tuple[str, ...]], ...]) -> ColumnLineage:
    # Types play no part in lineage; sqlglot's schema asks for one all the same.
    schema = {name: dict.fromkeys(columns, "unknown") for name, columns in tables}
    nodes = lineage(
        None,
        _query(sql, dialect),
        schema,
        dialect=dialect,
        trim_selects=False,
        validate_qualify_columns=True,
    )
    return {column: _sources(node) for column, node in nodes.items()}


def _query(sql: str, dialect: str) -> exp.Query:
    statement = sqlglot.parse_one(sql, read=dialect)
    if not isinstance(statement, exp.Query):
        raise ValueError(f"not a query: {sql}")
    return statement


def _sources(node: Node) -> tuple[tuple[str, str], ...]:
    leaves = (leaf for leaf in node.walk() if isinstance(leaf.expression, exp.Table))
    return tuple(sorted({(leaf.expression.name, exp.to_column(leaf.name).name) for leaf in leaves}))
