"""Up to which state of the lake each day is accounted for: by its load, or once it is closed by its adjustments.

What belongs here: what the warehouse tells of that. What does not: closing days (`closing`), computing their
adjustments (`adjustments`), what the lake holds beyond (`status`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from recruitment_platform.resources.protocols import AdjustmentRow, LedgerRow, Warehouse


@dataclass(frozen=True)
class Accounted:
    """The state that a day was last accounted for by: its load's, or that of the adjustments that are booked of it.

    `watermark`, `digest` and versions are of the facts as computed then, `at` is when that was begun. `load` is
    what the fact table holds, None where the day was closed before it was ever loaded; `adjustment` is the booking in
    force of a closed day, None where its events have said nothing else since it was loaded.
    """

    watermark: dict[str, int]
    dim_version: int
    code_version: str
    digest: str
    at: datetime
    closed: bool
    load: LedgerRow | None = None
    adjustment: AdjustmentRow | None = None


def accounted(warehouse: Warehouse, days: Iterable[date] | None = None) -> dict[date, Accounted]:
    """How each of the days (all by default) is accounted for; days that were neither loaded nor adjusted are left out.

    Two queries whatever the number of days, and a third once days are closed.
    """
    asked = None if days is None else list(days)
    loads = warehouse.ledger(asked)
    closed = warehouse.closed_through()
    bookings = {} if closed is None else warehouse.adjusted(asked)
    return {
        day: _accounted(loads.get(day), bookings.get(day), closed is not None and day <= closed)
        for day in sorted(loads.keys() | bookings.keys())
    }


def _accounted(load: LedgerRow | None, booked: AdjustmentRow | None, closed: bool) -> Accounted:
    row = booked or load
    assert row is not None  # the day is of one of them
    return Accounted(
        watermark=row.watermark,
        dim_version=row.dim_version,
        code_version=row.code_version,
        digest=row.digest,
        at=row.booked_at if isinstance(row, AdjustmentRow) else row.loaded_at,
        closed=closed,
        load=load,
        adjustment=booked,
    )
