"""Which servers there are; starting them, finding them again, ending them.

What belongs here: what is the same for all. What does not: what differs between them, one module each.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from recruitment_platform.servers import cassandra, kafka, mariadb, postgres, s3
from recruitment_platform.servers.ports import free_port
from recruitment_platform.servers.server import Kind, Server, remembered

KINDS: Mapping[str, Kind] = {module.KIND.name: module.KIND for module in (cassandra, kafka, mariadb, s3, postgres)}
"""Every server by its name."""

PLATFORM = ("cassandra", "kafka", "mariadb", "s3")
"""Those that the platform is led to. PostgreSQL is none of them: tests keep Redshift's tables in it."""


def start_server(name: str, folder: Path, *, outlives: bool = False) -> Server:
    """Starts one server; see `start_servers`."""
    return start_servers([name], folder, outlives=outlives)[0]


def start_servers(names: Sequence[str], folder: Path, *, outlives: bool = False) -> list[Server]:
    """Starts the servers, each with its data in a folder of its name, and returns when all answer.

    One that has data there goes on with them, on its former port. Without `outlives` they end with this process,
    however it ends. InputError and StoreUnavailableError tell what keeps one from starting; those started then end.
    """
    servers: list[Server] = []
    try:
        for name in names:
            servers.append(_launched(KINDS[name], folder.absolute() / name, outlives))
        for server in servers:
            server.wait()
    except BaseException:
        for server in servers:
            server.kill()
        raise
    return servers


def known_servers(folder: Path) -> list[Server]:
    """The servers that have data in the folder, running or not."""
    found = (remembered(kind, folder.absolute() / name) for name, kind in KINDS.items())
    return [server for server in found if server is not None]


def stop_servers(servers: Iterable[Server]) -> None:
    """Ends them; their data stay."""
    for server in servers:
        server.stop()


def _launched(kind: Kind, folder: Path, outlives: bool) -> Server:
    server = remembered(kind, folder)
    if server is None:
        software = kind.install()
        folder.mkdir(parents=True, exist_ok=True)
        ports = tuple(free_port() for _ in range(kind.ports))
        server = Server(kind, folder, ports, secrets.token_hex(12), outlives)
        kind.prepare(server, software)
    if not server.is_running():
        server.launch()
    return server
