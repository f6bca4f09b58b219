"""Sessions on Redshift through its own driver: connecting, statements, transactions that are tried again.

What belongs here: all that knows redshift-connector and the errors it raises. What does not: what is said to the
cluster (`warehouse`), how files get there (`copying`). Secrets go to the driver and nowhere else: its errors are
told by message alone, and their frames are cleared, so that no traceback shows what a call was given.
"""

import random
import re
import ssl
import struct
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from recruitment_platform.addresses import RedshiftAddress
from recruitment_platform.resources.redshift.results import arrow_rows
from recruitment_platform.sql import load_sql

if TYPE_CHECKING:
    from redshift_connector.core import Connection
    from redshift_connector.cursor import Cursor

Done = TypeVar("Done")

_CONNECT_SECONDS = 15
# A connection over which nothing comes for long (a COPY) is asked whether it still stands.
_KEEPALIVE = {"tcp_keepalive_idle": 60, "tcp_keepalive_interval": 10, "tcp_keepalive_count": 6}
# Seconds before a transaction is tried again, each shortened at random so that two that conflict do not do so for ever.
_PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0)

_CONFLICTS = ("40001", "40P01")
_GOING_DOWN = ("57P01", "57P02", "57P03")
_NO_PLAIN_TEXT = re.compile(r"[^A-Za-z0-9_.=-]+")


class UnreachableError(Exception):
    """No session could be had: `str()` says why, in one line."""


class LostConnectionError(Exception):
    """The connection broke; `committing` where that was during COMMIT, so that nobody knows whether it was done."""

    def __init__(self, why: str, committing: bool) -> None:
        super().__init__(why)
        self.committing = committing


class RefusedError(Exception):
    """The cluster refused a statement: SQLSTATE, and what it said, in one line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_conflict(self) -> bool:
        """Whether the transaction met another one, and may be tried again: error 1023, or a deadlock."""
        told = str(self)
        return self.code in _CONFLICTS or told.startswith("1023") or "Serializable isolation violation" in told


class Session:
    """One connection. Every statement carries the comment, so that a query in the cluster's logs leads to its run."""

    def __init__(self, connection: "Connection", comment: str) -> None:
        self._connection = connection
        self._comment = comment

    def run(self, name: str, **parameters: Any) -> list[list[Any]]:
        """Runs `sql/redshift_<name>.sql`, its parameters bound by the server; returns the rows, if it has any."""
        return self.execute(load_sql("resources/redshift/sql", name), parameters)

    def table(self, name: str, **parameters: Any) -> pa.Table:
        """The rows of `sql/redshift_<name>.sql` as Arrow, timestamps in UTC."""
        return self.ask(load_sql("resources/redshift/sql", name), parameters)

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[list[Any]]:
        """The statement's rows; RefusedError or LostConnectionError where it has none to give."""
        cursor = self._send(sql, parameters)
        return [list(row) for row in cursor.fetchall()] if cursor.description else []

    def ask(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """The statement's rows as Arrow, timestamps in UTC."""
        cursor = self._send(sql, parameters)
        # The driver's own `description` leaves out the precision of decimals, without which they would not be exact.
        columns = cursor.ps["row_desc"] if cursor.ps else []
        return arrow_rows(columns, list(cursor.fetchall()) if columns else [])

    def begin(self, *, read_only: bool = False) -> None:
        """Begins a transaction."""
        self.execute("BEGIN READ ONLY" if read_only else "BEGIN")

    def commit(self) -> None:
        """Commits it; LostConnectionError with `committing` where the answer did not come."""
        try:
            self.execute("COMMIT")
        except LostConnectionError as error:
            raise LostConnectionError(str(error), committing=True) from None

    def rollback(self) -> None:
        """Undoes the transaction, and keeps the session."""
        self.execute("ROLLBACK")

    def _send(self, sql: str, parameters: Mapping[str, Any] | None) -> "Cursor":
        from redshift_connector.error import DatabaseError, Error

        try:
            cursor = self._connection.cursor()
            cursor.paramstyle = "named"
            return cursor.execute(f"{self._comment} {sql}", dict(parameters) if parameters else None)
        except (Error, OSError, struct.error) as error:
            traceback.clear_frames(error.__traceback__)
            told = _server_error(error)
            if told is None and isinstance(error, DatabaseError):
                raise
        # Raised out here, so that they carry nothing of the driver's along.
        if told is None:
            raise LostConnectionError("the connection broke", committing=False)
        code, message = told
        if code in _GOING_DOWN:
            raise LostConnectionError(message, committing=False)
        raise RefusedError(code, message)


def comment_of(**facts: str) -> str:
    """`/* recruitment_platform name=value … */`, whatever the values hold."""
    told = (f"{name}={_NO_PLAIN_TEXT.sub('_', value)[:64]}" for name, value in facts.items())
    return f"/* recruitment_platform {' '.join(told)} */"


@contextmanager
def open_session(address: RedshiftAddress, comment: str) -> Iterator[Session]:
    """A session whose search path is the address's schema and whose statements wait no longer than `address.wait`.

    Without a transaction: each statement stands for itself until `begin`. What is not committed at the end of the block
    is undone. Raises UnreachableError where no session can be had.
    """
    connection = _connect(address)
    try:
        session = Session(connection, comment)
        session.run("open_session", schema=address.schema_name, milliseconds=str(address.wait * 1000))
        yield session
    finally:
        sent = connection._sock  # the driver forgets it where it cannot say goodbye
        with suppress(Exception):  # it may be closed already, by whoever broke it
            connection.close()
        _close(sent, connection._usock)


def in_transaction(
    address: RedshiftAddress, comment: str, work: Callable[[Session, bool], Done], *, read_only: bool = False
) -> Done:
    """Does the work in one transaction and commits it, tried again where it met another one or lost its connection.

    `work` is told whether an earlier try of its own may have been committed, unseen: it must find out, and not do it
    twice. Raises RefusedError, UnreachableError, LostConnectionError (`committing` where nobody knows whether it was
    done), and what the work raises: then it was not done.
    """
    in_doubt = False
    for number, pause in enumerate((*_PAUSES, None)):
        try:
            with open_session(address, comment) as session:
                session.begin(read_only=read_only)
                done = work(session, in_doubt)
                session.commit()
                return done
        except RefusedError as error:
            if pause is None or not error.is_conflict:
                raise
        except LostConnectionError as error:
            in_doubt = in_doubt or error.committing
            if pause is None:
                raise LostConnectionError(str(error), committing=in_doubt) from None
        except UnreachableError as error:
            # At first it is an address that is wrong; after a loss, a cluster that has yet to come back.
            if number == 0:
                raise
            if pause is None:
                raise LostConnectionError(str(error), committing=in_doubt) from None
        time.sleep(pause * random.uniform(0.5, 1))
    raise AssertionError("the last try returns or raises")


def _connect(address: RedshiftAddress) -> "Connection":
    # Loads boto3 and lxml: a second that only those pay who have a cluster.
    from redshift_connector import connect
    from redshift_connector.core import Connection

    told: str | None = None
    try:
        connection = connect(**_credentials(address), **_connection_settings(address))
    except Exception as error:  # noqa: BLE001 - of the driver, of the socket, of TLS, of botocore
        told = _why_unreachable(error)
        _close_what_is_left(error, Connection)
    if told is not None:
        raise UnreachableError(told)
    connection.autocommit = True  # `begin` is ours to send, with the comment
    connection._usock.settimeout(None)  # it was for connecting alone
    return connection


def _connection_settings(address: RedshiftAddress) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "database": address.database,
        "ssl": address.tls != "off",
        "sslmode": None if address.tls == "off" else address.tls,
        "timeout": _CONNECT_SECONDS,
        "application_name": "recruitment_platform",
        **_KEEPALIVE,
    }


