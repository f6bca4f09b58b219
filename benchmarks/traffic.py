"""What is measured on: simulated homes, an export of their traffic, a day's snapshot, facts by the million.

What belongs here: making these once, before anything is measured. What does not: the measuring (`lines`).
"""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv

from benchmarks.measured import Measured, measured
from recruitment_platform.model.contract import TRACKING
from recruitment_platform.pipeline.dimensions import current_dimensions, refresh_dimensions
from recruitment_platform.pipeline.snapshot import take_snapshots
from recruitment_platform.pipeline.totals import FactTotals
from recruitment_platform.resources.protocols import LedgerRow
from recruitment_platform.resources.stores import open_stores
from recruitment_platform.settings import Settings
from recruitment_platform.simulation.events import blocks
from recruitment_platform.simulation.record import ALL_FAULTS
from recruitment_platform.simulation.simulate import market_of, planned
from recruitment_platform.simulation.traffic import intents, raw_rows

FIRST = date(2025, 3, 3)
"""The day of the traffic, and the first of several."""

SEED = 7


def simulate(home: Path, events: int, days: int = 1) -> Measured:
    """Simulates so many days of so many events with every fault, by the command line."""
    last = FIRST + timedelta(days=days - 1)
    size = ("--events-per-day", str(events), "--seed", str(SEED))
    return measured(home, "simulate", "--from", str(FIRST), "--to", str(last), *size)


def copied(home: Path, to: Path) -> Path:
    """The home once more, as light as may be: its Parquet never changes, so that links will do."""
    return shutil.copytree(home, to, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> str:
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
    return target


def write_export(path: Path, rows: int) -> None:
    """A CSV export of a day's traffic with every fault."""
    settings = Settings(home=path.with_name("no-home"))
    simulation = planned(settings, FIRST, FIRST, seed=SEED, events_per_day=rows, faults=ALL_FAULTS)
    market = market_of(settings, simulation)
    texts = pa.schema((name, pa.string()) for name in TRACKING.column_names)
    schema = None
    with path.open("wb") as file:
        for block in blocks(simulation, market, FIRST):
            table = raw_rows(block, intents(block)).cast(texts)
            options = pa.csv.WriteOptions(include_header=schema is None)
            schema = table.schema
            pa.csv.write_csv(table, file, options)


def write_inputs(home: Path, folder: Path) -> Mapping[str, Path]:
    """The day's snapshot and dim_jobs, which the transform reads; `home` is changed."""
    settings = Settings(home=home)
    stores = open_stores(settings)
    refresh_dimensions(
        stores.relational,
        stores.objects,
        as_of=datetime.now(UTC),
        currency=settings.currency,
        aliases=settings.currency_aliases,
        run_id="bench",
    )
    [(_, taken)] = take_snapshots(stores.lake, stores.objects, [FIRST], time_zone=settings.time_zone, run_id="bench")
    dimensions = current_dimensions(stores.objects)
    if isinstance(taken, Exception) or dimensions is None:
        raise RuntimeError(f"no snapshot of {FIRST}: {taken}")
    folder.mkdir()
    keys = {"raw_tracking": taken.files[0].key, "dim_jobs": dimensions.key}
    return {
        table: Path(shutil.copy2(stores.objects.local(key), folder / f"{table}.parquet")) for table, key in keys.items()
    }


def write_facts(path: Path, rows: int) -> None:
    """So many rows of facts of the day."""
    statement = Path(__file__).with_name("many_facts.sql").read_text()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.sql(statement, params={"day": FIRST, "rows": rows}).write_parquet(str(path), compression="zstd")


def ledger_row(day: date, totals: FactTotals) -> LedgerRow:
    """What the ledger is to say of a load of these facts."""
    return LedgerRow(
        day=day,
        manifest=1,
        digest="0" * 64,
        rows=totals.rows,
        clicks=totals.clicks,
        spend_micros=totals.spend_micros,
        watermark={},
        dim_version=1,
        code_version="bench",
        run_id="bench",
        loaded_at=datetime.now(UTC),
    )
