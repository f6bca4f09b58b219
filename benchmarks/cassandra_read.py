"""A day out of Cassandra into Arrow, and into it: the lake's own way against the driver's, in rows and CPU seconds.

What belongs here: what is measured, on a server of its own, both ways alternating in one run, the rows compared. What
does not: judging it; that is what tests are for.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from cassandra.concurrent import execute_concurrent_with_args

from benchmarks.measured import measured
from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.model.door import LAKE_SCHEMA, DoorRules
from recruitment_platform.pipeline.snapshot import LAKE_COLUMNS
from recruitment_platform.resources.cassandra.events import STORED, bucket_of, columns_for
from recruitment_platform.resources.cassandra.frames import uuid_bytes
from recruitment_platform.resources.cassandra.lake import CassandraLake, migrate_cassandra, open_cassandra_lake
from recruitment_platform.resources.cassandra.session import FETCH_SIZE
from recruitment_platform.resources.cassandra.sources import STATEMENTS
from recruitment_platform.resources.lake.parquet import open_lake
from recruitment_platform.servers.cassandra import PERIODIC
from recruitment_platform.servers.server import Server
from recruitment_platform.servers.starting import start_server
from recruitment_platform.sql import connect_duckdb

RULES = DoorRules(time_zone="UTC", first_day=date(2020, 1, 1))
DAY = date(2025, 6, 2)
TIMES = 5
APPENDED_AT_ONCE = 20_000
ONE_BY_ONE = 4_000
"""Rows that are written one by one, each time: it is slow."""


@dataclass(frozen=True)
class Cost:
    """Rows a second, and microseconds of CPU a row: the client's and the server's."""

    rows_a_second: float
    client: float
    server: float


def main() -> None:
    """Simulates a day, writes it and reads it in both ways; prints a Markdown table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        measured(home, "simulate", *("--from", str(DAY), "--to", str(DAY)), "--events-per-day", str(asked.events))
        with connect_duckdb() as connection, open_lake(home / "lake", RULES).scan(DAY).read_by(connection):
            events = connection.table("events").to_arrow_table().cast(LAKE_SCHEMA).combine_chunks()
        server = start_server(PERIODIC, Path(folder))
        try:
            report(server, events)
        finally:
            server.kill()


def report(server: Server, events: pa.Table) -> None:
    """Measures and prints."""
    address = CassandraAddress(port=server.port, user=server.user, password=server.password, keyspace="bench")
    migrate_cassandra(address, RULES)
    lake = open_cassandra_lake(address, RULES)
    other = address.model_copy(update={"keyspace": "bench_one_by_one"})
    migrate_cassandra(other, RULES)
    plain = open_cassandra_lake(other, RULES)
    events = events.sort_by([("source", "ascending"), ("position", "ascending")])
    share = events.num_rows // TIMES + 1
    appended, one_by_one, ours, tuples, in_turn = [], [], [], [], []
    for at in range(0, events.num_rows, share):
        appended.append(write(server, lake, events.slice(at, share)))
        one_by_one.append(write_one_by_one(server, plain, events.slice(at, ONE_BY_ONE)))
    expected = digest(read(lake))
    for _ in range(TIMES):
        ours.append(costs(server, lambda: read(lake), expected))
        tuples.append(costs(server, lambda: read_tuples(lake, threads=4), expected))
        in_turn.append(costs(server, lambda: read_tuples(lake, threads=1), expected))
    writing = [("`append`", median(appended)), ("`execute_concurrent_with_args`", median(one_by_one))]
    reading = [
        ("`scan`", median(ours)),
        ("the driver's tuples, 4 threads", median(tuples)),
        ("the driver's tuples, one thread", median(in_turn)),
    ]
    print(f"{events.num_rows:,} events\n")
    print("\n".join([*compared("into Cassandra", writing), "", *compared("a day of Cassandra into Arrow", reading)]))


