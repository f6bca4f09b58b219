"""A site's days, brought through the pipeline's steps without Dagster, on DuckDB.

What belongs here: running the steps, and breaking what one step gives the next. What does not: what must come of it.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date

import pyarrow as pa
import pytest

from recruitment_platform.errors import ReconciliationError
from recruitment_platform.model.door import through
from recruitment_platform.pipeline.adjustments import book_day
from recruitment_platform.pipeline.facts import compute_facts
from recruitment_platform.pipeline.publish import load_day, stage_day, verified
from recruitment_platform.pipeline.snapshot import current_snapshot, take_snapshots
from recruitment_platform.resources.protocols import RejectedRow
from recruitment_platform.transforms.engines import DuckDBEngine
from recruitment_platform_tests.site import NOW, Site


def compute(site: Site, days: Iterable[date], run_id: str) -> None:
    """Snapshots and facts of the days, not yet staged."""
    for _ in take_snapshots(site.lake, site.objects, days, time_zone=site.rules.time_zone, run_id=run_id):
        pass
    for _ in compute_facts(site.objects, DuckDBEngine(), days, lake_name=site.lake.name, run_id=run_id):
        pass


def materialize(site: Site, *days: date, run_id: str = "run") -> None:
    """The days, from the lake to the fact table."""
    compute(site, days, run_id)
    for day in days:
        stage_day(site.objects, day, run_id)
        load_day(site.objects, site.warehouse, day, run_id)


def adjust(site: Site, day: date, run_id: str) -> None:
    """The closed day's adjustments, booked beside its facts."""
    compute(site, [day], run_id)
    candidate, _ = verified(site.objects, day, run_id)
    book_day(site.objects, site.warehouse, candidate, run_id)


def damage_snapshot(site: Site, day: date) -> None:
    """From now on the snapshot in force says one click more than it holds."""
    snapshot = current_snapshot(site.objects, day)
    assert snapshot is not None
    path = site.objects.local(f"raw_tracking/dt={day}/manifests/{snapshot.number:06}.json")
    document = json.loads(path.read_text())
    document["kinds"]["click"] += 1
    path.write_text(json.dumps(document))


def fail(site: Site, day: date, run_id: str = "bad") -> None:
    """A run of the day that cannot publish it."""
    compute(site, [day], run_id)
    damage_snapshot(site, day)
    with pytest.raises(ReconciliationError):
        stage_day(site.objects, day, run_id)


def refuse(site: Site, row: Mapping[str, str | None], source: str) -> None:
    """Takes in a row that the door refuses."""
    after = site.lake.progress(source)
    raw = pa.table({name: pa.array([value], pa.string()) for name, value in row.items()})
    judged = through(raw, site.rules, source, after + 1, NOW)
    (found,) = judged.rejected.to_pylist()
    kept = RejectedRow("tracking", source, after + 1, found["reason"], "{}", NOW.date())
    site.lake.append(
        source, accepted=judged.accepted, rejected=[kept], after=after, last_position=after + 1, received=1
    )
