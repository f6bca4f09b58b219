"""A day of the lake on Cassandra for other processes to read, a bucket each.

What belongs here: what those processes need to be told, and what they do with it. What does not: how a bucket is read
(`reading`), and who the processes are.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pyarrow as pa

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.resources.cassandra.reading import Part, read_part, select, visible_by_day
from recruitment_platform.resources.cassandra.session import connected
from recruitment_platform.resources.cassandra.sources import Entry


def read_bucket(
    address: CassandraAddress, wait: timedelta, entries: Sequence[Entry], columns: Sequence[str], bucket: int
) -> Iterator[pa.RecordBatch]:
    """The visible events of the entries' days in one bucket; StoreUnavailableError where they cannot be read.

    Each process has its connection, kept for the next bucket.
    """
    connection = connected(address, wait)
    cql = select("events", columns)
    for day, visible in visible_by_day(entries).items():
        part = Part(connection.statement(cql, event_date=day, bucket=bucket), day, visible)
        yield from read_part(connection, part, columns)
