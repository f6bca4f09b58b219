"""raw_tracking: a day's immutable snapshot of the lake.

What belongs here: taking a snapshot, counting what it must reconcile by (promise 1), putting it in force. What does
not: where the events lie (`resources.lake.parquet`), what becomes of them (`pipeline.facts`).
"""

import logging
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.errors import ReconciliationError
from recruitment_platform.model.contract import RAW_TRACKING
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.arrivals import Arrivals
from recruitment_platform.pipeline.digest import Digest, RunningDigest
from recruitment_platform.pipeline.manifests import (
    FileEntry,
    SnapshotManifest,
    in_force,
    is_behind,
    publish_next,
    snapshot_manifests,
)
from recruitment_platform.pipeline.totals import kind_totals
from recruitment_platform.resources.protocols import EventLake, LakeScan, ObjectStore
from recruitment_platform.sql import connect_duckdb, load_sql, spilling, sql_version

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""How often a snapshot is taken anew because a newer one came into force meanwhile."""

LAKE_COLUMNS = (
    "create_time",
    "payload_hash",
    "received_at",
    "event_time",
    "event_date",
    "time_source",
    "custom_track",
    "resolved_job_id",
    "resolved_publisher_id",
    "campaign_id",
    "group_id",
    "bid",
    "bid_micros",
    "source",
    "position",
)
"""What `snapshot.sql` reads of the lake."""

CODE_VERSION = sql_version("pipeline", "snapshot")

SNAPSHOT_SCHEMA = arrow_schema(RAW_TRACKING)

Extract = Callable[[date], LakeScan]
"""Scans a day by other processes than this one; its `events` have `LAKE_COLUMNS`."""

_MEGABYTES = 320  # sorting spills to disk beyond this
_BATCH_ROWS = 20_480
_BATCHES_AHEAD = 6
_ROW_GROUP_ROWS = 122_880
_REPEATED = [
    name for name in SNAPSHOT_SCHEMA.names if name not in ("create_time", "payload_hash", "received_at", "event_time")
]
"""The columns whose values come often enough for a dictionary."""


@dataclass(frozen=True)
class _Draft:
    """A snapshot just taken, not yet stored: its files in a scratch folder, its manifest without number and files."""

    file: Path
    listing: Path
    listed: int
    manifest: SnapshotManifest


def current_snapshot(store: ObjectStore, day: date) -> SnapshotManifest | None:
    """The day's snapshot in force."""
    return in_force(store, snapshot_manifests(day), SnapshotManifest)


def take_snapshots(
    lake: EventLake,
    store: ObjectStore,
    days: Iterable[date],
    *,
    time_zone: str,
    run_id: str,
    extract: Extract | None = None,
) -> Iterator[tuple[date, SnapshotManifest | ReconciliationError]]:
    """Takes each day's snapshot, oldest first; a day that does not add up is recorded with the run, yielding its error.

    A snapshot equal to the one in force is not written again. `time_zone` decides `event_hour`. Where `extract` is not
    given, this process reads the lake.
    """
    wanted = sorted(days)
    if not wanted:
        return
    with _connection(lake, wanted[0], wanted[-1]) as connection:
        for day in wanted:
            try:
                yield day, _take_snapshot(connection, lake, store, day, time_zone, run_id, extract)
            except ReconciliationError as error:
                day_errors.record(store, run_id, day, str(error))
                yield day, error


@contextmanager
def _connection(lake: EventLake, first: date, last: date) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with the table `ids_on_two_days` of the range; it spills into a folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="snapshot-") as scratch,
        connect_duckdb(config=spilling(scratch, _MEGABYTES)) as connection,
    ):
        connection.register("lake_ids", lake.ids_on_two_days(first, last))
        connection.execute(load_sql("pipeline", "ids_on_two_days"))
        connection.unregister("lake_ids")
        yield connection


def _take_snapshot(
    connection: duckdb.DuckDBPyConnection,
    lake: EventLake,
    store: ObjectStore,
    day: date,
    time_zone: str,
    run_id: str,
    extract: Extract | None,
) -> SnapshotManifest:
    for _ in range(MAX_ATTEMPTS):
        scan = lake.scan(day, LAKE_COLUMNS) if extract is None else extract(day)
        with tempfile.TemporaryDirectory(prefix="snapshot-") as folder:
            draft = _draft(connection, scan, day, time_zone, run_id, Path(folder))
            manifest = _put_in_force(store, draft)
        if not is_behind(scan.watermark, manifest.watermark):
            return manifest
        logger.info("%s: a newer snapshot is in force already; taking another", day)
    raise ReconciliationError(
        f"raw_tracking {day}: the lake's watermark is behind the snapshot in force, {MAX_ATTEMPTS} times in a row. "
        "Where other runs are busy with the day, run it again when they have ended; where the lake was put back to an "
        "older state, restore it, or import its sources again"
    )


