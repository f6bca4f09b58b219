"""The score: the pipeline's facts against the simulator's truth, row by row and column by column.

What belongs here: finding every difference of a day. What does not: where either side comes from (`truth`, the
warehouse), or how a difference is shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from recruitment_platform.model.contract import FACT_ADJUSTMENTS, FACT_KEY
from recruitment_platform.simulation.truth import TRUTH

Total = int | Decimal | datetime | None

MEASURES = tuple(name for name in TRUTH.names if name not in FACT_KEY)

ADJUSTED = tuple(name for name in FACT_ADJUSTMENTS.column_names if name not in FACT_KEY)
"""The measures that adjustments of closed days have too."""


@dataclass(frozen=True)
class ColumnDifference:
    """A column in which rows differ. Totals of both sides are sums, or the newest time; None where all are null."""

    column: str
    rows_differing: int
    truth_total: Total
    facts_total: Total


@dataclass(frozen=True)
class DayScore:
    """How a day's facts compare with the truth.

    `missing_rows` are rows of the truth that the facts lack, `extra_rows` the other way round, a key's second row
    included; `differences` concern the rows that both have.
    """

    day: date
    matched: bool
    differences: tuple[ColumnDifference, ...]
    missing_rows: int
    extra_rows: int


def score(facts: pa.Table, truth: pa.Table, days: Iterable[date], measures: Sequence[str] = MEASURES) -> list[DayScore]:
    """The score of each of these days by these measures: `facts` as `HOURLY_FACTS`, `truth` as `truth_for` gives it."""
    columns = [name for name in TRUTH.names if name in FACT_KEY or name in measures]
    return [
        _score_day(day, _of_day(facts, columns, day), _of_day(truth, columns, day), measures)
        for day in sorted(set(days))
    ]


def _of_day(table: pa.Table, columns: Sequence[str], day: date) -> pa.Table:
    rows = table.select(columns).cast(pa.schema([TRUTH.field(name) for name in columns]))
    return rows.filter(pc.equal(rows["dates"], pa.scalar(day, pa.date32()))).combine_chunks()


def _score_day(day: date, facts: pa.Table, truth: pa.Table, measures: Sequence[str]) -> DayScore:
    pairs = _keyed(truth, "in_truth").join(_keyed(facts, "in_facts"), list(FACT_KEY), join_type="inner")
    pairs = pairs.group_by("in_truth").aggregate([("in_facts", "min")])
    missing, extra = len(truth) - len(pairs), len(facts) - len(pairs)
    truth_rows, facts_rows = truth.take(pairs["in_truth"]), facts.take(pairs["in_facts_min"])
    differences = []
    for name in measures:
        expected, found = truth_rows[name], facts_rows[name]
        same = pc.if_else(pc.is_null(expected), pc.is_null(found), pc.fill_null(pc.equal(expected, found), False))
        differing = len(same) - (pc.sum(same).as_py() or 0)
        if differing:
            differences.append(ColumnDifference(name, differing, _total(truth[name]), _total(facts[name])))
    return DayScore(day, not (differences or missing or extra), tuple(differences), missing, extra)


def _keyed(table: pa.Table, position: str) -> pa.Table:
    return table.select(FACT_KEY).append_column(position, pa.array(range(len(table)), pa.int64()))


def _total(column: pa.ChunkedArray) -> Total:
    summed = pc.max(column) if pa.types.is_timestamp(column.type) else pc.sum(column)
    total: Total = summed.as_py()
    return total
