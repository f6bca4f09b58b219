"""The door of the lake: parses, types and judges tracking events, once, for whoever brings them in.

What belongs here: rules 1, 2, 4, 5 and 6 of the data, as one vectorised function over Arrow tables: what they say of
rows. What does not: what they say of values, each asked once (`door_values`), which text a value of Arrow is
(`door_columns`), how rows come out of a file or a topic (`ingest`), where they go (`resources`), and what is computed
from them (`transforms`).
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.model.contract import LAKE_TRACKING, TRACKING
from recruitment_platform.model.door_columns import Coded, coded_texts, constant
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.sql import connect_duckdb, load_sql

if TYPE_CHECKING:
    from recruitment_platform.model.door_values import Judged

DOOR_VERSION = "2"
"""To be raised by hand whenever a rule of the door changes: a lake keeps to the version that it was begun with.

The second has `payload_hash` of the columns' hashes (`door_hash`) in place of the MD5 of their text.
"""

LAKE_SCHEMA = arrow_schema(LAKE_TRACKING)
REJECTED_SCHEMA = pa.schema(
    [pa.field("position", pa.int64(), nullable=False), pa.field("reason", pa.string(), nullable=False)]
)

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1) // _MICROSECOND
_MINUTE = timedelta(minutes=1) // _MICROSECOND
_WHOLE_MINUTES_FROM = (datetime(1980, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""Since when all time zones differ from UTC by whole minutes, and change by them on whole minutes."""
_CLOCKS_MAY_DIFFER_BY = timedelta(days=1)
_REASONS = ("create_time", "campaign_id", "group_id", "job_id", "publisher_id", "bid")
"""Columns whose reasons count before all others, in this order."""

_OWN = threading.local()


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
    and Parquet of one event give one row and one `payload_hash`. Columns it lacks are null, others are ignored; those
    of few values are quickest as dictionaries. `positions` is the position of the first row in `source` (the others
    follow it), or an array with each row's own; `now` (with a time zone) is what receive times are held against.
    """
    rows = raw.num_rows
    given = {
        name: coded_texts(raw.column(name)) if name in raw.column_names else constant(None, rows)
        for name in TRACKING.column_names
    }
    # Numba is of no use to who only knows of the door, and takes a while to load.
    from recruitment_platform.model.door_values import judged_values

    newest = (now - _EPOCH + _CLOCKS_MAY_DIFFER_BY) // _MICROSECOND
    values = judged_values(_connection(), {name: column.values for name, column in given.items()}, newest)
    reason, derived = _judged_rows(given, values, rules)
    derived["position"] = _as_positions(positions, rows)
    if reason is None:
        return DoorResult(_as_lake(given, values, derived, source, None), REJECTED_SCHEMA.empty_table())
    is_accepted = reason.is_null()
    is_rejected = pc.invert(is_accepted)
    rejected = [derived["position"].filter(is_rejected), reason.filter(is_rejected)]
    return DoorResult(
        accepted=_as_lake(given, values, derived, source, is_accepted),
        rejected=pa.table(rejected, schema=REJECTED_SCHEMA),
    )


def _judged_rows(
    given: Mapping[str, Coded], values: Mapping[str, "Judged"], rules: DoorRules
) -> tuple[pa.Array | None, dict[str, pa.Array]]:
    """Why each row is rejected, None where none is, and what the lake keeps of it beside the columns' values."""
    from recruitment_platform.model.door_hash import row_hashes

    derived = {
        name: given[column].of_rows(of_values)
        for column, judged in values.items()
        for name, of_values in (judged.derived or {}).items()
    }
    received = derived["received_at"].view(pa.int64()).to_numpy()
    ts = given["ts"].of_rows(values["ts"].value)
    is_believed = ts.is_valid().to_numpy(zero_copy_only=False)
    times = pc.fill_null(ts.view(pa.int64()), 0).to_numpy()
    is_believed &= (times >= received - rules.max_age // _MICROSECOND) & (
        times <= received + rules.max_ahead // _MICROSECOND
    )
    event_time = np.where(is_believed, times, received)
    days = _days(event_time, rules.time_zone)
    job_id, publisher_id = (given[name].of_rows(values[name].value) for name in ("job_id", "publisher_id"))
    reasons = [given[name].of_rows(values[name].reason) for name in _REASONS if values[name].reason is not None]
    if values["ed"].reason is not None:
        reasons.append(pc.if_else(job_id.is_null(), given["ed"].of_rows(values["ed"].reason), None))
    is_too_old = pc.less(days, rules.first_day)
    if pc.any(is_too_old).as_py():
        too_old = f"event day is before the first day {rules.first_day}"
        reasons.append(pc.if_else(is_too_old, too_old, pa.scalar(None, pa.string())))
    reason = pc.coalesce(*reasons) if reasons else None
    hashes = ((values[name].hashes, given[name].numpy_codes()) for name in given)
    derived |= {
        "event_time": pa.array(event_time),
        "event_date": days,
        "time_source": pa.array(["create_time", "ts"]).take(pa.array(is_believed.view(np.int8))),
        "resolved_job_id": pc.coalesce(job_id, derived["resolved_job_id"]),
        "resolved_publisher_id": pc.coalesce(publisher_id, derived["resolved_publisher_id"]),
        "payload_hash": pa.array(row_hashes(hashes, len(received))),
    }
    return (None if reason is None or reason.null_count == len(reason) else reason), derived


