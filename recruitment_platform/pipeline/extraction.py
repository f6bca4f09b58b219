"""A day's extraction by Spark's executors: each reads events of its own ids, and reduces them before they travel.

What belongs here: who extracts a day, and what the executors run. What does not: reading an executor's piece
(`resources`), running anything there (`transforms.remote_spark`), the snapshot made of it all (`pipeline.snapshot`).
"""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

import pyarrow as pa

from recruitment_platform.model.contract import LAKE_TRACKING
from recruitment_platform.model.schemas import arrow_type
from recruitment_platform.pipeline.snapshot import LAKE_COLUMNS, Extract
from recruitment_platform.resources.protocols import EventLake, LakeScan, LakeSplit, SplitLake
from recruitment_platform.sql import connect_duckdb, load_sql
from recruitment_platform.transforms.engines import Engine
from recruitment_platform.transforms.remote_spark import RemoteSparkEngine

PIECES_AT_ONCE = 64
"""How many pieces this machine holds the rows of at once; some 60,000 events each, where the lake was made for it."""

_DERIVED = ("bid", "source", "position")
ARRIVALS = pa.schema(
    [(name, arrow_type(LAKE_TRACKING.column(name).type)) for name in LAKE_COLUMNS if name not in _DERIVED]
    + [
        ("has_no_bid", pa.bool_()),
        ("first_arrival", pa.struct([("source", pa.string()), ("position", pa.int64())])),
        ("arrivals", pa.int64()),
        ("is_counted", pa.bool_()),
    ]
)
"""The columns of `snapshot_arrivals.sql`."""


def extraction(engine: Engine, lake: EventLake) -> Extract | None:
    """How a day is extracted by the engine's executors; None where it has none, or they cannot reach the lake."""
    if isinstance(engine, RemoteSparkEngine) and isinstance(lake, SplitLake):
        return partial(_extracted, engine, lake)
    return None


def _extracted(engine: RemoteSparkEngine, lake: SplitLake, day: date) -> LakeScan:
    split = lake.split(day, LAKE_COLUMNS)
    failures: list[Exception] = []
    arrivals = _gathered(engine, split, f"raw_tracking {day}", failures)
    return LakeScan(
        watermark=split.watermark,
        accepted=split.accepted,
        events=pa.RecordBatchReader.from_batches(ARRIVALS, arrivals),
        failures=failures,
    )


def _gathered(
    engine: RemoteSparkEngine, split: LakeSplit, what: str, failures: list[Exception]
) -> Iterator[pa.RecordBatch]:
    try:
        for first in range(0, len(split.pieces), PIECES_AT_ONCE):
            pieces = split.pieces[first : first + PIECES_AT_ONCE]
            yield from engine.gather(what, ARRIVALS, pieces, partial(_reduced, split.read)).to_batches()
    except Exception as error:
        failures.append(error)
        raise


def _reduced(read: Callable[[int], Iterator[pa.RecordBatch]], piece: int) -> Iterator[pa.RecordBatch]:
    """Runs in an executor."""
    batches = list(read(piece))
    if not batches:
        return
    # One task has one core.
    with connect_duckdb(config={"threads": 1}) as connection:
        connection.register("events", pa.Table.from_batches(batches))
        connection.execute(load_sql("pipeline", "snapshot_arrivals"))
        yield from connection.table("arrivals").to_arrow_table().cast(ARRIVALS).to_batches()
