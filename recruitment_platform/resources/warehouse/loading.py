"""What loads and adjustments of a day are in every warehouse: their ledger rows, and what must add up.

What belongs here: values and messages that are the same whatever database holds the rows. What does not: the
transaction, and the statements (`embedded`, `redshift.warehouse`).
"""

import json
from collections.abc import Mapping
from datetime import UTC, date
from decimal import Decimal
from typing import Any

from recruitment_platform.errors import ClosedDayError, InputError, ReconciliationError, SupersededError
from recruitment_platform.model.contract import DIM_JOBS, DIM_PUBLISHERS, Table
from recruitment_platform.resources.protocols import AdjustmentRow, DayTotals, LedgerRow

_DIMENSIONS = {table.name: table for table in (DIM_JOBS, DIM_PUBLISHERS)}

NO_ROWS = DayTotals(0, 0, 0, 0, 0, 0)
"""What the fact table holds of a day without rows."""

VIEWS = ("job_performance", "job_adjustments")
"""What analysts read: the statements that make them, by name."""


def dimension(name: str) -> Table:
    """The dimension of that name; InputError where there is none."""
    if name not in _DIMENSIONS:
        raise InputError(f"{name} is no dimension; they are {', '.join(_DIMENSIONS)}")
    return _DIMENSIONS[name]


def reconcile(what: str, row: LedgerRow, inserted: int, found: DayTotals) -> None:
    """ReconciliationError where the rows in the files, or the day as the table now has it, are not the manifest's."""
    pairs = (
        ("rows in the files", inserted, row.rows),
        ("rows of the day", found.rows, row.rows),
        ("clicks", found.clicks, row.clicks),
        ("spend in micros", found.spend_micros, row.spend_micros),
    )
    differing = [f"{name} {got} instead of {wanted}" for name, got, wanted in pairs if got != wanted]
    if differing:
        raise ReconciliationError(
            f"{what}: manifest {row.manifest} was not loaded, {', '.join(differing)}; the day keeps its former rows. "
            "Materialize it again"
        )


def is_already_loaded(what: str, row: LedgerRow, manifest: int, digest: str) -> bool:
    """Whether the load in force is this very manifest; SupersededError where it is a newer one."""
    if (manifest, digest) == (row.manifest, row.digest):
        return True
    if manifest > row.manifest:
        raise SupersededError(
            f"{what}: manifest {manifest} is already loaded; {row.manifest} is older and changes nothing"
        )
    return False


def refuse_closed(what: str, day: date, closed_through: date | None) -> None:
    """ClosedDayError where the day is closed."""
    if closed_through is not None and day <= closed_through:
        raise ClosedDayError(
            f"{what}: the days up to {closed_through} are closed; the day keeps the facts that were billed. "
            f"recruitment-platform restate {day} replaces them on purpose"
        )


def refuse_open(what: str, day: date, closed_through: date | None) -> None:
    """ReconciliationError where the day is not closed: what it lacks is loaded, not adjusted."""
    if closed_through is None or day > closed_through:
        raise ReconciliationError(f"{what}: the day is not closed, so that nothing is adjusted; load it")


def reconcile_adjustments(
    what: str, row: AdjustmentRow, inserted: int, loaded: DayTotals, adjusted: DayTotals, facts: DayTotals
) -> None:
    """ReconciliationError where the facts that are loaded and their adjustments are not the facts as computed."""
    pairs = (
        ("rows", inserted, row.rows),
        ("clicks adjusted", adjusted.clicks, row.clicks),
        ("spend adjusted, in micros,", adjusted.spend_micros, row.spend_micros),
        ("clicks", loaded.clicks + adjusted.clicks, facts.clicks),
        ("conversion", loaded.conversion + adjusted.conversion, facts.conversion),
        ("qualified_application", loaded.qualified + adjusted.qualified, facts.qualified),
        ("disqualified_application", loaded.disqualified + adjusted.disqualified, facts.disqualified),
        ("spend in micros", loaded.spend_micros + adjusted.spend_micros, facts.spend_micros),
    )
    differing = [f"{name} {got} instead of {wanted}" for name, got, wanted in pairs if got != wanted]
    if differing:
        raise ReconciliationError(
            f"{what}: facts and adjustments have {', '.join(differing)}; the day keeps its former adjustments. "
            "Materialize it again"
        )


def ledger_values(row: LedgerRow) -> dict[str, Any]:
    """The row as the statements' parameters: spend in currency, the watermark as JSON."""
    return _values(row) | {"loaded_at": row.loaded_at}


def ledger_row(found: Mapping[str, Any]) -> LedgerRow:
    """The row that a ledger statement found; `loaded_at` has a time zone, spend comes as `spend_micros`."""
    return LedgerRow(
        **_fields(found),
        rows=found["rows_loaded"],
        loaded_at=found["loaded_at"].astimezone(UTC),
    )


def booking_values(row: AdjustmentRow) -> dict[str, Any]:
    """The booking as the statements' parameters: spend in currency, the watermark as JSON."""
    return _values(row) | {"number": row.number, "booked_at": row.booked_at}


def booking(found: Mapping[str, Any]) -> AdjustmentRow:
    """The booking that a statement found; `booked_at` has a time zone, spend comes as `spend_micros`."""
    return AdjustmentRow(
        **_fields(found),
        number=found["number"],
        rows=found["rows_adjusted"],
        booked_at=found["booked_at"].astimezone(UTC),
    )


def _values(row: LedgerRow | AdjustmentRow) -> dict[str, Any]:
    return {
        "day": row.day,
        "manifest": row.manifest,
        "digest": row.digest,
        "rows": row.rows,
        "clicks": row.clicks,
        "spend": Decimal(row.spend_micros).scaleb(-6),
        "watermark": json.dumps(dict(row.watermark), sort_keys=True, ensure_ascii=False),
        "dim_version": row.dim_version,
        "code_version": row.code_version,
        "run_id": row.run_id,
    }


def _fields(found: Mapping[str, Any]) -> dict[str, Any]:
    named = ("manifest", "digest", "clicks", "spend_micros", "dim_version", "code_version", "run_id")
    return {name: found[name] for name in named} | {"day": found["dates"], "watermark": json.loads(found["watermark"])}
