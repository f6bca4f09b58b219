"""Column lineage: which input columns an output column's value is made of.

What belongs here: the lineage of a statement, recorded or derived. What does not: deriving it (`sql_lineage`), which
takes sqlglot most of a second, and how Dagster shows it. So that not every process waits for that, the lineage of the
statements that the definitions ask for is recorded in `lineage.json`; of a statement that has changed since, it is
derived. `python -m recruitment_platform_tests.lineage` records anew.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from recruitment_platform.transforms.engines import DAY_COLUMN, SPARK_DIALECT, TRANSFORMS

ColumnLineage = dict[str, tuple[tuple[str, str], ...]]
"""Output column to the (table, column) pairs its value is made of, sorted; none for a constant or a parameter."""

RECORD = "lineage.json"


def transform_lineage(transform: str) -> ColumnLineage:
    """The lineage of a transform's columns, from the views it reads; without the column that partitions its files."""
    known = TRANSFORMS[transform]
    inputs = {table.name: table.column_names for table in known.inputs}
    found = column_lineage(known.sql, dialect=SPARK_DIALECT, tables=inputs)
    return {column: sources for column, sources in found.items() if column != DAY_COLUMN}


def columns_read(transform: str) -> Mapping[str, tuple[str, ...]]:
    """Which columns of each view the transform looks at, in the view's order, those that only join or filter too."""
    from recruitment_platform.transforms import sql_lineage

    return sql_lineage.columns_read(transform)


def column_lineage(sql: str, *, dialect: str, tables: Mapping[str, Iterable[str]]) -> ColumnLineage:
    """The lineage of a query's columns, in their order, from `tables` (name to its columns).

    ValueError where the statement is no query.
    """
    columns = {name: tuple(of_table) for name, of_table in tables.items()}
    key = statement_key(sql, dialect, columns)
    return dict(recorded().get(key) or _derived(key, sql, dialect, columns))


def statement_key(sql: str, dialect: str, tables: Mapping[str, tuple[str, ...]]) -> str:
    """What the lineage depends on, as a hash: under it, the record has it."""
    given = json.dumps([sql, dialect, tables], sort_keys=True)
    return hashlib.sha256(given.encode()).hexdigest()


@cache
def recorded() -> Mapping[str, ColumnLineage]:
    """The recorded lineages by `statement_key`."""
    record = json.loads(files("recruitment_platform.transforms").joinpath(RECORD).read_text(encoding="utf-8"))
    return {
        key: {column: tuple((table, name) for table, name in sources) for column, sources in found.items()}
        for key, found in record.items()
    }


_known: dict[str, ColumnLineage] = {}


def _derived(key: str, sql: str, dialect: str, tables: Mapping[str, tuple[str, ...]]) -> ColumnLineage:
    if key not in _known:
        from recruitment_platform.transforms.sql_lineage import derived_lineage

        _known[key] = derived_lineage(sql, dialect, tables)
    return _known[key]
