"""Lakes on Cassandra for tests: their addresses, and a way to a fresh one that costs less than a keyspace."""

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.resources.cassandra.lake import open_cassandra_lake
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.resources.lake_batches import RULES

_TABLES = ("tracking", "source_state", "source_paths", "tracking_rejected", "other_rejected")


def address_of(server: Server, keyspace: str, **values: object) -> CassandraAddress:
    """The address of a keyspace of the server, with few buckets: tests have few events."""
    given = {"port": server.port, "user": server.user, "password": server.password, "buckets": 3}
    return CassandraAddress(**{**given, "hosts": server.host, "keyspace": keyspace, **values})


def empty(address: CassandraAddress) -> None:
    """Empties the lake: a tenth of what making a keyspace takes."""
    session = open_cassandra_lake(address, RULES).connection.rows
    for table in _TABLES:
        session.execute(f"TRUNCATE {table}")
