"""`rejected`: rows that the door refused, out and in again."""

from pathlib import Path
from typing import Literal

import click

from recruitment_platform.cli import output
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.errors import InputError
from recruitment_platform.ingest.importer import IMPORTABLE
from recruitment_platform.ingest.rejected import replay, write_rejected
from recruitment_platform.settings import Settings

Style = Literal["table", "csv", "jsonl"]

LISTED_AT_MOST = 20
"""How many rows that are still wrong are told one by one."""


@click.group("rejected")
def command() -> None:
    """Lists rejected rows, and takes mended ones in again.

    \b
    Example:
      recruitment-platform rejected list --format csv > rejected.csv
      (mend the values in rejected.csv, in place)
      recruitment-platform rejected replay rejected.csv
    """


@command.command("list")
@click.option(
    "--format",
    "style",
    type=click.Choice(("table", "csv", "jsonl")),
    default="table",
    show_default=True,
    help="csv and jsonl hold the whole rows, to be mended and replayed.",
)
@click.option("--table", type=click.Choice(IMPORTABLE), metavar="TABLE", help="Only rows of this table.")
def list_rejected(style: Style, table: str | None) -> None:
    """Rejected rows that were not replayed yet, with file, line and reason."""
    rows = existing_stores(Settings.from_environment()).lake.rejected(table=table)
    out = output.stdout()
    if style != "table":
        write_rejected(rows, out, style)
        return
    shown = [
        (row.ingest_date.isoformat(), row.table, row.path or row.source, str(row.position), row.reason) for row in rows
    ]
    if not shown:
        note("no row is rejected")
        return
    names = ("ingest day", "table", "file or source", "position", "reason")
    output.write_aligned(names, shown, (False, False, False, True, False), out)


@command.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def replay_mended(file: Path) -> None:
    """Takes rows in that `rejected list` wrote, as csv or jsonl, and that were mended since.

    Rows keep their source and position: one that is in use already is not taken in twice. Rows that are still wrong
    stay rejected. Exit code 0 means that at least one row is in use now.
    """
    settings = Settings.from_environment()
    stores = existing_stores(settings)
    result = replay(settings, stores.lake, stores.relational, file)
    still = result.still_rejected
    note(f"{file}: {result.replayed:,} replayed, {result.already_known:,} already known, {len(still):,} still rejected")
    for row in still[:LISTED_AT_MOST]:
        note(f"  {row.path or row.source}, position {row.position}: {row.reason}")
    if len(still) > LISTED_AT_MOST:
        note(f"  and {len(still) - LISTED_AT_MOST:,} more")
    if still and not result.replayed + result.already_known:
        raise InputError(f"{file}: no row could be taken in")
