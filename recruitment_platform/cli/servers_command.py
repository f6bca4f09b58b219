"""`servers`: the real servers as processes of this machine, for development."""

import logging
import shlex
from pathlib import Path

import click

from recruitment_platform.cli import output
from recruitment_platform.cli.progress import note
from recruitment_platform.errors import InputError
from recruitment_platform.servers.server import Server
from recruitment_platform.servers.starting import KINDS, PLATFORM, known_servers, start_servers, stop_servers
from recruitment_platform.settings import Settings

COLUMNS = ("server", "state", "address", "user", "memory", "data")
RIGHT = (False, False, False, False, True, False)

_names = click.argument("names", nargs=-1, type=click.Choice(tuple(KINDS)), metavar="[NAME]...")


@click.group("servers")
def command() -> None:
    """Cassandra, Kafka, MariaDB and an S3 server as processes of this machine: for development, without Docker.

    They are reached from this machine alone, on ports of their own. Their data lie in the folder `servers` of the home,
    and stay there when they end; remove a server's folder to begin it anew. Their software is fetched once, into the
    user's cache folder.

    \b
    Example:
      eval "$(recruitment-platform servers up)"
      recruitment-platform migrate
      recruitment-platform demo
      recruitment-platform servers down
    """


@command.command("up")
@_names
def up(names: tuple[str, ...]) -> None:
    """Starts servers and tells the settings that lead to them, passwords included.

    NAME is cassandra, kafka, mariadb, s3 or postgres; by default all but the last, which only tests use. Those that
    run already are left as they are. What goes to stdout is for the shell: eval "$(recruitment-platform servers up)".
    """
    # What is fetched, and what takes a minute, is told as it begins.
    log = logging.getLogger("recruitment_platform.servers")
    log.setLevel(logging.INFO)
    log.addHandler(_Notes())
    wanted = tuple(dict.fromkeys(names)) or PLATFORM
    servers = start_servers(wanted, _folder(), outlives=True)
    for server in servers:
        note(f"{server.kind.title} answers on {server.host}:{server.port}")
    addresses = {name: value for server in servers for name, value in server.environment().items()}
    out = output.stdout()
    for name, value in ({"RECRUITMENT_PROFILE": "servers"} | addresses if addresses else {}).items():
        out.write(f"export {name}={shlex.quote(value)}\n")


@command.command("status")
def status() -> None:
    """Lists the servers of this home, running or not. Passwords are told by `up` alone."""
    known = known_servers(_folder())
    if not known:
        note("this home has no servers; recruitment-platform servers up starts them")
        return
    rows = [
        (
            server.name,
            _state(server),
            f"{server.host}:{server.port}",
            server.user or "",
            f"{server.memory() / 1e6:,.0f} MB" if server.is_running() else "",
            str(server.folder),
        )
        for server in known
    ]
    output.write_aligned(COLUMNS, rows, RIGHT, output.stdout())


@command.command("down")
@_names
def down(names: tuple[str, ...]) -> None:
    """Ends the servers of this home, or those named; their data stay, and `up` goes on with them."""
    known = {server.name: server for server in known_servers(_folder())}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"this home has no {unknown[0]}: it has {', '.join(known) or 'no servers'}")
    running = [known[name] for name in names or known if known[name].is_running()]
    stop_servers(running)
    for server in running:
        note(f"{server.kind.title} has ended; its data are in {server.folder}")
    if not running:
        note("none was running")


def _folder() -> Path:
    return Settings.from_environment().home / "servers"


def _state(server: Server) -> str:
    if not server.is_running():
        return "ended"
    problem = server.problem()
    return "answers" if problem is None else f"does not answer: {problem}"


class _Notes(logging.Handler):
    """Shows what is logged as notes."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())
