"""MariaDB as a process of this machine: the system's, or Debian's packages unpacked; its first tables and user."""

import os
from collections.abc import Sequence
from pathlib import Path
from string import Template

from recruitment_platform.errors import InputError
from recruitment_platform.servers.server import Kind, Server
from recruitment_platform.servers.software import debian, installed, run

USER = DATABASE = "recruitment"

_HERE = Path(__file__).parent
_PROGRAM = "usr/sbin/mariadbd"
_SHARED = {"usr/share/mysql": "mysql", "usr/share/mariadb": "mariadb"}
"""Where MariaDB keeps its own scripts, by version, and how their names begin there."""

_SYSTEM_TABLES = ("system_tables", "performance_tables", "system_tables_data")
_PROBE_SECONDS = 2


def _install() -> Path:
    if Path("/", _PROGRAM).exists():
        return Path("/")
    return installed("mariadb", lambda folder: debian("mariadb-server-core", folder))


def _prepare(server: Server, software: Path) -> None:
    data = server.folder / "data"
    data.mkdir()
    shared, prefix = _shared(software)
    tables = [(shared / f"{prefix}_{name}.sql").read_text(encoding="utf-8") for name in _SYSTEM_TABLES]
    users = Template((_HERE / "mariadb_users.sql").read_text(encoding="utf-8"))
    made = users.substitute(database=DATABASE, user=USER, password=server.password)
    statements = "\n".join([(_HERE / "mariadb_first.sql").read_text(encoding="utf-8"), *tables, made])
    run(
        [*_program(server, software), "--bootstrap", "--log-warnings=0"],
        "making MariaDB's first tables",
        environment=_variables(server, software),
        stdin=statements,
    )


def _shared(software: Path) -> tuple[Path, str]:
    for folder, prefix in _SHARED.items():
        if (software / folder / f"{prefix}_{_SYSTEM_TABLES[0]}.sql").exists():
            return software / folder, prefix
    raise InputError(f"MariaDB is on this machine without its scripts {prefix}_{_SYSTEM_TABLES[0]}.sql: install them")


def _program(server: Server, software: Path) -> list[str]:
    return [
        *(
            str(software / _PROGRAM),
            "--no-defaults",
            f"--basedir={software / 'usr'}",
            f"--datadir={server.folder}/data",
        ),
        *(f"--lc-messages-dir={_shared(software)[0]}", "--innodb-log-file-size=8M"),
        *(["--user=root"] if os.geteuid() == 0 else []),
    ]


def _command(server: Server, software: Path) -> Sequence[str]:
    tls = server.kind.tls
    return [
        *_program(server, software),
        *(f"--socket={server.folder / 'socket'}", f"--pid-file={server.folder / 'pid'}"),
        *(f"--port={server.port}", f"--bind-address={server.host}", "--skip-name-resolve"),
        # Committed is what the kernel has: it survives the server's death, and costs no disk's patience.
        *("--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=128M", "--skip-log-bin"),
        *("--local-infile=1", "--character-set-server=utf8mb4", "--performance-schema=0"),
        *([f"--ssl-cert={tls.certificate}", f"--ssl-key={tls.certificate}"] if tls else []),
        *(["--require-secure-transport=1"] if tls else []),
    ]


def _variables(server: Server, software: Path) -> dict[str, str]:
    folders = sorted(
        {str(path.parent) for path in software.glob("usr/lib/*/lib*.so*")} if software != Path("/") else ()
    )
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def _probe(server: Server) -> str | None:
    import pymysql

    try:
        pymysql.connect(
            host=server.host,
            port=server.port,
            user=USER,
            password=server.password,
            database=DATABASE,
            connect_timeout=_PROBE_SECONDS,
            read_timeout=_PROBE_SECONDS,
            ssl_ca=server.kind.tls and str(server.kind.tls.authority),
            ssl_verify_identity=True if server.kind.tls else None,
        ).close()
    except pymysql.MySQLError as error:
        return str(error)
    return None


def _addresses(server: Server) -> dict[str, str]:
    return {
        "RECRUITMENT_MYSQL_HOST": server.host,
        "RECRUITMENT_MYSQL_PORT": str(server.port),
        "RECRUITMENT_MYSQL_DATABASE": DATABASE,
        "RECRUITMENT_MYSQL_USER": USER,
        "RECRUITMENT_MYSQL_PASSWORD": server.password,
        **({"RECRUITMENT_MYSQL_TLS_CA": str(server.kind.tls.authority)} if server.kind.tls else {}),
    }


KIND = Kind(
    name="mariadb",
    title="MariaDB",
    ports=1,
    user=USER,
    install=_install,
    prepare=_prepare,
    command=_command,
    variables=_variables,
    probe=_probe,
    addresses=_addresses,
)
