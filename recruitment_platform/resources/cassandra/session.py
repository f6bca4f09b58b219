"""Connections to Cassandra: one a process and address, made when first used, closed when the process ends.

What belongs here: connecting, sending statements with bounded concurrency and retries, and saying in one line why a
server cannot be used. What does not: which statements there are (`lake`), and what is in their frames
(`frames`).
"""

import atexit
import logging
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    CoordinationFailure,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    RequestExecutionException,
    Timeout,
    Unauthorized,
    Unavailable,
    UnresolvableContactPoints,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    ResponseFuture,
    Session,
)
from cassandra.connection import ConnectionException
from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, TokenAwarePolicy
from cassandra.protocol import ErrorMessage, ServerError
from cassandra.protocol import RequestExecutionException as RequestExecutionMessage
from cassandra.query import BoundStatement, PreparedStatement, Statement, tuple_factory

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.cassandra.frames import FrameHandler
from recruitment_platform.sql import load_sql

PROTOCOL = 5
FETCH_SIZE = 5_000
"""Rows of a page: the fastest measured."""
_IN_FLIGHT = 32
"""Statements under way at once: 500 made a server time out."""
_SECONDS = 20.0
"""How long one try of a statement may take."""
_LONGEST_PAUSE = 2.0

_PASSING = (
    NoHostAvailable,
    OperationTimedOut,
    Timeout,
    Unavailable,
    CoordinationFailure,
    ConnectionException,
    RequestExecutionException,
    RequestExecutionMessage,
    ServerError,
)
"""What a server that is away, restarting or busy answers; anything else is wrong for good."""

_TLS_FAILED = "[SSL: "

_WRONG_FOR_GOOD = (InvalidRequest, Unauthorized, AuthenticationFailed)


def statements(name: str) -> dict[str, str]:
    """The statements of `resources/cassandra/cql/<name>.cql`, by name."""
    blocks = load_sql("resources/cassandra/cql", name, "cql").split("-- name: ")[1:]
    return {title: text.strip().rstrip(";") for title, _, text in (block.partition("\n") for block in blocks)}


def where(address: CassandraAddress) -> str:
    """How messages call the server."""
    return f"Cassandra at {','.join(address.hosts)}:{address.port}"


@dataclass(frozen=True)
class Connected:
    """A process's way to one address: `rows` gives rows as tuples, `frames` raw pages and takes encoded batches."""

    address: CassandraAddress
    cluster: Cluster
    rows: Session
    frames: Session
    wait: timedelta
    prepared: dict[str, PreparedStatement] = field(default_factory=dict)

    def statement(self, cql: str, **values: Any) -> BoundStatement:
        """The statement with its values; those not given are left unset."""
        return self.prepare(cql).bind(values)

    def prepare(self, cql: str) -> PreparedStatement:
        """The prepared statement, idempotent unless it has a condition."""
        if cql not in self.prepared:
            patience = Patience(self.address, self.wait)
            while cql not in self.prepared:
                with patience.of_a_try():
                    found = self.rows.prepare(cql)
                    found.is_idempotent = "\nIF " not in cql
                    self.prepared[cql] = found
        return self.prepared[cql]

    def ask(self, statement: Statement) -> list[Any]:
        """All rows of one statement that may be sent again."""
        return next(self.ask_all([statement]))

    def ask_all(self, asked: Iterable[Statement]) -> Iterator[list[Any]]:
        """The rows of each statement, in order, some statements being under way at once.

        Each may be sent again, for as long as `wait`; StoreUnavailableError then.
        """
        return self._answers(self.rows, asked)

    def write_all(self, batches: Iterable[Statement]) -> None:
        """Sends encoded batches, or statements without answer, and returns when all are acknowledged."""
        deque(self._answers(self.frames, batches), maxlen=0)

    def _answers(self, session: Session, asked: Iterable[Statement]) -> Iterator[list[Any]]:
        under_way: deque[tuple[Statement, ResponseFuture]] = deque()
        patience = Patience(self.address, self.wait)
        for statement in asked:
            if len(under_way) == _IN_FLIGHT:
                yield _answer(session, patience, *under_way.popleft())
            under_way.append((statement, session.execute_async(statement)))
        while under_way:
            yield _answer(session, patience, *under_way.popleft())


def _answer(session: Session, patience: "Patience", statement: Statement, future: ResponseFuture) -> list[Any]:
    while True:
        with patience.of_a_try():
            found = list(future.result())
            patience.renew()
            return found
        future = session.execute_async(statement)


@dataclass
class Patience:
    """How long to go on trying: `wait` from the first failure, with pauses that double."""

    address: CassandraAddress
    wait: timedelta
    deadline: float | None = None
    pause: float = 0.05

    def renew(self) -> None:
        """To be called after a success."""
        self.deadline, self.pause = None, 0.05

    @contextmanager
    def of_a_try(self) -> Iterator[None]:
        """Swallows a failure that may pass, having paused; StoreUnavailableError for others, and in the end."""
        with told(self.address):
            try:
                yield
            except _WRONG_FOR_GOOD:
                raise
            except _PASSING:
                now = time.monotonic()
                if self.deadline is None:
                    self.deadline = now + self.wait.total_seconds()
                if now + self.pause > self.deadline:
                    raise
                time.sleep(self.pause)
                self.pause = min(2 * self.pause, _LONGEST_PAUSE)


@contextmanager
def told(address: CassandraAddress) -> Iterator[None]:
    """Turns what the driver raises into one line that says what to do: StoreUnavailableError."""
    try:
        yield
    # `from None`: the driver's errors and their frames hold the address with the password.
    except (*_PASSING, *_WRONG_FOR_GOOD, DriverException, ErrorMessage, UnresolvableContactPoints) as error:
        raise StoreUnavailableError(f"{where(address)} cannot be used: {_cause(address, error)}") from None


