"""PostgreSQL as a process of this machine: the system's. Tests keep Redshift's tables in it, behind a gate."""

import os
import pwd
import shutil
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.servers.server import Kind, Server
from recruitment_platform.servers.software import run

USER = DATABASE = "recruitment"

_SYSTEM = Path("/usr/lib/postgresql")
_OTHERS = ("postgres", "nobody")
"""Who runs it where we are root, whom PostgreSQL refuses to be."""

_PATIENCE = {"PGCONNECT_TIMEOUT": "2"}


def _install() -> Path:
    folders = sorted(_SYSTEM.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name), reverse=True)
    found = [str(folder) for folder in folders] or [path for path in [shutil.which("initdb")] if path]
    if not found:
        raise InputError("PostgreSQL is not on this machine: apt-get install postgresql")
    return Path(found[0]).resolve().parent


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in _OTHERS if name in known)


def _prepare(server: Server, software: Path) -> None:
    account = _account()
    if account:
        server.folder.chmod(0o755)
        _check_reachable(server.folder, account)
    data = server.folder / "data"
    data.mkdir(mode=0o700)
    secret = server.folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(server.password, encoding="utf-8")
    if account:
        shutil.chown(data, account)
        shutil.chown(secret, account)
    _run_as(
        account,
        [
            *(str(software / "initdb"), "--pgdata", str(data), "--username", USER, "--pwfile", str(secret)),
            *("--auth", "md5", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        ],
        "making PostgreSQL's first tables",
    )
    secret.unlink()
    _run_as(
        account,
        [str(software / "postgres"), "--single", "-D", str(data), "postgres"],
        "making PostgreSQL's database",
        stdin=f"CREATE DATABASE {DATABASE}\n",
    )


def _check_reachable(folder: Path, account: str) -> None:
    for parent in (folder, *folder.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise InputError(
                f"{parent} is closed to {account}, the user whom PostgreSQL must run as where root starts it:"
                f" choose a home that others may enter, or chmod o+x {parent}"
            )


def _run_as(account: str | None, command: Sequence[str], what: str, stdin: str | None = None) -> None:
    prefix = []
    if account:
        prefix = ["setpriv", f"--reuid={account}", f"--regid={pwd.getpwnam(account).pw_gid}", "--clear-groups"]
    run([*prefix, *command], what, folder=Path("/"), stdin=stdin)


def _command(server: Server, software: Path) -> Sequence[str]:
    settings = {
        "port": server.port,
        "listen_addresses": server.host,
        "unix_socket_directories": "",
        # Redshift's driver knows no SCRAM.
        "password_encryption": "md5",
        # What the kernel has survives the server's death.
        "fsync": "off",
        "jit": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(software / "postgres"), "-D", str(server.folder / "data"), *options]


def _probe(server: Server) -> str | None:
    asked = ["-h", server.host, "-p", str(server.port), "-U", USER, "-d", DATABASE, "-w", "-c", "SELECT 1"]
    try:
        run([str(_install() / "psql"), *asked], "login", environment={"PGPASSWORD": server.password, **_PATIENCE})
    except StoreUnavailableError as error:
        return str(error)
    return None


KIND = Kind(
    name="postgres",
    title="PostgreSQL",
    ports=1,
    user=USER,
    install=_install,
    prepare=_prepare,
    command=_command,
    probe=_probe,
    # It is no Redshift: nothing leads the platform to it.
    addresses=lambda server: {},
    account=_account,
    stop_signal=signal.SIGINT,
)
