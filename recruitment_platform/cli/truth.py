"""What the simulator says of days: whether what is published is what its traffic must lead to, and what is not.

What belongs here: collecting both sides of the comparison, and one line a day for people. What does not: the
comparison itself (`simulation.score`), the truth (`simulation.truth`).
"""

from collections.abc import Iterable, Mapping
from datetime import date

from recruitment_platform.pipeline.adjustments import with_adjustments
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.protocols import EventLake, ObjectStore, Warehouse
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.destinations import is_simulated, sent_topics
from recruitment_platform.simulation.record import Simulation, load_record
from recruitment_platform.simulation.score import ADJUSTED, DayScore, score
from recruitment_platform.simulation.truth import DayCounts, day_counts, rejected_by_receive_day, truth_for

MATCHED = "matched"
REPLAYED = "replayed:"


def truth_by_day(
    settings: Settings, lake: EventLake, store: ObjectStore, warehouse: Warehouse, days: Iterable[date]
) -> dict[date, str] | None:
    """For each of the days `matched`, or every difference; None where nothing was simulated in this home.

    Compared are the facts, row by row and column by column, and the counts of the day's snapshot; of a closed day the
    facts with its adjustments, by the columns that these have. Days that also have events from elsewhere, and days that
    nothing was simulated for, are left out: no truth is known of them.
    """
    simulation = load_record(settings.truth_path)
    if simulation is None:
        return None
    counts = day_counts(settings.truth_path)
    topics = sent_topics(settings.truth_path)
    scored = sorted(set(days) & counts.keys() - _mixed_days(lake, simulation, topics))
    if not scored:
        return {}
    facts, truth = warehouse.facts(scored[0], scored[-1]), truth_for(settings.truth_path, scored)
    adjusted = {day for day, row in warehouse.adjusted(scored).items() if row.rows}
    scores = score(facts, truth, set(scored) - adjusted)
    if adjusted:
        together = with_adjustments(facts, warehouse.adjustments(scored[0], scored[-1]))
        scores += score(together, truth, adjusted, ADJUSTED)
    return {
        found.day: "; ".join(_count_differences(store, counts, found.day, bool(topics)) + _differences(found))
        or MATCHED
        for found in scores
    }


def rejected_truth(settings: Settings, lake: EventLake) -> str:
    """Days on which fewer rows were rejected than the simulator malformed; empty where there is none.

    More may be: files can be imported beside. Nothing is compared once a row was replayed, which is then in use. What
    came through Kafka was rejected on the day of the ingest: of that only the sum is compared.
    """
    if any(state.source.startswith(REPLAYED) for state in lake.day_states()):
        return ""
    found = lake.rejected_by_ingest_day()
    if sent_topics(settings.truth_path):
        rows, must = sum(found.values()), sum(rejected_by_receive_day(settings.truth_path).values())
        return f"{rows:,} rows were rejected, {must:,} must be" if rows < must else ""
    wrong = (
        f"{day}: {found.get(day, 0):,} rows were rejected, {rows:,} must be"
        for day, rows in sorted(rejected_by_receive_day(settings.truth_path).items())
        if found.get(day, 0) < rows
    )
    return "; ".join(wrong)


def _mixed_days(lake: EventLake, simulation: Simulation, topics: set[str]) -> set[date]:
    return {state.event_date for state in lake.day_states() if not is_simulated(state.source, simulation, topics)}


def _count_differences(store: ObjectStore, counts: Mapping[date, DayCounts], day: date, again: bool) -> list[str]:
    """Counts that differ. Of rows that may have been sent `again`, more are no difference if they are duplicates."""
    snapshot, truth = current_snapshot(store, day), counts[day]
    if snapshot is None:
        return ["no snapshot"]
    extra = max(0, snapshot.duplicates - truth.duplicates) if again else 0
    pairs = (
        ("accepted", snapshot.accepted, truth.accepted + extra),
        ("distinct", snapshot.distinct, truth.distinct),
        ("duplicates", snapshot.duplicates, truth.duplicates + extra),
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
