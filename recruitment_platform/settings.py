"""Settings: where everything lies, which profile and engine run, which time zone and currency hold.

All come from environment variables that start with `RECRUITMENT_`; a name or a value that is not known is an error, so
that a misspelt setting never passes for its default. What does not belong here: anything a store derives from these.
"""

import os
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from recruitment_platform.errors import SettingsError

PREFIX = "RECRUITMENT_"


class Settings(BaseSettings):
    """The platform's settings, immutable. Use `Settings.from_environment()`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(default=Path(".recruitment"), description="Folder under which everything is kept.")
    profile: Literal["local"] = Field(default="local", description="Which stores: `local` is the embedded ones.")
    engine: Literal["spark", "duckdb"] = Field(default="spark", description="What runs the transforms.")
    time_zone: str = Field(default="UTC", description="IANA time zone that decides days and hours.")
    first_day: date = Field(default=date(2020, 1, 1), description="First daily partition.")
    max_event_age: timedelta = Field(
        default=timedelta(days=7),
        description="A client's time further before the receive time is not believed.",
    )
    max_event_ahead: timedelta = Field(
        default=timedelta(minutes=5),
        description="A client's time further after the receive time is not believed.",
    )
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="The platform's one currency, ISO 4217.")
    currency_aliases: Annotated[Mapping[str, str], NoDecode] = Field(
        default={"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP"},
        description="Other spellings of currencies, as `$=USD,€=EUR`.",
    )
    warehouse_wait: timedelta = Field(
        default=timedelta(seconds=60),
        description="How long a load waits for another program that holds the warehouse.",
    )
    keep_superseded: timedelta = Field(
        default=timedelta(days=7),
        description="Age at which superseded snapshots and staged files are removed; those in force never are.",
    )
    spark_memory: str = Field(
        default="2g",
        pattern="^([5-9][0-9]{2}m|[1-9][0-9]{3,}m|[1-9][0-9]*g)$",
        description="Memory of Spark's driver, as `900m` or `2g`; at least `500m`.",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone such as UTC or Asia/Ho_Chi_Minh") from error
        return value

    @field_validator("max_event_age", "max_event_ahead", "warehouse_wait", "keep_superseded", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return timedelta(seconds=int(value))
        return value

    @field_validator("max_event_age", "max_event_ahead", "warehouse_wait", "keep_superseded")
    @classmethod
    def _not_negative(cls, value: timedelta) -> timedelta:
        if value < timedelta(0):
            raise ValueError("must not be negative")
        return value

    @field_validator("currency_aliases", mode="before")
    @classmethod
    def _aliases(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if any(not separator for _, separator, _ in pairs):
            raise ValueError("must look like $=USD,€=EUR")
        return {alias.strip(): currency.strip() for alias, _, currency in pairs}

    @classmethod
    def from_environment(cls) -> "Settings":
        """The settings of this process; SettingsError names each variable that is unknown or malformed."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise SettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        try:
            settings = cls()
        except ValidationError as error:
            problems = (f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
            raise SettingsError("; ".join(problems)) from error
        return settings.model_copy(update={"home": settings.home.expanduser().absolute()})

    @property
    def lake_path(self) -> Path:
        """The embedded lake."""
        return self.home / "lake"

    @property
    def operational_path(self) -> Path:
        """The embedded relational store: operational tables and dim_jobs."""
        return self.home / "operational.sqlite"

    @property
    def object_store_path(self) -> Path:
        """The embedded object store."""
        return self.home / "objects"

    @property
    def warehouse_path(self) -> Path:
        """The embedded warehouse."""
        return self.home / "warehouse.duckdb"

    @property
    def truth_path(self) -> Path:
        """What the simulator knows of its own traffic."""
        return self.home / "truth"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own storage: runs, events, schedules."""
        return self.home / "dagster"
