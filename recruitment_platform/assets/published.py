"""s3_staged_events, redshift_fact_events, mysql_events: the days' facts, verified, published and loaded, by one step.

One step makes all, because a failed step starves those behind it: so a bad day fails this step at its end, after the
good days were staged and loaded, each with a materialization of its own. A day that is closed for billing keeps what is
published of it, and is adjusted, unless the run's tag says to restate it. What belongs here: the assets, their days,
what is told of each. What does not: how a day is verified, staged and loaded (`pipeline.publish`, `pipeline.reports`)
or adjusted (`pipeline.adjustments`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
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
    RESTATE_TAG,
    computing_run,
    days_of_run,
    failure,
    platform_failures,
    tried_again,
)
from recruitment_platform.checks.published import CheckedDays, check_specs, staging_checks, table_checks
from recruitment_platform.errors import ClosedDayError, PlatformError, ReconciliationError, StoreUnavailableError
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.partitions import daily_partitions
from recruitment_platform.pipeline.adjustments import BookedDay, book_day
from recruitment_platform.pipeline.dimensions import load_dimensions
from recruitment_platform.pipeline.manifests import FactsManifest, manifest_key, staged_manifests
from recruitment_platform.pipeline.publish import UnverifiedDayError, current_facts, load_day, stage_day, verified
from recruitment_platform.pipeline.reports import report_day
from recruitment_platform.pipeline.retention import BEING_WRITTEN, clean_superseded
from recruitment_platform.resources.dagster_resources import Opener
from recruitment_platform.resources.protocols import AdjustmentRow, LedgerRow, ObjectStore, RelationalStore, Warehouse
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

A day that is closed for billing keeps its facts: what later events add goes to `fact_adjustments`, which analysts read
by the view `job_adjustments`. A run with the tag `recruitment/restate: true` replaces it all the same.
"""


