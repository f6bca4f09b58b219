"""The stores, opened by settings: the profile decides which, an address where.

What belongs here: from settings to stores, for the command line and for Dagster's resources alike. What does not: the
stores themselves (a file each). A server's module is loaded only where the profile asks for it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recruitment_platform.model.door import DoorRules
from recruitment_platform.resources.lake.parquet import open_lake
from recruitment_platform.resources.objects.folder import FolderStore
from recruitment_platform.resources.protocols import EventLake, ObjectStore, RelationalStore, Warehouse
from recruitment_platform.resources.relational.store import open_relational
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse
from recruitment_platform.settings import Settings

if TYPE_CHECKING:
    from recruitment_platform.resources.kafka.log import KafkaEventLog


@dataclass(frozen=True)
class Stores:
    """The four stores of a platform, and the event log before the lake, where it has one."""

    lake: EventLake
    relational: RelationalStore
    objects: ObjectStore
    warehouse: Warehouse
    event_log: "KafkaEventLog | None"


def door_rules(settings: Settings) -> DoorRules:
    """The rules by which the platform's lake was begun, and must be opened."""
    return DoorRules(
        time_zone=settings.time_zone,
        first_day=settings.first_day,
        max_age=settings.max_event_age,
        max_ahead=settings.max_event_ahead,
    )


def open_stores(settings: Settings) -> Stores:
    """Opens the stores; embedded ones are made where they are absent, and hold nothing that would have to be closed.

    Raises SettingsError where the lake was begun by other settings, StoreUnavailableError where a store cannot be
    reached, made or read.
    """
    objects = open_object_store(settings)
    return Stores(
        lake=open_event_lake(settings),
        relational=open_relational_store(settings),
        objects=objects,
        warehouse=open_warehouse(settings, objects),
        event_log=open_log(settings),
    )


def open_event_lake(settings: Settings) -> EventLake:
    """The lake: a folder, or Cassandra."""
    if settings.profile == "local":
        return open_lake(settings.lake_path, door_rules(settings))
    from recruitment_platform.resources.cassandra.lake import open_cassandra_lake

    return open_cassandra_lake(settings.cassandra, door_rules(settings))


def open_log(settings: Settings) -> "KafkaEventLog | None":
    """The event log before the lake, which is asked nothing yet; None where events come into the lake directly."""
    if not settings.has_kafka:
        return None
    from recruitment_platform.resources.kafka.log import open_event_log

    return open_event_log(settings.kafka)


def open_relational_store(settings: Settings) -> RelationalStore:
    """The operational tables and dim_jobs: a SQLite file, or MySQL."""
    if settings.profile == "local":
        return open_relational(settings.operational_path)
    from recruitment_platform.resources.relational.mysql import open_mysql

    return open_mysql(settings.mysql)


def open_object_store(settings: Settings) -> ObjectStore:
    """The object store: a folder, or a bucket."""
    if settings.profile == "local":
        return FolderStore(settings.object_store_path)
    from recruitment_platform.resources.objects.s3 import open_s3

    return open_s3(settings.s3, settings.object_cache_path)


def open_warehouse(settings: Settings, objects: ObjectStore) -> Warehouse:
    """The warehouse, which loads from `objects`: a DuckDB file, or Redshift where it has an address."""
    if not settings.has_redshift:
        return DuckDBWarehouse(settings.warehouse_path, settings.warehouse_wait, objects)
    from recruitment_platform.resources.redshift.warehouse import open_redshift

    return open_redshift(settings.redshift, objects)
