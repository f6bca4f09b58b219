"""One driver's connection: its messages to PostgreSQL and back, as if Redshift were there.

What belongs here: the protocol, statement by statement. What does not: what a statement becomes (`dialect`, `copying`).
The driver speaks the extended protocol alone and waits for each answer: so one thread takes turns between both ends.
"""

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Protocol

from recruitment_platform_tests.redshift_gate import copying
from recruitment_platform_tests.redshift_gate.copying import Copy, TargetColumn
from recruitment_platform_tests.redshift_gate.dialect import code_of, to_postgres
from recruitment_platform_tests.redshift_gate.faults import DroppedError, Faults
from recruitment_platform_tests.redshift_gate.process import Bucket
from recruitment_platform_tests.redshift_gate.wire import (
    COPY_DONE,
    GSS_REQUEST,
    SSL_REQUEST,
    SYNC,
    GateError,
    Message,
    Peer,
    error_fields,
    error_message,
    row_texts,
    startup,
)

# Parameters of Redshift's own, at which PostgreSQL would refuse the connection.
_REDSHIFT_PARAMETERS = frozenset(
    (b"client_protocol_version", b"driver_version", b"os_version", b"driver_discovery_version", b"plugin_name")
)
_SERVER_VERSION = b"server_version\x008.0.2\0"
_IDLE = b"I"
_CHUNK = 1 << 20

_REDSHIFT_ERRORS = {
    "40001": ("40001", "1023"),
    "23514": ("22001", "Value too long for character type"),
}


@dataclass(frozen=True)
class Prepared:
    """A statement that the driver prepared: as it sent it, without comments, and what it became."""

    code: str
    copy: Copy | None


class Surroundings(Protocol):
    """What a session needs of its gate."""

    faults: Faults
    bucket: Bucket
    isolation: str
    tls: ssl.SSLContext | None

    def connect(self) -> socket.socket: ...

    def note(self, sql: str) -> None: ...

    def note_database(self, name: str) -> None: ...

    def note_load_error(self, database: str, session_id: int, source: str, error: GateError) -> None: ...


