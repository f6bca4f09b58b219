"""The relational store on MySQL, or a server that speaks its protocol.

What belongs here: how a connection is made, what each session is told first, what the server's errors mean. What does
not: the store (`store`), how many rows go in at once (`bulk`).

The server is asked only for what MySQL and MariaDB understand alike.
"""

import re
import ssl
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysql.constants import CR, ER

from recruitment_platform.addresses import MySQLAddress
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.relational.store import SqlRelationalStore
from recruitment_platform.sql import load_sql

WAIT_SECONDS = 30
"""How long a writer waits for another one."""

_CONNECT_SECONDS = 10
# Longer than any statement takes, a writer's wait included: a network that has gone silent is noticed then.
_ANSWER_SECONDS = 300


def open_mysql(address: MySQLAddress, wait_seconds: int = WAIT_SECONDS) -> SqlRelationalStore:
    """The store in the database at the address, whose tables are made where they are absent.

    A transaction that reads sees one instant (REPEATABLE READ), one that writes waits `wait_seconds` for another.
    Raises StoreUnavailableError, in one line, where the server cannot be reached, refuses the user, has no such
    database, or another writer takes longer.
    """
    where = f"MySQL at {address.host}:{address.port}, database {address.database},"
    engine = sa.create_engine(
        sa.URL.create("mysql+pymysql", address.user, None, address.host, address.port, address.database),
        # No pool: a connection lives as long as its transaction, so none is inherited by a fork or found dead.
        poolclass=sa.NullPool,
        isolation_level="REPEATABLE READ",
        hide_parameters=True,  # rows are not for tracebacks
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _ANSWER_SECONDS + wait_seconds,
            "write_timeout": _ANSWER_SECONDS,
            "init_command": load_sql("resources/relational/sql", "mysql_session").format(wait_seconds=wait_seconds),
            "local_infile": True,
        },
    )
    # Made once: PyMySQL would read the system's authorities for each connection, which takes longer than all else.
    tls = _tls(address, where)
    offers_tls = True

    @sa.event.listens_for(engine, "do_connect")
    def connect(dialect: sa.Dialect, _: object, arguments: list[Any], parameters: dict[str, Any]) -> Any:
        nonlocal offers_tls
        password = "" if address.password is None else address.password.get_secret_value()
        if offers_tls:
            try:
                return dialect.connect(*arguments, **parameters, password=password, ssl=tls)
            except pymysql.err.OperationalError as error:
                if error.args[0] != CR.CR_SSL_CONNECTION_ERROR or address.tls_ca is not None:
                    raise
                offers_tls = False
        return dialect.connect(*arguments, **parameters, password=password, ssl_disabled=True)

    @sa.event.listens_for(engine, "connect")
    def close_the_file_door(connection: object, _: object) -> None:
        # What was agreed on at login is what allows LOAD DATA LOCAL; this is what answers it (`bulk` opens it).
        connection._local_infile = False  # type: ignore[attr-defined]

    store = SqlRelationalStore(engine, where, lambda error: _explain(error, address))
    store.create_tables()
    return store


def migrate_mysql(address: MySQLAddress) -> None:
    """Makes what is missing in the database, and the analysts' view `job_performance` over `events` as it is now.

    Its rows have the warehouse's columns, of the days that `mysql_events` has copied. Raises what `open_mysql` raises.
    """
    tables = load_sql("resources/relational/sql", "mysql_reports").rstrip("; \n").split(";")
    open_mysql(address).make_views(*tables, load_sql("resources/warehouse/sql", "job_performance"))


def _tls(address: MySQLAddress, where: str) -> ssl.SSLContext:
    """Of a server that must be the one its authority names, or, without one, of any server that offers TLS."""
    if address.tls_ca is None:
        anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anyone.check_hostname = False
        anyone.verify_mode = ssl.CERT_NONE
        return anyone
    try:
        context = ssl.create_default_context(cafile=address.tls_ca)
    except OSError as error:
        raise StoreUnavailableError(
            f"{where} is not asked: {address.tls_ca}, RECRUITMENT_MYSQL_TLS_CA, cannot be used ({error.strerror})"
        ) from error
    # Python 3.13 asks more of certificates than those that MySQL makes for itself have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


