"""Attempts: how often a day was asked for with the input that it has now, and when it may be asked for again.

They are counted from run records, by a tag for each day that the run was asked for, so that nothing is remembered
beside them. What belongs here: counting, pausing, giving up, and the runs that come of it. What does not: which days
need one (`pipeline.freshness`), when that is looked at (`sensors`).
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from recruitment_platform.automation.in_flight import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from recruitment_platform.automation.jobs import DAILY_FACTS
from recruitment_platform.partitions import local_day
from recruitment_platform.pipeline.freshness import DayNeed
from recruitment_platform.settings import Settings

INPUT_TAG = ".dagster/recruitment_input."
"""Tag of a run that sensors asked for, with a day behind it: the day's input. Its prefix keeps it off the page."""

_SPLIT = 4
"""By how much a range is shorter from one attempt to the next: a day that kills its run must not take others along."""

_LONGER = 6
"""By how much each further pause is longer than the one before."""


@dataclass(frozen=True)
class Attempts:
    """How often a day was asked for with one input, when the last of these runs ended, and which one it was."""

    made: int
    ended: datetime | None = None
    run_id: str = ""


@dataclass
class Triage:
    """Days that need a run, by what is to be done about them now: each with its attempts, or who has it.

    `ready` may be asked for, `waiting` may later, `given_up` no more, `in_flight` is left to the run or backfill named.
    """

    ready: list[tuple[DayNeed, Attempts]] = field(default_factory=list)
    waiting: list[tuple[DayNeed, Attempts, datetime]] = field(default_factory=list)
    given_up: list[tuple[DayNeed, Attempts]] = field(default_factory=list)
    in_flight: list[tuple[DayNeed, str]] = field(default_factory=list)


def attempts(instance: dg.DagsterInstance, day: date, day_input: str, until: str | None = None) -> Attempts:
    """The ended runs of the day with that input that sensors asked for, whatever became of them.

    Those that ended after the run `until`, where it is one of them, are left out.
    """
    records = instance.get_run_records(dg.RunsFilter(tags={f"{INPUT_TAG}{day}": day_input}))
    ended = sorted((record for record in records if record.dagster_run.is_finished), key=ended_at)
    ids = [record.dagster_run.run_id for record in ended]
    if until in ids:
        ended = ended[: ids.index(until) + 1]
    if not ended:
        return Attempts(0)
    return Attempts(len(ended), ended_at(ended[-1]), ended[-1].dagster_run.run_id)


def triage(
    instance: dg.DagsterInstance,
    needs: Iterable[DayNeed],
    in_flight: Mapping[date, str],
    settings: Settings,
    now: datetime,
) -> Triage:
    """Parts the days; ones in flight are left alone, whoever launched them."""
    found = Triage()
    for need in needs:
        if need.day in in_flight:
            found.in_flight.append((need, in_flight[need.day]))
            continue
        made = attempts(instance, need.day, need.input)
        due = made.ended + pause(made.made, settings) if made.ended else now
        if need.day == local_day(now, settings):
            due = max(due, _next_of_today(instance, need.day, settings) or due)
        if made.made >= settings.max_attempts:
            found.given_up.append((need, made))
        elif due > now:
            found.waiting.append((need, made, due))
        else:
            found.ready.append((need, made))
    return found


def _next_of_today(instance: dg.DagsterInstance, today: date, settings: Settings) -> datetime | None:
    """When today may be asked for again after failures in a row; None where its newest runs did not all fail.

    While events come in, each look finds another input, so that attempts with one input would never be many.
    """
    records = instance.get_run_records(
        dg.RunsFilter(job_name=DAILY_FACTS, tags={PARTITION_TAG: str(today)}), limit=settings.max_attempts
    )
    failures = [record for record in records if record.dagster_run.is_finished and not record.dagster_run.is_success]
    if len(failures) < settings.max_attempts:
        return None
    return max(map(ended_at, failures)) + pause(max(1, settings.max_attempts - 1), settings)


def pause(made: int, settings: Settings) -> timedelta:
    """How long to wait after that many attempts, from the end of the last one."""
    return settings.attempt_pause * _LONGER ** (made - 1) if made else timedelta(0)


def run_requests(ready: Collection[tuple[DayNeed, Attempts]], settings: Settings) -> list[dg.RunRequest]:
    """One run of the daily job for each row of days that follow on each other, the newest first.

    A run has days of the same number of attempts only, and with each attempt fewer of them.
    """
    return [_request(days) for days in _rows(ready, settings.days_per_run or len(ready))]


def inputs_of(run: dg.DagsterRun) -> dict[date, str]:
    """The days for which sensors asked for the run, with the input that each had then."""
    return {
        date.fromisoformat(tag.removeprefix(INPUT_TAG)): value
        for tag, value in run.tags.items()
        if tag.startswith(INPUT_TAG)
    }


def _rows(ready: Iterable[tuple[DayNeed, Attempts]], longest: int) -> Iterator[list[tuple[DayNeed, Attempts]]]:
    row: list[tuple[DayNeed, Attempts]] = []
    for need, made in sorted(ready, key=lambda found: found[0].day, reverse=True):
        if row and (
            row[-1][0].day - need.day != timedelta(days=1)
            or row[-1][1].made != made.made
            or len(row) >= max(1, longest // _SPLIT**made.made)
        ):
            yield row
            row = []
        row.append((need, made))
    if row:
        yield row


def _request(days: Sequence[tuple[DayNeed, Attempts]]) -> dg.RunRequest:
    newest, oldest = days[0][0].day, days[-1][0].day
    which = {RANGE_START_TAG: str(oldest), RANGE_END_TAG: str(newest)}
    if oldest == newest:
        which = {PARTITION_TAG: str(newest)}
    # Dagster runs a key once, for ever: so it has the input and the number of the attempt in it.
    content = ",".join(f"{need.day}={need.input}+{made.made}" for need, made in days)
    return dg.RunRequest(
        job_name=DAILY_FACTS,
        run_key=f"{oldest}:{newest}:{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        tags=which | {f"{INPUT_TAG}{need.day}": need.input for need, _ in days},
        partition_key=which.get(PARTITION_TAG),
    )


def ended_at(record: dg.RunRecord) -> datetime:
    """When the run ended (UTC), or was changed last."""
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else _utc(record.update_timestamp)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
