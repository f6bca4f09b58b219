"""Ids that stand on two days, without reading the days whole.

An id is the time at which its event was received. Of two events with one id, on two days, the earlier one was received
when its day was over (or as good as over, by what a client's clock may be ahead): it is late. So only late events are
read, a slice of each partition, and looked up on the days after.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.model.door import DoorRules
from recruitment_platform.resources.cassandra.events import Visible, bucket_of
from recruitment_platform.resources.cassandra.frames import GREGORIAN_MICROS, uuid_bytes
from recruitment_platform.resources.cassandra.reading import Part, read, select, visible_by_day
from recruitment_platform.resources.cassandra.session import Connected
from recruitment_platform.resources.cassandra.sources import event_entries
from recruitment_platform.resources.lake.parquet import IDS_SCHEMA, as_good_as_over, days_of_one_id

_ID = ("create_time",)
_LATE = ("create_time", "received_at", "event_date")
_IDS_AT_ONCE = 100
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def ids_on_two_days(connection: Connected, rules: DoorRules, buckets: int, first: date, last: date) -> pa.Table:
    """(create_time, event_date) of these days' events whose id also stands on another day, in that order."""
    reach = days_of_one_id(rules)
    entries = (entry for entry in event_entries(connection) if first - reach <= entry.day <= last + reach)
    visible = visible_by_day(entries)
    earlier = {day: of_day for day, of_day in visible.items() if day <= last}
    late = _late(connection, rules, buckets, earlier, first)
    found: list[pa.Table] = []
    for day, of_day in visible.items():
        # Of days that were not asked, only their events' being on asked ones is of interest.
        reaches = pc.and_(
            pc.less(late["event_date"], pa.scalar(day, pa.date32())),
            pc.greater_equal(late["received_at"], pa.scalar(_beginning(rules, day), pa.timestamp("us", tz="UTC"))),
        )
        if day < first:
            continue
        if day > last:
            reaches = pc.and_(reaches, pc.greater_equal(late["event_date"], pa.scalar(first, pa.date32())))
        candidates = late.filter(reaches)
        there = _among(connection, buckets, day, of_day, pc.unique(candidates["create_time"]))
        both = candidates.filter(pc.is_in(candidates["create_time"], value_set=there["create_time"].combine_chunks()))
        found += [both.select(IDS_SCHEMA.names), there.select(IDS_SCHEMA.names)]
    if not found:
        return IDS_SCHEMA.empty_table()
    table = pa.concat_tables(found).cast(IDS_SCHEMA)
    asked = pc.and_(
        pc.greater_equal(table["event_date"], pa.scalar(first, pa.date32())),
        pc.less_equal(table["event_date"], pa.scalar(last, pa.date32())),
    )
    distinct = table.filter(asked).group_by(IDS_SCHEMA.names).aggregate([])
    return distinct.sort_by([(name, "ascending") for name in IDS_SCHEMA.names])


def _beginning(rules: DoorRules, day: date) -> datetime:
    """Events of the day were not received before."""
    return datetime.combine(day, time(), ZoneInfo(rules.time_zone)) - as_good_as_over(rules)


def _late(connection: Connected, rules: DoorRules, buckets: int, visible: dict[date, Visible], first: date) -> pa.Table:
    """The days' events that were received when a later day could have had them, or one from `first` on."""
    cql = select("late_events", _LATE)
    parts = [
        Part(connection.statement(cql, event_date=day, bucket=bucket, earliest=_lowest_id(received)), day, of_day)
        for day, of_day in visible.items()
        for received in [_beginning(rules, max(day + timedelta(days=1), first))]
        for bucket in range(buckets)
    ]
    return read(connection, parts, _LATE).read_all()


def _among(connection: Connected, buckets: int, day: date, visible: Visible, ids: pa.StringArray) -> pa.Table:
    """Those of the ids that stand on the day, (create_time, event_date)."""
    cql = select("events_among", _ID)
    parts = [
        Part(connection.statement(cql, event_date=day, bucket=bucket, ids=some), day, visible)
        for bucket, some in _by_bucket(ids, buckets)
    ]
    return read(connection, parts, IDS_SCHEMA.names).read_all()


def _by_bucket(ids: pa.StringArray, buckets: int) -> Iterator[tuple[int, Sequence[UUID]]]:
    bucket = bucket_of(uuid_bytes(ids), buckets)
    for number in np.unique(bucket).tolist():
        of_bucket = [UUID(text) for text in ids.filter(pa.array(bucket == number)).to_pylist()]
        for at in range(0, len(of_bucket), _IDS_AT_ONCE):
            yield number, of_bucket[at : at + _IDS_AT_ONCE]


def _lowest_id(received: datetime) -> UUID:
    """The first id of that instant, as Cassandra orders them: by time, then by the rest as signed bytes."""
    ticks = max(0, ((received - _EPOCH) // _MICROSECOND + GREGORIAN_MICROS) * 10)
    fields = (ticks & 0xFFFFFFFF, (ticks >> 32) & 0xFFFF, ((ticks >> 48) & 0x0FFF) | 0x1000, 0x80, 0x80, 0x808080808080)
    return UUID(fields=fields)
