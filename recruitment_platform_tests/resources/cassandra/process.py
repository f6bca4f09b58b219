"""A process of its own that appends to a lake on Cassandra: to be started several times at once, and killed.

`python -m recruitment_platform_tests.resources.cassandra.process COMMAND EVENTS SOURCE`, where EVENTS is a Parquet file
of accepted events; the address comes from the environment, answers go to stdout.
"""

import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.resources.cassandra import lake as cassandra
from recruitment_platform_tests.resources.lake_batches import RULES, append_all

BATCH = 50


def take(lake: cassandra.CassandraLake, events: pa.Table, source: str) -> None:
    """Waits for a line on stdin, appends all that the lake does not have yet, answers how many batches were its own."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    own = 0
    while (after := lake.progress(source)) < events.num_rows:
        batch = events.slice(after, BATCH)
        last = after + batch.num_rows
        own += lake.append(
            source, accepted=batch, rejected=[], after=after, last_position=last, received=batch.num_rows
        )
    sys.stdout.write(f"{own}\n")


def die(lake: cassandra.CassandraLake, events: pa.Table, source: str) -> None:
    """Appends the next batch, and is killed when its rows are written and its source has not moved on."""
    with patch.object(cassandra, "change", lambda *_: os.kill(os.getpid(), signal.SIGKILL)):
        append_all(lake, source, events.slice(lake.progress(source), BATCH))


if __name__ == "__main__":
    command, events, source = sys.argv[1:]
    # A server that is started again on a busy machine takes its time.
    lake = replace(cassandra.open_cassandra_lake(CassandraAddress(), RULES), wait=timedelta(minutes=4))
    {"take": take, "die": die}[command](lake, pq.read_table(events), source)
