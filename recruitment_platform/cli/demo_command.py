"""`demo`: simulate, materialize, compare with the truth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import click

from recruitment_platform.cli import output
from recruitment_platform.cli.days import today
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.running import RunFailedError, materialize
from recruitment_platform.cli.simulate_command import simulate, traffic_options
from recruitment_platform.cli.stores import new_or_existing_stores
from recruitment_platform.cli.truth import MATCHED, rejected_truth, truth_by_day
from recruitment_platform.errors import InputError, ReconciliationError
from recruitment_platform.partitions import days_between
from recruitment_platform.resources.stores import Stores
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.record import load_record

COLUMNS = ("day", "accepted", "clicks", "conversions", "qualified", "spend", "truth")
RIGHT = (False, True, True, True, True, True, False)


@click.command("demo")
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, help="How many, ending yesterday.")
@traffic_options
def command(days: int, seed: int | None, events_per_day: int | None, faults: str | None) -> None:
    """Simulates a market and its traffic, materializes its days in one run, and compares the facts with the truth.

    Called again it changes nothing; on a later day it goes on from the day on which it began. Exit code 4 means that a
    day differs from the truth.

    \b
    Examples:
      recruitment-platform demo
      recruitment-platform demo --days 3 --events-per-day 20000 --faults late,duplicates
    """
    settings = Settings.from_environment()
    stores = new_or_existing_stores(settings)
    last = today(settings) - timedelta(days=1)
    former = load_record(settings.truth_path)
    first = last - timedelta(days=days - 1) if former is None else former.opening
    if first > last:
        raise InputError(
            f"the simulation in this home opens on {first}, which is not over; use another RECRUITMENT_HOME"
        )
    simulate(settings, stores, first, last, seed, events_per_day, faults)
    outcome = materialize(settings, first, last)
    asked = days_between(first, last)
    truths = truth_by_day(settings, stores.lake, stores.objects, stores.warehouse, asked) or {}
    _write_table(settings, stores, asked, truths)
    note("See it in Dagster: make ui, or recruitment-platform ui; then open http://127.0.0.1:3000")
    if not outcome.success:
        raise RunFailedError(outcome)
    _check(settings, stores, asked, truths)


def _write_table(settings: Settings, stores: Stores, days: Sequence[date], truths: Mapping[date, str]) -> None:
    accepted: Counter[date] = Counter()
    for state in stores.lake.day_states(days):
        accepted[state.event_date] += state.rows
    totals = stores.warehouse.totals(days)
    rows = []
    for day, spend in zip(days, output.money([totals[day].spend_micros for day in days]), strict=True):
        facts = totals[day]
        counts = (accepted[day], facts.clicks, facts.conversion, facts.qualified)
        told = (f"{spend} {settings.currency}", truths.get(day, "not known"))
        rows.append((day.isoformat(), *(f"{count:,}" for count in counts), *told))
    output.write_aligned(COLUMNS, rows, RIGHT, output.stdout())


def _check(settings: Settings, stores: Stores, days: Sequence[date], truths: Mapping[date, str]) -> None:
    """ReconciliationError where a day that was simulated is not as the truth says."""
    differing = [day for day in days if truths.get(day, MATCHED) != MATCHED]
    if differing:
        raise ReconciliationError(f"{', '.join(map(str, differing))}: not as the truth says, see the table")
    matching = [day for day in days if day in truths]
    if not matching:
        raise ReconciliationError("no day could be compared with the truth: all have events from elsewhere too")
    rejected = rejected_truth(settings, stores.lake)
    if rejected:
        raise ReconciliationError(f"rejected rows are not as the truth says: {rejected}")
    note(f"{len(matching)} of {len(days)} days match the truth, in every row and column")
    if len(matching) < len(days):
        note("the others have events from elsewhere too: no truth is known of them")
