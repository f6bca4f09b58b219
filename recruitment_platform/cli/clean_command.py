"""`clean`: removes what killed runs left behind, and what is superseded, over all days at once."""

from datetime import timedelta

import click

from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.pipeline.retention import BEING_WRITTEN, clean_superseded, days_with_objects
from recruitment_platform.settings import Settings


@click.command("clean")
@click.option(
    "--older-than",
    "hours",
    type=click.IntRange(min=0),
    default=int(BEING_WRITTEN.total_seconds() // 3600),
    show_default=True,
    metavar="HOURS",
    help="Leftovers of that age are removed; those of a program that still writes are younger.",
)
def command(hours: int) -> None:
    """Removes leftovers of killed runs, uploads that were begun and not ended among them, and what is superseded.

    Every run does so for its own days; this does it for all, when nothing runs for long or disks are full. What is in
    force stays, and so does what was superseded within RECRUITMENT_KEEP_SUPERSEDED. With 0 hours nothing else may run.

    \b
    Example:
      recruitment-platform clean --older-than 2
    """
    settings = Settings.from_environment()
    age = timedelta(hours=hours)
    stores = existing_stores(settings)
    lake = stores.lake.clean(age)
    objects = stores.objects.clean(age)
    superseded = clean_superseded(stores.objects, days_with_objects(stores.objects), settings.keep_superseded)
    note(f"{lake:,} leftovers removed from the lake, {objects:,} from the object store")
    note(f"{superseded:,} superseded objects removed")
