"""An embedded lake, changed by hand as nobody should: what audits must find. What belongs here: no assertions."""

import sqlite3
from contextlib import closing
from datetime import date

import duckdb
import pyarrow.parquet as pq

from recruitment_platform.resources.lake.parquet import ParquetLake


def change_lake(lake: ParquetLake, day: date, source: str, statement: str) -> None:
    """Writes the source's files of the day anew, with what the statement makes of each one's `rows`."""
    for path in sorted((lake.root / "tracking" / f"event_date={day}").iterdir()):
        rows = pq.read_table(path, partitioning=None)
        if rows["source"][0].as_py() != source:
            continue
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("rows", rows)
            changed = connection.sql(statement).to_arrow_table().cast(rows.schema)
        pq.write_table(changed, path)
        with closing(sqlite3.connect(lake.catalog)) as catalog, catalog:
            name = path.relative_to(lake.root).as_posix()
            catalog.execute("UPDATE files SET size = ? WHERE path = ?", (path.stat().st_size, name))
