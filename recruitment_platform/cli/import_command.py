"""`import`: exports of the site's tables, taken in."""

from datetime import datetime
from pathlib import Path
from uuid import uuid4

import click

from recruitment_platform.cli.days import as_of_option, instant
from recruitment_platform.cli.progress import note, progress
from recruitment_platform.cli.stores import new_or_existing_stores
from recruitment_platform.errors import InputError
from recruitment_platform.ingest.importer import IMPORTABLE, ImportResult, import_file
from recruitment_platform.pipeline.dimensions import refresh_dimensions
from recruitment_platform.resources.stores import Stores
from recruitment_platform.settings import Settings


@click.command("import")
@click.argument("table", type=click.Choice(IMPORTABLE), metavar="TABLE")
@click.argument(
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    nargs=-1,
    required=True,
    metavar="FILE...",
)
@as_of_option
def command(table: str, files: tuple[Path, ...], as_of: str | None) -> None:
    """Takes exports of one of the site's tables in: CSV, JSON lines or Parquet, gzipped or not.

    \b
    TABLE is one of
      tracking: events, into the lake
      job, campaign, company, group, master_publisher, job_location, master_city,
      master_major_category, master_minor_category: into the operational tables
      application, conversation, dev_user, events, master_role, user_client_assignee,
      user_role, search: kept as they come

    A file's content is taken in once, however often and under whatever name it is imported. Rows that cannot be used
    are kept aside and never stop the others: see `rejected list`. Exit code 0 means that every file brought at least
    one row that is in use now.

    \b
    Examples:
      recruitment-platform import campaign campaign.csv
      recruitment-platform import job job.csv --as-of 2022-07-01
      recruitment-platform import tracking tracking-2022-*.csv.gz
    """
    settings = Settings.from_environment()
    refresh_at = None if as_of is None else instant(as_of, settings)
    stores = new_or_existing_stores(settings)
    problems = []
    for path in files:
        with progress(path.name, "rows") as advance:
            try:
                result = import_file(settings, stores.lake, stores.relational, table, path, advance)
            except InputError as error:
                problems.append(str(error))
                continue
        note(_told(result))
        if not result.succeeded:
            problems.append(f"{path}: none of its rows can be used")
    if refresh_at is not None:
        _refresh(settings, stores, refresh_at)
    if problems:
        raise InputError("\n       ".join(problems))


def _told(result: ImportResult) -> str:
    counts = (
        f"{result.path}: {result.received:,} rows received: {result.accepted:,} accepted, "
        f"{result.already_known:,} already known, {result.rejected:,} rejected"
    )
    return counts + ("; recruitment-platform rejected list shows why" if result.rejected else "")


def _refresh(settings: Settings, stores: Stores, as_of: datetime) -> None:
    refreshed = refresh_dimensions(
        stores.relational,
        stores.objects,
        as_of=as_of,
        currency=settings.currency,
        aliases=settings.currency_aliases,
        run_id=f"import-{uuid4()}",
    )
    note(f"dim_jobs as of {as_of:%Y-%m-%d %H:%M:%S} UTC: {refreshed.manifest.rows:,} rows")
