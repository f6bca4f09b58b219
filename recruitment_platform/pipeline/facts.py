"""job_hourly_events: the days' hourly facts, computed many days in a run of the engine, one candidate a day.

What belongs here: from snapshots in force to run-scoped Parquet and its counts. What does not: the rules themselves
(`transforms/job_hourly_events.sql`), and whether a candidate may be published (`pipeline.publish`).
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq

from recruitment_platform.errors import InputError, PlatformError, ReconciliationError
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.digest import FACTS_LEFT_OUT, digest
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.manifests import (
    DIM_MANIFESTS,
    DimManifest,
    FactsManifest,
    FileEntry,
    SnapshotManifest,
    facts_candidates,
    history,
    in_force,
    publish_next,
)
from recruitment_platform.pipeline.snapshot import CODE_VERSION as SNAPSHOT_CODE
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.pipeline.totals import fact_totals
from recruitment_platform.resources.protocols import ObjectStore
from recruitment_platform.sql import sql_version
from recruitment_platform.transforms.engines import Engine

TRANSFORM = "job_hourly_events"
CODE_VERSION = sql_version("transforms", TRANSFORM)
COMPUTED_BY = f"{SNAPSHOT_CODE}-{CODE_VERSION}"
"""The `code_version` of facts that are computed now: of the snapshot's SQL and of the transform's."""

EVENTS_AT_ONCE = 16_000_000
"""How many events of several days one run of the engine computes: it holds their facts in memory."""


def candidate_of(store: ObjectStore, day: date, run_id: str) -> FactsManifest | None:
    """The facts that this run computed for the day, else those computed last; verified or not."""
    last = in_force(store, facts_candidates(day), FactsManifest)
    if last is None or last.run_id == run_id:
        return last
    own = [made for made in history(store, facts_candidates(day), FactsManifest) if made.run_id == run_id]
    return own[-1] if own else last


def compute_facts(
    store: ObjectStore, engine: Engine, days: Iterable[date], *, lake_name: str, run_id: str
) -> Iterator[tuple[date, FactsManifest | PlatformError]]:
    """Computes the days from their snapshots in force, many in a run of the engine; one candidate or error a day.

    A day for which an earlier step of this run recorded an error is left out; one without a snapshot, or whose
    snapshot cannot be read, is recorded. ReconciliationError where there are no dimensions yet.
    """
    dimensions = current_dimensions(store)
    if dimensions is None:
        raise ReconciliationError("job_hourly_events: dim_jobs was never refreshed; materialize dim_jobs first")
    snapshots: dict[date, SnapshotManifest] = {}
    inputs: dict[date, list[Path | str]] = {}
    for day in sorted(days):
        error = day_errors.recorded(store, run_id, day)
        if error is not None:
            yield day, ReconciliationError(error)
            continue
        try:
            snapshots[day] = _snapshot(store, day)
            inputs[day] = [_input(engine, store, entry, day) for entry in snapshots[day].files]
        except ReconciliationError as unreadable:
            day_errors.record(store, run_id, day, str(unreadable))
            yield day, unreadable
    if not inputs:
        return
    dim_jobs = _dim_jobs(engine, store, dimensions)
    with tempfile.TemporaryDirectory(prefix="facts-") as folder:
        for part in _parts({day: snapshots[day].rows for day in inputs}):
            files = {day: inputs[day] for day in part}
            for day, out in _run(engine, files, dim_jobs, lake_name, Path(folder)):
                if isinstance(out, Path):
                    yield day, _candidate(store, engine.name, snapshots[day], dimensions, out, run_id)
                else:
                    day_errors.record(store, run_id, day, str(out))
                    yield day, out


def _parts(events: Mapping[date, int]) -> Iterator[list[date]]:
    """The days in order, as many together as have EVENTS_AT_ONCE; a day of more is alone."""
    part: list[date] = []
    for day, its_events in events.items():
        if part and sum(events[other] for other in part) + its_events > EVENTS_AT_ONCE:
            yield part
            part = []
        part.append(day)
    yield part


def _run(
    engine: Engine,
    inputs: Mapping[date, Sequence[Path | str]],
    dim_jobs: Path | str,
    lake_name: str,
    scratch: Path,
) -> Iterator[tuple[date, Path | InputError]]:
    """The folder of each day's files. Where some day's input cannot be computed, each day is run alone to find it."""
    out = scratch / f"{min(inputs)}-{len(inputs)}"
    files = [file for of_day in inputs.values() for file in of_day]
    try:
        engine.run(TRANSFORM, {"raw_tracking": files, "dim_jobs": [dim_jobs]}, {"sources": lake_name}, out)
    except InputError as error:
        if len(inputs) == 1:
            yield min(inputs), InputError(f"job_hourly_events {min(inputs)}: {error}")
            return
        for day in inputs:
            yield from _run(engine, {day: inputs[day]}, dim_jobs, lake_name, scratch)
        return
    for day in inputs:
        yield day, out / f"dt={day}"


def _dim_jobs(engine: Engine, store: ObjectStore, dimensions: DimManifest) -> Path | str:
    try:
        return engine.input(store, dimensions.key)
    except FileNotFoundError as error:
        raise ReconciliationError(
            f"job_hourly_events: the file {dimensions.key} of dim_jobs is gone; remove its manifest "
            f"{DIM_MANIFESTS}{dimensions.number:06}.json and materialize dim_jobs again"
        ) from error


def _snapshot(store: ObjectStore, day: date) -> SnapshotManifest:
    snapshot = current_snapshot(store, day)
    if snapshot is None:
        raise ReconciliationError(f"job_hourly_events {day}: the day has no snapshot; materialize raw_tracking first")
    return snapshot


def _input(engine: Engine, store: ObjectStore, entry: FileEntry, day: date) -> Path | str:
    try:
        return engine.input(store, entry.key)
    except FileNotFoundError as error:
        raise ReconciliationError(
            f"job_hourly_events {day}: the snapshot's file {entry.key} is gone; remove the day's snapshot manifest and "
            "materialize raw_tracking again"
        ) from error


def _candidate(
    store: ObjectStore, engine_name: str, snapshot: SnapshotManifest, dimensions: DimManifest, folder: Path, run_id: str
) -> FactsManifest:
    """Stores the day's files under the run, and their counts as the day's next candidate."""
    day = snapshot.day
    files = sorted(folder.glob("*.parquet"))
    totals = fact_totals(files, day)
    hashed = digest(files, HOURLY_FACTS, leave_out=FACTS_LEFT_OUT)
    schema = tuple((field.name, str(field.type)) for field in pq.read_schema(files[0])) if files else ()
    entries = []
    for number, file in enumerate(files, start=1):
        key = f"job_hourly_events/run={run_id}/dt={day}/{number:03}-{uuid4().hex[:8]}.parquet"
        counted = totals if len(files) == 1 else fact_totals([file], day)
        entries.append(FileEntry(key, store.put_file(file, key), counted.rows, counted.spend_micros))
    candidate = FactsManifest(
        day=day,
        number=0,
        run_id=run_id,
        created_at=datetime.now(UTC),
        snapshot=snapshot.number,
        watermark=snapshot.watermark,
        dim_version=dimensions.number,
        code_version=f"{snapshot.code_version}-{CODE_VERSION}",
        engine=engine_name,
        schema=schema,
        files=tuple(entries),
        rows=totals.rows,
        clicks=totals.clicks,
        conversion=totals.conversion,
        qualified=totals.qualified,
        disqualified=totals.disqualified,
        spend_micros=totals.spend_micros,
        digest=hashed.sha256,
    )
    return publish_next(
        store, facts_candidates(day), FactsManifest, lambda number, current: replace(candidate, number=number)
    )
