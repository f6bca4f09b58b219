"""Cassandra as a process of this machine: its jars, its settings, its first login."""

import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

from recruitment_platform.servers.java import java
from recruitment_platform.servers.server import Kind, Server
from recruitment_platform.servers.software import installed, maven

VERSION = "5.0.9"

USER = "recruitment"

_HERE = Path(__file__).parent
_FIRST = "cassandra"
"""User and password that a new Cassandra has."""


def _install() -> Path:
    java()
    return installed(f"cassandra-{VERSION}", lambda folder: maven(_HERE / "cassandra_pom.xml", folder))


def _prepare(server: Server, software: Path, commitlog: str = "cassandra_batch.yaml") -> None:
    tls = server.kind.tls
    names = ["cassandra.yaml", commitlog, *(["cassandra_tls.yaml"] if tls else [])]
    template = Template("".join((_HERE / name).read_text(encoding="utf-8") for name in names))
    settings = template.substitute(
        host=server.host,
        port=server.port,
        storage_port=server.ports[1],
        folder=server.folder,
        certificate=tls and tls.certificate,
        authority=tls and tls.authority,
    )
    (server.folder / "cassandra.yaml").write_text(settings, encoding="utf-8")


def _prepare_periodic(server: Server, software: Path) -> None:
    _prepare(server, software, "cassandra_periodic.yaml")


def _command(server: Server, software: Path) -> Sequence[str]:
    path, version = java()
    return [
        *(path, f"@{_HERE / 'cassandra_jvm.options'}", f"-javaagent:{software / 'jamm-0.4.0.jar'}"),
        *(["-Djava.security.manager=allow"] if version >= 18 else []),
        *("-Xms256M", "-Xmx512M", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"),
        *("-cp", f"{software}/*", f"-Dcassandra.config=file://{server.folder}/cassandra.yaml"),
        *(f"-Dlogback.configurationFile={_HERE / 'cassandra_logback.xml'}", f"-Dcassandra.storagedir={server.folder}"),
        # One node has nobody to wait for.
        *("-Dcassandra.ring_delay_ms=0", "-Dcassandra.skip_wait_for_gossip_to_settle=0"),
        *("-Dcassandra.shutdown_announce_in_ms=0", "-Dcassandra.superuser_setup_delay_ms=0"),
        # It weighs 100,000 rows otherwise, for seconds.
        "-Dcassandra.memtable_row_overhead_computation_step=1000",
        *("-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4", "-Dcassandra-foreground=yes"),
        "org.apache.cassandra.service.CassandraDaemon",
    ]


def _probe(server: Server) -> str | None:
    """Logs in as the user, whom it makes at the first time."""
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    from cassandra import DriverException
    from cassandra.cluster import NoHostAvailable

    try:
        with login(server, USER, server.password):
            return None
    except (NoHostAvailable, DriverException) as error:
        reason = _told(error)
    try:
        with login(server, _FIRST, _FIRST) as session:
            statement = Template((_HERE / "cassandra_user.cql").read_text(encoding="utf-8"))
            session.execute(statement.substitute(user=USER, password=server.password))
    except (NoHostAvailable, DriverException) as error:
        reason = _told(error)
    return reason


@contextmanager
def login(server: Server, user: str, password: str) -> Iterator[Any]:
    """The driver's session on the server; NoHostAvailable where it refuses."""
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import RoundRobinPolicy

    cluster = Cluster(
        [server.host],
        port=server.port,
        auth_provider=PlainTextAuthProvider(user, password),
        ssl_context=server.kind.tls and ssl.create_default_context(cafile=server.kind.tls.authority),
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(RoundRobinPolicy())},
        protocol_version=5,
        connect_timeout=5,
        control_connection_timeout=5,
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _addresses(server: Server) -> dict[str, str]:
    return {
        "RECRUITMENT_CASSANDRA_HOSTS": server.host,
        "RECRUITMENT_CASSANDRA_PORT": str(server.port),
        "RECRUITMENT_CASSANDRA_USER": USER,
        "RECRUITMENT_CASSANDRA_PASSWORD": server.password,
        **({"RECRUITMENT_CASSANDRA_TLS_CA": str(server.kind.tls.authority)} if server.kind.tls else {}),
    }


KIND = Kind(
    name="cassandra",
    title=f"Cassandra {VERSION}",
    ports=2,
    user=USER,
    install=_install,
    prepare=_prepare,
    command=_command,
    probe=_probe,
    addresses=_addresses,
)

PERIODIC = replace(KIND, prepare=_prepare_periodic)
"""As Cassandra is by default: it acknowledges before the disk has it. For measurements; tests kill servers."""
