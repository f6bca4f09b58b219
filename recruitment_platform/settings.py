"""Settings: where everything lies, which profile and engine run, which time zone and currency hold.

All come from environment variables that start with `RECRUITMENT_`; a name or a value that is not known is an error, so
that a misspelt setting never passes for its default. What does not belong here: anything a store derives from these.
"""

import os
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from recruitment_platform.addresses import (
    PREFIX,
    CassandraAddress,
    KafkaAddress,
    MySQLAddress,
    RedshiftAddress,
    S3Address,
    SparkAddress,
)
from recruitment_platform.errors import SettingsError

GROUPS: Mapping[str, type[BaseSettings]] = {
    "cassandra": CassandraAddress,
    "kafka": KafkaAddress,
    "mysql": MySQLAddress,
    "s3": S3Address,
    "redshift": RedshiftAddress,
    "spark": SparkAddress,
}
"""The groups of settings that have a prefix of their own, by the attribute of `Settings` that holds them."""

DURATIONS = (
    "max_event_age",
    "max_event_ahead",
    "warehouse_wait",
    "keep_superseded",
    "freshness_grace",
    "freshness_interval",
    "late_data_interval",
    "attempt_pause",
    "retry_pause",
)
"""Settings that are durations: in seconds, or as ISO 8601."""


class Settings(BaseSettings):
    """The platform's settings, immutable. Use `Settings.from_environment()`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(default=Path(".recruitment"), description="Folder under which everything is kept.")
    profile: Literal["local", "servers", "aws"] = Field(
        default="local",
        description="Which stores: `local` is the embedded ones; `servers` is Cassandra, MySQL, S3 and, where they have"
        " an address, Kafka and Redshift; `aws` the same, with Redshift for certain.",
    )
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
    days_per_run: int | None = Field(
        default=None,
        ge=0,
        description="Most days of one run, when a backfill or a sensor runs more of them; unset or 0 is all in one.",
    )
    freshness_grace: timedelta = Field(
        default=timedelta(hours=7),
        description="How long a day may be over, or its facts older than late events, before the freshness sensor asks"
        " for it.",
    )
    look_back_days: int = Field(
        default=365, ge=1, description="How many days back the freshness sensor expects every day to be published."
    )
    freshness_interval: timedelta = Field(
        default=timedelta(minutes=5), description="How often the freshness sensor looks."
    )
    late_data_interval: timedelta = Field(
        default=timedelta(minutes=5),
        description="How often the late data sensor looks; short, it keeps today near real time.",
    )
    max_attempts: int = Field(
        default=3, ge=1, description="How often sensors ask for a day with the same input before they give it up."
    )
    attempt_pause: timedelta = Field(
        default=timedelta(minutes=5),
        description="Pause before a day's second attempt; before each further one it is six times as long.",
    )
    step_retries: int = Field(
        default=2,
        ge=0,
        description="How often a step is tried again within its run where a store is away; never in a run of the"
        " command line.",
    )
    retry_pause: timedelta = Field(
        default=timedelta(seconds=10), description="Pause before that, about; it doubles from one time to the next."
    )
    alert_webhook: SecretStr | None = Field(
        default=None, description="Address that alerts are sent to, as JSON by POST. It is kept as a secret."
    )
    cassandra: CassandraAddress = Field(default_factory=CassandraAddress)
    kafka: KafkaAddress = Field(default_factory=KafkaAddress)
    mysql: MySQLAddress = Field(default_factory=MySQLAddress)
    s3: S3Address = Field(default_factory=S3Address)
    redshift: RedshiftAddress = Field(default_factory=RedshiftAddress)
    spark: SparkAddress = Field(default_factory=SparkAddress)

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone such as UTC or Asia/Ho_Chi_Minh") from error
        return value

    @field_validator(*DURATIONS, mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return timedelta(seconds=int(value))
        return value

    @field_validator(*DURATIONS)
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
        names = known_names()
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in names)
        if unknown:
            raise SettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(names))}")
        try:
            groups: dict[str, Any] = {}
            for attribute, group in GROUPS.items():
                part = f"{attribute.upper()}_"
                groups[attribute] = group()
            part = ""
            settings = cls(**groups)
        except ValidationError as error:
            # The value itself is not told: it may be a secret, given under the wrong name.
            problems = (f"{PREFIX}{part}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
            raise SettingsError("; ".join(problems)) from None
        settings._require_what_the_profile_needs()
        return settings.model_copy(update={"home": settings.home.expanduser().absolute()})

    def _require_what_the_profile_needs(self) -> None:
        """SettingsError where a setting needs another one that is not given."""
        missing = []
        if self.profile == "aws" and not (self.redshift.host or self.redshift.cluster):
            missing.append(f"{PREFIX}REDSHIFT_HOST or {PREFIX}REDSHIFT_CLUSTER, with the profile aws")
        if self.profile == "servers" and self.s3.endpoint and not (self.s3.access_key and self.s3.secret_key):
            missing.append(f"{PREFIX}S3_ACCESS_KEY and {PREFIX}S3_SECRET_KEY, with {PREFIX}S3_ENDPOINT")
        if self.has_redshift and not self.redshift.iam_role:
            missing.append(f"{PREFIX}REDSHIFT_IAM_ROLE, by which COPY reads the bucket")
        if missing:
            raise SettingsError(f"needed is {'; needed is '.join(missing)}")

    @property
    def has_redshift(self) -> bool:
        """Whether the warehouse is Redshift, and not the embedded one."""
        return self.profile != "local" and bool(self.redshift.host or self.redshift.cluster)

    @property
    def has_kafka(self) -> bool:
        """Whether events come through Kafka."""
        return self.profile != "local" and bool(self.kafka.servers)

    @property
    def lake_path(self) -> Path:
        """The embedded lake."""
        return self.home / "lake"

    @property
    def lake_place(self) -> str:
        """Where the lake is, for people."""
        if self.profile == "local":
            return str(self.home)
        address = self.cassandra
        return f"keyspace {address.keyspace} on {', '.join(address.hosts)}:{address.port}"

    @property
    def operational_path(self) -> Path:
        """The embedded relational store: operational tables and dim_jobs."""
        return self.home / "operational.sqlite"

    @property
    def object_store_path(self) -> Path:
        """The embedded object store."""
        return self.home / "objects"

    @property
    def object_cache_path(self) -> Path:
        """Copies of a remote object store's objects, which may be removed at any time."""
        return self.home / "object-cache"

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


def known_names() -> set[str]:
    """The names of all environment variables that are settings."""
    own = {PREFIX + name.upper() for name in Settings.model_fields if name not in GROUPS}
    return own.union(*(group_names(attribute) for attribute in GROUPS))


def group_names(attribute: str) -> list[str]:
    """The names of a group's environment variables, in its order."""
    return [f"{PREFIX}{attribute.upper()}_{name.upper()}" for name in GROUPS[attribute].model_fields]
