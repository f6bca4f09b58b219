"""s3_staged_events and redshift_fact_events: verify a day's facts, put their manifest in force, load it.

What belongs here: promise 1 as a gate before publishing, and the order of publishing and loading. What does not: the
load's transaction (`resources.warehouse.embedded`), how a manifest wins over another (`pipeline.manifests`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq

from recruitment_platform.errors import ReconciliationError, SupersededError
from recruitment_platform.model.conformity import differences
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.digest import FACTS_LEFT_OUT, digest
from recruitment_platform.pipeline.dimensions import current_dimensions
from recruitment_platform.pipeline.facts import candidate_of
from recruitment_platform.pipeline.manifests import (
    FactsManifest,
    SnapshotManifest,
    from_json,
    in_force,
    is_behind,
    manifest_key,
    publish_next,
    snapshot_manifests,
    staged_manifests,
)
from recruitment_platform.pipeline.totals import fact_totals, kind_totals, uncovered_jobs
from recruitment_platform.resources.protocols import LedgerRow, ObjectStore, Warehouse

STAGING_CHECKS = {
    "reconciles": "The snapshot adds up, and the facts' clicks, outcomes and spend are the snapshot's (promise 1).",
    "unique_keys": "No two rows of a day share the fact's key.",
    "no_nulls": "Columns that are never null are not, and all rows are of the day.",
    "column_types": "The files' columns are the contract's, in its order and types.",
    "digest": "The files hold the rows that were computed.",
}
"""What must hold for a day's files before its manifest is published, by the check's name."""

TABLE_CHECKS = {
    "table_matches_manifest": "The table's rows, clicks, outcomes and spend of a day are its manifest's.",
    "dims_cover_jobs": "dim_jobs knows every job of the facts; a warning, as unknown jobs are a fact of life.",
}
"""What is compared once a day is loaded, by the check's name."""


class UnverifiedDayError(ReconciliationError):
    """A day's facts that may not be published: `failed_checks` maps a check's name to what it found."""

    def __init__(self, message: str, failed_checks: Mapping[str, str]) -> None:
        super().__init__(message)
        self.failed_checks = dict(failed_checks)


@dataclass(frozen=True)
class StagedDay:
    """A day's manifest in force and the snapshot behind it; `new` where this call put it in force."""

    facts: FactsManifest
    snapshot: SnapshotManifest
    new: bool


@dataclass(frozen=True)
class LoadedDay:
    """A day's manifest that the warehouse now holds; `failed_checks` maps a check's name to what it found."""

    facts: FactsManifest
    new: bool
    failed_checks: dict[str, str] = field(default_factory=dict)


def current_facts(store: ObjectStore, day: date) -> FactsManifest | None:
    """The day's published facts."""
    return in_force(store, staged_manifests(day), FactsManifest)


def stage_day(
    store: ObjectStore, day: date, run_id: str, *, before_replacing: Callable[[], None] = lambda: None
) -> StagedDay:
    """Verifies the facts that the run computed (else those computed last) and puts their manifest in force.

    The manifest in force stays where it is of a newer snapshot, or says the same; `before_replacing` is asked before
    any other one is replaced, and what it raises stops that. Raises ReconciliationError where the day cannot be
    published: its former facts stay in force.
    """
    candidate, snapshot = verified(store, day, run_id)

    def build(number: int, current: FactsManifest | None) -> FactsManifest | None:
        if current is not None and (_is_newer(current, candidate) or _content(current) == _content(candidate)):
            return None
        if current is not None:
            before_replacing()
        return replace(candidate, number=number, created_at=datetime.now(UTC))

    manifest = publish_next(store, staged_manifests(day), FactsManifest, build)
    new = manifest.files == candidate.files and _content(manifest) == _content(candidate)
    return StagedDay(manifest, snapshot if new else snapshot_of(store, manifest), new)


def verified(store: ObjectStore, day: date, run_id: str) -> tuple[FactsManifest, SnapshotManifest]:
    """The facts that the run computed (else those computed last), which hold what they must, and their snapshot.

    Raises ReconciliationError where there are none, where their computing failed, or where they do not hold it
    (UnverifiedDayError, which is recorded): nothing may be made of them.
    """
    error = day_errors.recorded(store, run_id, day)
    if error is not None:
        raise ReconciliationError(error)
    candidate = candidate_of(store, day, run_id)
    if candidate is None:
        raise ReconciliationError(f"s3_staged_events {day}: no facts were computed; materialize job_hourly_events")
    snapshot = snapshot_of(store, candidate)
    failed = verify(store, candidate, snapshot)
    if failed:
        found = "; ".join(f"{name}: {problem}" for name, problem in failed.items())
        message = (
            f"s3_staged_events {day}: {found}. The day is not published, its former facts stay in force; "
            "materialize it again from raw_tracking"
        )
        day_errors.record(store, run_id, day, message)
        raise UnverifiedDayError(message, failed)
    return candidate, snapshot


def load_day(store: ObjectStore, warehouse: Warehouse, day: date, run_id: str, *, restate: bool = False) -> LoadedDay:
    """Loads the day's manifest in force into the fact table, unless it is loaded already, and compares the two.

    Raises ReconciliationError where nothing is staged or the load differs from its manifest, ClosedDayError where the
    day is closed (unless it is to be restated), StoreUnavailableError where the warehouse is held or down: the table is
    then unchanged.
    """
    manifest = current_facts(store, day)
    if manifest is None:
        raise ReconciliationError(f"redshift_fact_events {day}: nothing is staged; materialize s3_staged_events first")
    try:
        new = warehouse.load_day(
            _ledger_row(manifest, run_id), [entry.key for entry in manifest.files], restate=restate
        )
    except SupersededError:
        # a newer manifest came into force and was loaded between our look and our load: it is the one to report
        manifest, new = _newer(store, manifest), False
    return LoadedDay(manifest, new, _compare(store, warehouse, manifest))


