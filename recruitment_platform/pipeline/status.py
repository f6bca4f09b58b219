"""How every day stands: what the lake holds of it, what is published of it, and whether the two agree.

All is derived from what the stores hold, nothing is remembered: so it cannot be out of date. What belongs here: a day's
state and why. What does not: showing it (`cli`), acting on it (`automation`), scoring it (`simulation`).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.billing import Accounted, accounted
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.facts import COMPUTED_BY
from recruitment_platform.pipeline.manifests import (
    DIM_MANIFESTS,
    DimManifest,
    FactsManifest,
    SnapshotManifest,
    facts_candidates,
    is_behind,
    newest_of_days,
    numbers,
    read_manifest,
    snapshot_manifests,
    staged_manifests,
)
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.protocols import DayState, EventLake, ObjectStore, StoredObject, Warehouse

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

Cause = Literal["", "events", "manifest", "jobs", "code"]
"""What made a day stale: later events, a manifest not yet loaded, jobs that became known, the code. Days that are stale
by code are listed, and never computed again unasked."""

READ_AT_ONCE = 16
"""Manifests that are read at the same time: a bucket answers each in its own while."""

Key = TypeVar("Key")
Found = TypeVar("Found")

_ERROR = re.compile(r"day_errors/run=(?P<run>[^/]+)/dt=(?P<day>[0-9-]{10})\.json")


@dataclass(frozen=True)
class DayStatus:
    """A day: `accepted` rows in the lake, `distinct` events in the snapshot in force (None where there is none).

    `rows`, `clicks` and `spend_micros` are what is loaded, None where nothing ever was. `reason` says why the day is
    stale, missing or failed, and of a closed one what is adjusted beside its facts; it is empty otherwise. `cause` is
    what made it stale.
    """

    day: date
    accepted: int
    distinct: int | None
    rows: int | None
    clicks: int | None
    spend_micros: int | None
    state: State
    reason: str = ""
    cause: Cause = ""


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
    wanted = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    held = _held(store, wanted)
    versions = {day: settled[day].dim_version for day in wanted if day in settled and day in held.staged}
    unknown = _rows_unknown_then(store, versions, held)
    statuses = []
    for day in wanted:
        accounted_for = settled.get(day)
        row = accounted_for.load if accounted_for else None
        snapshot = held.snapshots.get(day)
        verdict, reason, cause = _state(
            day,
            store,
            held=held,
            watermark={state.source: state.last_position for state in states[day]},
            accounted_for=accounted_for,
            unknown_then=unknown.get(day, 0),
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
                cause=cause,
            )
        )
    return statuses


@dataclass(frozen=True)
class _Held:
    """What the object store holds of the days: snapshots in force, newest candidates and staged manifests, errors."""

    snapshots: Mapping[date, SnapshotManifest]
    candidates: Mapping[date, tuple[int, StoredObject]]
    staged: Mapping[date, tuple[int, StoredObject]]
    errors: Mapping[date, tuple[datetime, str]]


def _held(store: ObjectStore, days: Iterable[date]) -> _Held:
    taken = newest_of_days(store, "raw_tracking")

    def snapshot(day: date) -> SnapshotManifest | None:
        try:
            return read_manifest(store, snapshot_manifests(day), taken[day][0], SnapshotManifest)
        except FileNotFoundError:
            return current_snapshot(store, day)  # superseded and removed since it was listed

    return _Held(
        snapshots={day: found for day, found in _at_once(snapshot, [day for day in days if day in taken]) if found},
        candidates=newest_of_days(store, "job_hourly_events"),
        staged=newest_of_days(store, "s3_staged_events"),
        errors=_newest_errors(store),
    )


def _at_once(read: Callable[[Key], Found], keys: Sequence[Key]) -> Iterator[tuple[Key, Found]]:
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        yield from zip(keys, pool.map(read, keys), strict=True)


def _rows_unknown_then(store: ObjectStore, days: Mapping[date, int], held: _Held) -> dict[date, int]:
    """Staged rows of jobs that became known after the version of the dimensions with which the day was loaded."""
    current = current_dimensions(store)
    outdated = {day: version for day, version in days.items() if current is not None and version < current.number}
    if not outdated or current is None:
        return {}
    kept = numbers(store, DIM_MANIFESTS)
    # Where a version is no longer kept, the oldest one after it tells of some of the jobs.
    former_of = {version: next(number for number in kept if number >= version) for version in set(outdated.values())}
    known_now = _jobs(store, current)

    def learned(number: int) -> pa.Array:
        former = _jobs(store, read_manifest(store, DIM_MANIFESTS, number, DimManifest))
        return known_now.filter(pc.invert(pc.is_in(known_now, value_set=former)))

    learned_since = dict(_at_once(learned, sorted(set(former_of.values()))))
    asked = [day for day, version in outdated.items() if len(learned_since[former_of[version]])]

    def rows(day: date) -> int:
        return _rows_of(store, day, held.staged[day][0], learned_since[former_of[outdated[day]]])

    return dict(_at_once(rows, asked))


def _jobs(store: ObjectStore, dimensions: DimManifest) -> pa.Array:
    table = pq.read_table(store.local(dimensions.key), columns=["job_id"], partitioning=None)
    return pc.unique(table.column("job_id"))


def _rows_of(store: ObjectStore, day: date, number: int, jobs: pa.Array) -> int:
    try:
        facts = read_manifest(store, staged_manifests(day), number, FactsManifest)
        files = [store.local(entry.key) for entry in facts.files]
    except FileNotFoundError:
        return 0  # superseded and removed since it was listed: whoever did so knew the jobs
    tables = (pq.read_table(file, columns=["job_id"], partitioning=None) for file in files)
    return sum(pc.sum(pc.is_in(table.column("job_id"), value_set=jobs)).as_py() or 0 for table in tables)


def _state(
    day: date,
    store: ObjectStore,
    *,
    held: _Held,
    watermark: Mapping[str, int],
    accounted_for: Accounted | None,
    unknown_then: int,
    expected: bool,
) -> tuple[State, str, Cause]:
    good = [found[day][1].modified for found in (held.candidates, held.staged) if day in found]
    good += [accounted_for.at] if accounted_for else []
    error = held.errors.get(day)
    if error is not None and all(error[0] > at for at in good):
        return "failed", day_errors.recorded(store, error[1], day) or "", ""
    if accounted_for is None:
        return ("missing" if expected else "not expected"), "", ""
    behind = is_behind(accounted_for.watermark, watermark)
    if behind:
        return "stale", f"events came in after it was {_settled(accounted_for)}, from {_listed(behind)}", "events"
    staged = held.staged[day][0] if day in held.staged else 0
    loaded = accounted_for.load.manifest if accounted_for.load else 0
    if staged > loaded and not accounted_for.closed:  # closed, it is not loaded any more
        return "stale", f"manifest {staged} is staged, {loaded} is loaded", "manifest"
    if unknown_then:
        known = f"{unknown_then:,} rows are of jobs that became known after it was {_settled(accounted_for)}"
        return "stale", known, "jobs"
    if _is_of_other_code(accounted_for):
        return "stale", f"computed by other code ({accounted_for.code_version}; now {COMPUTED_BY})", "code"
    return ("published" if watermark else "empty"), _adjusted(accounted_for), ""


def _is_of_other_code(day: Accounted) -> bool:
    """Whether other code computed facts that code can still change: none are made of no events, closed ones stay."""
    return day.code_version != COMPUTED_BY and bool(day.watermark) and not day.closed


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


def standing_errors(store: ObjectStore) -> dict[date, datetime]:
    """When the newest error of each day was recorded, where no facts of the day were computed or staged after it.

    One listing, and two more for each day that has an error.
    """
    newest = {day: at for day, (at, _) in _newest_errors(store).items()}
    return {
        day: at
        for day, at in newest.items()
        if all(
            found.modified < at
            for manifests in (facts_candidates(day), staged_manifests(day))
            for found in store.list(manifests)
        )
    }


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
