"""From the settings to the stores of the home, with words for a home that cannot be one.

What belongs here: what must hold of the home before a store is opened. What does not: opening the stores
(`resources.stores`).
"""

from pathlib import Path
from typing import NamedTuple

from recruitment_platform.errors import InputError, SettingsError, StoreUnavailableError
from recruitment_platform.resources.protocols import EventLake, ObjectStore, Warehouse
from recruitment_platform.resources.stores import (
    Stores,
    open_event_lake,
    open_object_store,
    open_stores,
    open_warehouse,
)
from recruitment_platform.settings import Settings


class SeenStores(NamedTuple):
    """What tells how days stand."""

    lake: EventLake
    objects: ObjectStore
    warehouse: Warehouse


def new_or_existing_stores(settings: Settings) -> Stores:
    """The stores of the home, made where there is none yet."""
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise _is_a_file(home) from error
    except OSError as error:
        raise StoreUnavailableError(
            f"the folder {home} cannot be made ({error.strerror}); set RECRUITMENT_HOME to one that can"
        ) from error
    return open_stores(settings)


def existing_stores(settings: Settings) -> Stores:
    """The stores of a home that is there already: reading makes none. InputError where there is none."""
    check_home(settings)
    return open_stores(settings)


def seen_stores(settings: Settings) -> SeenStores:
    """The stores that tell how days stand, for who only looks: no store is made. InputError where there is no lake."""
    check_home(settings)
    if settings.profile == "local" and not settings.lake_path.exists():
        raise _is_empty(settings)
    objects = open_object_store(settings)
    return SeenStores(open_event_lake(settings), objects, open_warehouse(settings, objects))


def check_home(settings: Settings) -> None:
    """InputError where there is no home yet that could be read, SettingsError where there can be none."""
    home = settings.home
    if home.exists() and not home.is_dir():
        raise _is_a_file(home)
    if settings.profile == "local" and not home.exists():
        raise _is_empty(settings)


def _is_empty(settings: Settings) -> InputError:
    return InputError(
        f"there is nothing in {settings.home} yet; begin with recruitment-platform demo, simulate or import, "
        "or set RECRUITMENT_HOME"
    )


def _is_a_file(home: Path) -> SettingsError:
    return SettingsError(f"RECRUITMENT_HOME: {home} is a file, it must be a folder")
