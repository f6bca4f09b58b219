"""What the simulator says of days: whether what is published is what its traffic must lead to, and what is not.

What belongs here: collecting both sides of the comparison, and one line a day for people. What does not: the
comparison itself (`simulation.score`), the truth (`simulation.truth`).
"""

from collections.abc import Iterable
from datetime import date

from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.protocols import EventLake, ObjectStore, Warehouse
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.record import Simulation, load_record
from recruitment_platform.simulation.score import DayScore, score
from recruitment_platform.simulation.truth import DayCounts, day_counts, rejected_by_receive_day, truth_for

MATCHED = "matched"
REPLAYED = "replayed:"


def truth_by_day(
    settings: Settings, lake: EventLake, store: ObjectStore, warehouse: Warehouse, days: Iterable[date]
) -> dict[date, str] | None:
    """For each of the days `matched`, or every difference; None where nothing was simulated in this home.

    Compared are the facts, row by row and column by column, and the counts of the day's snapshot. Days that also have
    events from elsewhere, and days that nothing was simulated for, are left out: no truth is known of them.
    """
    simulation = load_record(settings.truth_path)
    if simulation is None:
        return None
    counts = day_counts(settings.truth_path)
    scored = sorted(set(days) & counts.keys() - _mixed_days(lake, simulation))
    if not scored:
        return {}
    facts = warehouse.facts(scored[0], scored[-1])
    scores = score(facts, truth_for(settings.truth_path, scored), scored)
    return {
        found.day: "; ".join(_count_differences(store, found.day, counts[found.day]) + _differences(found)) or MATCHED
        for found in scores
    }


def rejected_truth(settings: Settings, lake: EventLake) -> str:
    """Days on which fewer rows were rejected than the simulator malformed; empty where there is none.

    More may be: files can be imported beside. Nothing is compared once a row was replayed, which is then in use.
    """
    if any(state.source.startswith(REPLAYED) for state in lake.day_states()):
        return ""
    found = lake.rejected_by_ingest_day()
    wrong = (
        f"{day}: {found.get(day, 0):,} rows were rejected, {rows:,} must be"
        for day, rows in sorted(rejected_by_receive_day(settings.truth_path).items())
        if found.get(day, 0) < rows
    )
    return "; ".join(wrong)


def _mixed_days(lake: EventLake, simulation: Simulation) -> set[date]:
    own = f"simulator:{simulation.fingerprint}:"
    return {state.event_date for state in lake.day_states() if not state.source.startswith(own)}


def _count_differences(store: ObjectStore, day: date, truth: DayCounts) -> list[str]:
    snapshot = current_snapshot(store, day)
    if snapshot is None:
        return ["no snapshot"]
    pairs = (
        ("accepted", snapshot.accepted, truth.accepted),
        ("distinct", snapshot.distinct, truth.distinct),
        ("duplicates", snapshot.duplicates, truth.duplicates),
        ("conflicts", snapshot.conflicts, truth.conflicts),
    )
    return [f"{name} {found:,} instead of {expected:,}" for name, found, expected in pairs if found != expected]


def _differences(found: DayScore) -> list[str]:
    lines = [
        f"{column.column} {column.facts_total} instead of {column.truth_total} ({column.rows_differing:,} rows differ)"
        for column in found.differences
    ]
    if found.missing_rows:
        lines.append(f"{found.missing_rows:,} rows missing")
    if found.extra_rows:
        lines.append(f"{found.extra_rows:,} rows too many")
    return lines
