"""The score finds every difference between facts and truth, and says where it is."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.simulation.score import ColumnDifference, DayScore, score
from recruitment_platform.simulation.truth import TRUTH

DAY, NEXT = date(2024, 3, 4), date(2024, 3, 5)
SEEN = datetime(2024, 3, 4, 23, 0, tzinfo=UTC)

Row = dict[str, object]


def row(day: date, hour: int, **columns: object) -> Row:
    keys = {"job_id": 7, "publisher_id": 1, "campaign_id": 2, "group_id": 0, "company_id": 3}
    counts = {"clicks": 2, "conversion": 1, "qualified_application": 0, "disqualified_application": 0}
    money = {"spend_hour": Decimal("1.500001"), "bid_set": Decimal("0.75")}
    others = {"impressions": None, "sources": "Parquet", "latest_update_time": SEEN}
    return {"dates": day, "hours": hour, **keys, **counts, **money, **others, **columns}


def facts(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), arrow_schema(HOURLY_FACTS))


def truth(*rows: Row) -> pa.Table:
    return facts(*rows).drop_columns("sources").cast(TRUTH)


ROWS = [row(DAY, 0), row(DAY, 1), row(DAY, 1, job_id=8), row(NEXT, 0)]


def test_equal_facts_match_in_any_order_and_days_without_rows_match_too() -> None:
    empty = date(2024, 3, 6)
    scores = score(facts(*reversed(ROWS)), truth(*ROWS), [NEXT, DAY, empty, DAY])
    assert scores == [DayScore(day, True, (), 0, 0) for day in (DAY, NEXT, empty)]


@pytest.mark.parametrize(
    ("column", "value", "truth_total", "facts_total"),
    [
        ("clicks", 3, 6, 7),
        ("conversion", 0, 3, 2),
        ("qualified_application", 1, 0, 1),
        ("disqualified_application", 5, 0, 5),
        ("spend_hour", Decimal("1.500002"), Decimal("4.500003"), Decimal("4.500004")),
        ("bid_set", Decimal("0.76"), Decimal("2.25"), Decimal("2.26")),
        ("impressions", 0, None, 0),
        ("latest_update_time", SEEN.replace(hour=22), SEEN, SEEN),
    ],
)
def test_a_column_that_differs_is_shown_with_its_totals(
    column: str, value: object, truth_total: object, facts_total: object
) -> None:
    scores = score(facts(ROWS[0], {**ROWS[1], column: value}, *ROWS[2:]), truth(*ROWS), [DAY, NEXT])
    assert scores == [
        DayScore(DAY, False, (ColumnDifference(column, 1, truth_total, facts_total),), 0, 0),  # type: ignore[arg-type]
        DayScore(NEXT, True, (), 0, 0),
    ]


@pytest.mark.parametrize(
    ("change", "missing", "extra"),
    [
        (lambda rows: rows[1:], 1, 0),
        (lambda rows: [*rows, row(DAY, 5)], 0, 1),
        (lambda rows: [*rows, rows[0]], 0, 1),
        (lambda rows: [{**rows[0], "company_id": 4}, *rows[1:]], 1, 1),
        (lambda rows: [{**rows[0], "hours": 2}, *rows[1:]], 1, 1),
        (lambda rows: rows[3:], 3, 0),
    ],
)
def test_rows_that_only_one_side_has_are_counted(
    change: Callable[[list[Row]], list[Row]], missing: int, extra: int
) -> None:
    scores = score(facts(*change(ROWS)), truth(*ROWS), [DAY, NEXT])
    assert scores == [DayScore(DAY, False, (), missing, extra), DayScore(NEXT, True, (), 0, 0)]
