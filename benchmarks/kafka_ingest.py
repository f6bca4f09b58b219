"""Out of Kafka into Cassandra: `ingest` against a plain loop of the two drivers, in rows and CPU.

The plain loop consumes, reads JSON and inserts the 29 columns of the contract, a prepared statement an event, many
under way. It judges nothing, derives nothing and keeps no books, and what comes twice is written twice. What belongs
here: what is measured, on servers of its own, both ways alternating in one run. What does not: judging it; that is what
tests are for.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from uuid import UUID

from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import UNSET_VALUE
from confluent_kafka import Consumer, TopicPartition

from benchmarks.cassandra_read import RULES, compared, costs, median
from recruitment_platform.addresses import CassandraAddress, KafkaAddress
from recruitment_platform.ingest.event_log import drain
from recruitment_platform.ingest.messages import as_messages
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.resources.cassandra.lake import migrate_cassandra, open_cassandra_lake
from recruitment_platform.resources.kafka.log import KafkaEventLog, open_event_log
from recruitment_platform.servers.cassandra import PERIODIC
from recruitment_platform.servers.server import Server
from recruitment_platform.servers.starting import start_servers
from recruitment_platform.simulation.events import blocks
from recruitment_platform.simulation.market import make_market
from recruitment_platform.simulation.record import Simulation
from recruitment_platform.simulation.traffic import intents, raw_rows

DAY = date(2025, 6, 2)
PARTITIONS = 6
TIMES = 3
CONCURRENCY = 100
ONE_BY_ONE = 15_000
"""Messages that the plain loop takes at least, each time: it is slow."""

KINDS = {"int": "int", "decimal": "decimal"}


def main() -> None:
    """Simulates a day, sends it, takes it in by both ways; prints a Markdown table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        servers = start_servers(["kafka", PERIODIC], Path(folder))
        try:
            report(*servers, asked.events)
        finally:
            for server in servers:
                server.kill()


def report(kafka: Server, cassandra: Server, events: int) -> None:
    """Measures and prints."""
    log = open_event_log(KafkaAddress(servers=f"{kafka.host}:{kafka.port}"))
    log.create_topic(PARTITIONS)
    send(log, events)
    ours, plain = [], []
    for number in range(TIMES):
        address = CassandraAddress(
            port=cassandra.port, user=cassandra.user, password=cassandra.password, keyspace=f"bench_{number}"
        )
        migrate_cassandra(address, RULES)
        lake = open_cassandra_lake(address, RULES)
        ours.append(costs(cassandra, lambda lake=lake: drain(log, lake, RULES).received))  # type: ignore[misc]
        plain.append(costs(cassandra, lambda lake=lake: plain_loop(log, lake.connection.rows)))  # type: ignore[misc]
    lines = [("`ingest`", median(ours)), ("a plain loop: `execute_concurrent_with_args`", median(plain))]
    print("\n".join(compared("from Kafka into Cassandra", lines)))


def send(log: KafkaEventLog, events: int) -> None:
    """A simulated day into the topic."""
    simulation = Simulation(7, DAY, events)
    market = make_market(simulation.seed, DAY, ["USD"])
    with log.writer() as writer:
        for block in blocks(simulation, market, DAY):
            messages = as_messages(raw_rows(block, intents(block)))
            writer.write(messages.keys, messages.values)
        writer.flush()


def plain_loop(log: KafkaEventLog, session: Any) -> int:
    """The first `ONE_BY_ONE` messages, one insert each."""
    columns = {column.name: KINDS.get(column.type.kind, "text") for column in TRACKING.columns}
    columns["create_time"] = "timeuuid"
    declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    session.execute(
        f"CREATE TABLE plain (day date, bucket int, {declared}, PRIMARY KEY ((day, bucket), create_time))", timeout=60
    )
    names = ["day", "bucket", *columns]
    markers = ", ".join("?" for _ in names)
    insert = session.prepare(f"INSERT INTO plain ({', '.join(names)}) VALUES ({markers})")  # noqa: S608 - our own names
    address = log.address
    consumer = Consumer({"bootstrap.servers": address.servers, "group.id": "plain", "enable.auto.commit": False})
    consumer.assign([TopicPartition(address.topic, number, 0) for number in range(PARTITIONS)])
    done = 0
    while done < ONE_BY_ONE:
        rows = [list(values(columns, json.loads(message.value() or b""))) for message in consumer.consume(2_000, 1.0)]
        execute_concurrent_with_args(session, insert, rows, concurrency=CONCURRENCY)
        done += len(rows)
    consumer.close()
    return done


def values(columns: dict[str, str], event: dict[str, str]) -> Iterable[object]:
    """The event's columns, typed; what cannot be is left unset."""
    identity = UUID(event["create_time"])
    yield DAY
    yield identity.int % 16
    for name, kind in columns.items():
        text = event.get(name)
        try:
            if not text:
                yield UNSET_VALUE
            elif kind == "int":
                yield int(float(text))
            elif kind == "decimal":
                yield amount if (amount := Decimal(text)).is_finite() else UNSET_VALUE
            else:
                yield identity if kind == "timeuuid" else text
        except (ValueError, InvalidOperation):
            yield UNSET_VALUE


if __name__ == "__main__":
    main()
