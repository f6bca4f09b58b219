"""`close`: closes days for billing."""

from datetime import date

import click

from recruitment_platform.cli.days import DAY, today
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.pipeline.closing import close_days
from recruitment_platform.settings import Settings


@click.command("close")
@click.option("--through", "day", type=DAY, required=True, metavar="DAY", help="Last day to be closed, inclusive.")
def command(day: date) -> None:
    """Closes all days up to DAY for billing, once they are published as the lake has them. There is no way back.

    The facts of closed days stay as they are. Where events come in for them later, a run books what these would change
    as adjustments: see `adjustments`. `restate` replaces a closed day on purpose. Days that are missing, failed or
    stale are named, and nothing is closed. To close through an earlier day again changes nothing.

    \b
    Example:
      recruitment-platform close --through 2022-07-31
    """
    settings = Settings.from_environment()
    stores = existing_stores(settings)
    if close_days(stores.lake, stores.objects, stores.warehouse, day, today(settings)):
        note(f"the days up to {day} are closed")
    else:
        note(f"the days up to {stores.warehouse.closed_through()} are closed already")
