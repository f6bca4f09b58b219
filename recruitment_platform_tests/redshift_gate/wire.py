"""PostgreSQL's messages: one byte that says which, four that say how long, and the body.

What belongs here: reading and writing them on a socket. What does not: what they mean to the gate (`session`).
https://www.postgresql.org/docs/15/protocol-message-formats.html
"""

import socket
import struct
from dataclasses import dataclass

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


class GateError(Exception):
    """A statement that is refused, as Redshift would refuse it: SQLSTATE, message, detail."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


@dataclass(frozen=True)
class Message:
    """One message; `kind` is its first byte."""

    kind: bytes
    body: bytes = b""

    def packed(self) -> bytes:
        return self.kind + struct.pack("!I", len(self.body) + 4) + self.body


SYNC, COPY_DONE = Message(b"S"), Message(b"c")


class Peer:
    """One end of a connection: the driver, or PostgreSQL."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self._reader = connected.makefile("rb")

    def read(self, count: int) -> bytes:
        """Exactly that many bytes; EOFError where the other end has gone."""
        found = self._reader.read(count)
        if len(found) < count:
            raise EOFError
        return found

    def receive(self) -> Message:
        kind, size = struct.unpack("!cI", self.read(5))
        return Message(kind, self.read(size - 4))

    def send(self, *messages: Message) -> None:
        self.socket.sendall(b"".join(message.packed() for message in messages))

    def close(self) -> None:
        self._reader.close()
        self.socket.close()


def startup(peer: Peer) -> tuple[int, bytes]:
    """The number and the rest of a message of the start, which has no kind."""
    (size,) = struct.unpack("!I", peer.read(4))
    body = peer.read(size - 4)
    return struct.unpack("!I", body[:4])[0], body[4:]


def error_message(error: GateError) -> Message:
    fields = {"S": "ERROR", "C": error.code, "M": error.message, "D": error.detail}
    return Message(b"E", b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items() if value) + b"\0")


def error_fields(message: Message) -> dict[str, str]:
    fields = [field.decode() for field in message.body.split(b"\0") if field]
    return {field[0]: field[1:] for field in fields}


def row_texts(message: Message) -> list[str | None]:
    """The columns of a DataRow that is in text format."""
    (count,) = struct.unpack("!H", message.body[:2])
    at, values = 2, []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", message.body, at)
        at += 4
        values.append(None if size < 0 else message.body[at : at + size].decode())
        at += max(size, 0)
    return values
