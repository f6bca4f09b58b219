"""A backfill from the command line: which days, in which runs, in which order; and running them.

What belongs here: the plan, made from how the days stand, and going through it. What does not: how a day stands
(`pipeline.status`), one run (`run`), Dagster's own backfills, which the daemon parts and orders by the assets' policy
and the run queue (`assets.catalog`, `run_queue`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from recruitment_platform.automation.progress import Progress
from recruitment_platform.automation.run import RunOutcome, run_days
from recruitment_platform.partitions import days_between
from recruitment_platform.pipeline.status import DayStatus, State
from recruitment_platform.settings import Settings


@dataclass(frozen=True)
class Chunk:
    """Days that are run together: all from `first` to `last`."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """The days, ascending."""
        return days_between(self.first, self.last)

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True)
class PlannedDay:
    """A day that was asked for, and the number of its run, from 1 on; None where it is left to who has it in flight."""

    status: DayStatus
    run: int | None
    in_flight: str = ""


@dataclass(frozen=True)
class Plan:
    """The days that were asked for, the newest first, and the runs in their order."""

    days: tuple[PlannedDay, ...]
    chunks: tuple[Chunk, ...]


def plan(
    statuses: Iterable[DayStatus],
    states: Collection[State],
    in_flight: Mapping[date, str],
    days_per_run: int | None,
) -> Plan:
    """The days in one of these states, in runs of at most `days_per_run` days in a row; None or 0 knows no most.

    Days that are in flight are in no run.
    """
    asked = sorted(
        (status for status in statuses if status.state in states),
        key=lambda status: status.day,
        reverse=True,
    )
    chunks = tuple(_chunks((status.day for status in asked if status.day not in in_flight), days_per_run))
    numbers = {day: number for number, chunk in enumerate(chunks, start=1) for day in chunk.days}
    days = (PlannedDay(status, numbers.get(status.day), in_flight.get(status.day, "")) for status in asked)
    return Plan(tuple(days), chunks)


def run_chunks(
    instance: dg.DagsterInstance,
    settings: Settings,
    definitions: dg.Definitions,
    chunks: Collection[Chunk],
    *,
    progress: Progress,
) -> Iterator[tuple[Chunk, RunOutcome]]:
    """Materializes one chunk after the other, whatever becomes of the one before, with dim_jobs as they are.

    Raises as `run_partitions` does: after Ctrl-C no further one is begun.
    """
    for number, chunk in enumerate(chunks, start=1):
        progress(f"run {number} of {len(chunks)}: {chunk} on {settings.engine}")
        outcome = run_days(instance, settings, definitions, chunk.first, chunk.last, progress=progress)
        yield chunk, outcome
        if outcome.interrupted and number < len(chunks):
            raise KeyboardInterrupt


def _chunks(descending: Iterable[date], days_per_run: int | None) -> Iterator[Chunk]:
    """Days in a row, the newest first: each chunk is as long as it may be, so that a short one is at the old end."""
    chunk: Chunk | None = None
    for day in descending:
        if chunk is None:
            chunk = Chunk(day, day)
        elif day == chunk.first - timedelta(days=1) and len(chunk.days) < (days_per_run or len(chunk.days) + 1):
            chunk = Chunk(day, chunk.last)
        else:
            yield chunk
            chunk = Chunk(day, day)
    if chunk is not None:
        yield chunk