def _draft(
    connection: duckdb.DuckDBPyConnection, scan: LakeScan, day: date, time_zone: str, run_id: str, folder: Path
) -> _Draft:
    file, listing = folder / "snapshot.parquet", folder / "listing.parquet"
    try:
        counts, hashed = _write_distinct(connection, scan, day, time_zone, file)
    except duckdb.ConversionException as error:
        raise ReconciliationError(
            f"raw_tracking {day}: the lake holds events of which its day_state does not tell, or that the door never "
            f"let in ({str(error).splitlines()[0]}). The day is not published; compare the lake with its sources"
        ) from error
    listed = counts.listing
    pq.write_table(listed, listing, compression="zstd")
    by_kind = kind_totals([file])
    duplicates = counts.duplicates + scan.duplicates
    found = counts.distinct + duplicates + counts.conflicts
    if scan.accepted != found:
        raise ReconciliationError(
            f"raw_tracking {day}: day_state tells {scan.accepted:,} accepted events, the lake holds {found:,} "
            f"({counts.distinct:,} distinct, {duplicates:,} duplicate, {counts.conflicts:,} conflicting). "
            "The day is not published; compare the lake with its sources"
        )
    manifest = SnapshotManifest(
        day=day,
        number=0,
        run_id=run_id,
        created_at=datetime.now(UTC),
        watermark=dict(scan.watermark),
        accepted=scan.accepted,
        distinct=counts.distinct,
        duplicates=duplicates,
        conflicts=counts.conflicts,
        kinds=by_kind.kinds,
        click_micros=by_kind.click_micros,
        fallback_times=counts.fallback_times,
        clicks_without_job=counts.clicks_without_job,
        clicks_without_bid=counts.clicks_without_bid,
        ids_on_two_days=counts.found_on_two_days,
        files=(),
        listing=None,
        rows=hashed.rows,
        digest=hashed.sha256,
        code_version=CODE_VERSION,
        positions=dict(sorted(counts.positions.items())),
    )
    return _Draft(file, listing, listed.num_rows, manifest)


def _write_distinct(
    connection: duckdb.DuckDBPyConnection, scan: LakeScan, day: date, time_zone: str, file: Path
) -> tuple[Arrivals, Digest]:
    """Writes the scan's distinct events, in one pass that counts and digests them too."""
    on_two_days = connection.sql(load_sql("pipeline", "ids_of_day"), params={"day": day}).to_arrow_table()
    connection.execute(load_sql("pipeline", "snapshot_sources"), {"sources": list(scan.watermark)})
    counts, hashed = Arrivals(on_two_days["create_time"].combine_chunks()), RunningDigest()
    with (
        scan.read_by(connection),
        pq.ParquetWriter(file, SNAPSHOT_SCHEMA, compression="zstd", use_dictionary=_REPEATED) as writer,
        ThreadPoolExecutor(1) as digesting,
        ThreadPoolExecutor(1) as writing,
    ):
        arrived = connection.sql(load_sql("pipeline", "snapshot"), params={"time_zone": time_zone})
        digested: deque[Future[None]] = deque()
        written: Future[None] = writing.submit(lambda: None)
        waiting: list[pa.RecordBatch] = []
        for batch in arrived.to_arrow_reader(_BATCH_ROWS):
            counted = counts.distinct_of(batch).select(SNAPSHOT_SCHEMA.names)
            digested.append(digesting.submit(hashed.add, counted.columns))
            if len(digested) > _BATCHES_AHEAD:
                digested.popleft().result()
            waiting.append(counted)
            if sum(map(len, waiting)) >= _ROW_GROUP_ROWS:
                written.result()
                written = writing.submit(_write_rows, writer, waiting)
                waiting = []
        for each in digested:
            each.result()
        written.result()
        if waiting:
            _write_rows(writer, waiting)
    return counts, hashed.digest


def _write_rows(writer: pq.ParquetWriter, batches: list[pa.RecordBatch]) -> None:
    writer.write_table(pa.Table.from_batches(batches).cast(SNAPSHOT_SCHEMA))


def _put_in_force(store: ObjectStore, draft: _Draft) -> SnapshotManifest:
    """The snapshot in force afterwards: the one before where it is equal or newer, else the draft."""
    draft_manifest = draft.manifest
    prefix = f"raw_tracking/dt={draft_manifest.day}/{draft_manifest.run_id}-{uuid4().hex[:8]}"

    def kept(current: SnapshotManifest | None) -> bool:
        if current is None:
            return False
        return bool(is_behind(draft_manifest.watermark, current.watermark)) or _content(current) == _content(
            draft_manifest
        )

    current = current_snapshot(store, draft_manifest.day)
    if current is not None and kept(current):
        return current
    stored = replace(
        draft_manifest,
        files=(_stored(store, draft.file, f"{prefix}.parquet", draft_manifest.rows, draft_manifest.click_micros),),
        listing=_stored(store, draft.listing, f"{prefix}-listing.parquet", draft.listed, 0) if draft.listed else None,
    )
    return publish_next(
        store,
        snapshot_manifests(draft_manifest.day),
        SnapshotManifest,
        lambda number, current: None if kept(current) else replace(stored, number=number),
    )


def _content(manifest: SnapshotManifest) -> tuple[object, ...]:
    """What makes two snapshots equal: everything but who took it, when, and under which number and files."""
    return (manifest.digest, manifest.code_version, manifest.watermark, manifest.accepted, manifest.conflicts)


def _stored(store: ObjectStore, path: Path, key: str, rows: int, micros: int) -> FileEntry:
    return FileEntry(key, store.put_file(path, key), rows, micros)
