"""`query`: one read-only statement over the warehouse's tables."""

import click

from recruitment_platform.cli import output
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.settings import Settings


@click.command("query")
@click.option(
    "--format",
    "style",
    type=click.Choice(output.FORMATS),
    default="table",
    show_default=True,
    help="csv has a header (RFC 4180); json is an array of objects with decimals as strings.",
)
@click.argument("sql")
def command(style: output.Format, sql: str) -> None:
    """Answers one SQL statement from the warehouse, read-only. Only data goes to stdout.

    \b
    Tables: redshift_fact_events (hourly facts), dim_jobs, dim_publishers, load_ledger (what is published),
    fact_adjustments (beside the facts of closed days), adjustment_ledger, billing_close.
    Views: job_performance, the facts with names; job_adjustments, the adjustments with names.

    \b
    Examples:
      recruitment-platform query "select dates, sum(clicks) from redshift_fact_events group by 1 order by 1"
      recruitment-platform query --format csv "select * from job_performance" > facts.csv
    """
    rows = existing_stores(Settings.from_environment()).warehouse.query(sql)
    output.write(rows, style, output.stdout())
