"""`backfill`: the days of a range that need it, in runs of some days, the newest first."""

from collections.abc import Mapping
from datetime import date
from typing import get_args

import click

from recruitment_platform.automation.backfill import Chunk, Plan, plan, run_chunks
from recruitment_platform.automation.in_flight import days_in_flight
from recruitment_platform.automation.instance import abandoned_runs, open_instance, seen_instance
from recruitment_platform.automation.run import RunOutcome, refresh_before_days
from recruitment_platform.cli import output
from recruitment_platform.cli.days import day_range, today
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.running import RunFailedError
from recruitment_platform.cli.stores import SeenStores, existing_stores, seen_stores
from recruitment_platform.definitions import build_definitions
from recruitment_platform.errors import PlatformError
from recruitment_platform.partitions import check_range
from recruitment_platform.pipeline.status import DayStatus, State, day_statuses
from recruitment_platform.settings import Settings

ONLY: Mapping[str, tuple[State, ...]] = {
    "missing": ("missing",),
    "stale": ("stale",),
    "failed": ("failed",),
    "all": get_args(State),
}
"""What `--only` takes, and the states of the days that are meant."""

COLUMNS = ("day", "state", "run", "why")

BEST_FIRST = (0, 5, 3, 2, 1, 4)
"""Exit codes: after success, superseded work, which nobody has to mend; at the end, counts that do not reconcile."""


class BackfillFailedError(PlatformError):
    """Days of a backfill failed; the exit code is that of the worst error."""

    def __init__(self, failed: Mapping[date, str], days: int, exit_code: int) -> None:
        by_problem: dict[str, list[date]] = {}
        for day, problem in sorted(failed.items()):
            by_problem.setdefault(problem, []).append(day)
        told = "\n".join(f"{', '.join(map(str, bad))}: {problem}" for problem, bad in by_problem.items())
        super().__init__(f"{len(failed)} of {days:,} days failed\n{told}")
        self.exit_code = exit_code


@click.command("backfill")
@day_range(required=True)
@click.option(
    "--only",
    type=click.Choice(list(ONLY)),
    multiple=True,
    default=["all"],
    show_default=True,
    help="Only days that stand so, as status tells; may be given more than once.",
)
@click.option(
    "--chunk",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="Most days of one run; 0 is one run for all days in a row. By default RECRUITMENT_DAYS_PER_RUN.",
)
@click.option("--dry-run", is_flag=True, help="Lists the days and their runs, and changes nothing.")
def command(first: date, last: date, only: tuple[str, ...], chunk: int | None, dry_run: bool) -> None:
    """Materializes the days FROM to TO, both inclusive, in runs of some days each, the newest first.

    dim_jobs is refreshed once, before the first run. A run that fails stops no other one: the days that failed are
    named at the end. Days that another run or backfill has in flight are named, and left to it. Ctrl-C keeps what is
    published by then, and begins no further run.

    \b
    Examples:
      recruitment-platform backfill --from 2022-07-06 --to 2023-01-14 --chunk 31 --dry-run
      recruitment-platform backfill --from 2022-07-06 --to 2023-01-14 --only missing --only stale
    """
    settings = Settings.from_environment()
    check_range(settings, first, last)
    states = {state for name in only for state in ONLY[name]}
    days_per_run = settings.days_per_run if chunk is None else chunk
    definitions = build_definitions(settings)
    if dry_run:
        statuses = _statuses(settings, seen_stores(settings), first, last)
        with seen_instance(settings) as instance:
            gone = [run.run_id for run in abandoned_runs(instance, settings)] if instance else []
            in_flight = days_in_flight(instance, definitions, gone=gone) if instance else {}
        planned = plan(statuses, states, in_flight, days_per_run)
        _write(planned)
        _tell(planned)
        return
    stores = existing_stores(settings)
    with open_instance(settings) as instance:
        statuses = _statuses(settings, SeenStores(stores.lake, stores.objects, stores.warehouse), first, last)
        planned = plan(statuses, states, days_in_flight(instance, definitions), days_per_run)
        _tell(planned)
        if not planned.chunks:
            return
        refreshed = refresh_before_days(instance, settings, definitions, progress=note)
        if not refreshed.success:
            raise RunFailedError(refreshed)
        outcomes: dict[Chunk, RunOutcome] = {}
        try:
            outcomes.update(run_chunks(instance, settings, definitions, planned.chunks, progress=note))
        except KeyboardInterrupt:
            left = [str(chunk) for chunk in planned.chunks if chunk not in outcomes]
            note(f"{len(outcomes)} of {len(planned.chunks)} runs have ended; left are {', '.join(left)}")
            raise
    _judge(outcomes)


def _statuses(settings: Settings, stores: SeenStores, first: date, last: date) -> list[DayStatus]:
    return day_statuses(stores.lake, stores.objects, stores.warehouse, today(settings), first, last)


def _write(planned: Plan) -> None:
    """What would be done, a line for each day."""
    rows = [
        (
            day.status.day.isoformat(),
            day.status.state,
            f"{day.run} of {len(planned.chunks)}" if day.run else "none",
            f"in flight: {day.in_flight}" if day.in_flight else day.status.reason,
        )
        for day in planned.days
    ]
    output.write_aligned(COLUMNS, rows, (False,) * len(COLUMNS), output.stdout())


def _tell(planned: Plan) -> None:
    for day in planned.days:
        if day.in_flight:
            note(f"{day.status.day}: left to {day.in_flight}, which has it in flight")
    days = sum(len(chunk.days) for chunk in planned.chunks)
    note(f"{days:,} days in {len(planned.chunks):,} runs, the newest first" if days else "no day is left to be run")


def _judge(outcomes: Mapping[Chunk, RunOutcome]) -> None:
    """Raises BackfillFailedError where a day failed."""
    failed: dict[date, str] = {}
    for chunk, outcome in outcomes.items():
        if not outcome.success:
            failed |= outcome.failed_days or dict.fromkeys(chunk.days, outcome.message)
    days = sum(len(chunk.days) for chunk in outcomes)
    if failed:
        worst = max((outcome.exit_code for outcome in outcomes.values()), key=BEST_FIRST.index)
        raise BackfillFailedError(failed, days, worst)
    note(f"{days:,} days are published, in {len(outcomes):,} runs")
