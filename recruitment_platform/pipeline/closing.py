"""The billing close: from then on the days up to one keep the facts that were billed.

What their events say later is booked beside them (`adjustments`). What belongs here: which days may be closed. What
does not: the close's transaction (`resources`), how a day stands (`status`).
"""

from datetime import UTC, date, datetime, timedelta

from recruitment_platform.errors import InputError
from recruitment_platform.pipeline.status import State, day_statuses
from recruitment_platform.resources.protocols import EventLake, ObjectStore, Warehouse

NOT_FIT: frozenset[State] = frozenset({"missing", "failed", "stale"})
"""States of a day on which no invoice may rest."""

NAMED_AT_MOST = 5
"""Days that a refusal names: of a year it would be a page. `status` shows them all."""


def close_days(lake: EventLake, store: ObjectStore, warehouse: Warehouse, day: date, today: date) -> bool:
    """Closes the days up to that one, in which nothing may be missing; False, changing nothing, where they are closed.

    Raises InputError where the day is not over yet, or days that are not closed yet are not published as the lake has
    them: an invoice rests on what is published.
    """
    if day >= today:
        raise InputError(f"{day} is not over yet; the last day that can be closed is {today - timedelta(days=1)}")
    closed = warehouse.closed_through()
    if closed is not None and day <= closed:
        return False
    statuses = day_statuses(lake, store, warehouse, today, None if closed is None else closed + timedelta(days=1), day)
    unfit = [status for status in statuses if status.state in NOT_FIT]
    if unfit:
        shown = "; ".join(f"{status.day} {status.state}" for status in unfit[:NAMED_AT_MOST])
        more = f" and {len(unfit) - NAMED_AT_MOST:,} more" if len(unfit) > NAMED_AT_MOST else ""
        raise InputError(
            f"{len(unfit):,} days up to {day} are not published as the lake has them: {shown}{more}; nothing was "
            f"closed. recruitment-platform run --from {unfit[0].day} --to {unfit[-1].day} publishes them"
        )
    return warehouse.close_through(day, datetime.now(UTC))
