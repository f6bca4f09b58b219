"""Numbered manifests: which files are a day's snapshot, a day's facts, a version of the dimensions.

A manifest is immutable and created only if its number is absent; the highest number is in force. What belongs here:
what manifests say, how they are stored, and who wins of two writers. What does not: when to publish (`publish`).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, TypeVar

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from recruitment_platform.errors import ReconciliationError
from recruitment_platform.resources.protocols import ObjectStore, StoredObject

DIM_MANIFESTS = "dim_jobs/manifests/"
_NAME = re.compile(r"([0-9]{6,})\.json")
_OF_DAY = re.compile(r"[a-z0-9_]+/dt=(?P<day>[0-9-]{10})/(?:manifests|candidates)/(?P<number>[0-9]{6,})\.json")


def snapshot_manifests(day: date) -> str:
    """Prefix of the day's `SnapshotManifest`s."""
    return f"raw_tracking/dt={day}/manifests/"


def facts_candidates(day: date) -> str:
    """Prefix of the day's `FactsManifest`s as computed, not yet verified."""
    return f"job_hourly_events/dt={day}/candidates/"


def staged_manifests(day: date) -> str:
    """Prefix of the day's `FactsManifest`s that were verified and published: the highest is what loads read."""
    return f"s3_staged_events/dt={day}/manifests/"


@dataclass(frozen=True)
class FileEntry:
    """A Parquet file: object store key, size in bytes, rows, and money in it (bids or spend) in micros."""

    key: str
    size: int
    rows: int
    micros: int


@dataclass(frozen=True)
class SnapshotManifest:
    """A day's snapshot (`RAW_TRACKING`): accepted = distinct + duplicates + conflicts, sum of kinds = distinct = rows.

    `watermark` was read before the scan; `kinds` maps kind to distinct events; `click_micros` is the clicks' bids.
    `listing` names its conflicts and its ids that stand on two days, where there are any. `positions` maps each source
    partition to the first and last position at which one of the events, or of their conflicts, first came.
    """

    FORMAT: ClassVar[str] = "raw_tracking snapshot 1"

    day: date
    number: int
    run_id: str
    created_at: AwareDatetime
    watermark: dict[str, int]
    accepted: int
    distinct: int
    duplicates: int
    conflicts: int
    kinds: dict[str, int]
    click_micros: int
    fallback_times: int
    clicks_without_job: int
    clicks_without_bid: int
    ids_on_two_days: int
    files: tuple[FileEntry, ...]
    listing: FileEntry | None
    rows: int
    digest: str
    code_version: str
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class FactsManifest:
    """A day's hourly facts (`HOURLY_FACTS`), computed from the snapshot of that number and a version of dim_jobs.

    `schema` is (column, type) in the files' order; `watermark` is the snapshot's.
    """

    FORMAT: ClassVar[str] = "hourly facts 1"

    day: date
    number: int
    run_id: str
    created_at: AwareDatetime
    snapshot: int
    watermark: dict[str, int]
    dim_version: int
    code_version: str
    engine: str
    schema: tuple[tuple[str, str], ...]
    files: tuple[FileEntry, ...]
    rows: int
    clicks: int
    conversion: int
    qualified: int
    disqualified: int
    spend_micros: int
    digest: str


@dataclass(frozen=True)
class DimManifest:
    """The dimensions: `key` holds `DIM_JOBS`, `publishers_key` holds `DIM_PUBLISHERS`, Parquet both.

    Its number is the version that facts and ledger name. `refresh` is the relational store's version of dim_jobs,
    `as_of` its newest refresh.
    """

    FORMAT: ClassVar[str] = "dimensions 1"

    number: int
    refresh: int
    run_id: str
    created_at: AwareDatetime
    as_of: AwareDatetime
    key: str
    rows: int
    digest: str
    publishers_key: str
    publishers_rows: int
    publishers_digest: str


Manifest = TypeVar("Manifest", bound=SnapshotManifest | FactsManifest | DimManifest)

_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    kind.FORMAT: TypeAdapter(kind) for kind in (SnapshotManifest, FactsManifest, DimManifest)
}


