"""A day's extraction by Spark's executors, each of which reads and decodes events of its own ids.

What belongs here: who extracts a day, and what the executors run. What does not: reading an executor's piece
(`resources`), running anything there (`transforms.remote_spark`), the snapshot made of it all (`pipeline.snapshot`).
"""

from collections.abc import Iterator
from datetime import date
from functools import partial

import pyarrow as pa

from recruitment_platform.model.door import LAKE_SCHEMA
from recruitment_platform.pipeline.snapshot import LAKE_COLUMNS, Extract
from recruitment_platform.resources.protocols import EventLake, LakeScan, LakeSplit, SplitLake
from recruitment_platform.transforms.engines import Engine
from recruitment_platform.transforms.remote_spark import RemoteSparkEngine

PIECES_AT_ONCE = 64
"""How many pieces this machine holds the rows of at once; some 60,000 events each, where the lake was made for it."""

EVENTS = pa.schema([LAKE_SCHEMA.field(name).with_nullable(True) for name in LAKE_COLUMNS])
"""What an executor sends of each event."""


def extraction(engine: Engine, lake: EventLake) -> Extract | None:
    """How a day is extracted by the engine's executors; None where it has none, or they cannot reach the lake."""
    if isinstance(engine, RemoteSparkEngine) and isinstance(lake, SplitLake):
        return partial(_extracted, engine, lake)
    return None


def _extracted(engine: RemoteSparkEngine, lake: SplitLake, day: date) -> LakeScan:
    split = lake.split(day, LAKE_COLUMNS)
    failures: list[Exception] = []
    events = _gathered(engine, split, f"raw_tracking {day}", failures)
    return LakeScan(
        watermark=split.watermark,
        accepted=split.accepted,
        events=pa.RecordBatchReader.from_batches(EVENTS, events),
        failures=failures,
    )


def _gathered(
    engine: RemoteSparkEngine, split: LakeSplit, what: str, failures: list[Exception]
) -> Iterator[pa.RecordBatch]:
    try:
        for first in range(0, len(split.pieces), PIECES_AT_ONCE):
            pieces = split.pieces[first : first + PIECES_AT_ONCE]
            yield from engine.gather(what, EVENTS, pieces, split.read).to_batches()
    except Exception as error:
        failures.append(error)
        raise
