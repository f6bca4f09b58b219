"""The platform's own few errors: each says what happened, on which day or table, and what to do.

The command line prints the message alone and leaves with `exit_code`; Dagster shows it as the failure's text.
"""


class PlatformError(Exception):
    """Base of all errors that a user, a setting or a store can cause: never shown with a traceback."""

    exit_code = 1


class SettingsError(PlatformError):
    """A setting is unknown, malformed or contradicts what the lake was made with."""

    exit_code = 2


class InputError(PlatformError):
    """What the user gave (a file, a day, a table's name, a statement) cannot be used."""

    exit_code = 2


class StoreUnavailableError(PlatformError):
    """A store cannot be reached, is held by another program, is full or not writable: trying again may help."""

    exit_code = 3


class ReconciliationError(PlatformError):
    """Counts that must agree do not (promise 1): the day is not published, its former facts stay in force."""

    exit_code = 4


class SupersededError(PlatformError):
    """A newer snapshot or dimension is already in force: this older work is refused and changes nothing."""

    exit_code = 5


class ClosedDayError(PlatformError):
    """The day was closed for billing: its facts stay as they were billed, and change by a restatement alone."""
