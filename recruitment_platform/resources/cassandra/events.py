"""The table `tracking` of the Cassandra lake: its columns, and events to and from them.

What belongs here: how an event is laid out in Cassandra. What does not: the bytes (`frames`), when events are
written and which are visible (`lake`).

Times and money are stored as bigint in microseconds and micros, because Cassandra's timestamp has milliseconds only.
What follows from other columns is not stored: `received_at` is the time in `create_time`, `bid` is `bid_micros`, null
included, `event_date` is the partition's, and `source` follows from the arrival.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from cassandra.query import BatchStatement, PreparedStatement

from recruitment_platform.model.contract import LAKE_TRACKING, Column
from recruitment_platform.model.door import LAKE_SCHEMA
from recruitment_platform.resources.cassandra.frames import Bytes, Page, Wire, batch_of, encode, uuid_bytes

KEY: Mapping[str, Wire] = {
    "event_date": "date",
    "bucket": "int",
    "create_time": "timeuuid",
    "payload_hash": "bigint",
    "arrival": "text",
    "position": "bigint",
}
"""The primary key. Each arrival is a row of its own, so that what was not committed hides nothing that was."""

_DERIVED = {"received_at": "create_time", "bid": "bid_micros", "event_date": "event_date", "source": "arrival"}
_ROWS_OF_A_BATCH = 200
_BYTES_OF_A_BATCH = 128 * 1024


def _wire(column: Column) -> Wire:
    match column.type.kind:
        case "text":
            return "text"
        case "int":
            return "int"
        case _:
            return "bigint"


STORED: Mapping[str, Wire] = {
    **KEY,
    **{
        column.name: _wire(column)
        for column in LAKE_TRACKING.columns
        if column.name not in KEY and column.name not in _DERIVED
    },
}
"""Every column of the table and its CQL type."""


def schema_of(wanted: Sequence[str]) -> pa.Schema:
    """The schema of these columns of `LAKE_TRACKING`."""
    return pa.schema(LAKE_SCHEMA.field(name) for name in wanted)


def columns_for(wanted: Sequence[str]) -> list[str]:
    """The stored columns that these columns of `LAKE_TRACKING` are made of, with those that tell what is visible."""
    needed = {_DERIVED.get(name, name) for name in wanted} | {"arrival", "position"}
    return [name for name in STORED if name in needed and name not in ("event_date", "bucket")]


@dataclass(frozen=True)
class Visible:
    """The arrivals that count: up to which position, and the source that the contract names."""

    arrivals: pa.StringArray
    last_positions: pa.Int64Array
    sources: pa.StringArray

    @classmethod
    def of(cls, arrivals: Mapping[str, tuple[int, str]]) -> "Visible":
        """From last position and source of each arrival."""
        limits = [limit for limit, _ in arrivals.values()]
        sources = [source for _, source in arrivals.values()]
        return cls(pa.array(list(arrivals), pa.string()), pa.array(limits, pa.int64()), pa.array(sources, pa.string()))


def events_of(page: Page, day: date, wanted: Sequence[str], visible: Visible) -> pa.RecordBatch:
    """The page's events that are visible, with these columns of `LAKE_TRACKING`."""
    positions = page.column("position", "bigint")
    arrival = pc.index_in(page.column("arrival", "text"), value_set=visible.arrivals)
    seen = pc.fill_null(pc.less_equal(positions, visible.last_positions.take(arrival)), False)
    columns = []
    for name in wanted:
        kind = LAKE_SCHEMA.field(name).type
        match name:
            case "received_at":
                columns.append(page.clock("create_time"))
            case "event_date":
                columns.append(pa.repeat(pa.scalar(day, kind), page.rows))
            case "source":
                columns.append(visible.sources.take(arrival))
            case "position":
                columns.append(positions)
            case "bid":
                columns.append(_money(page.column("bid_micros", "bigint"), kind))
            case "bid_micros":
                columns.append(pc.fill_null(page.column("bid_micros", "bigint"), 0))
            case _:
                columns.append(page.column(name, STORED[name]).cast(kind))
    batch = pa.RecordBatch.from_arrays(columns, schema=schema_of(wanted))
    return batch if pc.all(seen).as_py() is not False else batch.filter(seen)


def bucket_of(ids: Bytes, buckets: int) -> npt.NDArray[np.int32]:
    """The bucket of each id (16 bytes): from all its bits, the same for ever."""
    halves = ids.view(">u8").astype(np.uint64)
    mixed = _mixed(halves[:, 0] ^ _mixed(halves[:, 1]))
    return (mixed % np.uint64(buckets)).astype(np.int32)


def batches(
    events: pa.Table, arrival: str | pa.Array, insert: PreparedStatement, buckets: int
) -> Iterator[BatchStatement]:
    """The events as unlogged batches of one partition each, which any number of writes leave the same."""
    events = events.combine_chunks()
    ids = uuid_bytes(_array(events, "create_time"))
    bucket = bucket_of(ids, buckets)
    days = _array(events, "event_date")
    day_numbers = days.cast(pa.int32()).to_numpy()
    order = np.lexsort((bucket, day_numbers))
    made: dict[str, object] = {
        "create_time": ids,
        "bucket": pa.array(bucket),
        "arrival": pa.repeat(pa.scalar(arrival), len(events)) if isinstance(arrival, str) else arrival,
        "bid_micros": pc.if_else(pc.is_valid(_array(events, "bid")), _array(events, "bid_micros"), None),
    }
    columns = []
    for name, wire in STORED.items():
        values = made[name] if name in made else _array(events, name)
        if wire == "bigint" and isinstance(values, pa.Array):
            values = values.cast(pa.int64())
        columns.append((wire, values))
    rows = encode(insert.query_id, columns, order)
    partition = (day_numbers.astype(np.int64) * buckets + bucket)[order]
    first = 0
    for at in range(1, len(order) + 1):
        size = rows.ends[at - 1] - (rows.ends[first - 1] if first else 0)
        full = at - first == _ROWS_OF_A_BATCH or size >= _BYTES_OF_A_BATCH
        if at == len(order) or full or partition[at] != partition[first]:
            row = order[first]
            key = [(int(day_numbers[row]) + 2**31).to_bytes(4, "big"), int(bucket[row]).to_bytes(4, "big")]
            yield batch_of(rows, first, at, key)
            first = at


def _array(events: pa.Table, name: str) -> pa.Array:
    column = events.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of the input changes half of the output's."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _money(micros: pa.Int64Array, kind: pa.DataType) -> pa.Array:
    """Micros as a decimal with six places, whose unscaled number they are: 128 bits, little-endian."""
    low = micros.fill_null(0).to_numpy()
    wide = np.column_stack([low, low >> 63])
    validity = micros.buffers()[0]
    return pa.Array.from_buffers(kind, len(micros), [validity, pa.py_buffer(wide)], micros.null_count)
