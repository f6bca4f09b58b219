"""The door of the lake: parses, types and judges tracking events, once, for whoever brings them in.

What belongs here: rules 1, 2, 4, 5 and 6 of the data, as one vectorised function over Arrow tables. The rules stand
in SQL: what a value is, in a file for each kind of column, asked once of every value that comes again; what a row is,
in `door.sql`. What does not: which text a value of Arrow is (`door_columns`), how rows come out of a file or a topic
(`ingest`), where they go (`resources`), and what is computed from them (`transforms`).
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.model.contract import LAKE_TRACKING, TRACKING
from recruitment_platform.model.door_columns import Coded, coded_texts, constant
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.sql import connect_duckdb, load_sql

DOOR_VERSION = "1"
"""To be raised by hand whenever a rule of `door*.sql` changes: a lake keeps to the version that it was begun with."""

LAKE_SCHEMA = arrow_schema(LAKE_TRACKING)
REJECTED_SCHEMA = pa.schema(
    [pa.field("position", pa.int64(), nullable=False), pa.field("reason", pa.string(), nullable=False)]
)

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_AT_ONCE = 10 * 2048
_CLOCKS_MAY_DIFFER_BY = timedelta(days=1)
_LENGTHS = {column.name: column.type.length for column in TRACKING.columns if column.type.kind == "text"}
_INTS = [column.name for column in TRACKING.columns if column.type.kind == "int"]
_TEXTS = [name for name in _LENGTHS if name not in {"create_time", "ed"}]
_DISTINCT_AT_MOST = 2048
"""Values of a dictionary that DuckDB reads as one: it does so anew for every batch of rows."""

_OWN = threading.local()
_Judged = Mapping[str, pa.Array]


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
    connection = _connection()
    values = _judged_values(connection, given, now)
    judged = _judged_rows(connection, given, values, rules)
    position = _as_positions(positions, rows)
    reason = judged["reason"]
    if reason.null_count == rows:
        return DoorResult(_as_lake(given, values, judged, position, source, None), REJECTED_SCHEMA.empty_table())
    is_accepted = reason.is_null()
    is_rejected = pc.invert(is_accepted)
    return DoorResult(
        accepted=_as_lake(given, values, judged, position, source, is_accepted),
        rejected=pa.table([position.filter(is_rejected), reason.filter(is_rejected)], schema=REJECTED_SCHEMA),
    )


def _judged_values(
    connection: duckdb.DuckDBPyConnection, given: Mapping[str, Coded], now: datetime
) -> Mapping[str, _Judged]:
    """What the SQL files say of each column's values: `value` as the lake keeps it, `part`, `flag`, `reason`, …"""
    newest = (now - _EPOCH + _CLOCKS_MAY_DIFFER_BY) // _MICROSECOND
    judged: dict[str, _Judged] = {}
    for view, names, parameters in (
        ("create_times", ["create_time"], {"newest": newest}),
        ("bids", ["bid"], {}),
        ("ints", _INTS, {}),
        ("texts", _TEXTS, {}),
        ("eds", ["ed"], {"most": _LENGTHS["ed"]}),
        ("client_times", ["ts"], {}),
    ):
        counts = [len(given[name].values) for name in names]
        which = np.repeat(np.arange(len(names), dtype=np.int8), counts)
        asked = {
            "value": pa.chunked_array([given[name].values for name in names]),
            "name": pa.DictionaryArray.from_arrays(which, names),
            "most": np.array([_LENGTHS.get(name, 0) for name in names], np.int32)[which],
        }
        answer = _answered(connection, view, f"door_{view}", pa.table(asked), parameters)
        start = 0
        for name, count in zip(names, counts, strict=True):
            judged[name] = _columns(answer.slice(start, count))
            start += count
    return judged