def _days(times: npt.NDArray[np.int64], time_zone: str) -> pa.Array:
    """The day of each time in the time zone."""
    if time_zone == "UTC":
        return pa.array((times // _DAY).astype(np.int32)).view(pa.date32())
    if times.min(initial=_WHOLE_MINUTES_FROM) < _WHOLE_MINUTES_FROM:
        return _asked_days(pa.array(times), time_zone)
    minutes = pa.array(times // _MINUTE).dictionary_encode()
    return _asked_days(pc.multiply(minutes.dictionary, _MINUTE), time_zone).take(minutes.indices)


def _asked_days(times: pa.Array, time_zone: str) -> pa.Array:
    connection = _connection()
    connection.register("times", pa.table({"time": times}))
    try:
        asked = connection.sql(load_sql("model", "door_days"), params={"time_zone": time_zone})
        return asked.to_arrow_table()["day"].combine_chunks()
    finally:
        connection.unregister("times")


def _connection() -> duckdb.DuckDBPyConnection:
    """This thread's own, in this process: to make one takes as long as to judge thousands of rows."""
    connections = _OWN.__dict__.setdefault("of_process", {})
    if os.getpid() not in connections:
        connections[os.getpid()] = connect_duckdb()
    own: duckdb.DuckDBPyConnection = connections[os.getpid()]
    return own


def _as_positions(positions: int | pa.Array | pa.ChunkedArray, rows: int) -> pa.Array:
    if isinstance(positions, int):
        return pa.array(np.arange(positions, positions + rows, dtype=np.int64))
    whole = positions.combine_chunks() if isinstance(positions, pa.ChunkedArray) else positions
    return whole.cast(pa.int64())


def _as_lake(
    given: Mapping[str, Coded],
    values: Mapping[str, "Judged"],
    derived: Mapping[str, pa.Array],
    source: str,
    wanted: pa.Array | None,
) -> pa.Table:
    """The rows that are wanted, all where None, as `LAKE_TRACKING`."""
    if wanted is not None:
        derived = {name: column.filter(wanted) for name, column in derived.items()}
    rows = len(derived["position"])
    columns = {
        **{name: given[name].of_rows(values[name].value, wanted) for name in given},
        **derived,
        "flags": _flags(given, values, rows, wanted),
        "source": pa.array([source]).take(pa.array(np.zeros(rows, np.int8))),
    }
    return pa.table([columns[field.name].cast(field.type) for field in LAKE_SCHEMA], schema=LAKE_SCHEMA)


def _flags(given: Mapping[str, Coded], values: Mapping[str, "Judged"], rows: int, wanted: pa.Array | None) -> pa.Array:
    """What is noted about each row, in the order of the columns; null where nothing is."""
    noted = [(column, flag) for name, column in given.items() if (flag := values[name].flag) is not None]
    flags = pa.nulls(rows, pa.string())
    if not noted:
        return flags
    # The few rows are joined alone: where all is null, Arrow's join would leave the row out.
    here = reduce(pc.or_, [column.of_rows(flag.is_valid()) for column, flag in noted])
    if wanted is not None:
        here = pc.and_(here, wanted)
    texts = [column.of_rows(flag, here) for column, flag in noted]
    joined = pc.binary_join_element_wise(*texts, "; ", null_handling="skip")
    return pc.replace_with_mask(flags, here if wanted is None else here.filter(wanted), joined)
