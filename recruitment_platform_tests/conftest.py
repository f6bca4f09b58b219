"""What tests of several parts share: the one Spark of a test run, and the real servers."""

import signal
from collections.abc import Iterator
from functools import partial

import pytest

from recruitment_platform.transforms.engines import SparkEngine, local_spark_session, spark_config

# Imported to be found: pytest takes a `pytest_plugins` only at the very root.
from recruitment_platform_tests.redshift_fixtures import gate_process, redshift, redshift_gate  # noqa: F401
from recruitment_platform_tests.servers_fixtures import (  # noqa: F401
    bucket,
    cassandra_server,
    database,
    kafka_server,
    keyspace,
    mariadb_server,
    postgres_database,
    postgres_server,
    s3_server,
    server_start,
    servers_folder,
    topic,
)
from recruitment_platform_tests.spark_servers import spark_cluster, spark_connect  # noqa: F401

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so. What tests start would inherit it, and neither Ctrl-C nor
    # SIGTERM, which Dagster handles alike, would reach it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def spark_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkEngine]:
    """Real Spark, started by the first test that runs a transform on it."""
    config = spark_config(memory="1g", scratch=tmp_path_factory.mktemp("spark") / "scratch")
    engine = SparkEngine(partial(local_spark_session, config))
    yield engine
    engine.stop()
