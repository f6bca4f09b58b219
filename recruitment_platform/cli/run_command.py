"""`run`: a range of days, from the lake to the fact table."""

from datetime import date

import click

from recruitment_platform.cli.days import as_of_option, day_range, instant
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.running import RunFailedError, materialize
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.partitions import check_range
from recruitment_platform.settings import Settings


@click.command("run")
@day_range(required=True)
@as_of_option
def command(first: date, last: date, as_of: str | None) -> None:
    """Materializes the days FROM to TO, both inclusive, in one run of Dagster; dim_jobs is refreshed first.

    Running a day again changes nothing, unless events, jobs or code have changed since. Days that fail are named and
    keep their former facts; they hold up no others. Exit code 0 means that every day is published.

    \b
    Examples:
      recruitment-platform run --from 2022-07-06 --to 2023-01-14
      RECRUITMENT_ENGINE=duckdb recruitment-platform run --from 2022-07-06 --to 2022-07-06
    """
    settings = Settings.from_environment()
    check_range(settings, first, last)
    refresh_at = None if as_of is None else instant(as_of, settings)
    existing_stores(settings)
    outcome = materialize(settings, first, last, refresh_at)
    if not outcome.success:
        raise RunFailedError(outcome)
    note(f"{(last - first).days + 1:,} days are published (run {outcome.run_id})")
