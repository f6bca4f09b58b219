"""`ingest`: events out of Kafka, through the door, into the lake."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from recruitment_platform.cli.produce_command import event_log_of
from recruitment_platform.cli.progress import note, progress
from recruitment_platform.ingest.event_log import Ingested, drain, follow
from recruitment_platform.resources.stores import door_rules, open_event_lake
from recruitment_platform.settings import Settings


@click.command("ingest")
@click.option("--follow", "goes_on", is_flag=True, help="Go on with what comes, until SIGTERM or Ctrl-C.")
def command(goes_on: bool) -> None:
    """Takes events in from Kafka: all that is there now, or with --follow what comes.

    It begins where the lake is, so it may be killed and run again at any time, and any number of them may run at once:
    with --follow they share the topic's partitions. Messages that cannot be used are kept aside, with their topic,
    partition and offset, and never stop the others: see `rejected list`.

    \b
    Examples:
      recruitment-platform ingest
      recruitment-platform ingest --follow
    """
    settings = Settings.from_environment()
    log, lake, rules = event_log_of(settings), open_event_lake(settings), door_rules(settings)
    if not goes_on:
        with progress(settings.kafka.topic, "messages") as advance:
            done = drain(log, lake, rules, advance)
        note(_told(done))
        return
    with stopped_by_signals() as stopped:
        note(f"following the topic {settings.kafka.topic} (Ctrl-C ends it)")
        with progress(settings.kafka.topic, "messages") as advance:
            done = follow(log, lake, rules, stopped, advance)
    note(f"ended: {_told(done)}")


@contextmanager
def stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT has come; a second one ends the process as ever."""
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, former[signal.Signals(number)])

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _told(done: Ingested) -> str:
    counts = f"{done.received:,} messages received: {done.accepted:,} accepted, {done.rejected:,} rejected"
    lost = f"; {done.lost:,} were deleted from the log before they were taken in" if done.lost else ""
    return counts + lost + ("; recruitment-platform rejected list shows why" if done.rejected else "")
