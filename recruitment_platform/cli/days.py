"""Days and instants as a user writes them.

What belongs here: parsing them, and the range in which days can be materialized. What does not: what is done with them.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from recruitment_platform.errors import InputError
from recruitment_platform.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


class _Day(click.ParamType[date]):
    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            if len(value) != 10:  # fromisoformat also reads 20220706 and 2022-W27-3
                raise ValueError("not ten characters long")
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day; write it as 2022-07-06", param, ctx)


DAY = _Day()
"""The type of a parameter that is a day."""


def day_range(required: bool) -> Callable[[Command], Command]:
    """The options `--from` and `--to`, passed as `first` and `last`."""

    def decorate(command: Command) -> Command:
        to = click.option("--to", "last", type=DAY, required=required, metavar="DAY", help="Last day, inclusive.")
        of = click.option("--from", "first", type=DAY, required=required, metavar="DAY", help="First day.")
        return of(to(command))

    return decorate


def as_of_option(command: Command) -> Command:
    """The option `--as-of`, passed as `as_of` text."""
    return click.option(
        "--as-of",
        metavar="TIME",
        help="Instant from which the jobs hold as they are now, as 2022-07-06T12:00 in the platform's time zone, "
        "or with an offset.",
    )(command)


def instant(text: str, settings: Settings) -> datetime:
    """The instant, UTC; without an offset it is meant in the platform's time zone. InputError where it is none."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no time; write it as 2022-07-06T12:00 or 2022-07-06T12:00:00+07:00") from error
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=ZoneInfo(settings.time_zone))
    return parsed.astimezone(UTC)


def today(settings: Settings) -> date:
    """Today in the platform's time zone: the last day that is a partition."""
    return datetime.now(ZoneInfo(settings.time_zone)).date()