def compared(title: str, lines: Sequence[tuple[str, Cost]]) -> list[str]:
    """A Markdown table; the last line is what the others are compared with."""
    plain = lines[-1][1]
    rows = [
        f"| {what} | {cost.rows_a_second:,.0f} | {cost.client:.1f} | {cost.server:.1f}"
        f" | {cost.rows_a_second / plain.rows_a_second:.1f} | {cost.client / plain.client:.2f} |"
        for what, cost in lines
    ]
    heads = [
        title,
        "rows/s",
        "client's CPU, µs a row",
        "Cassandra's CPU, µs a row",
        "times the rows/s",
        "times the CPU",
    ]
    return [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|", *rows]


def read(lake: CassandraLake) -> pa.Table:
    """A day by the lake."""
    return lake.scan(DAY, LAKE_COLUMNS).events.read_all()


def read_tuples(lake: CassandraLake, threads: int) -> pa.Table:
    """A day by the driver: each page's tuples made columns, then an Arrow table with the contract's columns."""
    names = columns_for(LAKE_COLUMNS)
    statement = lake.connection.prepare(STATEMENTS["events"].format(columns=", ".join(names)))
    session = lake.connection.rows
    session.default_fetch_size = FETCH_SIZE

    def bucket(number: int) -> list[pa.RecordBatch]:
        batches = []
        result = session.execute(statement, {"event_date": DAY, "bucket": number})
        while True:
            columns = (
                dict(zip(names, zip(*result.current_rows, strict=True), strict=True)) if result.current_rows else {}
            )
            if columns:
                columns["create_time"] = [str(value) for value in columns["create_time"]]
                batches.append(pa.RecordBatch.from_pydict({name: pa.array(columns[name]) for name in names}))
            if not result.has_more_pages:
                return batches
            result.fetch_next_page()

    with ThreadPoolExecutor(threads) as pool:
        found = [batch for batches in pool.map(bucket, range(lake.buckets)) for batch in batches]
    return pa.Table.from_batches(found, found[0].schema) if found else pa.table({})


def digest(table: pa.Table) -> tuple[int, int, int]:
    """What both ways must agree on: rows, and sums over what identifies and what counts."""
    hashes = pc.sum(pc.cast(pc.bit_wise_and(table["payload_hash"], 0xFFFFFFFF), pa.int64())).as_py()
    return table.num_rows, hashes, pc.sum(table["position"]).as_py()


def costs(server: Server, work: Callable[[], pa.Table | int], expected: object = None) -> Cost:
    """What the work costs; AssertionError where it gives other rows."""
    client, at_server, began = time.process_time(), server_seconds(server), time.monotonic()
    result = work()
    seconds = time.monotonic() - began
    client, at_server = time.process_time() - client, server_seconds(server) - at_server
    rows = result if isinstance(result, int) else result.num_rows
    if expected is not None and not isinstance(result, int):
        assert digest(result) == expected, (digest(result), expected)
    return Cost(rows / seconds, client / rows * 1e6, at_server / rows * 1e6)


def median(found: Sequence[Cost]) -> Cost:
    """Each figure's median."""
    return Cost(
        *(statistics.median(getattr(cost, name) for cost in found) for name in ("rows_a_second", "client", "server"))
    )


def server_seconds(server: Server) -> float:
    """CPU that the server's process has had."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write(server: Server, lake: CassandraLake, events: pa.Table) -> Cost:
    """The day by `append`, in batches, each source's positions in order."""

    def work() -> int:
        for source in pc.unique(events["source"]).to_pylist():
            of_source = events.filter(pc.equal(events["source"], source)).sort_by("position")
            for at in range(0, of_source.num_rows, APPENDED_AT_ONCE):
                batch = of_source.slice(at, APPENDED_AT_ONCE)
                after, last = lake.progress(source), batch["position"][-1].as_py()
                assert lake.append(
                    source, accepted=batch, rejected=[], after=after, last_position=last, received=batch.num_rows
                )
        return int(events.num_rows)

    return costs(server, work)


def write_one_by_one(server: Server, lake: CassandraLake, events: pa.Table) -> Cost:
    """Some events as one writes them by the driver's own means: a prepared insert each, many under way."""
    insert = lake.connection.prepare(
        STATEMENTS["add_event"].format(columns=", ".join(STORED), markers=", ".join(f":{name}" for name in STORED))
    )
    some = events.combine_chunks()
    buckets = bucket_of(uuid_bytes(some["create_time"].chunk(0)), lake.buckets).tolist()

    def work() -> int:
        rows = some.to_pylist()
        for row, bucket in zip(rows, buckets, strict=True):
            row |= {"bucket": bucket, "arrival": row["source"], "create_time": UUID(row["create_time"])}
            for name in ("ts", "event_time"):
                row[name] = None if row[name] is None else int(row[name].timestamp() * 1_000_000)
        values = [{name: row[name] for name in STORED if row[name] is not None} for row in rows]
        execute_concurrent_with_args(lake.connection.rows, insert, values, concurrency=100)
        return len(values)

    return costs(server, work)


if __name__ == "__main__":
    main()
