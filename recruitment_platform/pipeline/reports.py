"""mysql_events: the published facts of a day, copied to the table `events` that operational reports read.

What belongs here: from the manifest in force to the relational store. What does not: how a day is replaced there
(`resources.relational.store`), which facts are published (`pipeline.publish`).
"""

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recruitment_platform.errors import ReconciliationError, SupersededError
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.pipeline.manifests import FactsManifest
from recruitment_platform.pipeline.publish import current_facts
from recruitment_platform.resources.protocols import ObjectStore, RelationalStore


def report_day(store: ObjectStore, relational: RelationalStore, day: date) -> FactsManifest:
    """Brings the day of `events` to its manifest in force, unless it is there already; returns that manifest.

    Raises ReconciliationError where nothing is staged or the files are not what the manifest says, SupersededError
    where `events` holds a newer manifest than any that is staged, StoreUnavailableError where the store is away: the
    day then keeps its former rows.
    """
    manifest = current_facts(store, day)
    if manifest is None:
        raise ReconciliationError(f"mysql_events {day}: nothing is staged; materialize s3_staged_events first")
    while True:
        try:
            relational.replace_events(day, manifest.number, manifest.digest, _rows(store, manifest))
        except (SupersededError, FileNotFoundError) as error:
            newer = current_facts(store, day)
            if newer is not None and newer.number > manifest.number:
                manifest = newer  # it came into force between our look and our load
                continue
            if isinstance(error, SupersededError):
                raise
            raise ReconciliationError(
                f"mysql_events {day}: the staged file {error.filename} is gone; materialize the day again"
            ) from error
        return manifest


def _rows(store: ObjectStore, manifest: FactsManifest) -> pa.Table:
    schema = arrow_schema(HOURLY_FACTS)
    files = [store.local(entry.key) for entry in manifest.files]
    tables = [pq.read_table(file, partitioning=None).select(schema.names).cast(schema) for file in files]
    rows = pa.concat_tables([schema.empty_table(), *tables])
    found = (
        ("rows", rows.num_rows, manifest.rows),
        ("clicks", pc.sum(rows["clicks"]).as_py() or 0, manifest.clicks),
        ("spend in micros", int((pc.sum(rows["spend_hour"]).as_py() or 0) * 1_000_000), manifest.spend_micros),
    )
    differing = ", ".join(f"{what} {got} instead of {wanted}" for what, got, wanted in found if got != wanted)
    if differing:
        raise ReconciliationError(
            f"mysql_events {manifest.day}: the files of manifest {manifest.number} have {differing}; the day keeps its "
            "former rows. Materialize it again"
        )
    return rows