class GateSession:
    """A connection from its start to its end."""

    def __init__(self, driver: socket.socket, gate: Surroundings) -> None:
        self._gate = gate
        self._driver = Peer(driver)
        self._server = Peer(gate.connect())
        self._status = _IDLE
        self._prepared: dict[bytes, Prepared] = {}
        self._database = ""
        self._session_id = 0

    def serve(self) -> None:
        """Returns when one of the two ends has gone, or a rule breaks the connection."""
        try:
            if self._start():
                while batch := self._next_batch():
                    self._answer(batch)
        except (EOFError, OSError, DroppedError):
            pass
        finally:
            for peer in (self._driver, self._server):
                with contextlib.suppress(OSError):
                    peer.close()

    def _start(self) -> bool:
        """Login, which is PostgreSQL's affair; False where it let nobody in."""
        number, rest = startup(self._driver)
        while number in (SSL_REQUEST, GSS_REQUEST):
            if number == SSL_REQUEST and self._gate.tls is not None:
                self._driver.socket.sendall(b"S")
                self._driver = Peer(self._gate.tls.wrap_socket(self._driver.socket, server_side=True))
            else:
                self._driver.socket.sendall(b"N")
            number, rest = startup(self._driver)
        fields = rest.split(b"\0")
        given = dict(zip(fields[::2], fields[1::2], strict=False))
        given = {name: value for name, value in given.items() if name and name not in _REDSHIFT_PARAMETERS}
        self._database = given.get(b"database", b"").decode()
        self._gate.note_database(self._database)
        given[b"default_transaction_isolation"] = self._gate.isolation.encode()
        body = (
            struct.pack("!I", number) + b"".join(name + b"\0" + value + b"\0" for name, value in given.items()) + b"\0"
        )
        self._server.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        while True:
            message = self._server.receive()
            if message.kind == b"S" and message.body.startswith(b"server_version\0"):
                message = Message(b"S", _SERVER_VERSION)
            if message.kind == b"K":
                (self._session_id,) = struct.unpack("!I", message.body[:4])
            self._driver.send(message)
            if message.kind == b"Z":
                return True
            if message.kind == b"E":
                return False
            if message.kind == b"R" and struct.unpack("!I", message.body[:4])[0] not in (0, 12):
                self._server.send(self._driver.receive())

    def _next_batch(self) -> list[Message]:
        """The driver's messages up to where it waits for an answer; none where it says goodbye."""
        batch: list[Message] = []
        while True:
            message = self._driver.receive()
            match message.kind:
                case b"X":
                    self._server.send(message)
                    return []
                case b"Q":
                    raise EOFError("the gate speaks the extended protocol alone, as the driver does")
                case b"H":
                    continue  # a flush: the answer comes at the end of the batch anyway
            batch.append(message)
            if message.kind == b"S":
                return batch

    def _answer(self, batch: list[Message]) -> None:
        try:
            prepared = self._executed(batch)
            if prepared is not None:
                self._gate.faults.act(prepared.code, "before")
            answers = self._pass_on([self._prepare(message) for message in batch], prepared)
        except GateError as error:
            answers = [error_message(error), self._fail_the_transaction()]
        else:
            if prepared is not None:
                self._gate.faults.act(prepared.code, "after")
        self._driver.send(*answers)

    def _executed(self, batch: list[Message]) -> Prepared | None:
        """The statement that a batch runs, where it runs one."""
        for message in batch:
            if message.kind == b"B":
                _, name, _ = message.body.split(b"\0", 2)
                return self._prepared.get(name)
        return None

    def _prepare(self, message: Message) -> Message:
        """A Parse with PostgreSQL's statement in it; anything else as it is."""
        if message.kind != b"P":
            return message
        name, text, types = message.body.split(b"\0", 2)
        sql = text.decode()
        self._gate.note(sql)
        translated = to_postgres(sql, self._status != _IDLE)
        copy = copying.parse(code_of(sql))
        self._prepared[name] = Prepared(code_of(sql), copy)
        statement = copy.statement() if copy else translated
        return Message(b"P", b"\0".join((name, statement.encode(), types)))

    def _pass_on(self, batch: list[Message], prepared: Prepared | None) -> list[Message]:
        """PostgreSQL's answers to the batch, told as Redshift would tell them."""
        copy = prepared.copy if prepared else None
        columns = self._columns(copy.table) if copy else []
        self._server.send(*batch)
        answers: list[Message] = []
        refused: GateError | None = None
        copied = -1
        while True:
            message = self._server.receive()
            match message.kind:
                case b"G" if copy is not None:
                    refused = self._stream(copy, columns)
                    continue
                case b"E":
                    message = error_message(refused) if refused else _as_redshift(message)
                    if copy is not None:
                        self._note_load_error(copy, refused or GateError("XX000", error_fields(message)["M"]))
                case b"C" if copy is not None:
                    copied = int(message.body[:-1].split()[-1])
                case b"Z":
                    self._status = message.body
                    if copied >= 0:
                        self._ask(f"SELECT set_config('redshift_gate.copied', '{copied}', false)")
                    return [*answers, message]
            answers.append(message)

    def _stream(self, copy: Copy, columns: list[TargetColumn]) -> GateError | None:
        """Sends the files' rows to PostgreSQL, which waits for them; what it refuses where it cannot."""
        refused = None
        try:
            for chunk in copy.stream(self._gate.bucket, columns):
                for at in range(0, len(chunk), _CHUNK):
                    self._server.send(Message(b"d", chunk[at : at + _CHUNK]))
            end = COPY_DONE
        except GateError as error:
            refused, end = error, Message(b"f", b"refused\0")
        self._server.send(end, SYNC)  # the batch's own was swallowed while rows were awaited
        return refused

    def _note_load_error(self, copy: Copy, error: GateError) -> None:
        self._gate.note_load_error(self._database, self._session_id, copy.source, error)

    def _columns(self, table: str) -> list[TargetColumn]:
        rows = self._ask(copying.COLUMNS.format(table=table))
        return [
            TargetColumn(str(name), int(oid or 0), int(modifier or 0), not_null == "t")
            for name, oid, modifier, not_null in rows
        ]

    def _fail_the_transaction(self) -> Message:
        """What the gate refuses, PostgreSQL has not seen: its transaction must fail all the same."""
        if self._status != _IDLE:
            self._ask("SELECT 1 / 0")
        return Message(b"Z", self._status)

    def _ask(self, sql: str) -> list[list[str | None]]:
        """The rows of a statement of the gate's own, unseen by the driver."""
        self._server.send(Message(b"Q", sql.encode() + b"\0"))
        rows: list[list[str | None]] = []
        while True:
            message = self._server.receive()
            if message.kind == b"D":
                rows.append(row_texts(message))
            if message.kind == b"Z":
                self._status = message.body
                return rows


def _as_redshift(message: Message) -> Message:
    fields = error_fields(message)
    if fields["C"] not in _REDSHIFT_ERRORS:
        return message
    code, told = _REDSHIFT_ERRORS[fields["C"]]
    detail = "Serializable isolation violation on table" if code == "40001" else fields["M"]
    return error_message(GateError(code, told, detail))
