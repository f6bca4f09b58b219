"""From the settings to the stores of the home, with words for a home that cannot be one.

What belongs here: what must hold of the home before a store is opened. What does not: opening the stores
(`resources.stores`).
"""

from pathlib import Path

from recruitment_platform.errors import InputError, SettingsError, StoreUnavailableError
from recruitment_platform.resources.stores import Stores, open_stores
from recruitment_platform.settings import Settings


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


def check_home(settings: Settings) -> None:
    """InputError where there is no home yet that could be read, SettingsError where there can be none."""
    home = settings.home
    if home.exists() and not home.is_dir():
        raise _is_a_file(home)
    if settings.profile == "local" and not home.exists():
        raise InputError(
            f"there is nothing in {home} yet; begin with recruitment-platform demo, simulate or import, "
            "or set RECRUITMENT_HOME"
        )


def _is_a_file(home: Path) -> SettingsError:
    return SettingsError(f"RECRUITMENT_HOME: {home} is a file, it must be a folder")
