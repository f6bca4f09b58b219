"""The door of the lake: parses, types and judges tracking events, once, for whoever brings them in.

What belongs here: rules 1, 2, 4, 5 and 6 of the data, as one vectorised function over Arrow tables: what they say of
rows. What does not: what they say of values, each asked once (`door_values`), which text a value of Arrow is
(`door_columns`), how rows come out of a file or a topic (`ingest`), where they go (`resources`), and what is computed
from them (`transforms`).
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
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

    `accepted` has the columns of `LAKE_TRACKING` (`LAKE_SCHEMA`; coded, texts that come again are dictionaries of
    different ones, without null); `rejected` has `position` (int64) and `reason` (text).
    """

    accepted: pa.Table
    rejected: pa.Table


def is_for_lake(events: pa.Table) -> bool:
    """Whether the table is what the door gives as accepted, coded or not."""
    kinds = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in events.schema.types)
    return bool(pa.schema(map(pa.Field.with_type, events.schema, kinds)).equals(LAKE_SCHEMA))


def uncoded(events: pa.Table) -> pa.Table:
    """The same accepted events with all texts plain, as `LAKE_SCHEMA` has them; ValueError where they are no such."""
    if not is_for_lake(events):
        raise ValueError("events for the lake are what the door returns as accepted")
    return events.cast(LAKE_SCHEMA)


def through(
    raw: pa.Table,
    rules: DoorRules,
    source: str,
    positions: int | pa.Array | pa.ChunkedArray,
    now: datetime,
    *,
    coded: bool = False,
) -> DoorResult:
    """Types and judges a batch of tracking events.

    `raw` has any of the 29 tracking columns, in any order and of any Arrow types: values are read as text, so CSV, JSON
    and Parquet of one event give one row and one `payload_hash`. Columns it lacks are null, others are ignored; those
    of few values are quickest as dictionaries. `positions` is the position of the first row in `source` (the others
    follow it), or an array with each row's own; `now` (with a time zone) is what receive times are held against.
    `coded` is for who takes accepted texts as dictionaries: where values come again, nobody has to copy them.
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
    given = {name: replace(column, values=values[name].value) for name, column in given.items()}
    batch = _Rows(given, values, _as_positions(positions, rows), *_times(given, values, rules))
    places, reasons = _rejected(batch, rules)
    rejected = pa.table([batch.positions.take(places), reasons], schema=REJECTED_SCHEMA)
    if len(places):
        is_accepted = np.ones(rows, bool)
        is_accepted[places.to_numpy()] = False
        batch = batch.kept(pa.array(is_accepted))
    return DoorResult(_as_lake(batch, source, coded), rejected)


@dataclass(frozen=True)
class _Rows:
    """Rows of a batch: of each column its values as the lake keeps them, which each row has, and what is said of them;
    of each row its position, its event time and whether that is `ts`, and its day.
    """

    given: Mapping[str, Coded]
    values: Mapping[str, "Judged"]
    positions: pa.Array
    event_time: pa.Array
    is_ts: pa.Array
    days: pa.Array

    def kept(self, wanted: pa.Array) -> "_Rows":
        """The rows that are wanted (bool)."""
        given, values = {}, {}
        for name, column in self.given.items():
            codes = column.codes
            values[name] = self.values[name].kept(wanted) if codes is None else self.values[name]
            given[name] = Coded(values[name].value, None if codes is None else codes.filter(wanted))
        of_rows = (self.positions, self.event_time, self.is_ts, self.days)
        return _Rows(given, values, *(column.filter(wanted) for column in of_rows))


def _times(
    given: Mapping[str, Coded], values: Mapping[str, "Judged"], rules: DoorRules
) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Each row's event time, whether that is its `ts`, and the time's day."""
    received = given["create_time"].of_rows(values["create_time"].derived["received_at"]).view(pa.int64()).to_numpy()
    ts = given["ts"].of_rows(given["ts"].values)
    is_believed = ts.is_valid().to_numpy(zero_copy_only=False)
    times = pc.fill_null(ts.view(pa.int64()), 0).to_numpy()
    is_believed &= (times >= received - rules.max_age // _MICROSECOND) & (
        times <= received + rules.max_ahead // _MICROSECOND
    )
    event_time = np.where(is_believed, times, received)
    return pa.array(event_time), pa.array(is_believed), _days(event_time, rules.time_zone)


