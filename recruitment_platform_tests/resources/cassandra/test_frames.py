"""Events to and from the bytes of Cassandra's protocol: the same as the driver's own, for any events."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from cassandra import ConsistencyLevel
from cassandra.cqltypes import Int32Type, LongType, SimpleDateType, TimeUUIDType, UTF8Type
from cassandra.protocol import BatchMessage, _ProtocolHandler, write_int, write_value
from cassandra.query import BatchStatement, BatchType, PreparedStatement
from hypothesis import given, settings
from hypothesis import strategies as st

from recruitment_platform.model.contract import LAKE_TRACKING
from recruitment_platform.model.door import LAKE_SCHEMA
from recruitment_platform.resources.cassandra.events import (
    STORED,
    Visible,
    batches,
    bucket_of,
    columns_for,
    events_of,
)
from recruitment_platform.resources.cassandra.frames import FrameHandler, page_of, uuid_bytes

DAY = date(2025, 6, 2)
SOURCE = "kafka:tracking:3"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DRIVER_TYPES = {
    "int": Int32Type,
    "bigint": LongType,
    "text": UTF8Type,
    "timeuuid": TimeUUIDType,
    "date": SimpleDateType,
}
INTS = st.integers(-(2**31), 2**31 - 1)
BIGINTS = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def ids() -> st.SearchStrategy[str]:
    fields = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.integers(0, 0xFFF))
    rest = st.tuples(st.integers(0x80, 0xBF), st.integers(0, 255), st.integers(0, 2**48 - 1))
    return st.builds(lambda f, r: str(UUID(fields=(f[0], f[1], f[2] | 0x1000, *r))), fields, rest)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """An event as the lake's door could give it, as far as its types go."""
    row: dict[str, Any] = {}
    for column in LAKE_TRACKING.columns:
        kind = {"int": INTS, "bigint": BIGINTS, "text": TEXTS, "timestamp": INSTANTS, "date": st.just(DAY)}
        values = kind.get(column.type.kind, st.none())
        row[column.name] = draw(values | st.none() if column.nullable else values)
    row["create_time"] = draw(ids())
    ticks = UUID(row["create_time"]).time
    row["received_at"] = EPOCH + timedelta(microseconds=ticks // 10 - 12_219_292_800_000_000)
    micros = draw(st.none() | st.integers(0, 10**18 - 1))
    row["bid"] = None if micros is None else Decimal(micros).scaleb(-6)
    row["bid_micros"] = micros or 0
    row["source"] = SOURCE
    return row


def table(found: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(found, schema=LAKE_SCHEMA)


def stored(row: Mapping[str, Any], bucket: int) -> dict[str, Any]:
    """The row's values for the driver; those that are null are left out, and so unset."""
    values: dict[str, Any] = {
        **row,
        "bucket": bucket,
        "arrival": row["source"],
        "create_time": UUID(row["create_time"]),
    }
    values["bid_micros"] = None if row["bid"] is None else row["bid_micros"]
    for name in ("ts", "event_time"):
        if row[name] is not None:
            values[name] = (row[name] - EPOCH) // timedelta(microseconds=1)
    return {name: values[name] for name in STORED if values[name] is not None}


def statement() -> PreparedStatement:
    described = [("keyspace", "tracking", name, DRIVER_TYPES[kind]) for name, kind in STORED.items()]

    class Described(tuple):  # type: ignore[type-arg]
        """What the driver reads of a column: by place and by name."""

        keyspace_name = property(lambda self: self[0])
        table_name = property(lambda self: self[1])
        name = property(lambda self: self[2])
        type = property(lambda self: self[3])

    columns = [Described(column) for column in described]
    return PreparedStatement(columns, b"0123456789abcdef", [0, 1], "INSERT", "keyspace", 5, None, None)


@settings(max_examples=30, deadline=None)
@given(st.lists(rows(), min_size=1, max_size=6))
def test_a_batch_is_byte_for_byte_what_the_driver_would_send(found: list[dict[str, Any]]) -> None:
    insert = statement()
    (ours,) = batches(table(found), SOURCE, insert, buckets=1)
    driver = BatchStatement(BatchType.UNLOGGED, consistency_level=ConsistencyLevel.LOCAL_QUORUM)
    for row in found:
        driver.add(insert, stored(row, 0))

    def frame(batch: BatchStatement, handler: type[_ProtocolHandler]) -> bytes:
        message = BatchMessage(
            batch.batch_type, batch._statements_and_parameters, batch.consistency_level, None, 1_700_000_000_000_000
        )
        message.tracing, message.custom_payload = False, None
        return bytes(handler.encode_message(message, 7, 5, None, False))

    assert frame(ours, FrameHandler) == frame(driver, _ProtocolHandler)
    assert ours.routing_key == insert.bind(stored(found[0], 0)).routing_key


def body(found: list[dict[str, Any]], names: list[str]) -> bytes:
    """A result's rows as a server sends them, each value written by the driver."""
    out = BytesIO()
    write_int(out, len(found))
    for row in found:
        values = stored(row, 0)
        for name in names:
            value = values.get(name)
            write_value(out, None if value is None else DRIVER_TYPES[STORED[name]].serialize(value, 5))
    return out.getvalue()


@settings(max_examples=30, deadline=None)
@given(st.lists(rows(), max_size=6))
def test_a_page_of_rows_becomes_the_events_that_were_written(found: list[dict[str, Any]]) -> None:
    names = columns_for(LAKE_SCHEMA.names)
    everything = Visible.of({SOURCE: (2**63 - 1, SOURCE)})
    batch = events_of(page_of(body(found, names), names), DAY, LAKE_SCHEMA.names, everything)
    batch.validate(full=True)
    assert pa.Table.from_batches([batch]).equals(table(found))


@pytest.mark.parametrize("length", [5, 40, -1, -20])
def test_a_page_that_was_cut_short_is_refused(length: int) -> None:
    row = {**dict.fromkeys(LAKE_SCHEMA.names), "create_time": "00000000-0000-1000-8000-000000000000", "event_date": DAY}
    row |= {"source": SOURCE, "position": 1, "payload_hash": 5}
    names = columns_for(["create_time", "payload_hash"])
    whole = body([row, row], names)
    assert page_of(whole, names).rows == 2
    with pytest.raises(ValueError, match="are not 2 rows of 4 columns"):
        page_of(whole[:length], names)


def test_only_arrivals_up_to_their_last_position_are_seen_under_the_name_of_their_source() -> None:
    row = dict.fromkeys(LAKE_SCHEMA.names)
    row |= {"create_time": "00000000-0000-1000-8000-000000000000", "event_date": DAY}
    found = [
        {**row, "source": source, "position": position, "payload_hash": position}
        for source, position in (("a", 1), ("a", 2), ("a", 3), ("b", 1), ("replay:1:a", 9), ("replay:2:a", 9))
    ]
    visible = Visible.of({"a": (2, "a"), "replay:2:a": (2**63 - 1, "a")})
    names = columns_for(["source", "position"])
    seen = events_of(page_of(body(found, names), names), DAY, ["source", "position"], visible)
    assert seen.to_pylist() == [{"source": "a", "position": position} for position in (1, 2, 9)]


def test_an_ids_bucket_stays_the_same_for_ever_and_spreads_ids_evenly() -> None:
    known = ["5d8f0000-3f1a-11f0-8001-000000000000", "5d8f0000-3f1a-11f0-8001-000000000001"]
    assert bucket_of(uuid_bytes(pa.array(known)), 16).tolist() == [12, 3]
    many = [f"{number:08x}-3f1a-11f0-8001-000000000000" for number in range(16_000)]
    counts = np.bincount(bucket_of(uuid_bytes(pa.array(many)), 16), minlength=16)
    assert counts.min() > 800
    assert counts.max() < 1200
