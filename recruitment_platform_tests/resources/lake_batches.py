"""Batches for lakes of tests: events sent through the door, and what a lake holds, in plain values."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from recruitment_platform.model.door import LAKE_SCHEMA, DoorRules, through
from recruitment_platform.resources.protocols import EventLake, LakeScan, RejectedRow
from recruitment_platform.sql import connect_duckdb

RULES = DoorRules(time_zone="UTC", first_day=date(2020, 1, 1))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
INGEST_DAY = date(2026, 1, 2)


def through_door(
    source: str,
    rows: Sequence[Mapping[str, str | None]],
    positions: Iterable[int] | None = None,
    rules: DoorRules = RULES,
    coded: bool = False,
) -> pa.Table:
    """The rows as accepted by the door, at positions from 1 or those given."""
    names = {name: None for row in rows for name in row}
    raw = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})
    numbers = 1 if positions is None else pa.array(list(positions), pa.int64())
    result = through(raw, rules, source, numbers, NOW, coded=coded)
    assert result.rejected.num_rows == 0
    return result.accepted


def append_all(
    lake: EventLake, source: str, events: pa.Table, rejected: Sequence[RejectedRow] = (), *, after: int | None = None
) -> bool:
    """Appends what follows `after`, by default the source's progress, with as many positions as there are rows."""
    after = lake.progress(source) if after is None else after
    received = events.num_rows + len(rejected)
    return lake.append(
        source, accepted=events, rejected=rejected, after=after, last_position=after + received, received=received
    )


def rejected_row(source: str, position: int, **values: Any) -> RejectedRow:
    given = {"table": "tracking", "reason": "job_id is not an integer", "content": '{"job_id":"x"}'}
    return RejectedRow(**{**given, "ingest_date": INGEST_DAY, "source": source, "position": position, **values})


def events_of(lake: EventLake, day: date) -> pa.Table:
    """The day's events, by source and position, as `LAKE_TRACKING` has them."""
    return events_in(lake.scan(day)).sort_by([("source", "ascending"), ("position", "ascending")])


def events_in(scan: LakeScan) -> pa.Table:
    """The scan's events, as `LAKE_TRACKING` has them."""
    with connect_duckdb() as connection, scan.read_by(connection):
        return connection.table("events").to_arrow_table().cast(LAKE_SCHEMA)


def contents(lake: EventLake) -> dict[str, Any]:
    """All that readers can see of the lake."""
    return {
        "events": {day: events_of(lake, day).to_pylist() for day in lake.days()},
        "watermarks": {day: (lake.scan(day).watermark, lake.scan(day).accepted) for day in lake.days()},
        "day_states": lake.day_states(),
        "sources": lake.sources(),
        "rejected": list(lake.rejected()),
        "by_ingest_day": lake.rejected_by_ingest_day(),
    }


def hash_sum(events: pa.Table) -> int:
    """The additive hash that `DayState` documents, by plain integers."""
    total = sum(events["payload_hash"].to_pylist()) % 2**64
    return total - 2**64 if total >= 2**63 else total
