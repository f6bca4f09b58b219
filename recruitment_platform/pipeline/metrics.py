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

from recruitment_platform.pipeline.manifests import is_behind
from recruitment_platform.pipeline.status import StandingError, State, has_failed
from recruitment_platform.resources.protocols import DayState, EventLake, LedgerRow, SourceState

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
class DayFigures:
    """A day; None is not known, as a store it takes is away, or not so: nothing loaded, or not expected yet.

    `accepted` rows are in the lake, `clicks` and `spend_micros` are loaded. `lag` is how long the facts may have been
    behind the lake: nothing where they have all that it has; else the time since they were loaded, for whatever the
    lake has more came in after that; of an expected day that was never loaded the time since the day's end.
    """

    day: date
    state: State | None = None
    lag: timedelta | None = None
    accepted: int | None = None
    clicks: int | None = None
    spend_micros: int | None = None


def read_lake(lake: EventLake) -> LakeReading:
    """One look at the lake. Raises StoreUnavailableError where it cannot be read."""
    return LakeReading(lake.day_states(), lake.sources(), lake.rejected_by_ingest_day())


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
    ledger: Mapping[date, LedgerRow] | None,
    errors: Mapping[date, StandingError] | None,
    now: datetime,
    time_zone: str,
) -> list[DayFigures]:
    """Every day from the first that a store knows to yesterday, or to the last that a store knows, ascending.

    A reading that is None could not be had; what it takes is None then. A state is as `pipeline.status` tells it, but
    for staleness, which is told by the lake's positions alone: whether jobs became known since takes a look at each
    day's files.
    """
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    watermarks: dict[date, dict[str, int]] = defaultdict(dict)
    accepted: dict[date, int] = defaultdict(int)
    for state in lake.day_states if lake else ():
        watermarks[state.event_date][state.source] = state.last_position
        accepted[state.event_date] += state.rows
    opening = min(watermarks, default=None)
    known = watermarks.keys() | (ledger or {}).keys()
    if not known:
        return []
    first, last = min(known), max(*known, today - timedelta(days=1))
    figures = []
    for day in (first + timedelta(days=number) for number in range((last - first).days + 1)):
        row = ledger.get(day) if ledger is not None else None
        lag = state_of_day = None
        if lake is not None and ledger is not None:
            expected = opening is not None and opening <= day < today
            behind = row is not None and bool(is_behind(row.watermark, watermarks[day]))
            lag = _lag(day, row, behind, expected, now, zone)
            if errors is not None:
                state_of_day = _state(row, has_failed(errors.get(day), row), behind, expected, day in accepted)
        figures.append(
            DayFigures(
                day=day,
                state=state_of_day,
                lag=lag,
                accepted=accepted.get(day, 0) if lake is not None else None,
                clicks=row.clicks if row else None,
                spend_micros=row.spend_micros if row else None,
            )
        )
    return figures


def last_load(ledger: Mapping[date, LedgerRow]) -> datetime | None:
    """When a day was last loaded, UTC."""
    return max((row.loaded_at for row in ledger.values()), default=None)


def _lag(
    day: date, row: LedgerRow | None, behind: bool, expected: bool, now: datetime, zone: ZoneInfo
) -> timedelta | None:
    if row is None:
        end = datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)
        return now - end if expected else None
    return now - row.loaded_at if behind else timedelta(0)


def _state(row: LedgerRow | None, failed: bool, behind: bool, expected: bool, has_events: bool) -> State:
    if failed:
        return "failed"
    if row is None:
        return "missing" if expected else "not expected"
    if behind:
        return "stale"
    return "published" if has_events else "empty"
