"""Health checks of the platform's services that have no command for it; exit code 0 is healthy.

`health.py http URL`: the page is served. `health.py ingest`: Kafka counts a consumer of this machine among the group's
members, which it only is while it reads. What does not belong here: whether data is as it should be (`status`).
"""

import socket
import sys
from urllib.request import urlopen

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from recruitment_platform.addresses import KafkaAddress

SECONDS = 5.0
"""How long an answer may take."""


def serves(url: str) -> bool:
    """Whether the page is served."""
    try:
        with urlopen(url, timeout=SECONDS):
            return True
    except OSError:
        return False


def reads(address: KafkaAddress) -> bool:
    """Whether a member of the group is on this machine."""
    servers = address.servers or ""
    host, _, port = servers.split(",")[0].rpartition(":")
    client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    try:
        # By the address that Kafka sees of us.
        with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
            own = connection.getsockname()[0]
        group = client.describe_consumer_groups([address.group], request_timeout=SECONDS)[address.group].result()
    except (OSError, KafkaException):
        return False
    return any(member.host.lstrip("/") == own for member in group.members)


def main(arguments: list[str]) -> int:
    """Runs the check that the arguments name; returns the exit code."""
    match arguments:
        case ["http", url]:
            healthy = serves(url)
        case ["ingest"]:
            healthy = reads(KafkaAddress())
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
