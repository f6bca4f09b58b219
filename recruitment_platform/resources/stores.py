"""The stores of a home, opened by settings: for the command line, and for whoever needs them outside Dagster.

What belongs here: from settings to stores. What does not: the stores themselves (a file each), Dagster's way to the
same ones (`dagster_resources`).
"""

from dataclasses import dataclass

from recruitment_platform.model.door import DoorRules
from recruitment_platform.resources.lake import open_lake
from recruitment_platform.resources.object_store import FolderStore
from recruitment_platform.resources.protocols import EventLake, ObjectStore, RelationalStore, Warehouse
from recruitment_platform.resources.relational import open_relational
from recruitment_platform.resources.warehouse import DuckDBWarehouse
from recruitment_platform.settings import Settings


@dataclass(frozen=True)
class Stores:
    """The four stores of a home."""

    lake: EventLake
    relational: RelationalStore
    objects: ObjectStore
    warehouse: Warehouse


def door_rules(settings: Settings) -> DoorRules:
    """The rules by which the home's lake was begun, and must be opened."""
    return DoorRules(
        time_zone=settings.time_zone,
        first_day=settings.first_day,
        max_age=settings.max_event_age,
        max_ahead=settings.max_event_ahead,
    )


def open_stores(settings: Settings) -> Stores:
    """Opens the stores, made where they are absent; none of them holds anything that would have to be closed.

    Raises SettingsError where the lake was begun by other settings, StoreUnavailableError where a store cannot be made
    or read.
    """
    objects = FolderStore(settings.object_store_path)
    return Stores(
        lake=open_lake(settings.lake_path, door_rules(settings)),
        relational=open_relational(settings.operational_path),
        objects=objects,
        warehouse=DuckDBWarehouse(settings.warehouse_path, settings.warehouse_wait, objects),
    )
