"""`restate`: closed days, replaced on purpose."""

from datetime import date, timedelta

import click

from recruitment_platform.cli.days import DAY, as_of_option, instant
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.running import RunFailedError, materialize
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.errors import InputError
from recruitment_platform.partitions import check_range
from recruitment_platform.settings import Settings


@click.command("restate")
@click.argument("first", type=DAY, metavar="DAY")
@click.option("--to", "last", type=DAY, metavar="DAY", help="Last day, inclusive; DAY alone by default.")
@as_of_option
def command(first: date, last: date | None, as_of: str | None) -> None:
    """Replaces the facts of closed days by what their events say now; their adjustments end with the former facts.

    It is a run as `run` makes it, with the tag recruitment/restate: true. The days stay closed, and the ledger keeps
    what they were before. For after a corrected invoice, not for every day.

    \b
    Examples:
      recruitment-platform restate 2022-07-06
      recruitment-platform restate 2022-07-06 --to 2022-07-08
    """
    settings = Settings.from_environment()
    last = last or first
    check_range(settings, first, last)
    refresh_at = None if as_of is None else instant(as_of, settings)
    closed = existing_stores(settings).warehouse.closed_through()
    if closed is None or last > closed:
        open_from = first if closed is None else max(first, closed + timedelta(days=1))
        raise InputError(
            f"{open_from} is not closed, so there is nothing to restate; "
            f"recruitment-platform run --from {open_from} --to {last} publishes it"
        )
    outcome = materialize(settings, first, last, refresh_at, restate=True)
    if not outcome.success:
        raise RunFailedError(outcome)
    note(f"{(last - first).days + 1:,} days are restated (run {outcome.run_id})")
