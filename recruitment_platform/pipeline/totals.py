"""Counts over Parquet files by which steps reconcile: of a snapshot by kind, of facts by column.

One DuckDB query each, so that every step counts alike. What does not belong here: what the counts must equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from recruitment_platform.sql import load_sql, shared_duckdb

KINDS = ("click", "conversion", "qualified", "unqualified", "not_countable")


@dataclass(frozen=True)
class KindTotals:
    """Events by kind (0 where none), and the micros of the clicks' bids."""

    kinds: dict[str, int]
    click_micros: int


@dataclass(frozen=True)
class FactTotals:
    """Sums of staged facts, and what must be zero: repeated keys, rows of another day, rows with a null."""

    rows: int = 0
    clicks: int = 0
    conversion: int = 0
    qualified: int = 0
    disqualified: int = 0
    spend_micros: int = 0
    repeated_keys: int = 0
    other_days: int = 0
    rows_with_null: int = 0


def kind_totals(files: Sequence[Path]) -> KindTotals:
    """Counts a snapshot's files; no files are no events."""
    counted = _rows("kind_totals", files, {}) if files else []
    found = {str(row["kind"]): row for row in counted}
    kinds = {kind: int(found[kind]["events"]) if kind in found else 0 for kind in KINDS}
    kinds.update({kind: int(row["events"]) for kind, row in found.items() if kind not in kinds})
    return KindTotals(kinds, int(found["click"]["micros"]) if "click" in found else 0)


def fact_totals(files: Sequence[Path], day: date) -> FactTotals:
    """Counts a day's staged facts; no files are no rows."""
    if not files:
        return FactTotals()
    (row,) = _rows("fact_totals", files, {"day": day})
    return FactTotals(**{name: int(value) for name, value in row.items()})


def uncovered_jobs(files: Sequence[Path], dim_jobs: Path) -> list[int]:
    """Jobs of staged facts that the dimension does not know, ascending."""
    return [int(row["job_id"]) for row in _rows("uncovered_jobs", files, {"dim_jobs": str(dim_jobs)})]


def _rows(statement: str, files: Sequence[Path], parameters: Mapping[str, date | str]) -> list[dict[str, Any]]:
    with shared_duckdb() as connection:
        result = connection.sql(
            load_sql("pipeline", statement), params={"files": [str(file) for file in files], **parameters}
        )
        rows: list[dict[str, Any]] = result.to_arrow_table().to_pylist()
        return rows
