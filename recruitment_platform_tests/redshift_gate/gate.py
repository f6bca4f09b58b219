"""One gate: a port that drivers connect to, and what the test asks and tells it.

What belongs here: listening, the statements' log, the cluster's own tables of errors. What does not: a connection's
life (`session`), the process that it all lives in (`process`).
"""

import socket
import ssl
import threading
from pathlib import Path

import psycopg

from recruitment_platform_tests.redshift_gate.dialect import syntax_error
from recruitment_platform_tests.redshift_gate.faults import Action, Fault, Faults, When
from recruitment_platform_tests.redshift_gate.process import Bucket
from recruitment_platform_tests.redshift_gate.session import GateSession
from recruitment_platform_tests.redshift_gate.wire import GateError

_HOST = "127.0.0.1"

# As the cluster has them, but for the columns that nobody asks for.
_SYSTEM_TABLES = """
CREATE SCHEMA IF NOT EXISTS redshift_gate;
CREATE TABLE IF NOT EXISTS redshift_gate.sys_load_error_detail (
    session_id INTEGER, file_name CHAR(256), column_name CHAR(127), error_code INTEGER, error_message CHAR(512),
    start_time TIMESTAMP
);
CREATE TABLE IF NOT EXISTS redshift_gate.stl_load_errors (
    session INTEGER, filename CHAR(256), colname CHAR(127), err_code INTEGER, err_reason CHAR(100), starttime TIMESTAMP
);
GRANT USAGE ON SCHEMA redshift_gate TO public;
GRANT SELECT ON ALL TABLES IN SCHEMA redshift_gate TO public;
"""
_NOTE_LOAD_ERROR = """
WITH noted AS (
    INSERT INTO redshift_gate.sys_load_error_detail VALUES (%(session)s, %(file)s, '', 8001, %(message)s, now())
)
INSERT INTO redshift_gate.stl_load_errors VALUES (%(session)s, %(file)s, '', 8001, left(%(message)s, 100), now())
"""


class Gate:
    """A gate in front of one PostgreSQL, listening on a port of its own."""

    def __init__(
        self, upstream: tuple[str, int, str, str], bucket: Bucket, certificate: Path | None, isolation: str
    ) -> None:
        """`upstream` is PostgreSQL's host, port, superuser and password; with a certificate (PEM) it speaks TLS."""
        self.isolation = isolation
        self.faults = Faults()
        self.bucket = bucket
        self.tls: ssl.SSLContext | None = None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate)
        self._upstream = upstream
        self._statements: list[str] = []
        self._databases: set[str] = set()
        self._guard = threading.Lock()
        self._listener = socket.create_server((_HOST, 0), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    # What the test asks

    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    def fail(self, pattern: str, code: str, message: str, times: int = 1) -> int:
        """Refuses the next statements that match."""
        return self._add(pattern, "before", "fail", times, GateError(code, message))

    def drop(self, pattern: str, when: When, times: int = 1) -> int:
        """Breaks the connection before the next statement that matches is run, or after it, before the driver knows."""
        return self._add(pattern, when, "drop", times)

    def hold(self, pattern: str, when: When) -> int:
        """Holds the next statement that matches until it is released."""
        return self._add(pattern, when, "hold", 1)

    def wait_until_reached(self, number: int) -> bool:
        """Whether a statement has come to that rule, within a minute."""
        return self.faults.wait_until_reached(number)

    def release(self, number: int) -> None:
        """Lets the held statement go on."""
        self.faults.release(number)

    def forget_faults(self) -> None:
        """Ends all rules."""
        self.faults.clear()

    def statements(self, since: int = 0) -> list[str]:
        """The statements that drivers sent, as they sent them, from that number on."""
        with self._guard:
            return self._statements[since:]

    def syntax_error(self, sql: str) -> str:
        """What sqlfluff's Redshift dialect finds wrong with a statement; empty where nothing."""
        return syntax_error(sql)

    # What its sessions ask

    def connect(self) -> socket.socket:
        return socket.create_connection(self._upstream[:2])

    def note(self, sql: str) -> None:
        with self._guard:
            self._statements.append(sql)

    def note_database(self, name: str) -> None:
        """Makes the cluster's own tables in a database that the gate has not seen."""
        with self._guard:
            if name in self._databases:
                return
            try:
                with self._superuser(name) as connection:
                    connection.execute(_SYSTEM_TABLES)
                self._databases.add(name)
            except psycopg.Error:
                return  # where there is no such database, PostgreSQL tells the driver

    def note_load_error(self, database: str, session_id: int, source: str, error: GateError) -> None:
        values = {"session": session_id, "file": source[:256], "message": (error.detail or error.message)[:512]}
        with self._superuser(database) as connection:
            connection.execute(_NOTE_LOAD_ERROR, values)

    def _superuser(self, database: str) -> psycopg.Connection:
        host, port, user, password = self._upstream
        return psycopg.connect(
            host=host,
            port=port,
            user=user,
            password=password,
            dbname=database,
            options="-c client_min_messages=warning",
        )

    def _add(self, pattern: str, when: When, action: Action, times: int, error: GateError | None = None) -> int:
        return self.faults.add(Fault(pattern, when, action, times, error or GateError("XX000", "")))

    def _accept(self) -> None:
        while True:
            driver, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(driver,), daemon=True).start()

    def _serve(self, driver: socket.socket) -> None:
        try:
            session = GateSession(driver, self)
        except OSError:  # PostgreSQL is down
            driver.close()
            return
        session.serve()
