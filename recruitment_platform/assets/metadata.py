"""What the assets tell of themselves: schema and lineage of their definition, and the figures of each day.

What belongs here: from contracts and manifests to Dagster's metadata. What does not: the plot (`plot`), rates and rows
at a glance (`preview`), what is done with a day (the assets' files).
https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from recruitment_platform.assets.preview import busiest_rows, rates
from recruitment_platform.errors import ReconciliationError
from recruitment_platform.model.contract import DIM_JOBS, Column, Table
from recruitment_platform.pipeline.adjustments import BookedDay
from recruitment_platform.pipeline.audit import shown_source, with_changes
from recruitment_platform.pipeline.dimensions import RefreshedDimensions
from recruitment_platform.pipeline.facts import TRANSFORM
from recruitment_platform.pipeline.manifests import (
    FactsManifest,
    SnapshotManifest,
    manifest_key,
    snapshot_manifests,
    staged_manifests,
)
from recruitment_platform.resources.kafka.sources import shown_positions
from recruitment_platform.resources.protocols import DayState, LedgerRow, ObjectStore
from recruitment_platform.transforms.lineage import ColumnLineage, transform_lineage

Metadata = dict[str, Any]

LOADS_SHOWN = 5
SOURCES_SHOWN = 8
"""So many fit what Dagster's page shows without a click (`plot.LONGEST`); `recruitment-platform audit` tells all."""

NO_SOURCES: Mapping[str, Sequence[dg.TableColumnDep]] = {}


def definition_metadata(
    asset: dg.AssetKey, table: Table, lineage: ColumnLineage, assets: Mapping[str, dg.AssetKey]
) -> Metadata:
    """The asset's table, its columns and their lineage; `assets` gives the asset behind each table in the lineage."""
    sources = {
        column: [dg.TableColumnDep(assets[source], name) for source, name in found]
        for column, found in lineage.items()
        if found
    }
    return {
        "dagster/table_name": asset.to_user_string(),
        "dagster/column_schema": column_schema(table, sources),
        "dagster/column_lineage": dg.TableColumnLineage(sources),
    }


def column_schema(table: Table, sources: Mapping[str, Sequence[dg.TableColumnDep]] = NO_SOURCES) -> dg.TableSchema:
    """The contract's columns, with types, what is never null, and documentation that ends with where values come from.

    Dagster's own view of `dagster/column_lineage` is no part of its open-source page: there the sources are seen here.
    """
    columns = [_column(column, column.name in table.key, sources.get(column.name, ())) for column in table.columns]
    return dg.TableSchema(columns=columns)


def same_columns(table: Table, source: str) -> ColumnLineage:
    """The lineage of a table that copies another's columns."""
    return {name: ((source, name),) for name in table.column_names}


def facts_lineage() -> ColumnLineage:
    """The lineage of the hourly facts, from the transform's SQL."""
    return transform_lineage(TRANSFORM)


def snapshot_metadata(
    store: ObjectStore, snapshot: SnapshotManifest, brought: Sequence[DayState], rejected: Mapping[str, int]
) -> Metadata:
    """A day's snapshot; `conflicts` and ids on two days are listed in the file `listing`.

    `brought` is what each source partition has in the lake of the day, `rejected` how many rows of each source, of
    whatever day, are rejected.
    """
    listing: Metadata = {}
    if snapshot.listing is not None:
        listing["listing"] = dg.MetadataValue.path(store.uri(snapshot.listing.key))
    return {
        "dagster/partition_row_count": snapshot.rows,
        "accepted": snapshot.accepted,
        "distinct": snapshot.distinct,
        "duplicates": snapshot.duplicates,
        "conflicts": snapshot.conflicts,
        "kinds": snapshot.kinds,
        "fallback_times": snapshot.fallback_times,
        "clicks_without_job": snapshot.clicks_without_job,
        "clicks_without_bid": snapshot.clicks_without_bid,
        "ids_on_two_days": snapshot.ids_on_two_days,
        "sources": _sources(snapshot, brought),
        "rejected_rows_of_sources": sum(rejected.get(source, 0) for source in {state.source for state in brought}),
        **listing,
        "snapshot": snapshot.number,
        "manifest": _manifest(store, snapshot_manifests(snapshot.day), snapshot.number),
        "watermark": snapshot.watermark,
        "positions": {source: shown_positions(source, *found) for source, found in snapshot.positions.items()},
        "digest": snapshot.digest,
    }