_LOST = "was lost in the middle: what was not committed is undone; look after the server, then try again"
_CAUSES = {
    ER.DBACCESS_DENIED_ERROR: "is not open to user {user}: grant the rights, or set RECRUITMENT_MYSQL_DATABASE",
    ER.ACCESS_DENIED_ERROR: "refuses user {user}: set RECRUITMENT_MYSQL_USER and RECRUITMENT_MYSQL_PASSWORD",
    ER.TABLEACCESS_DENIED_ERROR: "lets user {user} not do that ({told}): grant the right",
    ER.SPECIFIC_ACCESS_DENIED_ERROR: "lets user {user} not do that ({told}): grant the right",
    ER.BAD_DB_ERROR: "does not exist: create it, or set RECRUITMENT_MYSQL_DATABASE",
    ER.LOCK_WAIT_TIMEOUT: "is held by another program: wait until it has ended, then try again",
    ER.LOCK_DEADLOCK: "undid this transaction for another program's: nothing was changed; try again",
    ER.NO_SUCH_TABLE: "lacks a table ({told}): run recruitment-platform migrate",
    ER.BAD_FIELD_ERROR: "has tables that this version did not make ({told}): give it a database of its own by "
    "RECRUITMENT_MYSQL_DATABASE",
    ER.DISK_FULL: "cannot grow, the server's disk is full: nothing was changed; free some space, then try again",
    ER.RECORD_FILE_FULL: "cannot grow, a table is full: nothing was changed; free some space, then try again",
    ER.OPTION_PREVENTS_STATEMENT: "is not writable ({told}): nothing was changed; ask the server that is",
    ER.CON_COUNT_ERROR: "takes no more connections: raise max_connections, or try again later",
    ER.NET_PACKET_TOO_LARGE: "refuses so much at once: nothing was changed; raise max_allowed_packet",
    ER.SERVER_SHUTDOWN: _LOST,
    CR.CR_SERVER_GONE_ERROR: _LOST,
    CR.CR_SERVER_LOST: _LOST,
    CR.CR_SSL_CONNECTION_ERROR: "offers no TLS, which RECRUITMENT_MYSQL_TLS_CA asks for: turn it on there ({told})",
    CR.CR_CONN_HOST_ERROR: "cannot be reached ({told}): start it, or set RECRUITMENT_MYSQL_HOST and "
    "RECRUITMENT_MYSQL_PORT",
}
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] (?P<why>[^)]+)|(?P<timeout>timed out)")


def _explain(error: sa.exc.DBAPIError, address: MySQLAddress) -> str | None:
    """What happened and what to do; None where it is no failure of the server, but a mistake of the program."""
    if isinstance(error, sa.exc.InterfaceError):
        return _LOST
    arguments = error.orig.args if error.orig is not None else ()
    code, told = (arguments[0], str(arguments[1])) if len(arguments) > 1 else (None, str(error.orig))
    cause = _CAUSES.get(code)
    if cause is None:
        return f"failed: {told}" if isinstance(error, sa.exc.OperationalError) else None
    if "CERTIFICATE_VERIFY_FAILED" in told and "mismatch" in told:
        return "is not trusted: its certificate is of another host; set RECRUITMENT_MYSQL_HOST to a name that it has"
    if "CERTIFICATE_VERIFY_FAILED" in told:
        return f"is not trusted: its certificate is not what {address.tls_ca}, RECRUITMENT_MYSQL_TLS_CA, vouches for"
    if code == CR.CR_CONN_HOST_ERROR:
        found = _SYSTEM_ERROR.search(told)
        told = (found["why"] or found["timeout"]) if found else told
    return cause.format(user=address.user, told=told.replace("\n", " "))
