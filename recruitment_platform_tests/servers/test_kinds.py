"""Each kind of server, really started: it keeps what it has acknowledged, asks for its password, tells no secret."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace

import psycopg
import pymysql
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from recruitment_platform.servers import cassandra, s3
from recruitment_platform.servers.ports import is_free
from recruitment_platform.servers.server import Server
from recruitment_platform.servers.starting import KINDS
from recruitment_platform_tests.servers_fixtures import StartServer

ROWS = 200

WITH_PASSWORD = tuple(kind.name for kind in KINDS.values() if kind.user)


def cassandra_writes(server: Server) -> None:
    with cassandra.login(server, cassandra.USER, server.password) as session:
        session.execute(
            "CREATE KEYSPACE kept WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
        )
        session.execute("CREATE TABLE kept.numbers (number int PRIMARY KEY)")
        insert = session.prepare("INSERT INTO kept.numbers (number) VALUES (?)")
        for sent in [session.execute_async(insert, (number,)) for number in range(ROWS)]:
            sent.result()


def cassandra_reads(server: Server) -> int:
    with cassandra.login(server, cassandra.USER, server.password) as session:
        return session.execute("SELECT count(*) FROM kept.numbers").one()[0]


def kafka_writes(server: Server) -> None:
    address = {"bootstrap.servers": f"{server.host}:{server.port}"}
    admin = AdminClient(address)
    for made in admin.create_topics([NewTopic("kept", 1)]).values():
        made.result()
    producer = Producer({**address, "enable.idempotence": True})
    for number in range(ROWS):
        producer.produce("kept", str(number))
    assert producer.flush() == 0


def kafka_reads(server: Server) -> int:
    with closing(Consumer({"bootstrap.servers": f"{server.host}:{server.port}", "group.id": "reader"})) as consumer:
        _, end = consumer.get_watermark_offsets(TopicPartition("kept", 0))
        return end


def mariadb_connection(server: Server) -> pymysql.Connection:
    return pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, database="recruitment"
    )


def mariadb_writes(server: Server) -> None:
    with mariadb_connection(server) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (number INT PRIMARY KEY)")
        cursor.executemany("INSERT INTO kept VALUES (%s)", [(number,) for number in range(ROWS)])
        connection.commit()


def mariadb_reads(server: Server) -> int:
    with mariadb_connection(server) as connection, connection.cursor() as cursor:
        return cursor.execute("SELECT number FROM kept")


def s3_writes(server: Server) -> None:
    with closing(s3.client(server)) as client:
        for number in range(ROWS):
            client.put_object(Bucket=s3.BUCKET, Key=f"kept/{number}", Body=b"kept")


def s3_reads(server: Server) -> int:
    with closing(s3.client(server)) as client:
        return client.list_objects_v2(Bucket=s3.BUCKET, Prefix="kept/")["KeyCount"]


def postgres_connection(server: Server) -> psycopg.Connection:
    return psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, dbname="recruitment"
    )


def postgres_writes(server: Server) -> None:
    with postgres_connection(server) as connection:
        connection.execute("CREATE TABLE kept (number INT PRIMARY KEY)")
        connection.execute("INSERT INTO kept SELECT * FROM generate_series(1, %s)", (ROWS,))


def postgres_reads(server: Server) -> int:
    with postgres_connection(server) as connection:
        return connection.execute("SELECT count(*) FROM kept").fetchone()[0]


CLIENTS: Mapping[str, tuple[Callable[[Server], None], Callable[[Server], int]]] = {
    "cassandra": (cassandra_writes, cassandra_reads),
    "kafka": (kafka_writes, kafka_reads),
    "mariadb": (mariadb_writes, mariadb_reads),
    "s3": (s3_writes, s3_reads),
    "postgres": (postgres_writes, postgres_reads),
}


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Server:
    """The run's server of the kind that the test is given."""
    return request.getfixturevalue(f"{request.param}_server")


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_server_keeps_what_it_acknowledged_and_one_that_is_stopped_leaves_nothing_running(
    name: str, server_start: StartServer
) -> None:
    write, read = CLIENTS[name]
    server = server_start(name)
    port = server.port

    write(server)
    server.kill()
    assert not server.is_running()
    assert server.problem() is not None

    server.restart()
    assert server.port == port
    assert read(server) == ROWS
    assert server.memory() > 1_000_000

    server.stop()
    assert not server.is_running()
    assert all(is_free(port) for port in server.ports)
    assert server.memory() == 0


def test_a_killed_server_takes_what_it_was_doing_with_it_and_starts_at_once(server_start: StartServer) -> None:
    # A process of PostgreSQL's that counts does not look whether its parent lives, and no other may start meanwhile.
    server = server_start("postgres")
    with closing(postgres_connection(server)) as connection:
        connection.pgconn.send_query(
            b"SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b"
        )
        with postgres_connection(server) as other:
            other.autocommit = True  # within one transaction it would see one state for ever
            counting = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT count%' AND state = 'active'"
            while not other.execute(counting).rowcount:
                pass
        server.restart()

    assert server.problem() is None


@pytest.mark.parametrize("shared", WITH_PASSWORD, indirect=True)
def test_a_wrong_password_is_refused_and_told_without_it(shared: Server) -> None:
    wrong = replace(shared, password="not-its-password")

    problem = wrong.problem()

    assert problem
    assert "not-its-password" not in problem
    assert shared.problem() is None


@pytest.mark.parametrize("shared", WITH_PASSWORD, indirect=True)
def test_the_password_lies_in_no_file_but_the_one_that_only_its_owner_reads(shared: Server) -> None:
    holding = [
        path.name
        for path in shared.folder.rglob("*")
        if path.is_file() and shared.password.encode() in path.read_bytes()
    ]

    assert holding == ["server.json"]
    assert (shared.folder / "server.json").stat().st_mode & 0o077 == 0
    assert shared.password not in repr(shared)
