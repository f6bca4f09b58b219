"""`status`: how every day stands."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import TextIO

import click

from recruitment_platform.cli import output
from recruitment_platform.cli.days import day_range, today
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import existing_stores
from recruitment_platform.cli.truth import rejected_truth, truth_by_day
from recruitment_platform.errors import InputError
from recruitment_platform.pipeline.status import STATES, DayStatus, day_statuses
from recruitment_platform.settings import Settings

FOLDED_FROM = 3
"""Days in a row without events, in the same state, are one line from this many on."""

COLUMNS = ("day", "state", "accepted", "distinct", "facts", "clicks", "spend", "truth", "why")
RIGHT = (False, False, True, True, True, True, True, False, False)

STATES_HELP = "\b\nStates:\n" + "\n".join(f"  {state:<13} {meaning}" for state, meaning in STATES.items())


@click.command("status", epilog=STATES_HELP)
@click.option("--stale", "only_stale", is_flag=True, help="Only days that are stale, each with the reason.")
@day_range(required=False)
def command(only_stale: bool, first: date | None, last: date | None) -> None:
    """Every day: accepted rows in the lake, distinct events, loaded facts, clicks and spend, and its state.

    By default all days from the lake's first to yesterday. In a home with simulated traffic the last columns tell
    whether the day is what the simulator's truth says. Rejected rows have no day of their own: they are listed by the
    day on which they came in.

    A day is stale by later events, by jobs that became known after it was loaded, or by code: its facts were computed
    by another version of the SQL. Such days keep their facts until somebody runs them again.

    \b
    Examples:
      recruitment-platform status
      recruitment-platform status --stale
      recruitment-platform status --from 2022-07-06 --to 2022-07-31
    """
    settings = Settings.from_environment()
    if first and last and first > last:
        raise InputError(f"--from {first} lies after --to {last}")
    stores = existing_stores(settings)
    statuses = day_statuses(stores.lake, stores.objects, stores.warehouse, today(settings), first, last)
    out = output.stdout()
    if only_stale:
        stale = [status for status in statuses if status.state == "stale"]
        if stale:
            _write_days(stale, None, out)
        else:
            note("no day is stale")
        return
    loaded = [status.day for status in statuses if status.rows is not None]
    truths = truth_by_day(settings, stores.lake, stores.objects, stores.warehouse, loaded)
    if statuses:
        _write_days(statuses, truths, out)
    else:
        note(f"there are no events in {settings.lake_place} yet; begin with recruitment-platform simulate or import")
    rejected = stores.lake.rejected_by_ingest_day()
    if rejected:
        out.write("\n")
        rows = [(day.isoformat(), f"{count:,}") for day, count in sorted(rejected.items())]
        output.write_aligned(("ingest day", "rejected"), rows, (False, True), out)
    if truths is not None:
        wrong = rejected_truth(settings, stores.lake)
        if wrong:
            out.write(f"\nRejected rows differ from the truth: {wrong}\n")


def _write_days(statuses: Sequence[DayStatus], truths: Mapping[date, str] | None, out: TextIO) -> None:
    lines = list(_lines(statuses))
    spend = iter(output.money([days[0].spend_micros for days in lines if days[0].spend_micros is not None]))
    rows = [_row(days, "" if days[0].spend_micros is None else next(spend), truths or {}) for days in lines]
    # Columns that have nothing to tell are left out.
    kept = [number for number, name in enumerate(COLUMNS) if number < 7 or any(row[number] for row in rows)]
    output.write_aligned(
        [COLUMNS[number] for number in kept],
        [[row[number] for number in kept] for row in rows],
        [RIGHT[number] for number in kept],
        out,
    )


def _lines(statuses: Sequence[DayStatus]) -> Iterator[list[DayStatus]]:
    """Each day, or several in a row that say the same."""
    for (nothing, _, _), same in groupby(statuses, lambda day: (not day.accepted, day.state, day.reason)):
        days = list(same)
        if nothing and len(days) >= FOLDED_FROM:
            yield days
        else:
            yield from ([day] for day in days)


def _row(days: Sequence[DayStatus], spend: str, truths: Mapping[date, str]) -> list[str]:
    status = days[0]
    name = status.day.isoformat() if len(days) == 1 else f"{status.day} … {days[-1].day}: {len(days):,} days"
    counts = (status.accepted, status.distinct, status.rows, status.clicks)
    found = {truths.get(day.day, "") for day in days}
    truth = "; ".join(sorted(found - {""}))
    return [
        name,
        status.state,
        *("" if count is None else f"{count:,}" for count in counts),
        spend,
        truth,
        status.reason,
    ]
