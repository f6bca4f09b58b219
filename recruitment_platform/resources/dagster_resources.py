"""The stores and the engine as Dagster's resources.

Each gives the assets an opener: a function that opens the store at its first call, and returns the same one from then
on. So a process opens what its steps use, once, and nothing else; and a store that cannot be opened fails the step that
asked, with its own message, where a failing resource would fail the run with a stack trace of Dagster's.
What does not belong here: the stores themselves. https://docs.dagster.io/guides/build/external-resources
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from recruitment_platform.model.door import DoorRules
from recruitment_platform.resources.lake.parquet import open_lake
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.protocols import EventLake, ObjectStore, RelationalStore, Warehouse
from recruitment_platform.resources.relational.store import open_relational
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse
from recruitment_platform.settings import Settings
from recruitment_platform.transforms.engines import (
    DuckDBEngine,
    Engine,
    SparkEngine,
    local_spark_session,
    spark_config,
)

Store = TypeVar("Store")
Opener = Callable[[], Store]
"""Opens at the first call, returns the same from then on; raises what opening raises."""


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The rules by which any lake was begun; the durations are in seconds."""

    time_zone: str
    first_day: str
    max_event_age: float
    max_event_ahead: float

    def rules(self) -> DoorRules:
        """The rules as the door takes them."""
        return DoorRules(
            time_zone=self.time_zone,
            first_day=date.fromisoformat(self.first_day),
            max_age=timedelta(seconds=self.max_event_age),
            max_ahead=timedelta(seconds=self.max_event_ahead),
        )


class ParquetLakeResource(LakeResource):
    """The embedded lake."""

    path: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[EventLake]]:
        """Gives the opener."""
        yield cache(lambda: open_lake(Path(self.path), self.rules()))


class SqliteRelationalResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The embedded relational store."""

    path: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[RelationalStore]]:
        """Gives the opener."""
        yield cache(lambda: open_relational(Path(self.path)))


class FolderStoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The embedded object store."""

    path: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[ObjectStore]]:
        """Gives the opener."""
        yield cache(lambda: FolderStore(Path(self.path)))


class DuckDBWarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The embedded warehouse, which loads from the object store in the folder `objects`.

    `wait` is how many seconds a load waits for another program that holds it.
    """

    path: str
    wait: float
    objects: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[Warehouse]]:
        """Gives the opener."""
        yield cache(
            lambda: DuckDBWarehouse(Path(self.path), timedelta(seconds=self.wait), FolderStore(Path(self.objects)))
        )


class SparkEngineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Spark: started as soon as a run is sure to need it, stopped at the run's end; Java ends with the run's process.

    As dagster-pyspark's LazyPySparkResource, whose module every process would wait for that loads the definitions: it
    brings pyspark, and a schema of all settings that Spark knows.
    """

    spark_config: dict[str, Any]

    def engine(self) -> SparkEngine:
        """The process's engine of these settings, for what starts it before the run that will stop it."""
        return _spark_engine(tuple(self.spark_config.items()))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[Engine]]:
        """Gives the opener, and stops Spark at the end."""
        try:
            yield self.engine
        finally:
            self.engine().stop()


@cache
def _spark_engine(config: tuple[tuple[str, str], ...]) -> SparkEngine:
    return SparkEngine(lambda: local_spark_session(dict(config)))


def platform_resources(settings: Settings) -> dict[str, Any]:
    """The resources that the assets ask for, by name; nothing is opened."""
    stores = _embedded_stores(settings) if settings.profile == "local" else _server_stores(settings)
    if settings.engine == "duckdb":
        # The class is its own opener: DuckDB runs within the process and has nothing to open, set or close.
        return stores | {
            "engine": dg.ResourceDefinition.hardcoded_resource(DuckDBEngine, "DuckDB, in the run's process.")
        }
    if settings.spark.is_remote:
        from recruitment_platform.resources.dagster_spark import remote_spark_resource

        return stores | {"engine": remote_spark_resource(settings)}
    config = spark_config(memory=settings.spark.memory, scratch=settings.home / "spark")
    return stores | {"engine": SparkEngineResource(spark_config=config)}


def _embedded_stores(settings: Settings) -> dict[str, Any]:
    return {
        "lake": ParquetLakeResource(path=str(settings.lake_path), **_rules(settings)),
        "relational": SqliteRelationalResource(path=str(settings.operational_path)),
        "objects": FolderStoreResource(path=str(settings.object_store_path)),
        "event_log": _no_event_log(),
        "warehouse": DuckDBWarehouseResource(
            path=str(settings.warehouse_path),
            wait=settings.warehouse_wait.total_seconds(),
            objects=str(settings.object_store_path),
        ),
    }


def _server_stores(settings: Settings) -> dict[str, Any]:
    from recruitment_platform.resources import dagster_servers as servers

    bucket: dict[str, Any] = {
        "bucket": servers.shown(settings.s3),
        "secret_key": servers.secret(settings.s3, "secret_key"),
        "scratch": str(settings.object_cache_path),
    }
    warehouse: Any = servers.DuckDBWarehouseResource(
        path=str(settings.warehouse_path), wait=settings.warehouse_wait.total_seconds(), **bucket
    )
    if settings.has_redshift:
        warehouse = servers.RedshiftWarehouseResource(
            address=servers.shown(settings.redshift), password=servers.secret(settings.redshift, "password"), **bucket
        )
    return {
        "lake": servers.CassandraLakeResource(
            address=servers.shown(settings.cassandra),
            password=servers.secret(settings.cassandra, "password"),
            **_rules(settings),
        ),
        "relational": servers.MySQLRelationalResource(
            address=servers.shown(settings.mysql), password=servers.secret(settings.mysql, "password")
        ),
        "objects": servers.s3_store_resource(settings.s3, settings.object_cache_path),
        "event_log": servers.KafkaEventLogResource(
            address=servers.shown(settings.kafka), password=servers.secret(settings.kafka, "password")
        )
        if settings.has_kafka
        else _no_event_log(),
        "warehouse": warehouse,
    }


def _no_event_log() -> dg.ResourceDefinition:
    return dg.ResourceDefinition.hardcoded_resource(lambda: None, "None: events come into the lake directly.")


def _rules(settings: Settings) -> dict[str, Any]:
    rules = door_rules(settings)
    return {
        "time_zone": rules.time_zone,
        "first_day": rules.first_day.isoformat(),
        "max_event_age": rules.max_age.total_seconds(),
        "max_event_ahead": rules.max_ahead.total_seconds(),
    }