def to_json(manifest: Manifest) -> bytes:
    """The manifest's text: UTF-8, sorted keys, so that equal manifests are equal bytes; `format` tells readers."""
    fields = _ADAPTERS[manifest.FORMAT].dump_python(manifest, mode="json")
    document = {"format": manifest.FORMAT} | fields
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def from_json(data: bytes, kind: type[Manifest], key: str) -> Manifest:
    """The manifest in that text; ReconciliationError naming the key where it is damaged or of another format."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _unreadable(key, "it is no JSON") from error
    if not isinstance(document, dict) or document.get("format") != kind.FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise _unreadable(key, f"its format is {found!r}, this version reads {kind.FORMAT!r}")
    del document["format"]
    unknown = sorted(document.keys() - kind.__dataclass_fields__.keys())
    if unknown:
        raise _unreadable(key, f"unknown field {', '.join(unknown)}")
    try:
        manifest: Manifest = _ADAPTERS[kind.FORMAT].validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise _unreadable(key, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return manifest


def manifest_key(prefix: str, number: int) -> str:
    """The key of the manifest with that number."""
    return f"{prefix}{number:06}.json"


def in_force(store: ObjectStore, prefix: str, kind: type[Manifest]) -> Manifest | None:
    """The manifest with the highest number; None where there is none."""
    was_empty = False
    while True:
        known = numbers(store, prefix)
        if not known and was_empty:
            return None
        if not known:
            # A listing may miss both one that is removed and the higher one that came meanwhile.
            was_empty = True
            continue
        try:
            return read_manifest(store, prefix, known[-1], kind)
        except FileNotFoundError:
            continue  # superseded and removed since it was listed: a higher one is there


def history(store: ObjectStore, prefix: str, kind: type[Manifest]) -> list[Manifest]:
    """All manifests that are still kept, the one in force last."""
    manifests = []
    for number in numbers(store, prefix):
        try:
            manifests.append(read_manifest(store, prefix, number, kind))
        except FileNotFoundError:
            continue  # superseded and removed since it was listed
    return manifests


def newest_of_days(store: ObjectStore, asset: str) -> dict[date, tuple[int, StoredObject]]:
    """The number and the object of each day's manifest in force (of facts as computed: of the last candidate).

    By one listing of the asset's objects: a look at a year costs no more calls than one at a day.
    """
    newest: dict[date, tuple[int, StoredObject]] = {}
    for stored in store.list(f"{asset}/"):
        found = _OF_DAY.fullmatch(stored.key)
        if found:
            day, number = date.fromisoformat(found["day"]), int(found["number"])
            if day not in newest or newest[day][0] < number:
                newest[day] = (number, stored)
    return newest


def publish(store: ObjectStore, prefix: str, manifest: Manifest) -> bool:
    """Creates the manifest under its own number; False, changing nothing, where that number is taken."""
    key = manifest_key(prefix, manifest.number)
    data = to_json(manifest)
    from_json(data, type(manifest), key)  # what could not be read back must never be in force
    return store.put_if_absent(key, data)


def publish_next(
    store: ObjectStore,
    prefix: str,
    kind: type[Manifest],
    build: Callable[[int, Manifest | None], Manifest | None],
) -> Manifest:
    """Publishes under the next number what `build` makes of (that number, the manifest in force or None).

    Where another writer takes the number first, `build` is asked again with what is in force then: so it decides each
    time against what it would replace. It returns None to keep the one in force, which is then returned, and raises
    SupersededError (or anything else) to publish nothing. Returns the manifest in force for this writer.
    """
    while True:
        current = in_force(store, prefix, kind)
        number = current.number + 1 if current else 1
        manifest = build(number, current)
        if manifest is None:
            if current is None:
                raise ValueError(f"nothing is in force under {prefix} that could be kept")
            return current
        if manifest.number != number:
            raise ValueError(f"built manifest {manifest.number} under {prefix} instead of {number}")
        if publish(store, prefix, manifest):
            return manifest


def is_behind(new: Mapping[str, int], in_force: Mapping[str, int]) -> list[str]:
    """Source partitions whose position in `new` is below the one in force, by name; an absent one is lowest."""
    return sorted(source for source, position in in_force.items() if source not in new or new[source] < position)


def numbers(store: ObjectStore, prefix: str) -> list[int]:
    """The numbers of the manifests that are still kept, ascending."""
    names = (_NAME.fullmatch(found.key.removeprefix(prefix)) for found in store.list(prefix))
    return sorted(int(name[1]) for name in names if name)


def read_manifest(store: ObjectStore, prefix: str, number: int, kind: type[Manifest]) -> Manifest:
    """The manifest with that number; FileNotFoundError where there is none, ReconciliationError where it is damaged."""
    key = manifest_key(prefix, number)
    manifest = from_json(store.get(key), kind, key)
    if manifest.number != number:
        raise _unreadable(key, f"it says that its number is {manifest.number}")
    return manifest


def _unreadable(key: str, why: str) -> ReconciliationError:
    return ReconciliationError(
        f"manifest {key} cannot be read: {why}. If another version of the platform wrote it, run that one; if it is "
        "damaged, remove it and materialize its partition again"
    )