def connected(address: CassandraAddress, wait: timedelta) -> Connected:
    """The process's connection to the address, made where there is none; StoreUnavailableError tells why not.

    `wait` is for how long a statement is sent again while the server does not answer.
    """
    with _lock:
        found = _connections.get(address)
        if found is None:
            found = _connections[address] = _connect(address)
    return replace(found, wait=wait)


@contextmanager
def without_keyspace(address: CassandraAddress) -> Iterator[Session]:
    """A session of its own that is in no keyspace, for the migration."""
    cluster = _cluster(address)
    try:
        with told(address):
            yield cluster.connect()
    finally:
        cluster.shutdown()


_connections: dict[CassandraAddress, Connected] = {}
_lock = threading.Lock()


def _forget() -> None:
    """In a forked child: the parent's connections are the parent's, and its lock may have been held."""
    global _lock
    _lock = threading.Lock()
    _connections.clear()


def disconnect() -> None:
    """Closes this process's connections, which else go on trying to reach a server that has gone."""
    for connection in _connections.values():
        connection.cluster.shutdown()
    _connections.clear()


os.register_at_fork(after_in_child=_forget)
atexit.register(disconnect)
# What goes wrong is told by our own errors; the driver would write of every retry.
logging.getLogger("cassandra").setLevel(logging.CRITICAL)


def _connect(address: CassandraAddress) -> Connected:
    with told(address):
        cluster = _cluster(address)
        try:
            try:
                rows, frames = cluster.connect(), cluster.connect()
            except NoHostAvailable:
                require_datacenter(address, cluster)
                raise
            if address.keyspace not in cluster.metadata.keyspaces:
                raise StoreUnavailableError(
                    f"{where(address)} has no keyspace {address.keyspace}: run `recruitment-platform migrate`,"
                    " or see RECRUITMENT_CASSANDRA_KEYSPACE"
                )
            rows.set_keyspace(address.keyspace)
            frames.set_keyspace(address.keyspace)
        except BaseException:
            cluster.shutdown()
            raise
    rows.default_fetch_size = frames.default_fetch_size = FETCH_SIZE
    frames.client_protocol_handler = FrameHandler
    return Connected(address, cluster, rows, frames, timedelta())


def require_datacenter(address: CassandraAddress, cluster: Cluster) -> None:
    """StoreUnavailableError where the cluster has told of its nodes, and none is in the address's datacenter."""
    known = sorted({host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter})
    if known and address.datacenter not in known:
        raise StoreUnavailableError(
            f"{where(address)} has no datacenter {address.datacenter}, only {', '.join(known)};"
            " see RECRUITMENT_CASSANDRA_DATACENTER"
        )


def _cluster(address: CassandraAddress) -> Cluster:
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(address.datacenter)),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=_SECONDS,
        row_factory=tuple_factory,
    )
    password = address.password.get_secret_value() if address.password else ""
    with told(address):
        return Cluster(
            list(address.hosts),
            port=address.port,
            protocol_version=PROTOCOL,
            auth_provider=PlainTextAuthProvider(address.user, password) if address.user else None,
            ssl_context=_tls(address),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            connect_timeout=_SECONDS,
            control_connection_timeout=_SECONDS,
            reconnection_policy=ExponentialReconnectionPolicy(0.2, 10),
            application_name="recruitment-platform",
        )


def _tls(address: CassandraAddress) -> ssl.SSLContext | None:
    if address.tls_ca is None:
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The nodes tell of one another by address, which their certificates seldom name: the authority is what counts.
        context.check_hostname = False
        context.load_verify_locations(address.tls_ca)
    except OSError as error:
        raise StoreUnavailableError(
            f"{where(address)} cannot be used: RECRUITMENT_CASSANDRA_TLS_CA {address.tls_ca} cannot be read"
            f" ({error.strerror or 'it is no PEM file of certificates'})"
        ) from error
    return context


def _cause(address: CassandraAddress, error: BaseException) -> str:
    """What happened, and what to do."""
    if isinstance(error, UnresolvableContactPoints):
        return "no such host is known; see RECRUITMENT_CASSANDRA_HOSTS"
    reason: BaseException = error
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) and error.errors:
        reason = next(iter(error.errors.values()))
    text = " ".join(str(getattr(reason, "message", None) or reason).split())
    if isinstance(reason, OperationTimedOut):
        text = "it does not answer in time"
    if isinstance(reason, AuthenticationFailed):
        user = "no user" if address.user is None else f"user {address.user}"
        return f"it refuses {user}; see RECRUITMENT_CASSANDRA_USER and RECRUITMENT_CASSANDRA_PASSWORD"
    if isinstance(reason, Unauthorized):
        return f"user {address.user} lacks a permission ({text}); grant it"
    if any(sign in text for sign in ("does not exist", "unconfigured table", "Undefined column")):
        return f"keyspace {address.keyspace} is not made for this version ({text}); run `recruitment-platform migrate`"
    if isinstance(reason, InvalidRequest):
        return text
    if isinstance(reason, ssl.SSLError) or _TLS_FAILED in text:
        # The driver repeats it as an error of the socket's, with where it tried.
        told = text[text.find(_TLS_FAILED) :] if _TLS_FAILED in text else text
        return f"no TLS with it ({told}); see RECRUITMENT_CASSANDRA_TLS_CA"
    return (
        f"{text or type(reason).__name__}; nothing that was acknowledged is lost: see that it runs"
        f" (RECRUITMENT_CASSANDRA_HOSTS, _PORT, _DATACENTER, and _TLS_CA if it speaks TLS) and do the same again"
    )
