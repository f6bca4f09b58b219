"""A small recruitment site for tests: events and jobs written by hand, sent through the door into embedded stores.

What belongs here: building raw events whose meaning a test can read, and the stores of one home. What does not: real
shapes and volumes (`recruitment_platform.simulation`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pyarrow as pa

from recruitment_platform.model.door import DoorRules, through
from recruitment_platform.model.operational import parse_row
from recruitment_platform.pipeline.dimensions import refresh_dimensions
from recruitment_platform.resources.lake.parquet import ParquetLake, open_lake
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.relational.store import SqlRelationalStore, open_relational
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse

GREGORIAN = 0x01B21DD213814000
RULES = DoorRules(time_zone="UTC", first_day=date(2020, 1, 1))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOBS = (
    {"id": "1", "title": "Cook", "status": "1", "campaign_id": "10", "company_id": "100", "group_id": "7"},
    {"id": "2", "title": "Nurse", "status": "1", "campaign_id": "11", "company_id": "101"},
)


def time_uuid(at: datetime, number: int = 0) -> str:
    """The TimeUUID of that instant; `number` tells apart events of one microsecond."""
    ticks = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10 + GREGORIAN
    fields = (ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, ((ticks >> 48) & 0x0FFF) | 0x1000, 0x80, 0x01, number)
    return str(UUID(fields=fields))


def event(at: datetime | str, number: int = 0, **columns: str) -> dict[str, str | None]:
    """A raw event received at that instant (`YYYY-MM-DD HH:MM` is UTC), as the texts an export would hold."""
    instant = datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
    return {"create_time": time_uuid(instant, number), **columns}


def click(at: datetime | str, number: int = 0, **columns: str) -> dict[str, str | None]:
    """A click on job 1 by publisher 1 that costs 0.25, unless said otherwise."""
    return event(at, number, **{"custom_track": "click", "job_id": "1", "publisher_id": "1", "bid": "0.25", **columns})


@dataclass
class Site:
    """The embedded stores of one home."""

    home: Path
    rules: DoorRules = RULES
    lake: ParquetLake = field(init=False)
    relational: SqlRelationalStore = field(init=False)
    objects: FolderStore = field(init=False)
    warehouse: DuckDBWarehouse = field(init=False)

    def __post_init__(self) -> None:
        self.lake = open_lake(self.home / "lake", self.rules)
        self.relational = open_relational(self.home / "operational.sqlite")
        self.objects = FolderStore(self.home / "objects")
        self.warehouse = DuckDBWarehouse(self.home / "warehouse.duckdb", timedelta(seconds=10), self.objects)

    def send(self, events: Iterable[Mapping[str, str | None]], source: str = "test:site", now: datetime = NOW) -> int:
        """Takes the events in after those the source has sent before, `now`; returns how many were accepted."""
        rows = list(events)
        names = sorted({name for row in rows for name in row})
        raw = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
        after = self.lake.progress(source)
        judged = through(raw, self.rules, source, after + 1, now)
        assert judged.rejected.num_rows == 0, judged.rejected.to_pylist()
        assert self.lake.append(
            source,
            accepted=judged.accepted,
            rejected=[],
            after=after,
            last_position=after + len(rows),
            received=len(rows),
        )
        return judged.accepted.num_rows

    def employ(
        self, jobs: Sequence[Mapping[str, str | None]] = JOBS, as_of: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    ) -> int:
        """Writes the jobs and refreshes the dimensions; returns their version."""
        self.relational.upsert("job", [parse_row("job", job) for job in jobs])
        refreshed = refresh_dimensions(
            self.relational, self.objects, as_of=as_of, currency="USD", aliases={}, run_id="test"
        )
        return refreshed.manifest.number
