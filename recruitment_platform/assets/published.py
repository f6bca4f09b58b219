"""s3_staged_events, redshift_fact_events, mysql_events: the days' facts, verified, published and loaded, by one step.

One step makes all, because a failed step starves those behind it: so a bad day fails this step at its end, after the
good days were staged and loaded, each with a materialization of its own. What belongs here: the assets, their days,
what is told of each. What does not: how a day is verified, staged and loaded (`pipeline.publish`, `pipeline.reports`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import dagster as dg
import pyarrow as pa

from recruitment_platform.assets import metadata
from recruitment_platform.assets.catalog import (
    ANALYSTS,
    DIM_JOBS,
    ENGINEERS,
    FACTS,
    FACTS_GROUP,
    JOB_HOURLY_EVENTS,
    MYSQL_EVENTS,
    STAGED,
    WAREHOUSE_POOL,
    backfill_policy,
    kinds,
)
from recruitment_platform.assets.mysql_events import mysql_events_spec
from recruitment_platform.assets.plot import hourly_plot
from recruitment_platform.assets.steps import (
    PROGRESS,
    computing_run,
    days_of_run,
    failure,
    platform_failures,
    tried_again,
)
from recruitment_platform.checks.published import CheckedDays, check_specs, staging_checks, table_checks
from recruitment_platform.errors import PlatformError, ReconciliationError, StoreUnavailableError
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.partitions import daily_partitions
from recruitment_platform.pipeline.dimensions import load_dimensions
from recruitment_platform.pipeline.manifests import FactsManifest, manifest_key, staged_manifests
from recruitment_platform.pipeline.publish import UnverifiedDayError, load_day, stage_day
from recruitment_platform.pipeline.reports import report_day
from recruitment_platform.pipeline.retention import BEING_WRITTEN, clean_superseded
from recruitment_platform.resources.dagster_resources import Opener
from recruitment_platform.resources.protocols import ObjectStore, RelationalStore, Warehouse
from recruitment_platform.settings import Settings
from recruitment_platform.sql import sql_version

DATA_VERSION_TAG = "dagster/data_version"

STAGED_DESCRIPTION = """The day's facts, verified and published: a numbered manifest names the files that count.

Readers trust manifests only; the highest number is in force. The files are those that job_hourly_events wrote, none is
copied. A day whose facts are not its snapshot's is not published, and keeps its former facts; superseded files are
removed once they are old enough, never those in force.
"""
FACTS_DESCRIPTION = """The fact table: hourly facts per job. Analysts read it by the view `job_performance`, with names:

    recruitment-platform query "select * from job_performance where dates = '2026-11-20'"

The warehouse's `dim_jobs` and `dim_publishers` are brought to the version in force with it. A day is replaced whole, by
the manifest in force, in one transaction with its row of the ledger; `dagster/data_version` is its digest. `bid_set`
times `clicks` is not spend; `impressions` is null where it was not measured.
"""


@dataclass
class _Publishing:
    """The days of a run on their way: what was found of each, and why the bad ones failed.

    `tell` logs a day's materialization of an asset.
    """

    objects: ObjectStore
    run_id: str
    tell: Callable[[dg.AssetKey, FactsManifest], None]
    staging: CheckedDays = field(default_factory=staging_checks)
    table: CheckedDays = field(default_factory=table_checks)
    failed: dict[date, PlatformError] = field(default_factory=dict)
    away: dict[dg.AssetKey, StoreUnavailableError] = field(default_factory=dict)
    has_dimensions: bool = False

    def stage(self, day: date) -> None:
        """Verifies the day and puts its manifest in force."""
        with self._failing(day, STAGED):
            self._refuse_where_away(STAGED)
            try:
                staged = stage_day(self.objects, day, self.run_id)
            except UnverifiedDayError as error:
                self.staging.add(day, error.failed_checks)
                raise
            except ReconciliationError as error:
                self.staging.add(day, {"reconciles": str(error)})
                raise
            self.staging.add(day, {})
            self.tell(STAGED, staged.facts)

    def load(self, day: date, warehouse: Opener[Warehouse]) -> None:
        """Brings the day of the fact table to its manifest, after the dimensions have been brought to theirs."""
        with self._failing(day, FACTS):
            self._refuse_where_away(FACTS)
            if not self.has_dimensions:
                load_dimensions(self.objects, warehouse())
                self.has_dimensions = True
            try:
                loaded = load_day(self.objects, warehouse(), day, self.run_id)
            except ReconciliationError as error:
                self.table.add(day, {"table_matches_manifest": str(error)})
                raise
            self.table.add(day, loaded.failed_checks)
            differing = loaded.failed_checks.get("table_matches_manifest")
            if differing:
                raise ReconciliationError(
                    f"redshift_fact_events {day}: the table has {differing}, by manifest {loaded.facts.number}. It was "
                    "changed by something else than a load; delete the day's row from load_ledger, then load it again"
                )
            self.tell(FACTS, loaded.facts)

    def report(self, day: date, relational: Opener[RelationalStore]) -> None:
        """Brings the day of the reports' `events` to its manifest, whatever became of it in the warehouse."""
        with self._failing(day, MYSQL_EVENTS):
            self._refuse_where_away(MYSQL_EVENTS)
            self.tell(MYSQL_EVENTS, report_day(self.objects, relational(), day))

    def _refuse_where_away(self, asset: dg.AssetKey) -> None:
        if asset in self.away:
            raise self.away[asset]

    @contextmanager
    def _failing(self, day: date, asset: dg.AssetKey) -> Iterator[None]:
        """Keeps the day's error, and that the asset's store is away: further days need not wait for it each."""
        try:
            yield
        except PlatformError as error:
            self.failed[day] = _both(self.failed.get(day), error)
            if isinstance(error, StoreUnavailableError):
                self.away[asset] = error


