"""Which servers there are; starting them, finding them again, ending them.

What belongs here: what is the same for all. What does not: what differs between them, one module each.
"""

import secrets
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.servers import cassandra, kafka, mariadb, postgres, s3
from recruitment_platform.servers.ports import free_port, is_free
from recruitment_platform.servers.server import Kind, Server, remembered
from recruitment_platform.servers.software import locked

KINDS: Mapping[str, Kind] = {module.KIND.name: module.KIND for module in (cassandra, kafka, mariadb, s3, postgres)}
"""Every server by its name."""

PLATFORM = ("cassandra", "kafka", "mariadb", "s3")
"""Those that the platform's settings lead to. PostgreSQL is none: tests keep Redshift's tables in it."""


def start_server(kind: str | Kind, folder: Path, *, outlives: bool = False) -> Server:
    """Starts one server; see `start_servers`."""
    return start_servers([kind], folder, outlives=outlives)[0]


def start_servers(kinds: Sequence[str | Kind], folder: Path, *, outlives: bool = False) -> list[Server]:
    """Starts those that do not run, each with its data in a folder of its name, and returns when all answer.

    A kind is told by its name in `KINDS`, or is one that differs from those there. One that has data there goes on with
    them, on its former port. Without `outlives` they end with this process, however it ends. InputError and
    StoreUnavailableError tell what keeps one from starting; those just started are ended then.
    """
    if sys.platform != "linux":
        raise InputError(f"servers as processes need Linux, and this is {sys.platform}: start them by other means")
    with locked(folder / "lock"):
        wanted = [KINDS[kind] if isinstance(kind, str) else kind for kind in kinds]
        servers = [_found_or_made(kind, folder.absolute() / kind.name, outlives) for kind in wanted]
        launched: list[Server] = []
        try:
            for server in servers:
                if not server.is_running():
                    _check_ports(server)
                    launched.append(server)
                    server.launch()
            for server in servers:
                server.wait()
        except BaseException:
            for server in launched:
                server.kill()
            raise
    return servers


def known_servers(folder: Path) -> list[Server]:
    """The servers that have data in the folder, running or not."""
    found = (remembered(kind, folder.absolute() / name) for name, kind in KINDS.items())
    return [server for server in found if server is not None]


def stop_servers(servers: Iterable[Server]) -> None:
    """Ends them, all at once; their data stay."""
    servers = list(servers)
    for server in servers:
        server.ask_to_end()
    for server in servers:
        server.stop()


def _found_or_made(kind: Kind, folder: Path, outlives: bool) -> Server:
    found = remembered(kind, folder)
    if found is not None:
        found.outlives = outlives
        return found
    software = kind.install()
    shutil.rmtree(folder, ignore_errors=True)  # half made, by one that was killed
    folder.mkdir(parents=True)
    ports = tuple(free_port() for _ in range(kind.ports))
    server = Server(kind, folder, ports, secrets.token_hex(12), outlives)
    kind.prepare(server, software)
    server.remember()
    return server


def _check_ports(server: Server) -> None:
    taken = [port for port in server.ports if not is_free(port)]
    if taken:
        raise StoreUnavailableError(
            f"port {taken[0]} of {server.kind.title} is another program's: end that,"
            f" or remove {server.folder}, which holds its data, to begin anew on another port"
        )
