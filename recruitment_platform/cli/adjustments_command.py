"""`adjustments`: what events that came after the close would change of closed days."""

from collections.abc import Mapping
from datetime import date
from typing import Any, TextIO

import click
import pyarrow as pa

from recruitment_platform.cli import output
from recruitment_platform.cli.days import day_range
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.errors import InputError
from recruitment_platform.resources.protocols import AdjustmentRow
from recruitment_platform.settings import Settings

NAMED = {"job": "job_title", "campaign": "campaign_name", "publisher": "publisher_name"}
"""What an adjustment is listed by, each an id, and the column with its name."""

MEASURES = ("clicks", "conversion", "qualified_application", "disqualified_application", "spend_hour")


@click.command("adjustments")
@day_range(required=False)
@click.option(
    "--format",
    "style",
    type=click.Choice(output.FORMATS),
    default="table",
    show_default=True,
    help="csv and json have every row by hour, and no totals.",
)
def command(first: date | None, last: date | None, style: output.Format) -> None:
    """Lists what closed days lack, or have too much, by day, job, campaign and publisher; then the total of each day.

    The facts of a closed day with its adjustments are what its events say now. The rows are those of the view
    job_adjustments; `restate` takes them into the facts, and ends them.

    \b
    Examples:
      recruitment-platform adjustments
      recruitment-platform adjustments --from 2022-07-01 --to 2022-07-31 --format csv > july.csv
    """
    first, last = first or date.min, last or date.max
    if first > last:
        raise InputError(f"--from {first} lies after --to {last}")
    warehouse = existing_stores(Settings.from_environment()).warehouse
    bookings = {day: row for day, row in warehouse.adjusted().items() if row.rows and first <= day <= last}
    rows = warehouse.adjustments(first, last)
    out = output.stdout()
    if style != "table":
        output.write(rows, style, out)
    elif rows.num_rows:
        _write_rows(rows, out)
        out.write("\n")
        _write_totals(bookings, out)
    else:
        closed = warehouse.closed_through()
        note("nothing is closed yet" if closed is None else f"nothing is adjusted; the days up to {closed} are closed")


def _write_rows(rows: pa.Table, out: TextIO) -> None:
    """The hours of a day together."""
    keys = ["dates", *(column for what, name in NAMED.items() for column in (f"{what}_id", name))]
    summed = rows.group_by(keys, use_threads=False).aggregate([(measure, "sum") for measure in MEASURES])
    found = summed.sort_by([(key, "ascending") for key in keys if key not in NAMED.values()]).to_pylist()
    spend = output.money([int(row["spend_hour_sum"] * 1_000_000) for row in found])
    lines = [
        [
            str(row["dates"]),
            *(_named(row, what) for what in NAMED),
            *(f"{row[f'{measure}_sum']:,}" for measure in MEASURES[:-1]),
            money,
        ]
        for row, money in zip(found, spend, strict=True)
    ]
    names = ["day", *NAMED, "clicks", "conversions", "qualified", "unqualified", "spend"]
    output.write_aligned(names, lines, [False] * 4 + [True] * 5, out)


def _named(row: Mapping[str, Any], what: str) -> str:
    name = row[NAMED[what]]
    return str(row[f"{what}_id"]) if name is None else f"{row[f'{what}_id']} {name}"


def _write_totals(bookings: Mapping[date, AdjustmentRow], out: TextIO) -> None:
    spend = output.money([row.spend_micros for row in bookings.values()])
    lines = [
        [str(day), f"{row.rows:,}", f"{row.clicks:,}", money, f"{row.booked_at:%Y-%m-%d %H:%M:%S}", row.run_id]
        for (day, row), money in zip(bookings.items(), spend, strict=True)
    ]
    names = ["day", "rows", "clicks", "spend", "booked at, UTC", "by run"]
    output.write_aligned(names, lines, [False, True, True, True, False, False], out)