def published_assets(settings: Settings) -> dg.AssetsDefinition:
    """The three assets, daily, with their checks."""
    staged = dg.AssetSpec(
        STAGED,
        deps=[JOB_HOURLY_EVENTS],
        skippable=True,
        description=STAGED_DESCRIPTION,
        metadata=metadata.definition_metadata(
            STAGED,
            HOURLY_FACTS,
            metadata.same_columns(HOURLY_FACTS, "job_hourly_events"),
            {"job_hourly_events": JOB_HOURLY_EVENTS},
        ),
        group_name=FACTS_GROUP,
        code_version=sql_version("pipeline", "kind_totals", "fact_totals"),
        owners=ENGINEERS,
        kinds=kinds(settings, STAGED),
        tags={"layer": "facts"},
    )
    facts = dg.AssetSpec(
        FACTS,
        deps=[STAGED, DIM_JOBS],
        skippable=True,
        description=FACTS_DESCRIPTION,
        metadata=metadata.definition_metadata(
            FACTS,
            HOURLY_FACTS,
            metadata.same_columns(HOURLY_FACTS, "s3_staged_events"),
            {"s3_staged_events": STAGED},
        ),
        group_name=FACTS_GROUP,
        code_version=sql_version("resources/warehouse/sql", "delete_day", "insert_day"),
        owners=ANALYSTS,
        kinds=kinds(settings, FACTS),
        tags={"layer": "published"},
    )

    @dg.multi_asset(
        name="publish",
        specs=[staged, facts, mysql_events_spec(settings)],
        check_specs=check_specs(),
        can_subset=True,
        partitions_def=daily_partitions(settings),
        backfill_policy=backfill_policy(settings),
        pool=WAREHOUSE_POOL,
    )
    def publish(
        context: dg.AssetExecutionContext,
        objects: dg.ResourceParam[Opener[ObjectStore]],
        warehouse: dg.ResourceParam[Opener[Warehouse]],
        relational: dg.ResourceParam[Opener[RelationalStore]],
    ) -> Iterator[dg.AssetCheckResult]:
        selected = context.selected_asset_keys
        if not selected:
            raise dg.Failure("these checks are evaluated while a day is published: materialize their asset with them")
        days = days_of_run(context)
        with tried_again(context, settings), platform_failures():
            store = objects()
        publishing = _Publishing(store, computing_run(context), _teller(context, store, settings.currency))
        for day in days:
            if STAGED in selected:
                publishing.stage(day)
            if day not in publishing.failed:
                if FACTS in selected:
                    publishing.load(day, warehouse)
                if MYSQL_EVENTS in selected:
                    publishing.report(day, relational)
            PROGRESS.info(f"{'failed' if day in publishing.failed else 'published'} {day}")
        for checked in (publishing.staging, publishing.table):
            if checked.asset in selected:
                yield from checked.results(context.selected_asset_check_keys)
        PROGRESS.info(f"{len(days) - len(publishing.failed)} of {len(days)} days published")
        try:
            removed = clean_superseded(store, days, settings.keep_superseded) + store.clean(BEING_WRITTEN)
            if removed:
                PROGRESS.info(f"{removed:,} superseded objects removed")
        except StoreUnavailableError as error:
            context.log.warning(f"superseded files were left where they are: {error}")
        if publishing.failed:
            with tried_again(context, settings):
                raise _failure(publishing.failed, len(days))

    return publish


def _teller(
    context: dg.AssetExecutionContext, store: ObjectStore, currency: str
) -> Callable[[dg.AssetKey, FactsManifest], None]:
    """Logs materializations of single days, each with its own figures; a day staged and loaded shows one plot."""
    latest: tuple[str, pa.Table, str] | None = None

    def pictured(facts: FactsManifest) -> tuple[str, pa.Table, str]:
        nonlocal latest
        manifest = manifest_key(staged_manifests(facts.day), facts.number)
        if latest is None or latest[0] != manifest:
            rows = metadata.fact_rows(store, facts)
            latest = (manifest, rows, hourly_plot(rows, currency))
        return latest

    def tell(asset: dg.AssetKey, facts: FactsManifest) -> None:
        if asset == MYSQL_EVENTS:
            told = metadata.reported_metadata(facts, currency)
        elif asset == STAGED:
            told = metadata.staged_metadata(store, facts, currency, pictured(facts)[2])
        else:
            _, rows, plot = pictured(facts)
            told = metadata.loaded_metadata(store, facts, currency, plot, rows)
        context.log_event(
            dg.AssetMaterialization(
                asset,
                partition=str(facts.day),
                metadata=told,
                tags={DATA_VERSION_TAG: facts.digest},
            )
        )

    return tell


def _both(former: PlatformError | None, error: PlatformError) -> PlatformError:
    """The day's errors as one, of the kind that trying again does not mend, if either is."""
    if former is None:
        return error
    worse = error if isinstance(former, StoreUnavailableError) else former
    return type(worse)(f"{former}; {error}")


def _failure(failed: Mapping[date, PlatformError], days: int) -> dg.Failure:
    """Names every bad day with its error; says an error that many share once."""
    by_error: dict[str, list[str]] = {}
    for day, error in sorted(failed.items()):
        by_error.setdefault(str(error), []).append(str(day))
    told = "\n".join(f"{', '.join(bad)}: {error}" for error, bad in by_error.items())
    worst = next((error for error in failed.values() if not isinstance(error, StoreUnavailableError)), None)
    return failure(f"{len(failed)} of {days} days failed\n{told}", worst or next(iter(failed.values())), failed)
