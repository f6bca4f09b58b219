"""Platforms on the servers of all tests, each with a keyspace, topic, database, schema and prefix of its own."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from recruitment_platform.addresses import RedshiftAddress
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.on_servers.platform import Platform, on_servers
from recruitment_platform_tests.redshift_fixtures import ROLE, open_gate, superuser
from recruitment_platform_tests.redshift_gate.process import GateProcess
from recruitment_platform_tests.servers_fixtures import StartServer

KINDS = ("cassandra", "kafka", "mariadb", "s3", "postgres")


@pytest.fixture
def servers(
    cassandra_server: Server,
    kafka_server: Server,
    mariadb_server: Server,
    s3_server: Server,
    postgres_server: Server,
    redshift_gate: Any,
    keyspace: str,
    topic: str,
    database: str,
    tmp_path: Path,
) -> Platform:
    """On all of them, not yet migrated."""
    return on_servers(
        tmp_path / "servers",
        (cassandra_server, kafka_server, mariadb_server, s3_server),
        _behind(redshift_gate, postgres_server, schema=keyspace),
        cassandra_keyspace=keyspace,
        kafka_topic=topic,
        mysql_database=database,
        s3_prefix=f"{keyspace}/",
    )


@pytest.fixture
def servers_without_kafka_and_redshift(
    cassandra_server: Server, mariadb_server: Server, s3_server: Server, keyspace: str, database: str, tmp_path: Path
) -> Platform:
    """On Cassandra, MariaDB and S3, with the embedded warehouse, not yet migrated."""
    return on_servers(
        tmp_path / "few",
        (cassandra_server, mariadb_server, s3_server),
        cassandra_keyspace=keyspace,
        mysql_database=database,
        s3_prefix=f"{keyspace}/",
    )


@pytest.fixture
def private_servers(server_start: StartServer) -> dict[str, Server]:
    """Servers of the test's own, to be killed and restarted, by the names of their kinds."""
    return {kind: server_start(kind) for kind in KINDS}


@pytest.fixture
def private_gate(gate_process: GateProcess, private_servers: dict[str, Server]) -> Any:
    """The gate before the test's own PostgreSQL."""
    return open_gate(gate_process, private_servers["postgres"], private_servers["s3"])


@pytest.fixture
def private(
    private_servers: dict[str, Server], private_gate: Any, tmp_path: Path
) -> tuple[Platform, dict[str, Server]]:
    """A platform on servers of its own, and these."""
    streams = [server for kind, server in private_servers.items() if kind != "postgres"]
    warehouse = _behind(private_gate, private_servers["postgres"], schema="facts")
    return on_servers(tmp_path / "private", streams, warehouse), private_servers


def _behind(gate: Any, postgres: Server, schema: str) -> RedshiftAddress:
    """A new schema, empty, behind the gate."""
    with superuser(postgres) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return RedshiftAddress(
        host="127.0.0.1",
        port=gate.port(),
        schema_name=schema,
        user=postgres.user,
        password=SecretStr(postgres.password),
        iam_role=ROLE,
        tls="off",
    )
