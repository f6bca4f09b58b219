"""Days to load into a warehouse: fact rows, their staged files and the ledger row that belongs to them.

What belongs here: building them, here and in processes of their own. What does not: what a warehouse must do with them.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import astuple, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.addresses import RedshiftAddress, S3Address
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.model.contract import FACT_ADJUSTMENTS, FACT_KEY, HOURLY_FACTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.protocols import AdjustmentRow, DayTotals, LedgerRow, ObjectStore, Warehouse
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse
from recruitment_platform_tests.processes import allow_any_file_size, limit_file_size

DAY = date(2022, 7, 6)


def _duckdb(folder: Path, store: ObjectStore, wait: float) -> Warehouse:
    return DuckDBWarehouse(folder / "warehouse.duckdb", timedelta(seconds=wait), store)


def _redshift(folder: Path, store: ObjectStore, wait: float) -> Warehouse:
    from recruitment_platform.resources.redshift.warehouse import open_redshift

    return open_redshift(RedshiftAddress(wait=max(1, int(wait))), store)


def _bucket(folder: Path) -> ObjectStore:
    from recruitment_platform.resources.objects.s3 import open_s3

    return open_s3(S3Address(), folder / "objects")


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "duckdb": lambda folder: FolderStore(folder / "objects"),
    "redshift": _bucket,
}
"""The object store that each warehouse loads from; servers are where the environment says, as the fixtures set it."""

OPENERS: dict[str, Callable[[Path, ObjectStore, float], Warehouse]] = {"duckdb": _duckdb, "redshift": _redshift}
"""Each warehouse, made or opened again by a folder, an object store and the seconds it waits."""


def open_store(kind: str, folder: Path) -> ObjectStore:
    return STORES[kind](folder)


def open_warehouse(kind: str, folder: Path, wait: float = 30) -> Warehouse:
    return OPENERS[kind](folder, open_store(kind, folder), wait)


def fact_rows(day: date, count: int, clicks: int = 1) -> pa.Table:
    """`count` rows of the day, each with that many clicks at 0.250001, the last column's time in microseconds."""
    rows = [
        {
            "job_id": number // 24 + 1,
            "publisher_id": number % 3,
            "campaign_id": 10,
            "group_id": 0,
            "company_id": 100,
            "dates": day,
            "hours": number % 24,
            "clicks": clicks,
            "conversion": number % 2,
            "qualified_application": 0,
            "disqualified_application": 1,
            "spend_hour": Decimal("0.250001") * clicks,
            "bid_set": Decimal("0.25"),
            "impressions": None,
            "sources": "Parquet",
            "latest_update_time": datetime(day.year, day.month, day.day, 3, 4, 5, number % 1000, tzinfo=UTC),
        }
        for number in range(count)
    ]
    return pa.Table.from_pylist(rows, arrow_schema(HOURLY_FACTS))


def totals_of(rows: pa.Table) -> DayTotals:
    """The totals of fact rows, counted by Arrow."""
    sums = {
        name: pc.sum(rows[name]).as_py() or 0
        for name in ("clicks", "conversion", "qualified_application", "disqualified_application", "spend_hour")
    }
    return DayTotals(
        rows.num_rows,
        sums["clicks"],
        sums["conversion"],
        sums["qualified_application"],
        sums["disqualified_application"],
        int(sums["spend_hour"] * 1_000_000),
    )