def _credentials(address: RedshiftAddress) -> dict[str, Any]:
    if address.cluster is not None:
        return {
            "iam": True,
            "cluster_identifier": address.cluster,
            "region": address.region,
            "db_user": address.user,
        }
    return {
        "user": address.user,
        "password": None if address.password is None else address.password.get_secret_value(),
    }


def _why_unreachable(error: BaseException) -> str:
    told = _server_error(error)
    if told is not None:
        return told[1]
    cause = next((part for part in error.args if isinstance(part, OSError)), error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {_CONNECT_SECONDS} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return _one_line(str(cause)) or type(cause).__name__


def _server_error(error: BaseException) -> tuple[str, str] | None:
    """(SQLSTATE, message and detail in one line), where that is what the error holds."""
    fields = error.args[0] if error.args else None
    if not isinstance(fields, dict) or "C" not in fields:
        return None
    parts = (fields.get("M", ""), fields.get("D", ""))
    return str(fields["C"]), _one_line(": ".join(part for part in parts if part))


def _one_line(text: str) -> str:
    """The text without line breaks and the rulers that Redshift draws around a detail."""
    return " ".join(part for part in text.split() if set(part) != {"-"})


def _close_what_is_left(error: BaseException, kind: "type[Connection]") -> None:
    """Closes the socket that the driver leaves open where a start fails, and forgets what the failed calls held."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        half_open = frame.f_locals.get("self")
        if isinstance(half_open, kind):
            _close(getattr(half_open, "_sock", None), getattr(half_open, "_usock", None))
    traceback.clear_frames(error.__traceback__)


def _close(*parts: Any) -> None:
    """Closes what is there of a connection: the file that buffers what is sent and received, then its socket.

    The socket is open until both are.
    """
    for part in parts:
        # What could not be sent before cannot be now.
        with suppress(OSError, ValueError):
            if part is not None:
                part.close()
