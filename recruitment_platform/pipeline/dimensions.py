"""dim_jobs: refreshed in the relational store, put in force for the engines, copied to the warehouse.

What belongs here: carrying the dimensions from store to store, by version. What does not: how history is kept
(`resources.relational.store`), how facts join it (`transforms`).
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.model.contract import DIM_JOBS, DIM_PUBLISHERS, Table
from recruitment_platform.pipeline.digest import digest
from recruitment_platform.pipeline.manifests import DIM_MANIFESTS, DimManifest, in_force, publish_next
from recruitment_platform.resources.protocols import DimRefresh, ObjectStore, RelationalStore, Warehouse


@dataclass(frozen=True)
class RefreshedDimensions:
    """What the refresh changed, and the dimensions in force after it."""

    refresh: DimRefresh
    manifest: DimManifest


def current_dimensions(store: ObjectStore) -> DimManifest | None:
    """The dimensions in force for the engines."""
    return in_force(store, DIM_MANIFESTS, DimManifest)


def refresh_dimensions(
    relational: RelationalStore,
    store: ObjectStore,
    *,
    as_of: datetime,
    currency: str,
    aliases: Mapping[str, str],
    run_id: str,
) -> RefreshedDimensions:
    """Refreshes dim_jobs as of that instant and puts the dimensions in force, unless they are the same as before.

    Raises InputError where `as_of` is older than the newest refresh, or a campaign is in another currency.
    """
    refresh = relational.refresh_dim_jobs(as_of, currency, aliases)
    return RefreshedDimensions(refresh, _put_in_force(relational, store, refresh.as_of, run_id))


def load_dimensions(store: ObjectStore, warehouse: Warehouse) -> DimManifest | None:
    """Brings the warehouse's dim_jobs and dim_publishers to the version in force; None where there is none yet."""
    manifest = current_dimensions(store)
    if manifest is None:
        return None
    for table, key in ((DIM_JOBS, manifest.key), (DIM_PUBLISHERS, manifest.publishers_key)):
        warehouse.replace_dimension(table.name, pq.read_table(store.local(key), partitioning=None), manifest.number)
    return manifest


def _put_in_force(relational: RelationalStore, store: ObjectStore, as_of: datetime, run_id: str) -> DimManifest:
    version, jobs = relational.dim_jobs()
    publishers = relational.dim_publishers()
    with tempfile.TemporaryDirectory(prefix="dimensions-") as folder:
        jobs_file, jobs_digest = _written(jobs, DIM_JOBS, Path(folder))
        publishers_file, publishers_digest = _written(publishers, DIM_PUBLISHERS, Path(folder))

        def kept(current: DimManifest | None) -> bool:
            if current is None:
                return False
            same = (current.digest, current.publishers_digest) == (jobs_digest, publishers_digest)
            return same or current.refresh > version

        current = current_dimensions(store)
        if current is not None and kept(current):
            return current
        name = f"{version:06}-{uuid4().hex[:8]}"
        key, publishers_key = f"dim_jobs/{name}.parquet", f"dim_publishers/{name}.parquet"
        store.put_file(jobs_file, key)
        store.put_file(publishers_file, publishers_key)
    manifest = DimManifest(
        number=0,
        refresh=version,
        run_id=run_id,
        created_at=datetime.now(UTC),
        as_of=as_of,
        key=key,
        rows=jobs.num_rows,
        digest=jobs_digest,
        publishers_key=publishers_key,
        publishers_rows=publishers.num_rows,
        publishers_digest=publishers_digest,
    )
    return publish_next(
        store,
        DIM_MANIFESTS,
        DimManifest,
        lambda number, current: None if kept(current) else replace(manifest, number=number),
    )


def _written(rows: pa.Table, table: Table, folder: Path) -> tuple[Path, str]:
    file = folder / f"{table.name}.parquet"
    pq.write_table(rows, file, compression="zstd")
    return file, digest([file], table).sha256
