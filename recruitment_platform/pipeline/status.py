"""How every day stands: what the lake holds of it, what is published of it, and whether the two agree.

All is derived from what the stores hold, nothing is remembered: so it cannot be out of date. What belongs here: a day's
state and why. What does not: showing it (`cli`), acting on it (`automation`), scoring it (`simulation`).
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.billing import Accounted, accounted
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.manifests import (
    DIM_MANIFESTS,
    DimManifest,
    FactsManifest,
    facts_candidates,
    history,
    in_force,
    is_behind,
)
from recruitment_platform.pipeline.publish import current_facts
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.protocols import DayState, EventLake, ObjectStore, Warehouse

State = Literal["published", "empty", "stale", "missing", "failed", "not expected"]

STATES: dict[State, str] = {
    "published": "the fact table holds the day as the lake has it, once it is closed together with its adjustments",
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
    stale, missing or failed, and of a closed one what is adjusted beside its facts; it is empty otherwise.
    """

    day: date
    accepted: int
    distinct: int | None
    rows: int | None
    clicks: int | None
    spend_micros: int | None
    state: State
    reason: str = ""


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
    settled = accounted(warehouse)
    known = states.keys() | settled.keys()
    yesterday = today - timedelta(days=1)
    if first is None:
        first = min(known, default=last or yesterday)
    if last is None:
        last = max(*known, yesterday) if known else first - timedelta(days=1)
    opening = min(states, default=None)
    errors = _newest_errors(store)
    dimensions = _Dimensions(store)
    statuses = []
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        accounted_for = settled.get(day)
        row = accounted_for.load if accounted_for else None
        snapshot = current_snapshot(store, day)
        verdict, reason = _state(
            day,
            store,
            watermark={state.source: state.last_position for state in states[day]},
            accounted_for=accounted_for,
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
    accounted_for: Accounted | None,
    error: tuple[datetime, str] | None,
    dimensions: _Dimensions,
    expected: bool,
) -> tuple[State, str]:
    candidate = in_force(store, facts_candidates(day), FactsManifest)
    staged = current_facts(store, day)
    good = [manifest.created_at for manifest in (candidate, staged) if manifest]
    good += [accounted_for.at] if accounted_for else []
    if error is not None and all(error[0] > at for at in good):
        return "failed", day_errors.recorded(store, error[1], day) or ""
    if accounted_for is None:
        return ("missing" if expected else "not expected"), ""
    behind = is_behind(accounted_for.watermark, watermark)
    if behind:
        return "stale", f"events came in after it was {_settled(accounted_for)}, from {_listed(behind)}"
    loaded = accounted_for.load.manifest if accounted_for.load else 0
    if staged is not None and staged.number > loaded and not accounted_for.closed:  # closed, it is not loaded any more
        return "stale", f"manifest {staged.number} is staged, {loaded} is loaded"
    unknown_then = _rows_of(store, staged, dimensions.learned(accounted_for.dim_version)) if staged is not None else 0
    if unknown_then:
        return "stale", f"{unknown_then:,} rows are of jobs that became known after it was {_settled(accounted_for)}"
    return ("published" if watermark else "empty"), _adjusted(accounted_for)


def _settled(day: Accounted) -> str:
    return "adjusted" if day.adjustment else "loaded"


def _adjusted(day: Accounted) -> str:
    """What a closed day's events have said since it was billed; empty where it is not closed."""
    if not day.closed:
        return ""
    if day.adjustment is None or not day.adjustment.rows:
        return "closed"
    spend = Decimal(day.adjustment.spend_micros).scaleb(-6)
    return f"closed; {day.adjustment.clicks:,} clicks, {spend:,.2f} adjusted"


def _rows_of(store: ObjectStore, facts: FactsManifest, jobs: pa.Array) -> int:
    if not jobs:
        return 0
    tables = (pq.read_table(store.local(entry.key), columns=["job_id"], partitioning=None) for entry in facts.files)
    return sum(pc.sum(pc.is_in(table.column("job_id"), value_set=jobs)).as_py() or 0 for table in tables)


def _newest_errors(store: ObjectStore) -> dict[date, tuple[datetime, str]]:
    """Of each day the newest error that was recorded: (when, by which run)."""
    newest: dict[date, tuple[datetime, str]] = {}
    for stored in store.list("day_errors/"):
        found = _ERROR.fullmatch(stored.key)
        if found:
            day = date.fromisoformat(found["day"])
            newest[day] = max(newest.get(day, (stored.modified, found["run"])), (stored.modified, found["run"]))
    return newest


def _listed(sources: list[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
