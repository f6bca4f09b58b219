"""The servers' stores as Dagster's resources, as `dagster_resources` has the embedded ones.

What Dagster's page shows of them is their addresses, and of a secret the name of its environment variable. What belongs
here: one resource a server. What does not: the stores themselves, and which of them a profile has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from recruitment_platform.addresses import CassandraAddress, KafkaAddress, MySQLAddress, RedshiftAddress, S3Address
from recruitment_platform.resources.dagster_resources import LakeResource, Opener
from recruitment_platform.resources.protocols import EventLake, ObjectStore, RelationalStore, Warehouse
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse

if TYPE_CHECKING:
    from recruitment_platform.resources.kafka.log import KafkaEventLog


class CassandraLakeResource(LakeResource):
    """The lake on Cassandra."""

    address: dict[str, Any]
    password: str | None

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[EventLake]]:
        """Gives the opener."""
        from recruitment_platform.resources.cassandra.lake import open_cassandra_lake

        address = CassandraAddress(**_given(self.address, password=self.password))
        yield cache(lambda: open_cassandra_lake(address, self.rules()))


class KafkaEventLogResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The event log before the lake."""

    address: dict[str, Any]
    password: str | None

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener["KafkaEventLog"]]:
        """Gives the opener."""
        from recruitment_platform.resources.kafka.log import open_event_log

        address = KafkaAddress(**_given(self.address, password=self.password))
        yield cache(lambda: open_event_log(address))


class MySQLRelationalResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The operational tables and dim_jobs on MySQL."""

    address: dict[str, Any]
    password: str | None

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[RelationalStore]]:
        """Gives the opener."""
        from recruitment_platform.resources.relational.mysql import open_mysql

        address = MySQLAddress(**_given(self.address, password=self.password))
        yield cache(lambda: open_mysql(address))


class S3StoreResource(S3Resource):
    """The object store in a bucket, by the settings of dagster-aws; `scratch` is a folder for copies of objects."""

    bucket: str
    prefix: str
    scratch: str
    tls_ca: str | None

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[ObjectStore]]:
        """Gives the opener."""
        from recruitment_platform.resources.objects.s3 import open_s3

        address = S3Address(
            **_given(
                {"bucket": self.bucket, "prefix": self.prefix},
                endpoint=self.endpoint_url,
                region=self.region_name,
                access_key=self.aws_access_key_id,
                secret_key=self.aws_secret_access_key,
                tls_ca=self.tls_ca,
            )
        )
        yield cache(lambda: open_s3(address, Path(self.scratch)))


class DuckDBWarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The embedded warehouse, loaded from a bucket; `wait` as of its sibling that is loaded from a folder."""

    path: str
    wait: float
    bucket: dict[str, Any]
    secret_key: str | None
    scratch: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[Warehouse]]:
        """Gives the opener."""
        from recruitment_platform.resources.objects.s3 import open_s3

        address = S3Address(**_given(self.bucket, secret_key=self.secret_key))
        yield cache(
            lambda: DuckDBWarehouse(Path(self.path), timedelta(seconds=self.wait), open_s3(address, Path(self.scratch)))
        )


class RedshiftWarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The warehouse on Redshift, which copies from a bucket."""

    address: dict[str, Any]
    password: str | None
    bucket: dict[str, Any]
    secret_key: str | None
    scratch: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[Warehouse]]:
        """Gives the opener."""
        from recruitment_platform.resources.objects.s3 import open_s3
        from recruitment_platform.resources.redshift.warehouse import open_redshift

        address = RedshiftAddress(**_given(self.address, password=self.password))
        bucket = S3Address(**_given(self.bucket, secret_key=self.secret_key))
        yield cache(lambda: open_redshift(address, open_s3(bucket, Path(self.scratch))))


def s3_store_resource(address: S3Address, scratch: Path) -> S3StoreResource:
    """The resource of the bucket at the address."""
    return S3StoreResource(
        bucket=address.bucket,
        prefix=address.prefix,
        scratch=str(scratch),
        endpoint_url=address.endpoint,
        region_name=address.region,
        aws_access_key_id=address.access_key,
        aws_secret_access_key=secret(address, "secret_key"),
        tls_ca=None if address.tls_ca is None else str(address.tls_ca),
    )


def shown(address: BaseSettings) -> dict[str, Any]:
    """The address as a resource's configuration has it: what is set, without the secrets."""
    values = address.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in values.items() if not isinstance(getattr(address, name), SecretStr)}


def secret(address: BaseSettings, name: str) -> str | None:
    """The reference to the environment variable that holds the secret, where it is set."""
    if getattr(address, name) is None:
        return None
    return dg.EnvVar(f"{address.model_config['env_prefix']}{name.upper()}")


def _given(values: dict[str, Any], **more: object) -> dict[str, Any]:
    return {name: value for name, value in {**values, **more}.items() if value is not None}