def _rejected(batch: _Rows, rules: DoorRules) -> tuple[pa.Array, pa.Array]:
    """The places of the rows that are rejected, ascending, and why each of them is."""
    given, values = batch.given, batch.values
    reasons = {name: reason for name in (*_REASONS, "ed") if (reason := values[name].reason) is not None}
    suspected = pc.less(batch.days, rules.first_day).to_numpy(zero_copy_only=False)
    for name, reason in reasons.items():
        suspected = suspected | given[name].rows_with(reason)
    # The few rows are looked at alone.
    places = pa.array(np.flatnonzero(suspected).astype(np.int32))
    found = {name: given[name].at(places).of_rows(reason).cast(pa.string()) for name, reason in reasons.items()}
    if "ed" in found:
        job_id = given["job_id"].at(places)
        found["ed"] = pc.if_else(job_id.of_rows(job_id.values).is_null(), found["ed"], None)
    too_old = f"event day is before the first day {rules.first_day}"
    is_too_old = pc.less(batch.days.take(places), rules.first_day)
    reason = pc.coalesce(*found.values(), pc.if_else(is_too_old, too_old, pa.scalar(None, pa.string())))
    return places.filter(reason.is_valid()), reason.drop_null()


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


def _as_lake(batch: _Rows, source: str, coded: bool) -> pa.Table:
    """The rows as `LAKE_SCHEMA`, texts that come again as dictionaries where they are to be `coded`."""
    from recruitment_platform.model.door_hash import row_hashes

    given, values, rows = batch.given, batch.values, len(batch.positions)
    kept = {
        **given,
        "time_source": Coded(pa.array(["create_time", "ts"]), batch.is_ts.cast(pa.int32())),
        "flags": _flags(batch),
        "source": Coded(pa.array([source]), pa.array(np.zeros(rows, np.int32))),
    }
    columns = {
        **{name: column.as_texts() if coded else column.of_rows(column.values) for name, column in kept.items()},
        **{name: given[of].of_rows(column) for of in given for name, column in values[of].derived.items()},
        "event_time": batch.event_time,
        "event_date": batch.days,
        "payload_hash": pa.array(
            row_hashes(((values[name].hashes, given[name].numpy_codes()) for name in given), rows)
        ),
        "position": batch.positions,
    }
    for name in ("job_id", "publisher_id"):
        columns[f"resolved_{name}"] = pc.coalesce(columns[name], columns[f"resolved_{name}"])
    arrays = [
        column if pa.types.is_dictionary((column := columns[field.name]).type) else column.cast(field.type)
        for field in LAKE_SCHEMA
    ]
    fields = [field.with_type(column.type) for field, column in zip(LAKE_SCHEMA, arrays, strict=True)]
    return pa.table(arrays, schema=pa.schema(fields))


def _flags(batch: _Rows) -> Coded:
    """What is noted about each row, in the order of the columns; null where nothing is."""
    rows = len(batch.positions)
    noted = [(column, flag) for name, column in batch.given.items() if (flag := batch.values[name].flag) is not None]
    # The few rows are joined alone: where all is null, Arrow's join would leave the row out.
    here = reduce(np.logical_or, [column.rows_with(flag) for column, flag in noted], np.zeros(rows, bool))
    places = np.flatnonzero(here).astype(np.int32)
    texts = [column.at(pa.array(places)).of_rows(flag).cast(pa.string()) for column, flag in noted]
    codes = np.full(rows, len(places), np.int32)
    codes[places] = np.arange(len(places))
    joined = [pc.binary_join_element_wise(*texts, "; ", null_handling="skip")] if len(places) else []
    return Coded(pa.concat_arrays([*joined, pa.nulls(1, pa.string())]), pa.array(codes))