def dimensions_metadata(store: ObjectStore, refreshed: RefreshedDimensions) -> Metadata:
    """What a refresh of dim_jobs did, and what is in force after it."""
    return {
        "dagster/row_count": refreshed.manifest.rows,
        "version": refreshed.manifest.number,
        "as_of": dg.MetadataValue.timestamp(refreshed.manifest.as_of),
        "opened": refreshed.refresh.opened,
        "closed": refreshed.refresh.closed,
        "publishers": refreshed.manifest.publishers_rows,
        "file": dg.MetadataValue.path(store.uri(refreshed.manifest.key)),
        "digest": refreshed.manifest.digest,
    }


def facts_metadata(facts: FactsManifest, currency: str) -> Metadata:
    """A day's hourly facts: what they add up to, then what they were computed from."""
    return _figures(facts, currency) | _origin(facts)


def staged_metadata(store: ObjectStore, facts: FactsManifest, currency: str, plot: str) -> Metadata:
    """A day's published manifest: its facts and its files; `plot` is Markdown."""
    published = {"bytes": sum(entry.size for entry in facts.files), "watermark": facts.watermark}
    return _pictured(plot) | _figures(facts, currency) | _links(store, facts) | published | _origin(facts)


def loaded_metadata(
    store: ObjectStore, facts: FactsManifest, currency: str, plot: str, rows: pa.Table, loads: Sequence[LedgerRow]
) -> Metadata:
    """A day of the fact table; `rows` are its facts, of which the preview shows those with the most clicks.

    `loads` are all of the day, oldest first: the newest ones are told, and the command that explains them.
    """
    read = {
        "rates": dg.MetadataValue.md(rates(facts, currency)),
        "preview": dg.MetadataValue.md(busiest_rows(rows, store)),
        "audit": audit_entry(facts.day, loads, currency),
    }
    return _pictured(plot) | _figures(facts, currency) | read | _links(store, facts) | _origin(facts)


