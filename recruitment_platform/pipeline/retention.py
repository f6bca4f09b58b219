"""Removing what is superseded: snapshots, candidates, staged manifests, the files only they name, errors of old runs.

What belongs here: deciding what nobody can need any more. What does not: the age (`settings.keep_superseded`), and what
a store's killed writers leave behind below its own surface (the stores' `clean`).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from typing import TypeVar

from recruitment_platform.pipeline.manifests import (
    FactsManifest,
    SnapshotManifest,
    facts_candidates,
    history,
    manifest_key,
    snapshot_manifests,
    staged_manifests,
)
from recruitment_platform.resources.protocols import ObjectStore, StoredObject

BEING_WRITTEN = timedelta(days=1)
"""Files that no manifest names are left alone for at least this long: a run may be about to name them."""

Kept = TypeVar("Kept", SnapshotManifest, FactsManifest)

_OF_RUN = re.compile(r"(?:job_hourly_events|day_errors)/run=[^/]+/dt=(?P<day>[0-9-]{10})[./].*")

_DAY_OF_KEY = re.compile(r"/dt=(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[./]")


@dataclass(frozen=True)
class _Day:
    """The manifests of a day, the one in force last of each kind."""

    snapshots: list[SnapshotManifest]
    candidates: list[FactsManifest]
    staged: list[FactsManifest]


def days_with_objects(store: ObjectStore) -> set[date]:
    """The days of which the store holds anything that `clean_superseded` looks at."""
    folders = ("raw_tracking/", "job_hourly_events/", "s3_staged_events/", "day_errors/")
    names = (_DAY_OF_KEY.search(found.key) for folder in folders for found in store.list(folder))
    return {date.fromisoformat(name["day"]) for name in names if name}


def clean_superseded(
    store: ObjectStore, days: Iterable[date], older_than: timedelta, now: datetime | None = None
) -> int:
    """Removes what has been superseded on these days for at least that long; returns how many objects.

    A manifest in force stays, whatever its age, and so does what a manifest that stays refers to: its files, and of
    facts the snapshot behind them. Manifests go before their files, so that a killed clean leaves none without.
    """
    at = now or datetime.now(UTC)
    before = at - older_than
    wanted = set(days)
    files_of_runs = _by_day(store.list("job_hourly_events/"), wanted)
    errors = _by_day(store.list("day_errors/"), wanted)
    removed = 0
    for day in sorted(wanted):
        held = _Day(
            history(store, snapshot_manifests(day), SnapshotManifest),
            history(store, facts_candidates(day), FactsManifest),
            history(store, staged_manifests(day), FactsManifest),
        )
        kept = _kept(held, before)
        named, once_named = _files(kept), _files(held)
        superseded = [
            found.key
            for found in (*_snapshot_files(store, day), *files_of_runs[day])
            if found.key not in named and (found.key in once_named or found.modified <= min(before, at - BEING_WRITTEN))
        ]
        for keys in (_manifests(held, day) - _manifests(kept, day), superseded, _settled(errors[day], held, before)):
            store.delete(sorted(keys))
            removed += len(keys)
    return removed


def _kept(held: _Day, before: datetime) -> _Day:
    """What stays of a day: in force, superseded after `before` only, or the snapshot behind facts that stay."""
    candidates, staged = _in_use(held.candidates, before), _in_use(held.staged, before)
    numbers = {facts.snapshot for facts in (*candidates, *staged)}
    numbers.update(snapshot.number for snapshot in _in_use(held.snapshots, before))
    return _Day([snapshot for snapshot in held.snapshots if snapshot.number in numbers], candidates, staged)


def _in_use(manifests: list[Kept], before: datetime) -> list[Kept]:
    """Those that no later manifest superseded before that instant."""
    successors = [manifest.created_at for manifest in manifests[1:]]
    return [
        manifest
        for manifest, superseded_at in zip_longest(manifests, successors)
        if superseded_at is None or superseded_at > before
    ]


def _manifests(of: _Day, day: date) -> set[str]:
    return {
        manifest_key(prefix, manifest.number)
        for prefix, manifests in (
            (snapshot_manifests(day), of.snapshots),
            (facts_candidates(day), of.candidates),
            (staged_manifests(day), of.staged),
        )
        for manifest in manifests
    }


def _files(of: _Day) -> set[str]:
    facts = (entry for manifest in (*of.candidates, *of.staged) for entry in manifest.files)
    snapshots = (entry for manifest in of.snapshots for entry in (*manifest.files, manifest.listing))
    return {entry.key for entry in (*facts, *snapshots) if entry is not None}


def _snapshot_files(store: ObjectStore, day: date) -> list[StoredObject]:
    manifests = snapshot_manifests(day)
    return [found for found in store.list(f"raw_tracking/dt={day}/") if not found.key.startswith(manifests)]


def _settled(errors: Collection[StoredObject], held: _Day, before: datetime) -> set[str]:
    """Old errors, save for a newest one that no candidate has answered: it says how the day stands."""
    newest = max(errors, key=lambda error: error.modified, default=None)
    answered = held.candidates[-1].created_at if held.candidates else None
    return {
        error.key
        for error in errors
        if error.modified <= before and (error is not newest or (answered is not None and answered > error.modified))
    }


def _by_day(found: Iterable[StoredObject], wanted: Collection[date]) -> defaultdict[date, list[StoredObject]]:
    """The objects of runs, by their day, of the days wanted."""
    by_day: defaultdict[date, list[StoredObject]] = defaultdict(list)
    for stored in found:
        match = _OF_RUN.fullmatch(stored.key)
        if match and (day := date.fromisoformat(match["day"])) in wanted:
            by_day[day].append(stored)
    return by_day
