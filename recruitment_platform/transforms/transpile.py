"""`python -m recruitment_platform.transforms.transpile`: writes each transform's text for DuckDB beside it.

So that no run parses SQL to write it anew. What belongs here: from Spark's SQL to DuckDB's. What does not: running
either (`transforms.engines`). A test holds the files to the texts that they come from.
"""

from pathlib import Path

import sqlglot

from recruitment_platform.transforms.engines import SPARK_DIALECT, TRANSFORMS


def for_duckdb(sql: str) -> str:
    """The Spark SQL as DuckDB's; `:name` becomes `$name`."""
    (statement,) = sqlglot.transpile(sql, read=SPARK_DIALECT, write="duckdb", pretty=True)
    return f"{statement}\n"


def main() -> None:
    """Writes the files into the package."""
    for transform in TRANSFORMS.values():
        Path(__file__).with_name(f"{transform.name}.duckdb.sql").write_text(for_duckdb(transform.sql), encoding="utf-8")


if __name__ == "__main__":
    main()