def audit_entry(day: date, loads: Sequence[LedgerRow], currency: str) -> dg.MarkdownMetadataValue:
    """How the day is explained, and what its newest loads changed."""
    lines = [
        f"`recruitment-platform audit {day}` explains the day: sources, rejected rows, conflicts, every load.",
        "",
        f"| loaded, UTC | rows | clicks | {currency} | clicks ± | {currency} ± |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    told = with_changes(loads)[-LOADS_SHOWN:]
    for load in told:
        row, (_, clicks, micros) = load.row, load.changes
        change = ("+" if micros >= 0 else "") + _amount(micros)
        figures = (f"{row.rows:,}", f"{row.clicks:,}", _amount(row.spend_micros), f"{clicks:+,}", change)
        lines.append(f"| {row.loaded_at:%Y-%m-%d %H:%M:%S} | {' | '.join(figures)} |")
    more = [f"and {len(loads) - len(told):,} before"] if len(loads) > len(told) else []
    return dg.MetadataValue.md("\n".join(lines + more))


def booked_metadata(booked: BookedDay, currency: str, loads: Sequence[LedgerRow]) -> Metadata:
    """A closed day of the fact table: its facts as they were billed, and what is adjusted beside them."""
    billed, booking = booked.billed, booked.booking
    of_load: Metadata = {"dagster/partition_row_count": 0}
    if billed is not None:
        of_load = {
            "dagster/partition_row_count": billed.rows,
            "clicks": billed.clicks,
            "spend": spend(billed.spend_micros, currency),
            "manifest_number": billed.manifest,
            "dim_jobs_version": billed.dim_version,
            "spend_micros": billed.spend_micros,
            "digest": billed.digest,
        }
    return {
        "closed": True,
        "adjustment_rows": booking.rows if booking else 0,
        "adjustment_clicks": booking.clicks if booking else 0,
        "adjustment_spend": spend(booking.spend_micros if booking else 0, currency),
        "audit": audit_entry(booked.day, loads, currency),
        **of_load,
    }


def reported_metadata(facts: FactsManifest, currency: str) -> Metadata:
    """A day of the reports' `events`."""
    return _figures(facts, currency) | {"manifest_number": facts.number} | _origin(facts)


def fact_rows(store: ObjectStore, facts: FactsManifest) -> pa.Table:
    """The facts of a manifest: the columns of the plot and the preview."""
    columns = ["hours", "job_id", "publisher_id", "company_id", "clicks", "conversion", "spend_hour"]
    try:
        files = [store.local(entry.key) for entry in facts.files if entry.rows]
    except FileNotFoundError as error:
        raise ReconciliationError(
            f"{facts.day}: a newer manifest came into force, and {error.filename} is gone"
        ) from error
    tables = [pq.read_table(file, columns=columns, partitioning=None) for file in files]
    return pa.concat_tables(tables) if tables else pa.table({name: pa.array([], pa.int64()) for name in columns})


def error_metadata(message: str) -> Metadata:
    """A day that could not be computed: it is materialized in name only, and publishing will fail it."""
    return {"error": dg.MetadataValue.text(message)}


def bad_days(problems: Mapping[date, str]) -> dg.JsonMetadataValue:
    """Days and what is wrong with each."""
    return dg.MetadataValue.json({str(day): problem for day, problem in sorted(problems.items())})


def spend(micros: int, currency: str) -> str:
    """Money as people read it, exact: `1,234.560000 USD`."""
    return f"{_amount(micros)} {currency}"


def dim_jobs_lineage(found: ColumnLineage) -> ColumnLineage:
    """The lineage of dim_jobs: that of its query; the columns of its history come from the refresh itself."""
    return {name: found.get(name, ()) for name in DIM_JOBS.column_names}


def _column(column: Column, key: bool, sources: Sequence[dg.TableColumnDep]) -> dg.TableColumn:
    names = ", ".join(f"`{source.asset_key.to_user_string()}.{source.column_name}`" for source in sources)
    return dg.TableColumn(
        name=column.name,
        type=str(column.type),
        description=f"{column.doc} From {names}." if names else column.doc,
        constraints=dg.TableColumnConstraints(nullable=column.nullable, other=["part of the key"] if key else []),
    )


def _pictured(plot: str) -> Metadata:
    return {"plot": dg.MetadataValue.md(plot)}


def _figures(facts: FactsManifest, currency: str) -> Metadata:
    return {
        "dagster/partition_row_count": facts.rows,
        "clicks": facts.clicks,
        "spend": spend(facts.spend_micros, currency),
        "conversion": facts.conversion,
        "qualified_application": facts.qualified,
        "disqualified_application": facts.disqualified,
    }


def _origin(facts: FactsManifest) -> Metadata:
    return {
        "engine": facts.engine,
        "snapshot": facts.snapshot,
        "dim_jobs_version": facts.dim_version,
        "spend_micros": facts.spend_micros,
        "digest": facts.digest,
    }


def _amount(micros: int) -> str:
    sign, amount = "-" * (micros < 0), abs(micros)
    return f"{sign}{amount // 1_000_000:,}.{amount % 1_000_000:06}"


def _links(store: ObjectStore, facts: FactsManifest) -> Metadata:
    """The manifest and the files that it names."""
    files = (f"- `{store.uri(entry.key)}`, {entry.rows:,} rows" for entry in facts.files)
    return {
        "files": dg.MetadataValue.md("\n".join(files)),
        "manifest_number": facts.number,
        "manifest": _manifest(store, staged_manifests(facts.day), facts.number),
    }


def _sources(snapshot: SnapshotManifest, brought: Sequence[DayState]) -> dg.MarkdownMetadataValue:
    """Those that brought most."""
    lines = ["| source | rows | positions |", "| --- | --- | --- |"]
    for state in sorted(brought, key=lambda state: (-state.rows, state.source))[:SOURCES_SHOWN]:
        found = snapshot.positions.get(state.source)
        positions = shown_positions(state.source, *found) if found else ""
        lines.append(f"| `{shown_source(state.source)}` | {state.rows:,} | {positions} |")
    more = [f"and {len(brought) - SOURCES_SHOWN:,} more"] if len(brought) > SOURCES_SHOWN else []
    return dg.MetadataValue.md("\n".join([*lines, "", *more] if more else lines) if brought else "no events")


def _manifest(store: ObjectStore, prefix: str, number: int) -> dg.PathMetadataValue:
    return dg.MetadataValue.path(store.uri(manifest_key(prefix, number)))
