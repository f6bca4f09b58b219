"""How every day stands: what the lake holds of it, what is published of it, and whether the two agree.

All is derived from what the stores hold, nothing is remembered: so it cannot be out of date. What belongs here: a day's
state and why. What does not: showing it (`cli`), acting on it (`automation`), scoring it (`simulation`).
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Literal, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.manifests import (
    DIM_MANIFESTS,
    DimManifest,
    FactsManifest,
    facts_candidates,
    history,
    in_force,
    is_behind,
    staged_manifests,
)
from recruitment_platform.pipeline.publish import current_facts
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.protocols import DayState, EventLake, LedgerRow, ObjectStore, Warehouse

State = Literal["published", "empty", "stale", "missing", "failed", "not expected"]

STATES: dict[State, str] = {
    "published": "the fact table holds the day as the lake has it",
    "empty": "published, and the lake has no event of the day",
    "stale": "published, but from an older state than the one at hand",
    "missing": "expected, but never loaded",
    "failed": "the newest run could not publish it; former facts stay in force",
    "not expected": "before the lake's first day, or not over yet",
}
"""What each state means."""

_ERROR = re.compile(r"day_errors/run=(?P<run>[^/]+)/dt=(?P<day>[0-9-]{10})\.json")


@dataclass(frozen=True)
class DayStatus:
    """A day: `accepted` rows in the lake, `distinct` events in the snapshot in force (None where there is none).

    `rows`, `clicks` and `spend_micros` are what is loaded, None where nothing ever was. `reason` says why the day is
    stale, missing or failed, empty otherwise.
    """

    day: date
    accepted: int
    distinct: int | None
    rows: int | None
    clicks: int | None
    spend_micros: int | None
    state: State
    reason: str = ""


@dataclass(frozen=True, order=True)
class StandingError:
    """An error that a run recorded of a day, and when."""

    at: datetime
    run_id: str


def day_statuses(
    lake: EventLake,
    store: ObjectStore,
    warehouse: Warehouse,
    today: date,
    first: date | None = None,
    last: date | None = None,
) -> list[DayStatus]:
    """Every day from `first` to `last`, ascending; by default from the first day that any store knows to the last one.

    Days are expected from the lake's first to the day before `today`. Raises StoreUnavailableError where a store cannot
    be read, ReconciliationError where a manifest is damaged.
    """
    states: dict[date, list[DayState]] = defaultdict(list)
    for state in lake.day_states():
        states[state.event_date].append(state)
    ledger = warehouse.ledger()
    known = states.keys() | ledger.keys()
    yesterday = today - timedelta(days=1)
    if first is None:
        first = min(known, default=last or yesterday)
    if last is None:
        last = max(*known, yesterday) if known else first - timedelta(days=1)
    opening = min(states, default=None)
    errors = standing_errors(store)
    dimensions = _Dimensions(store)
    statuses = []
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        row = ledger.get(day)
        snapshot = current_snapshot(store, day)
        verdict, reason = _state(
            day,
            store,
            watermark={state.source: state.last_position for state in states[day]},
            row=row,
            error=errors.get(day),
            dimensions=dimensions,
            expected=opening is not None and opening <= day < today,
        )
        statuses.append(
            DayStatus(
                day=day,
                accepted=sum(state.rows for state in states[day]),
                distinct=snapshot.distinct if snapshot else None,
                rows=row.rows if row else None,
                clicks=row.clicks if row else None,
                spend_micros=row.spend_micros if row else None,
                state=verdict,
                reason=reason,
            )
        )
    return statuses


class _Dimensions:
    """Which jobs each version of the dimensions knows; every version is read at most once."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.current = current_dimensions(store)
        self.learned = cache(self._learned)

    def _learned(self, version: int) -> pa.Array:
        """Jobs that became known after that version, or after the oldest one that is still kept."""
        if self.current is None or self.current.number <= version:
            return pa.array([], pa.int32())
        kept = history(self.store, DIM_MANIFESTS, DimManifest)
        former = next(manifest for manifest in kept if manifest.number >= version)
        jobs = self._jobs(self.current)
        return jobs.filter(pc.invert(pc.is_in(jobs, value_set=self._jobs(former))))

    def _jobs(self, manifest: DimManifest) -> pa.Array:
        table = pq.read_table(self.store.local(manifest.key), columns=["job_id"], partitioning=None)
        return pc.unique(table.column("job_id"))


def _state(
    day: date,
    store: ObjectStore,
    *,
    watermark: Mapping[str, int],
    row: LedgerRow | None,
    error: StandingError | None,
    dimensions: _Dimensions,
    expected: bool,
) -> tuple[State, str]:
    staged = current_facts(store, day)
    if has_failed(error, row):
        return "failed", day_errors.recorded(store, error.run_id, day) or ""
    if row is None:
        return ("missing" if expected else "not expected"), ""
    behind = is_behind(row.watermark, watermark)
    if behind:
        return "stale", f"events came in after it was loaded, from {_listed(behind)}"
    if staged is not None and staged.number > row.manifest:
        return "stale", f"manifest {staged.number} is staged, {row.manifest} is loaded"
    unknown_then = _rows_of(store, staged, dimensions.learned(row.dim_version)) if staged is not None else 0
    if unknown_then:
        return "stale", f"{unknown_then:,} rows are of jobs that became known after it was loaded"
    return ("published" if watermark else "empty"), ""


def _rows_of(store: ObjectStore, facts: FactsManifest, jobs: pa.Array) -> int:
    if not jobs:
        return 0
    tables = (pq.read_table(store.local(entry.key), columns=["job_id"], partitioning=None) for entry in facts.files)
    return sum(pc.sum(pc.is_in(table.column("job_id"), value_set=jobs)).as_py() or 0 for table in tables)


def standing_errors(store: ObjectStore) -> dict[date, StandingError]:
    """Of each day the newest error that was recorded, where no facts of the day were computed or staged after it.

    Costs one listing, and two looks for each day that has an error.
    """
    newest: dict[date, StandingError] = {}
    for stored in store.list("day_errors/"):
        found = _ERROR.fullmatch(stored.key)
        if found:
            day, error = date.fromisoformat(found["day"]), StandingError(stored.modified, found["run"])
            newest[day] = max(newest.get(day, error), error)
    return {day: error for day, error in newest.items() if not _is_answered(store, day, error)}


def has_failed(error: StandingError | None, row: LedgerRow | None) -> TypeGuard[StandingError]:
    """Whether the day's newest run could not publish it: its error stands, and nothing was loaded after it."""
    return error is not None and (row is None or error.at > row.loaded_at)


def _is_answered(store: ObjectStore, day: date, error: StandingError) -> bool:
    made = (in_force(store, prefix, FactsManifest) for prefix in (facts_candidates(day), staged_manifests(day)))
    return any(manifest is not None and manifest.created_at >= error.at for manifest in made)


def _listed(sources: list[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
