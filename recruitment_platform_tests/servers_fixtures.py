"""The real servers of a test run: each started by the first test that asks for it, and ended with the run.

What belongs here: fixtures of servers, and of something fresh within them for one test. What does not: what the
platform keeps there. Where a server's software cannot be had, tests that need it are skipped; where `CI` is set they
fail. `python -m recruitment_platform_tests.servers_fixtures` gets all of it, which may take longer than a test may.
"""

import contextlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql
import pytest

from recruitment_platform.errors import PlatformError
from recruitment_platform.servers import s3
from recruitment_platform.servers.postgres import KIND as POSTGRES
from recruitment_platform.servers.server import Kind, Server
from recruitment_platform.servers.starting import KINDS, start_server
from recruitment_platform_tests import prometheus

StartServer = Callable[[str | Kind], Server]

_PREFIX = "recruitment-servers-"


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder that any user may enter: pytest's own is closed to the one whom PostgreSQL runs as."""
    _remove_what_killed_runs_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cassandra_server(servers_folder: Path) -> Iterator[Server]:
    """Cassandra for all tests: each makes a `keyspace` of its own, and none ends it."""
    yield from running("cassandra", servers_folder)


@pytest.fixture(scope="session")
def kafka_server(servers_folder: Path) -> Iterator[Server]:
    """Kafka for all tests: each makes a `topic` of its own, and none ends it."""
    yield from running("kafka", servers_folder)


@pytest.fixture(scope="session")
def mariadb_server(servers_folder: Path) -> Iterator[Server]:
    """MariaDB for all tests: each has a `database` of its own, and none ends it."""
    yield from running("mariadb", servers_folder)


@pytest.fixture(scope="session")
def s3_server(servers_folder: Path) -> Iterator[Server]:
    """An S3 server for all tests: each has a `bucket` of its own, and none ends it."""
    yield from running("s3", servers_folder)


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[Server]:
    """PostgreSQL for all tests: each has a `postgres_database` of its own, and none ends it."""
    yield from running("postgres", servers_folder)


@pytest.fixture
def server_start(servers_folder: Path) -> Iterator[StartServer]:
    """Starts a server, by its kind or its name, for one test alone: to be killed and restarted as it likes."""
    folder = Path(tempfile.mkdtemp(dir=servers_folder))
    folder.chmod(0o755)
    started: list[Server] = []

    def start(kind: str | Kind) -> Server:
        _install(kind)
        started.append(start_server(kind, folder / str(len(started))))
        return started[-1]

    yield start
    for server in started:
        server.kill()
        if server.name == "cassandra":
            from recruitment_platform.resources.cassandra.session import disconnect

            # Its driver would try to reach it as long as the tests run.
            disconnect()
    shutil.rmtree(folder)


@pytest.fixture
def keyspace() -> str:
    """A name that no keyspace has yet."""
    return _fresh()


@pytest.fixture
def topic() -> str:
    """A name that no topic has yet."""
    return _fresh()


@pytest.fixture
def bucket(s3_server: Server) -> str:
    """An empty bucket of `s3_server`."""
    name = _fresh()
    with contextlib.closing(s3.client(s3_server)) as client:
        client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def database(mariadb_server: Server) -> Iterator[str]:
    """An empty database of `mariadb_server`."""
    name = _fresh()
    with _mariadb(mariadb_server) as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield name
    with _mariadb(mariadb_server) as cursor:
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def postgres_database(postgres_server: Server) -> Iterator[str]:
    """An empty database of `postgres_server`."""
    name = _fresh()
    _psql(postgres_server, f"CREATE DATABASE {name}")
    yield name
    _psql(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def install_all() -> None:
    """Gets the software of every server that lacks it, and Prometheus; tells what cannot be had, and goes on."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for title, install in (
        *((kind.title, kind.install) for kind in KINDS.values()),
        ("Prometheus", prometheus.install),
    ):
        try:
            install()
        except PlatformError as error:
            print(f"{title} cannot be had: {error}", file=sys.stderr)


def running(kind: str | Kind, folder: Path) -> Iterator[Server]:
    """The server, ended when the next is asked for."""
    _install(kind)
    server = start_server(kind, folder)
    yield server
    # Nobody needs its data any more.
    server.kill()


def _install(kind: str | Kind) -> None:
    wanted = KINDS[kind] if isinstance(kind, str) else kind
    try:
        wanted.install()
    except PlatformError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{wanted.title} cannot be had: {error}")


def _fresh() -> str:
    return f"test{uuid.uuid4().hex[:12]}"


@contextlib.contextmanager
def _mariadb(server: Server) -> Iterator[pymysql.cursors.Cursor]:
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, autocommit=True
    )
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _psql(server: Server, statement: str) -> None:
    command = [
        POSTGRES.install() / "psql",
        "-h",
        server.host,
        "-p",
        str(server.port),
        "-U",
        server.user,
        "-d",
        "postgres",
    ]
    subprocess.run(
        [*command, "-w", "-q", "-c", statement],
        env={**os.environ, "PGPASSWORD": server.password, "PGOPTIONS": "-c client_min_messages=warning"},
        check=True,
    )


def _remove_what_killed_runs_left() -> None:
    """A run that is killed takes its servers with it, but not their data."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        process = re.match(rf"{_PREFIX}(\d+)-", folder.name)
        if process and not Path("/proc", process[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    install_all()
