"""The door of the lake: parses, types and judges tracking events, once, for whoever brings them in.

What belongs here: rules 1, 2, 4, 5 and 6 of the data, as one vectorised function over Arrow tables; the rules
themselves stand in `door.sql`. What does not: how rows come out of a file or a topic (`ingest`), where they go
(`resources`), and what is computed from them (`transforms`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.model.contract import LAKE_TRACKING, TRACKING
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.sql import connect_duckdb, load_sql

DOOR_VERSION = "1"
"""To be raised by hand whenever a rule of `door.sql` changes: a lake keeps to the version that it was begun with."""

LAKE_SCHEMA = arrow_schema(LAKE_TRACKING)
REJECTED_SCHEMA = pa.schema(
    [pa.field("position", pa.int64(), nullable=False), pa.field("reason", pa.string(), nullable=False)]
)

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_AT_ONCE = 10 * 2048
_FIRST_SECOND = -62135596800
_LAST_SECOND = 253402300799
_CLOCKS_MAY_DIFFER_BY = timedelta(days=1)
_LENGTHS = {column.name: column.type.length for column in TRACKING.columns if column.type.kind == "text"}


@dataclass(frozen=True)
class DoorRules:
    """What the door's rules depend on: stored with the lake, and the same for all its life.

    `time_zone` (IANA name) decides an event's day; a client's time more than `max_age` before or `max_ahead` after the
    receive time is not believed; events of days before `first_day` are rejected.
    """

    time_zone: str
    first_day: date
    max_age: timedelta = timedelta(days=7)
    max_ahead: timedelta = timedelta(minutes=5)


@dataclass(frozen=True)
class DoorResult:
    """A batch as judged: every row of it is in one of the two tables, in the order in which it came.

    `accepted` has the columns of `LAKE_TRACKING`; `rejected` has `position` (int64) and `reason` (text).
    """

    accepted: pa.Table
    rejected: pa.Table


def through(
    raw: pa.Table,
    rules: DoorRules,
    source: str,
    positions: int | pa.Array | pa.ChunkedArray,
    now: datetime,
) -> DoorResult:
    """Types and judges a batch of tracking events.

    `raw` has any of the 29 tracking columns, in any order and of any Arrow types: values are read as text, so CSV, JSON
    and Parquet of one event give one row and one `payload_hash`. Columns it lacks are null, others are ignored.
    `positions` is the position of the first row in `source` (the others follow it), or an array with each row's own;
    `now` (with a time zone) is what receive times are held against.
    """
    table = _as_duckdb_can_read(raw, _as_positions(positions, raw.num_rows))
    with connect_duckdb() as connection:
        connection.execute(load_sql("model", "door_macros"))
        connection.register("raw", table)
        judged = connection.sql(
            load_sql("model", "door"),
            params={
                "time_zone": rules.time_zone,
                "first_day": rules.first_day,
                "max_age": rules.max_age // _MICROSECOND,
                "max_ahead": rules.max_ahead // _MICROSECOND,
                "newest": (now - _EPOCH + _CLOCKS_MAY_DIFFER_BY) // _MICROSECOND,
                "lengths": _LENGTHS,
                "source": source,
            },
        ).to_arrow_table()
    reason = judged.column("reason")
    is_accepted = pc.is_null(reason)
    accepted = judged.drop_columns("reason")
    rejected = judged.select(["position", "reason"])
    if reason.null_count == judged.num_rows:
        rejected = rejected.slice(0, 0)
    else:
        accepted = accepted.filter(is_accepted)
        rejected = rejected.filter(pc.invert(is_accepted))
    return DoorResult(_as_lake(accepted), rejected.cast(REJECTED_SCHEMA))


def _as_positions(positions: int | pa.Array | pa.ChunkedArray, rows: int) -> pa.Array | pa.ChunkedArray:
    if isinstance(positions, int):
        return pa.array(np.arange(positions, positions + rows, dtype=np.int64))
    return positions.cast(pa.int64())


def _as_duckdb_can_read(raw: pa.Table, positions: pa.Array | pa.ChunkedArray) -> pa.Table:
    """`position` and the 29 columns, each of a type whose text in DuckDB is that of the value."""
    columns = {"position": positions}
    for name in TRACKING.column_names:
        columns[name] = _readable(raw.column(name)) if name in raw.column_names else pa.nulls(raw.num_rows, pa.string())
    # DuckDB's threads share out whole record batches.
    table = pa.table(columns)
    return pa.Table.from_batches(table.to_batches(max_chunksize=_ROWS_AT_ONCE), table.schema)


def _readable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _readable(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_dictionary(kind):
        return _readable(column.cast(kind.value_type))
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        return _mapped(column, lambda value: str(UUID(bytes=value)))
    if _is_binary(kind):
        return _mapped(column, lambda value: value.decode("utf-8", errors="replace"))
    if _is_text(kind):
        return _sound(column)
    if pa.types.is_nested(kind):
        return _mapped(column, lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str))
    if pa.types.is_timestamp(kind):
        return _clock(column)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return column
    return column.cast(pa.string())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _sound(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column, bytes that are not UTF-8 replaced: Arrow does not look when it reads a file."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return _mapped(column.cast(pa.binary()), lambda value: value.decode("utf-8", errors="replace"))
    return column


def _clock(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without its time zone: UTC. Years that no text of the door's can say become unreadable text."""
    unit = column.type.unit
    naive = column.cast(pa.timestamp(unit))
    if unit == "ns":
        return naive
    per_second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    ticks = naive.cast(pa.int64())
    sayable = pc.and_(
        pc.greater_equal(ticks, _FIRST_SECOND * per_second), pc.less(ticks, (_LAST_SECOND + 1) * per_second)
    )
    if pc.all(sayable).as_py() is not False:
        return naive.cast(pa.timestamp("us"))
    return pc.if_else(
        sayable, pc.if_else(sayable, naive, None).cast(pa.timestamp("us")).cast(pa.string()), "out of range"
    )


def _mapped(column: pa.ChunkedArray, text: Callable[[Any], str]) -> pa.ChunkedArray:
    values = (None if value is None else text(value) for value in column.to_pylist(maps_as_pydicts="lossy"))
    return pa.chunked_array([pa.array(values, pa.large_string())])


def _as_lake(judged: pa.Table) -> pa.Table:
    """Gives microseconds and hashes, which DuckDB returns as plain integers, the types of the contract."""
    columns = []
    for field in LAKE_SCHEMA:
        column = judged.column(field.name)
        if pa.types.is_uint64(column.type):
            column = pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())
        columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=LAKE_SCHEMA)
