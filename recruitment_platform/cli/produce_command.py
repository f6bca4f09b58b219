"""`produce`: simulated traffic or exported events, into Kafka."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import click
import pyarrow as pa

from recruitment_platform.cli.days import day_range
from recruitment_platform.cli.progress import note, progress
from recruitment_platform.cli.simulate_command import simulation_of, traffic_options
from recruitment_platform.errors import InputError, SettingsError
from recruitment_platform.ingest.files import look_at
from recruitment_platform.ingest.messages import as_messages
from recruitment_platform.ingest.readers import read_tracking, unparsed
from recruitment_platform.resources.kafka.log import KafkaEventLog, LogWriter, open_event_log
from recruitment_platform.resources.stores import open_relational_store
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import LogDestination
from recruitment_platform.simulation.simulate import SimulatedDay, run_simulation


@click.command("produce")
@click.argument("files", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, metavar="[FILE]...")
@day_range(required=False)
@traffic_options
def command(
    files: tuple[Path, ...],
    first: date | None,
    last: date | None,
    seed: int | None,
    events_per_day: int | None,
    faults: str | None,
) -> None:
    """Sends tracking events into Kafka: those of exported files, or simulated traffic of the days FROM to TO.

    Each event is one message, a JSON object of its columns as they came; the visitor is its key. Simulated traffic is
    that of `simulate`, with the truth about it. A command that failed or was killed may be run again: what it sends
    twice is one event all the same.

    \b
    Examples:
      recruitment-platform produce --from 2025-03-01 --to 2025-03-07 --events-per-day 20000
      recruitment-platform produce tracking-2022-*.csv.gz
    """
    settings = Settings.from_environment()
    log = event_log_of(settings)
    if files and (first or last or faults is not None or seed is not None or events_per_day is not None):
        raise InputError("give files, or the days of simulated traffic, not both")
    if files:
        _send_files(log, files)
    elif first and last:
        simulation = simulation_of(settings, first, last, seed, events_per_day, faults)
        topic = log.topic()

        def report(day: SimulatedDay) -> None:
            known = ", all sent already" if day.known else ""
            note(f"sent {day.day}: {day.received:,} simulated events{known}")

        def is_empty() -> bool:
            return not any(end for _, end in log.ranges(topic.partitions).values())

        with log.writer() as writer:
            destination = LogDestination(settings.truth_path, topic.id, is_empty, lambda rows: _send(writer, rows))
            relational = open_relational_store(settings)
            run_simulation(settings, destination, relational, simulation, first, last, report)
    else:
        raise InputError("say what to send: files, or simulated traffic by --from and --to")


def event_log_of(settings: Settings) -> KafkaEventLog:
    """The event log; SettingsError where the settings have none."""
    if not settings.has_kafka:
        raise SettingsError("there is no event log: set RECRUITMENT_PROFILE=servers and RECRUITMENT_KAFKA_SERVERS")
    return open_event_log(settings.kafka)


def _send_files(log: KafkaEventLog, files: tuple[Path, ...]) -> None:
    problems = []
    log.topic()
    with log.writer() as writer:
        for path in files:
            with progress(path.name, "events") as advance:
                try:
                    sent, malformed = _send_file(writer, path, advance)
                except InputError as error:
                    problems.append(str(error))
                    continue
            told = f"; {malformed:,} rows are malformed, and sent as they stand" if malformed else ""
            note(f"{path}: {sent:,} events sent{told}")
    if problems:
        raise InputError("\n       ".join(problems))


def _send_file(writer: LogWriter, path: Path, advance: Callable[[int], None]) -> tuple[int, int]:
    """(events, malformed rows) sent and delivered: the latter as they stand, for the ingest to refuse and to keep."""
    file = look_at(path)
    sent = malformed = 0
    for batch in read_tracking(file):
        _send(writer, batch.table)
        writer.write([None] * len(batch.bad), [unparsed(row).encode() for row in batch.bad])
        writer.flush()
        file.check_unchanged()
        sent += batch.table.num_rows
        malformed += len(batch.bad)
        advance(batch.received)
    return sent, malformed


def _send(writer: LogWriter, events: pa.Table) -> None:
    messages = as_messages(events)
    writer.write(messages.keys, messages.values)
    writer.flush()