def _judged_rows(
    connection: duckdb.DuckDBPyConnection,
    given: Mapping[str, Coded],
    values: Mapping[str, _Judged],
    rules: DoorRules,
) -> _Judged:
    """What `door.sql` says of the rows."""
    rows = {f"{name}_part": _for_duckdb(given[name], values[name]["part"]) for name in given}
    for name in ("create_time", "campaign_id", "group_id", "job_id", "publisher_id", "bid", "ed"):
        rows[f"{name}_reason"] = _for_duckdb(given[name], values[name]["reason"])
    rows |= {
        "received_at": given["create_time"].of_rows(values["create_time"]["received_at"]),
        "ts": given["ts"].of_rows(values["ts"]["value"]),
        "job_id": given["job_id"].of_rows(values["job_id"]["value"]),
        "publisher_id": given["publisher_id"].of_rows(values["publisher_id"]["value"]),
        "ed_job_id": given["ed"].of_rows(values["ed"]["job_id"]),
        "ed_publisher_id": given["ed"].of_rows(values["ed"]["publisher_id"]),
    }
    parameters = {
        "time_zone": rules.time_zone,
        "first_day": rules.first_day,
        "max_age": rules.max_age // _MICROSECOND,
        "max_ahead": rules.max_ahead // _MICROSECOND,
    }
    return _columns(_answered(connection, "judged", "door", pa.table(rows), parameters))


def _for_duckdb(column: Coded, of_values: pa.Array) -> pa.Array:
    """What is given for each value, for each row, as a dictionary where that is small."""
    if column.codes is None or len(of_values) > _DISTINCT_AT_MOST:
        return column.of_rows(of_values)
    return pa.DictionaryArray.from_arrays(column.codes, of_values)


def _answered(
    connection: duckdb.DuckDBPyConnection, view: str, statement: str, asked: pa.Table, parameters: Mapping[str, Any]
) -> pa.Table:
    # DuckDB's threads share out whole record batches.
    batches = pa.Table.from_batches(asked.to_batches(max_chunksize=_ROWS_AT_ONCE), asked.schema)
    connection.register(view, batches)
    try:
        return connection.sql(load_sql("model", statement), params=dict(parameters)).to_arrow_table()
    finally:
        connection.unregister(view)


def _connection() -> duckdb.DuckDBPyConnection:
    """This thread's own, in this process: to make one takes as long as to judge thousands of rows."""
    connections = _OWN.__dict__.setdefault("of_process", {})
    if os.getpid() not in connections:
        connection = connect_duckdb()
        connection.execute(load_sql("model", "door_macros"))
        connections[os.getpid()] = connection
    own: duckdb.DuckDBPyConnection = connections[os.getpid()]
    return own


def _columns(table: pa.Table) -> _Judged:
    return {name: table.column(name).combine_chunks() for name in table.column_names}


def _as_positions(positions: int | pa.Array | pa.ChunkedArray, rows: int) -> pa.Array:
    if isinstance(positions, int):
        return pa.array(np.arange(positions, positions + rows, dtype=np.int64))
    whole = positions.combine_chunks() if isinstance(positions, pa.ChunkedArray) else positions
    return whole.cast(pa.int64())


def _as_lake(
    given: Mapping[str, Coded],
    values: Mapping[str, _Judged],
    judged: _Judged,
    position: pa.Array,
    source: str,
    wanted: pa.Array | None,
) -> pa.Table:
    """The rows that are wanted, all where None, as `LAKE_TRACKING`."""
    if wanted is not None:
        judged = {name: column.filter(wanted) for name, column in judged.items()}
        position = position.filter(wanted)
    rows = len(position)
    columns = {
        **{name: given[name].of_rows(values[name]["value"], wanted) for name in given},
        **judged,
        "received_at": given["create_time"].of_rows(values["create_time"]["received_at"], wanted),
        "bid_micros": given["bid"].of_rows(values["bid"]["bid_micros"], wanted),
        "payload_hash": _lower_halves(judged["payload_md5"]),
        "flags": _flags(given, values, rows, wanted),
        "source": pa.array([source]).take(pa.array(np.zeros(rows, np.int8))),
        "position": position,
    }
    return pa.table([columns[field.name].cast(field.type) for field in LAKE_SCHEMA], schema=LAKE_SCHEMA)


def _lower_halves(numbers: pa.Array) -> pa.Array:
    """Of numbers of 128 bits the lower 64, as signed integers."""
    words = np.frombuffer(numbers.buffers()[1] or b"", np.int64)
    return pa.array(words[2 * numbers.offset : 2 * (numbers.offset + len(numbers)) : 2])


def _flags(given: Mapping[str, Coded], values: Mapping[str, _Judged], rows: int, wanted: pa.Array | None) -> pa.Array:
    """What is noted about each row, in the order of the columns; null where nothing is."""
    noted = [
        (column, values[name]["flag"])
        for name, column in given.items()
        if "flag" in values[name] and values[name]["flag"].null_count < len(values[name]["flag"])
    ]
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
