"""The platform's figures: how far the facts are behind the lake, what came in, what is published, day by day.

All are counted from one look at each store (`day_states`, `sources`, the ledger, the errors of runs): it costs days x
sources, and never a scan of events or a question for each day. What belongs here: the figures as values. What does not:
their names and their format (`automation.exporter`), why a day is as it is (`pipeline.status`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from recruitment_platform.pipeline.billing import Accounted, accounted
from recruitment_platform.pipeline.manifests import is_behind
from recruitment_platform.pipeline.status import State
from recruitment_platform.resources.protocols import DayState, EventLake, SourceState, Warehouse

KINDS = ("file", "kafka", "simulator")
"""Kinds of sources, which a source's name begins with; all others are `other`."""


@dataclass(frozen=True)
class Rows:
    """Rows of sources: received = accepted + rejected, and `rejected` is without those replayed."""

    received: int = 0
    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class LakeReading:
    """What one look at the lake told."""

    day_states: list[DayState]
    sources: list[SourceState]
    rejected: dict[date, int]
    """By ingest day, of every table."""


@dataclass(frozen=True)
class WarehouseReading:
    """What one look at the warehouse told: up to which state each day is accounted for, and the last closed day."""

    accounted: dict[date, Accounted]
    closed_through: date | None


@dataclass(frozen=True)
class DayFigures:
    """A day; None is not known, as a store it takes is away, or not so: nothing loaded, or not expected yet.

    `accepted` rows are in the lake, `clicks` and `spend_micros` are loaded, `adjusted_micros` booked beside them. `lag`
    is how long the day may have been behind the lake: nothing where it is accounted for as the lake has it; else the
    time since it was loaded (adjusted, if it is closed), for whatever the lake has more came in after that; of an
    expected day that was never loaded the time since the day's end.
    """

    day: date
    state: State | None = None
    lag: timedelta | None = None
    accepted: int | None = None
    clicks: int | None = None
    spend_micros: int | None = None
    adjusted_micros: int | None = None


def read_lake(lake: EventLake) -> LakeReading:
    """One look at the lake. Raises StoreUnavailableError where it cannot be read."""
    return LakeReading(lake.day_states(), lake.sources(), lake.rejected_by_ingest_day())


def read_warehouse(warehouse: Warehouse) -> WarehouseReading:
    """One look at the warehouse. Raises StoreUnavailableError where it cannot be read."""
    return WarehouseReading(accounted(warehouse), warehouse.closed_through())


def rows_by_kind(sources: Iterable[SourceState]) -> dict[str, Rows]:
    """Rows by kind of source; kinds without a source are left out."""
    found: dict[str, Rows] = {}
    for source in sources:
        kind = next((kind for kind in KINDS if source.source.startswith(f"{kind}:")), "other")
        sum_ = found.get(kind, Rows())
        found[kind] = Rows(
            sum_.received + source.received, sum_.accepted + source.accepted, sum_.rejected + source.rejected
        )
    return found


def day_figures(
    lake: LakeReading | None,
    warehouse: WarehouseReading | None,
    errors: Mapping[date, datetime] | None,
    now: datetime,
    time_zone: str,
) -> list[DayFigures]:
    """Every day from the first that a store knows to yesterday, or to the last that a store knows, ascending.

    `errors` are those that stand (`status.standing_errors`). A reading that is None could not be had; what it takes is
    None then. A state is as `status` tells it, but that a day is stale by events alone: the other causes take a look
    at each day's files.
    """
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    watermarks: dict[date, dict[str, int]] = defaultdict(dict)
    accepted: dict[date, int] = defaultdict(int)
    for state in lake.day_states if lake else ():
        watermarks[state.event_date][state.source] = state.last_position
        accepted[state.event_date] += state.rows
    opening = min(watermarks, default=None)
    settled = warehouse.accounted if warehouse else {}
    known = watermarks.keys() | settled.keys()
    if not known:
        return []
    first, last = min(known), max(*known, today - timedelta(days=1))
    figures = []
    for day in (first + timedelta(days=number) for number in range((last - first).days + 1)):
        found = settled.get(day)
        lag = verdict = None
        if lake is not None and warehouse is not None:
            expected = opening is not None and opening <= day < today
            behind = found is not None and bool(is_behind(found.watermark, watermarks.get(day, {})))
            lag = _lag(day, found, behind, expected, now, zone)
            if errors is not None:
                failed = day in errors and (found is None or errors[day] > found.at)
                verdict = _state(found, failed, behind, expected, day in accepted)
        load = found.load if found else None
        booked = found.adjustment if found else None
        figures.append(
            DayFigures(
                day=day,
                state=verdict,
                lag=lag,
                accepted=accepted.get(day, 0) if lake is not None else None,
                clicks=load.clicks if load else None,
                spend_micros=load.spend_micros if load else None,
                adjusted_micros=booked.spend_micros if booked else None,
            )
        )
    return figures


def last_load(warehouse: WarehouseReading) -> datetime | None:
    """When a day was last loaded, or adjusted, UTC."""
    return max((found.at for found in warehouse.accounted.values()), default=None)


def _lag(
    day: date, found: Accounted | None, behind: bool, expected: bool, now: datetime, zone: ZoneInfo
) -> timedelta | None:
    if found is None:
        return now - end_of(day, zone) if expected else None
    return now - found.at if behind else timedelta(0)


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which the day is over in the time zone, UTC."""
    return datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)


def _state(found: Accounted | None, failed: bool, behind: bool, expected: bool, has_events: bool) -> State:
    if failed:
        return "failed"
    if found is None:
        return "missing" if expected else "not expected"
    if behind:
        return "stale"
    return "published" if has_events else "empty"
