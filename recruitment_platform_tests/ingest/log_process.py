"""Processes of their own that send simulated traffic into Kafka or take it in, for tests of what is killed.

    python -m recruitment_platform_tests.ingest.log_process follow|drain|produce HOME SERVERS TOPIC GROUP [MOMENT]

Batches are small. Each batch that is in the lake, or in the topic, is told by a line; so is each assignment of
partitions. With MOMENT (`before append`, `after commit`, `after flush`, …) the process kills itself by SIGKILL at the
third such moment.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.cli.ingest_command import stopped_by_signals
from recruitment_platform.ingest import event_log
from recruitment_platform.ingest.messages import as_messages
from recruitment_platform.resources.kafka import log as kafka
from recruitment_platform.resources.kafka.log import KafkaEventLog, LogReader, LogWriter, open_event_log
from recruitment_platform.resources.lake.parquet import ParquetLake
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.simulation import events
from recruitment_platform.simulation.destinations import LogDestination
from recruitment_platform.simulation.record import ALL_FAULTS
from recruitment_platform.simulation.simulate import planned, run_simulation
from recruitment_platform_tests.simulation.homes import OPENING, Home, make_home

DAYS = 2
EVENTS_PER_DAY = 400
ROWS_OF_A_BATCH = 150
MOMENTS = ("before append", "after append", "before commit", "after commit")


def produce(home: Home, log: KafkaEventLog, told: Callable[[int], None] = lambda _: None) -> None:
    """Sends the traffic of two days with every fault into the topic, a piece of `ROWS_OF_A_BATCH` after the other."""
    last = OPENING + timedelta(days=DAYS - 1)
    faults = frozenset(ALL_FAULTS)
    simulation = planned(home.settings, OPENING, last, seed=11, events_per_day=EVENTS_PER_DAY, faults=faults)
    topic = log.topic()

    def is_empty() -> bool:
        return not any(end for _, end in log.ranges(topic.partitions).values())

    with log.writer() as writer:

        def send(rows: pa.Table) -> None:
            for start in range(0, len(rows), ROWS_OF_A_BATCH):
                messages = as_messages(rows.slice(start, ROWS_OF_A_BATCH))
                writer.write(messages.keys, messages.values)
                writer.flush()
                told(len(messages.values))

        destination = LogDestination(home.truth, topic.id, is_empty, send)
        run_simulation(home.settings, destination, home.relational, simulation, OPENING, last, lambda _: None)


def _killed_at(moment: str, *classes: type) -> None:
    """Ends this process at the third such moment, whichever of the classes' methods it concerns."""
    at, name = moment.split()
    (kind,) = (kind for kind in classes if hasattr(kind, name))
    real, calls = getattr(kind, name), count(1)

    def watched(*arguments: Any, **named: Any) -> Any:
        third = next(calls) == 3
        if third and at == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if third:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(kind, name, watched)


def _told_beginnings() -> None:
    real = LogReader.begin

    def begin(reader: LogReader, offsets: Any) -> None:
        real(reader, offsets)
        print("begins", *sorted(offsets), flush=True)

    LogReader.begin = begin  # type: ignore[method-assign]


def main(what: str, folder: str, servers: str, topic: str, group: str, moment: str = "") -> None:
    event_log.BATCH_ROWS = kafka.READ_AT_ONCE = ROWS_OF_A_BATCH
    event_log.BATCH_SECONDS = 0.2
    events.BLOCK = 300
    home = make_home(Path(folder))
    log = open_event_log(KafkaAddress(servers=servers, topic=topic, group=group))
    if moment:
        _killed_at(moment, ParquetLake, LogReader, LogWriter)
    _told_beginnings()

    def told(rows: int) -> None:
        print("rows", rows, flush=True)

    print("started", flush=True)
    if what == "produce":
        produce(home, log, told)
    elif what == "drain":
        event_log.drain(log, home.lake, door_rules(home.settings), told)
    else:
        with stopped_by_signals() as stopped:
            event_log.follow(log, home.lake, door_rules(home.settings), stopped, told)
    print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
