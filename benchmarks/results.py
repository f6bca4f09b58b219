"""What a side left behind, as rows and a text by which two sides are held to the same rows.

What belongs here: reading results where the sides put them. What does not: comparing them (`comparison`).
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb

from benchmarks.comparison import Result
from benchmarks.traffic import FIRST
from recruitment_platform.model.contract import HOURLY_FACTS, RAW_TRACKING, Table
from recruitment_platform.pipeline.digest import FACTS_LEFT_OUT, digest
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.settings import Settings

ACCEPTED = {
    "position": "BIGINT",
    "create_time": "VARCHAR",
    "custom_track": "VARCHAR",
    "campaign_id": "INTEGER",
    "group_id": "INTEGER",
    "received_at": "TIMESTAMP",
    "event_time": "TIMESTAMP",
    "event_date": "DATE",
    "time_source": "VARCHAR",
    "resolved_job_id": "INTEGER",
    "resolved_publisher_id": "INTEGER",
    "bid_micros": "BIGINT",
}
"""What facts need of an imported event, by the type as which both sides' are compared."""


def facts_in(folder: Path) -> Result:
    """The hourly facts in the Parquet files below the folder."""
    return _digested(sorted(folder.rglob("*.parquet")), HOURLY_FACTS)


def snapshot_of(home: Path) -> Result:
    """The snapshot in force in the home."""
    store = FolderStore(Settings(home=home).object_store_path)
    snapshot = current_snapshot(store, FIRST)
    if snapshot is None:
        raise RuntimeError(f"{home} has no snapshot of {FIRST}")
    return snapshot.rows, snapshot.digest


def snapshot_in(file: Path) -> Result:
    """The snapshot in a file."""
    return _digested([file], RAW_TRACKING)


def _digested(files: Sequence[Path], table: Table) -> Result:
    found = digest(files, table, leave_out=FACTS_LEFT_OUT)
    return found.rows, found.sha256


def published(home: Path) -> Result:
    """All rows of the home's fact table, in one order, `sources` aside."""
    with duckdb.connect(Settings(home=home).warehouse_path, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        [(rows, hashed)] = connection.sql(
            "SELECT count(*), sum(hash(facts)) FROM (SELECT * EXCLUDE (sources) FROM redshift_fact_events) AS facts"
        ).fetchall()
    return rows, str(hashed)


def imported(home: Path) -> Result:
    """What an import brought into the home's lake, and what it rejected."""
    lake = Settings(home=home).lake_path
    [catalog] = [path for path in lake.iterdir() if path.suffix in (".sqlite", ".db")]
    with closing(sqlite3.connect(catalog)) as connection:
        refused = connection.execute("SELECT position, reason FROM rejected").fetchall()
    return _import_result(f"{lake}/tracking/*/*.parquet", refused)


def imported_by_pandas(folder: Path) -> Result:
    """The same, of pandas' files."""
    with duckdb.connect() as connection:
        refused = connection.sql(f"SELECT position, reason FROM '{folder}/rejected-*.parquet'").fetchall()  # noqa: S608
    return _import_result(f"{folder}/accepted-*.parquet", refused)


def _import_result(files: str, refused: Sequence[tuple[int, str]]) -> Result:
    columns = ", ".join(f"{name}::{kind} AS {name}" for name, kind in ACCEPTED.items())
    statement = (
        f"SELECT count(*), sum(hash(event)) "  # noqa: S608
        f"FROM (SELECT {columns} FROM read_parquet($files, hive_partitioning = false)) AS event"
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        [(rows, hashed)] = connection.execute(statement, {"files": files}).fetchall()
    listed = hashlib.sha256(repr(sorted(refused)).encode()).hexdigest()
    return rows + len(refused), f"{rows} accepted {hashed}, {len(refused)} rejected {listed}"