def staged(store: ObjectStore, day: date, manifest: int, rows: pa.Table, files: int = 1) -> tuple[LedgerRow, list[str]]:
    """Puts the rows into that many files; returns the ledger row of their manifest, and the files' keys."""
    keys = []
    per_file = -(-rows.num_rows // files) if files else 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(files):
            path = Path(folder) / f"{number}.parquet"
            pq.write_table(rows.slice(number * per_file, per_file), path)
            keys.append(f"job_hourly_events/run={manifest}-{os.getpid()}/dt={day}/part-{number}.parquet")
            store.put_file(path, keys[-1])
    return ledger_row(day, manifest, rows), keys


def ledger_row(day: date, manifest: int, rows: pa.Table) -> LedgerRow:
    totals = totals_of(rows)
    return LedgerRow(
        day=day,
        manifest=manifest,
        digest=f"{manifest:064}",
        rows=totals.rows,
        clicks=totals.clicks,
        spend_micros=totals.spend_micros,
        watermark={"file:é": manifest, "file:a": 7},
        dim_version=manifest + 1,
        code_version="1",
        run_id=f"run-{manifest}",
        loaded_at=datetime(2022, 7, 7, 1, 2, 3, 456789, tzinfo=UTC),
    )


def adjustment_rows(day: date, count: int, clicks: int = 1) -> pa.Table:
    """`count` rows of adjustments of the day, each with that many clicks more (or fewer) at 0.250001."""
    return fact_rows(day, count, clicks).select(arrow_schema(FACT_ADJUSTMENTS).names)


def booking(day: date, manifest: int, number: int, rows: pa.Table) -> AdjustmentRow:
    """The booking of these adjustments, of the load under that manifest."""
    totals = totals_of(rows)
    return AdjustmentRow(
        day=day,
        manifest=manifest,
        number=number,
        digest=f"{manifest:032}{number:032}",
        rows=totals.rows,
        clicks=totals.clicks,
        spend_micros=totals.spend_micros,
        watermark={"file:é": manifest + number},
        dim_version=manifest + 1,
        code_version="1",
        run_id=f"run-{manifest}-{number}",
        booked_at=datetime(2022, 8, 1, 1, 2, 3, 456789, tzinfo=UTC),
    )


def together(*tables: pa.Table) -> DayTotals:
    """What facts and adjustments add up to."""
    totals = [astuple(totals_of(rows)) for rows in tables]
    return DayTotals(*map(sum, zip(*totals, strict=True)))


def check_day(warehouse: Warehouse, row: LedgerRow, rows: pa.Table) -> None:
    """The ledger's row, the totals and the rows themselves are those."""
    assert warehouse.ledger([row.day]) == {row.day: row}
    assert warehouse.totals([row.day]) == {row.day: totals_of(rows)}
    assert warehouse.facts(row.day, row.day).equals(rows.sort_by([(name, "ascending") for name in FACT_KEY]))


# What other processes do


def load(kind: str, folder: Path, row: LedgerRow, files: list[str], wait: float = 30) -> bool:
    return open_warehouse(kind, folder, wait).load_day(row, files)


def close(kind: str, folder: Path, day: date, closed_at: datetime) -> bool:
    return open_warehouse(kind, folder).close_through(day, closed_at)


def adjust(kind: str, folder: Path, row: AdjustmentRow, rows: pa.Table, facts: DayTotals) -> bool:
    return open_warehouse(kind, folder).replace_adjustments(row, rows, facts)


def adjust_on_and_on(
    kind: str, folder: Path, bookings: list[tuple[AdjustmentRow, pa.Table, DayTotals]], started: Any
) -> None:
    """Books one after the other under numbers that grow from 1, until killed; `started` is set after the first."""
    warehouse = open_warehouse(kind, folder)
    for number in count(1):
        row, rows, facts = bookings[number % len(bookings)]
        assert warehouse.replace_adjustments(replace(row, number=number), rows, facts)
        started.set()


def load_on_and_on(kind: str, folder: Path, days: list[tuple[LedgerRow, list[str]]], started: Any) -> None:
    """Loads one after the other under numbers that grow from 1, until killed; `started` is set after the first."""
    warehouse = open_warehouse(kind, folder)
    for number in count(1):
        row, files = days[number % len(days)]
        warehouse.load_day(replace(row, manifest=number), files)
        started.set()


def load_with_room(kind: str, folder: Path, row: LedgerRow, files: list[str], size: int, deadly: bool) -> bool:
    """Loads where no file may grow past that size: the write past it fails, or kills the process."""
    warehouse = open_warehouse(kind, folder)
    limit_file_size(size, deadly=deadly)
    return warehouse.load_day(row, files)


def load_once_there_is_room(folder: Path, row: LedgerRow, files: list[str], size: int) -> bool:
    """Loads where no file may grow past that size, which fails, and in the same process where it may."""
    warehouse = open_warehouse("duckdb", folder)
    limit_file_size(size, deadly=False)
    try:
        warehouse.load_day(row, files)
    except StoreUnavailableError:
        allow_any_file_size()
        return warehouse.load_day(row, files)
    return False