def verify(store: ObjectStore, facts: FactsManifest, snapshot: SnapshotManifest) -> dict[str, str]:
    """The staging checks that fail for these facts, by name, with what each found."""
    try:
        files = [store.local(entry.key) for entry in facts.files]
        snapshot_files = [store.local(entry.key) for entry in snapshot.files]
    except FileNotFoundError as error:
        return {"digest": f"a file is gone: {error}"}
    wrong_types = _wrong_types(files)
    if wrong_types:
        return {"column_types": wrong_types}
    totals = fact_totals(files, facts.day)
    hashed = digest(files, HOURLY_FACTS, leave_out=FACTS_LEFT_OUT)
    counted = kind_totals(snapshot_files)
    kinds = counted.kinds
    must_be_equal = (
        ("accepted", snapshot.accepted, snapshot.distinct + snapshot.duplicates + snapshot.conflicts),
        ("distinct", snapshot.distinct, sum(kinds.values())),
        ("kinds", snapshot.kinds, kinds),
        ("the snapshot's micros", snapshot.click_micros, counted.click_micros),
        ("clicks", totals.clicks, kinds["click"]),
        ("conversion", totals.conversion, kinds["conversion"]),
        ("qualified_application", totals.qualified, kinds["qualified"]),
        ("disqualified_application", totals.disqualified, kinds["unqualified"]),
        ("spend in micros", totals.spend_micros, counted.click_micros),
    )
    differing = ", ".join(f"{what} {got} instead of {wanted}" for what, got, wanted in must_be_equal if got != wanted)
    nulls = totals.rows_with_null + totals.other_days
    found = {
        "reconciles": differing,
        "unique_keys": f"{totals.repeated_keys:,} rows repeat a key" if totals.repeated_keys else "",
        "no_nulls": f"{nulls:,} rows have a null or another day" if nulls else "",
        "digest": "" if hashed.sha256 == facts.digest else f"{hashed.sha256[:12]}… instead of {facts.digest[:12]}…",
    }
    return {name: problem for name, problem in found.items() if problem}


def _wrong_types(files: Iterable[Path]) -> str:
    for file in files:
        problems = differences(pq.read_schema(file), HOURLY_FACTS)
        if problems:
            return f"{file.name}: {', '.join(problems)}"
    return ""


def snapshot_of(store: ObjectStore, facts: FactsManifest) -> SnapshotManifest:
    """The snapshot that the facts were computed from; ReconciliationError where it is gone or cannot be read."""
    key = manifest_key(snapshot_manifests(facts.day), facts.snapshot)
    try:
        return from_json(store.get(key), SnapshotManifest, key)
    except FileNotFoundError as error:
        raise ReconciliationError(
            f"s3_staged_events {facts.day}: the snapshot {key} behind the facts is gone; materialize raw_tracking again"
        ) from error


def _is_newer(current: FactsManifest, candidate: FactsManifest) -> bool:
    """Whether the one in force must stay: of a newer snapshot, or of the same with newer dimensions."""
    if is_behind(candidate.watermark, current.watermark):
        return True
    return candidate.watermark == current.watermark and candidate.dim_version < current.dim_version


def _content(facts: FactsManifest) -> tuple[object, ...]:
    return (facts.digest, facts.watermark, facts.dim_version, facts.code_version)


def _newer(store: ObjectStore, manifest: FactsManifest) -> FactsManifest:
    current = current_facts(store, manifest.day)
    return manifest if current is None else current


def _ledger_row(facts: FactsManifest, run_id: str) -> LedgerRow:
    return LedgerRow(
        day=facts.day,
        manifest=facts.number,
        digest=facts.digest,
        rows=facts.rows,
        clicks=facts.clicks,
        spend_micros=facts.spend_micros,
        watermark=dict(facts.watermark),
        dim_version=facts.dim_version,
        code_version=facts.code_version,
        run_id=run_id,
        loaded_at=datetime.now(UTC),
    )


def _compare(store: ObjectStore, warehouse: Warehouse, facts: FactsManifest) -> dict[str, str]:
    """The table checks that fail for the day, by name."""
    table = warehouse.totals([facts.day])[facts.day]
    pairs = (
        ("rows", table.rows, facts.rows),
        ("clicks", table.clicks, facts.clicks),
        ("conversion", table.conversion, facts.conversion),
        ("qualified_application", table.qualified, facts.qualified),
        ("disqualified_application", table.disqualified, facts.disqualified),
        ("spend in micros", table.spend_micros, facts.spend_micros),
    )
    differing = ", ".join(f"{what} {got} instead of {wanted}" for what, got, wanted in pairs if got != wanted)
    dimensions = current_dimensions(store)
    files = [store.local(entry.key) for entry in facts.files]
    unknown = uncovered_jobs(files, store.local(dimensions.key)) if dimensions and files else []
    covered = f"{len(unknown):,} jobs are unknown: {', '.join(map(str, unknown[:10]))}" if unknown else ""
    found = {"table_matches_manifest": differing, "dims_cover_jobs": covered}
    return {name: problem for name, problem in found.items() if problem}
