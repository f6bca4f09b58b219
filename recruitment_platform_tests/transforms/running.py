"""Events and jobs with everything that does not matter filled in, and running the transform over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.model.contract import DIM_JOBS, HOURLY_FACTS, RAW_TRACKING
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.transforms.engines import Engine

SOURCES = "Parquet"
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
# The platform's time zone in these tests: no engine's, so that a transform which looks at its own would be found out.
PLATFORM_OFFSET = timedelta(hours=7)
MEASURES = {"click": 1, "conversion": 2, "qualified": 3, "unqualified": 4}


def event(at: datetime, kind: str = "click", **columns: Any) -> dict[str, Any]:
    """A row of `RAW_TRACKING`: an event of that time, without job, publisher, campaign, group or bid."""
    local = at + PLATFORM_OFFSET
    row: dict[str, Any] = dict.fromkeys(RAW_TRACKING.column_names)
    row |= {
        "create_time": str(uuid4()),
        "payload_hash": 0,
        "received_at": at,
        "event_time": at,
        "event_date": local.date(),
        "time_source": "ts",
        "event_hour": local.hour,
        "kind": kind,
        "measure": MEASURES.get(kind, 0),
        "bid_micros": 0,
    }
    return row | columns


def job(job_id: int, *, since: datetime = BEGINNING, until: datetime | None = None, **columns: Any) -> dict[str, Any]:
    """A row of `DIM_JOBS`: a version of the job, without company, campaign and group."""
    row: dict[str, Any] = dict.fromkeys(DIM_JOBS.column_names)
    row |= {
        "job_id": job_id,
        "currency": "USD",
        "valid_from": since,
        "valid_to": until,
        "is_current": int(until is None),
    }
    return row | columns


@dataclass(frozen=True)
class Outcome:
    """What a run wrote: its rows by key, and the files of each day's folder."""

    rows: list[dict[str, Any]]
    files: Mapping[str, Sequence[Path]]
    types: list[tuple[str, pa.DataType]]


CONTRACT_TYPES = [(field.name, field.type) for field in arrow_schema(HOURLY_FACTS)]


def run(
    engine: Engine,
    folder: Path,
    events: Sequence[Sequence[Mapping[str, Any]]],
    jobs: Sequence[Mapping[str, Any]],
) -> Outcome:
    """Runs `job_hourly_events` in an empty folder, over one file for each sequence of events and one of jobs."""
    raw_tracking = [folder / f"raw-{number}.parquet" for number in range(len(events))]
    for path, rows in zip(raw_tracking, events, strict=True):
        pq.write_table(pa.Table.from_pylist(list(rows), arrow_schema(RAW_TRACKING)), path)
    pq.write_table(pa.Table.from_pylist(list(jobs), arrow_schema(DIM_JOBS)), folder / "dim_jobs.parquet")
    out = folder / f"out-{engine.name}"
    engine.run(
        "job_hourly_events",
        {"raw_tracking": raw_tracking, "dim_jobs": [folder / "dim_jobs.parquet"]},
        {"sources": SOURCES},
        out,
    )
    return outcome(out)


def outcome(out: Path) -> Outcome:
    """What stands in a run's folder; AssertionError where that is anything but days' folders with Parquet files."""
    files = {day.name.removeprefix("dt="): sorted(day.iterdir()) for day in sorted(out.iterdir())}
    tables = []
    for day, paths in files.items():
        for path in paths:
            assert path.suffix == ".parquet", f"{path} was left behind"
            table = pq.read_table(path, partitioning=None)
            assert {str(date) for date in table["dates"].to_pylist()} == {day}
            tables.append(table)
    rows = [row for table in tables for row in table.to_pylist()]
    types = {tuple((field.name, field.type) for field in table.schema) for table in tables}
    assert len(types) <= 1
    return Outcome(
        rows=sorted(rows, key=lambda row: [row[name] for name in HOURLY_FACTS.key]),
        files=files,
        types=list(*types),
    )