@dataclass
class _Publishing:
    """The days of a run on their way: what was found of each, and why the bad ones failed.

    `tell` logs a day's materialization of an asset. Days up to `closed_through` are adjusted, unless they are restated.
    """

    objects: ObjectStore
    run_id: str
    restate: bool
    tell: Callable[[dg.AssetKey, FactsManifest | BookedDay], None]
    staging: CheckedDays = field(default_factory=staging_checks)
    table: CheckedDays = field(default_factory=table_checks)
    failed: dict[date, PlatformError] = field(default_factory=dict)
    away: dict[dg.AssetKey, StoreUnavailableError] = field(default_factory=dict)
    has_dimensions: bool = False
    closed_through: date | None = None

    def look_at_the_close(self, warehouse: Opener[Warehouse]) -> None:
        """Asks through which day the facts are closed; where nobody can tell, nothing that is published is replaced."""
        try:
            self.closed_through = None if self.restate else warehouse().closed_through()
        except StoreUnavailableError as error:
            self.away[FACTS] = error

    def publish(
        self,
        day: date,
        selected: Collection[dg.AssetKey],
        warehouse: Opener[Warehouse],
        relational: Opener[RelationalStore],
    ) -> None:
        """Stages, loads and reports the day, whichever is asked for; where it is closed, adjusts it."""
        if self.closed_through is not None and day <= self.closed_through:
            self.book(day, selected, warehouse, relational)
            return
        if STAGED in selected:
            self.stage(day)
        if day in self.failed:
            return
        try:
            if FACTS in selected:
                self.load(day, warehouse)
        except ClosedDayError:
            self.book(day, selected, warehouse, relational)  # it was closed since this run has looked
            return
        if MYSQL_EVENTS in selected:
            self.report(day, relational)

    def stage(self, day: date) -> None:
        """Verifies the day and puts its manifest in force."""
        with self._failing(day, STAGED):
            self._refuse_where_away(STAGED)
            with self._verifying(day):
                staged = stage_day(
                    self.objects, day, self.run_id, before_replacing=lambda: self._refuse_where_away(FACTS)
                )
            self.tell(STAGED, staged.facts)

    def load(self, day: date, warehouse: Opener[Warehouse]) -> None:
        """Brings the day of the fact table to its manifest, after the dimensions have been brought to theirs.

        Raises ClosedDayError where the day was closed.
        """
        with self._failing(day, FACTS):
            self._refuse_where_away(FACTS)
            self._load_dimensions(warehouse)
            try:
                loaded = load_day(self.objects, warehouse(), day, self.run_id, restate=self.restate)
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

    def book(
        self,
        day: date,
        selected: Collection[dg.AssetKey],
        warehouse: Opener[Warehouse],
        relational: Opener[RelationalStore],
    ) -> None:
        """Adjusts a closed day: what is published of it stays, in every store, and is told again."""
        kept = current_facts(self.objects, day)
        billed: LedgerRow | None = None
        with self._failing(day, FACTS):
            self._refuse_where_away(FACTS)
            candidate = None
            if STAGED in selected or FACTS in selected:
                with self._verifying(day):
                    candidate, _ = verified(self.objects, day, self.run_id)
            if candidate is None or FACTS not in selected:
                billed = warehouse().ledger([day]).get(day)
            else:
                booked = self._booked(candidate, warehouse)
                billed = booked.billed
                self.tell(FACTS, booked)
                PROGRESS.info(f"{day} is closed: {_told(booked.booking)}")
        if day in self.failed or kept is None:
            return
        if STAGED in selected:
            self.tell(STAGED, kept)
        if MYSQL_EVENTS in selected and billed is not None and billed.manifest == kept.number:
            self.report(day, relational)

    def _booked(self, candidate: FactsManifest, warehouse: Opener[Warehouse]) -> BookedDay:
        self._load_dimensions(warehouse)
        try:
            booked = book_day(self.objects, warehouse(), candidate, self.run_id)
        except ReconciliationError as error:
            self.table.add(candidate.day, {"table_matches_manifest": str(error)})
            raise
        self.table.add(candidate.day, {})
        return booked

    def _load_dimensions(self, warehouse: Opener[Warehouse]) -> None:
        if not self.has_dimensions:
            load_dimensions(self.objects, warehouse())
            self.has_dimensions = True

    @contextmanager
    def _verifying(self, day: date) -> Iterator[None]:
        """Counts the day among those whose files were looked at, and what failed of it."""
        try:
            yield
        except UnverifiedDayError as error:
            self.staging.add(day, error.failed_checks)
            raise
        except ReconciliationError as error:
            self.staging.add(day, {"reconciles": str(error)})
            raise
        self.staging.add(day, {})

    def _refuse_where_away(self, asset: dg.AssetKey) -> None:
        if asset in self.away:
            raise self.away[asset]

    @contextmanager
    def _failing(self, day: date, asset: dg.AssetKey) -> Iterator[None]:
        """Keeps the day's error, and that the asset's store is away: further days need not wait for it each."""
        try:
            yield
        except ClosedDayError:
            raise
        except PlatformError as error:
            self.failed[day] = _both(self.failed.get(day), error)
            # the warehouse's absence may stop staging, whose own store is there
            if isinstance(error, StoreUnavailableError) and error not in self.away.values():
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
            publishing = _Publishing(
                store,
                computing_run(context),
                context.run.tags.get(RESTATE_TAG) == "true",
                _teller(context, store, warehouse, settings.currency),
            )
            publishing.look_at_the_close(warehouse)
        for day in days:
            publishing.publish(day, selected, warehouse, relational)
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
    context: dg.AssetExecutionContext, store: ObjectStore, warehouse: Opener[Warehouse], currency: str
) -> Callable[[dg.AssetKey, FactsManifest | BookedDay], None]:
    """Logs materializations of single days, each with its own figures; a day staged and loaded shows one plot."""
    latest: tuple[str, pa.Table, str] | None = None

    def pictured(facts: FactsManifest) -> tuple[str, pa.Table, str]:
        nonlocal latest
        manifest = manifest_key(staged_manifests(facts.day), facts.number)
        if latest is None or latest[0] != manifest:
            rows = metadata.fact_rows(store, facts)
            latest = (manifest, rows, hourly_plot(rows, currency))
        return latest

    def loads(day: date) -> list[LedgerRow]:
        try:
            return warehouse().loads(day)
        except StoreUnavailableError as error:
            context.log.warning(f"{day} is loaded, its former loads are not told: {error}")
            return []

    def log(asset: dg.AssetKey, day: date, told: metadata.Metadata, digest: str) -> None:
        context.log_event(
            dg.AssetMaterialization(asset, partition=str(day), metadata=told, tags={DATA_VERSION_TAG: digest})
        )

    def tell(asset: dg.AssetKey, facts: FactsManifest | BookedDay) -> None:
        if isinstance(facts, BookedDay):
            told = metadata.booked_metadata(facts, currency, loads(facts.day))
            log(asset, facts.day, told, facts.billed.digest if facts.billed else "")
            return
        if asset == MYSQL_EVENTS:
            told = metadata.reported_metadata(facts, currency)
        elif asset == STAGED:
            told = metadata.staged_metadata(store, facts, currency, pictured(facts)[2])
        else:
            _, rows, plot = pictured(facts)
            told = metadata.loaded_metadata(store, facts, currency, plot, rows, loads(facts.day))
        log(asset, facts.day, told, facts.digest)

    return tell


def _told(booking: AdjustmentRow | None) -> str:
    if booking is None or not booking.rows:
        return "nothing is adjusted"
    return f"{booking.clicks:,} clicks in {booking.rows:,} rows are adjusted"


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
