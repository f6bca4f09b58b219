"""Adjustments: what a closed day's events say beyond the facts that were billed, booked beside these.

What belongs here: the difference between the facts as computed and those in the warehouse, its booking, and the sum of
facts and adjustments. What does not: verifying what was computed (`publish`), the booking's transaction (`resources`),
when a day is closed (`billing`).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import ReconciliationError
from recruitment_platform.model.contract import FACT_ADJUSTMENTS, HOURLY_FACTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.pipeline.manifests import FactsManifest, is_behind
from recruitment_platform.resources.protocols import AdjustmentRow, DayTotals, LedgerRow, ObjectStore, Warehouse
from recruitment_platform.sql import connect_duckdb, load_sql

MAX_ATTEMPTS = 5
"""How often a booking is computed anew because another one, or a restatement, came in between."""


@dataclass(frozen=True)
class BookedDay:
    """A closed day: the load that was billed (None where it never was), and the booking in force (None where none is).

    `new` where this call booked it.
    """

    day: date
    billed: LedgerRow | None
    booking: AdjustmentRow | None
    new: bool


def book_day(store: ObjectStore, warehouse: Warehouse, candidate: FactsManifest, run_id: str) -> BookedDay:
    """Books what the facts as computed, which were verified, have beyond the closed day's own.

    These stay as they were billed, in the warehouse and as staged. The booking in force stays where it is of a newer
    snapshot, or says the same; what was loaded from the same state needs none. Raises ReconciliationError where the
    fact table is not what was loaded.
    """
    day = candidate.day
    for _ in range(MAX_ATTEMPTS):
        billed = warehouse.ledger([day]).get(day)
        current = warehouse.adjusted([day]).get(day)
        accounted = current or billed
        if accounted is not None and (_is_newer(accounted, candidate) or _content(accounted) == _content(candidate)):
            return BookedDay(day, billed, current, new=False)
        facts = warehouse.facts(day, day)
        _check_unchanged(day, facts, billed)
        rows = differences(_computed(store, candidate), facts)
        booking = _booking(candidate, billed, current, rows, run_id)
        if warehouse.replace_adjustments(booking, rows, _totals(candidate)):
            return BookedDay(day, billed, booking, new=True)
    raise ReconciliationError(
        f"fact_adjustments {day}: other runs booked or restated the day in between, {MAX_ATTEMPTS} times in a row; the "
        "last of their bookings is in force. Run the day again when they have ended"
    )


def differences(computed: pa.Table, billed: pa.Table) -> pa.Table:
    """What `computed` has beyond `billed`, both as `HOURLY_FACTS`, each key once: rows as `FACT_ADJUSTMENTS`."""
    columns = FACT_ADJUSTMENTS.column_names
    with connect_duckdb() as connection:
        connection.register("computed", computed.select(columns))
        connection.register("billed", billed.select(columns))
        found = connection.sql(load_sql("pipeline", "adjustments")).to_arrow_table()
    return found.select(columns).cast(arrow_schema(FACT_ADJUSTMENTS))


def with_adjustments(facts: pa.Table, adjustments: pa.Table) -> pa.Table:
    """What both add up to by the facts' key, keys that come to nothing left out: rows as `FACT_ADJUSTMENTS`."""
    schema = arrow_schema(FACT_ADJUSTMENTS)
    rows = pa.concat_tables([facts.select(schema.names), adjustments.select(schema.names)])
    measures = [name for name in schema.names if name not in FACT_ADJUSTMENTS.key]
    summed = rows.group_by(list(FACT_ADJUSTMENTS.key), use_threads=False).aggregate(
        [(name, "sum") for name in measures]
    )
    found = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names]).select(schema.names)
    nothing = reduce(pc.and_, (pc.equal(found[name], 0) for name in measures))
    return found.filter(pc.invert(nothing)).cast(schema)


def _computed(store: ObjectStore, candidate: FactsManifest) -> pa.Table:
    schema = arrow_schema(HOURLY_FACTS)
    tables = [pq.read_table(store.local(entry.key), partitioning=None).cast(schema) for entry in candidate.files]
    return pa.concat_tables([schema.empty_table(), *tables])


def _check_unchanged(day: date, facts: pa.Table, billed: LedgerRow | None) -> None:
    """ReconciliationError where the day's facts are not those that were loaded."""
    found = (
        ("rows", facts.num_rows, billed.rows if billed else 0),
        ("clicks", _sum(facts, "clicks"), billed.clicks if billed else 0),
        ("spend in micros", _micros(facts), billed.spend_micros if billed else 0),
    )
    differing = ", ".join(f"{what} {got} instead of {wanted}" for what, got, wanted in found if got != wanted)
    if differing:
        raise ReconciliationError(
            f"redshift_fact_events {day}: the table has {differing}, by its load. It was changed by something else "
            "than a load; delete the load's row from load_ledger, then load it again by "
            f"recruitment-platform restate {day}"
        )


def _booking(
    candidate: FactsManifest, billed: LedgerRow | None, current: AdjustmentRow | None, rows: pa.Table, run_id: str
) -> AdjustmentRow:
    return AdjustmentRow(
        day=candidate.day,
        manifest=billed.manifest if billed else 0,
        number=current.number + 1 if current else 1,
        digest=candidate.digest,
        rows=rows.num_rows,
        clicks=_sum(rows, "clicks"),
        spend_micros=_micros(rows),
        watermark=dict(candidate.watermark),
        dim_version=candidate.dim_version,
        code_version=candidate.code_version,
        run_id=run_id,
        booked_at=datetime.now(UTC),
    )


def _totals(candidate: FactsManifest) -> DayTotals:
    return DayTotals(
        rows=candidate.rows,
        clicks=candidate.clicks,
        conversion=candidate.conversion,
        qualified=candidate.qualified,
        disqualified=candidate.disqualified,
        spend_micros=candidate.spend_micros,
    )


def _is_newer(accounted: LedgerRow | AdjustmentRow, candidate: FactsManifest) -> bool:
    """Whether what is accounted for must stay: of a newer snapshot, or of the same with newer dimensions."""
    if is_behind(candidate.watermark, accounted.watermark):
        return True
    return candidate.watermark == accounted.watermark and candidate.dim_version < accounted.dim_version


def _content(found: LedgerRow | AdjustmentRow | FactsManifest) -> tuple[object, ...]:
    return (found.digest, found.watermark, found.dim_version, found.code_version)


def _sum(rows: pa.Table, column: str) -> int:
    return int(pc.sum(rows[column]).as_py() or 0)


def _micros(rows: pa.Table) -> int:
    return int((pc.sum(rows["spend_hour"]).as_py() or 0) * 1_000_000)
