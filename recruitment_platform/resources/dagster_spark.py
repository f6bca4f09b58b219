"""The Spark of other machines as Dagster's resource, as `dagster_resources` has this machine's.

What belongs here: from settings to that engine. What does not: the engine (`transforms.remote_spark`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import SecretStr

from recruitment_platform.addresses import S3Address, SparkAddress
from recruitment_platform.resources.dagster_resources import Opener
from recruitment_platform.settings import Settings
from recruitment_platform.transforms.engines import Engine
from recruitment_platform.transforms.remote_spark import (
    RemoteSparkEngine,
    cluster_config,
    connect_config,
    remote_session,
)
from recruitment_platform.transforms.spark_sources import ObjectFiles


class RemoteSparkResource(LazyPySparkResource):
    """Spark on a cluster or behind Spark Connect: asked by the first transform of a run, left at the run's end.

    `remote` may hold a token, and `secret_key` is one, so they come from the environment; `bucket` is none where the
    object store is a folder, which the executors must see under the same path.
    """

    address: dict[str, Any]
    remote: str | None
    bucket: dict[str, Any] | None
    secret_key: str | None

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Opener[Engine]]:
        """Gives the opener, and stops Spark at the end."""
        address = SparkAddress(**self.address, remote=self.remote)
        secret = None if self.secret_key is None else SecretStr(self.secret_key)
        bucket = None if self.bucket is None else S3Address(**self.bucket, secret_key=secret)
        engine = RemoteSparkEngine(
            lambda: self.spark_session if self.remote is None else remote_session(connect_config(address)),
            address,
            ObjectFiles(bucket),
        )
        try:
            yield lambda: engine
        finally:
            engine.stop()


def remote_spark_resource(settings: Settings) -> RemoteSparkResource:
    """The resource of the Spark that the settings lead to."""
    spark, bucket = settings.spark, settings.s3
    in_bucket = settings.profile != "local"
    return RemoteSparkResource(
        spark_config=cluster_config(spark, settings.home / "spark") if spark.remote is None else {},
        address=spark.model_dump(mode="json", exclude={"remote"}),
        remote=None if spark.remote is None else dg.EnvVar("RECRUITMENT_SPARK_REMOTE"),
        bucket=bucket.model_dump(mode="json", exclude={"secret_key"}, exclude_none=True) if in_bucket else None,
        secret_key=dg.EnvVar("RECRUITMENT_S3_SECRET_KEY") if in_bucket and bucket.secret_key is not None else None,
    )
