"""One server that was started: whether it runs, ending, killing and restarting it.

What belongs here: the life of a process and what is remembered of it. What does not: what differs between the kinds of
servers, which each tells in a `Kind` of its own module.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.servers.ports import HOST, is_free

READY_SECONDS = 120.0
"""How long a server may need to answer."""

STOP_SECONDS = 30.0
"""How long a server may need to end by itself; then it is killed."""

_PAUSE_SECONDS = 0.05
_LAUNCHER = Path(__file__).with_name("with_parent.py")
_RECORD = "server.json"
_LOG = "log.txt"


@dataclass(frozen=True)
class Tls:
    """By what a server proves who it is; both are PEM files."""

    authority: Path
    """Whom its clients trust."""
    certificate: Path
    """Its key, as PKCS #8, and its certificate with those that it is signed by."""


@dataclass(frozen=True)
class Kind:
    """What differs between servers. The functions are given the server, with folder and ports, and its software."""

    name: str
    title: str
    ports: int
    """How many ports it listens on; the first is the one for clients."""
    user: str | None
    """Name of the user whom clients log in as; None where there are none."""
    install: Callable[[], Path]
    """Makes sure that the software is here and returns its folder; InputError, StoreUnavailableError tell why not."""
    prepare: "Callable[[Server, Path], None]"
    """Makes a new server's data and settings from nothing."""
    command: "Callable[[Server, Path], Sequence[str]]"
    """The command line."""
    probe: "Callable[[Server], str | None]"
    """One round trip by the client's own library; None where it answered as it should, else why not."""
    addresses: "Callable[[Server], Mapping[str, str]]"
    """Settings `RECRUITMENT_…` that lead the platform to it."""
    variables: "Callable[[Server, Path], Mapping[str, str]]" = lambda server, software: {}
    """Environment variables of the process."""
    account: Callable[[], str | None] = lambda: None
    """User of the machine whom it must run as; None: whoever starts it."""
    stop_signal: int = signal.SIGTERM
    tls: Tls | None = None
    """With it, clients are spoken to by TLS alone."""


@dataclass(frozen=True)
class _Process:
    pid: int
    started: str
    """The process's start as the kernel tells it: a pid may be another process's later."""


@dataclass
class Server:
    """A server of this machine. Its data lie in `folder` and stay there when it ends."""

    kind: Kind
    folder: Path
    ports: tuple[int, ...]
    password: str = field(repr=False)
    outlives: bool
    """Whether it goes on when the process that started it ends."""
    process: _Process | None = None

    @property
    def name(self) -> str:
        """Name of its kind."""
        return self.kind.name

    @property
    def host(self) -> str:
        """Always this machine."""
        return HOST

    @property
    def port(self) -> int:
        """Port for clients."""
        return self.ports[0]

    @property
    def user(self) -> str | None:
        """Whom clients log in as; None where they do not."""
        return self.kind.user

    @property
    def log(self) -> Path:
        """What it writes to stdout and stderr, of all its starts."""
        return self.folder / _LOG

    def environment(self) -> dict[str, str]:
        """The settings `RECRUITMENT_…` that lead the platform to it, the password among them."""
        return dict(self.kind.addresses(self))

    def is_running(self) -> bool:
        """Whether its process lives; it may not answer yet."""
        return self.process is not None and _started(self.process.pid) == self.process.started

    def memory(self) -> int:
        """Resident memory in bytes, of the main process; 0 where it does not run."""
        if self.process is None or not self.is_running():
            return 0
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def launch(self) -> None:
        """Starts the process, and does not wait until it answers."""
        software = self.kind.install()
        variables = os.environ | dict(self.kind.variables(self, software))
        command = [
            *(sys.executable, "-I", "-S", str(_LAUNCHER)),
            *("0" if self.outlives else str(os.getpid()), self.kind.account() or "-", str(self.folder)),
            *self.kind.command(self, software),
        ]
        pid = _starter().submit(_spawn, command, variables, self.log).result()
        self.process = _Process(pid, _started(pid) or "")
        self.remember()

    def wait(self) -> None:
        """Returns when it answers; StoreUnavailableError where it has ended, or does not answer in READY_SECONDS."""
        deadline = time.monotonic() + READY_SECONDS
        reason: str | None = "it was not started"
        while reason is not None:
            if not self.is_running():
                raise StoreUnavailableError(f"{self.kind.title} has ended: {self._last_words()}; see {self.log}")
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"{self.kind.title} does not answer on {self.host}:{self.port} after {READY_SECONDS:.0f} s:"
                    f" {reason}; see {self.log}"
                )
            reason = self.problem()
            if reason is not None:
                self.wait_for_end(_PAUSE_SECONDS)

    def problem(self) -> str | None:
        """Asks it once; None where it answers as it should, else why not."""
        try:
            socket.create_connection((self.host, self.port), timeout=2).close()
        except OSError as error:
            return str(error)
        return self.kind.probe(self)

    def ask_to_end(self) -> None:
        """Asks it to end as its maker wants it ended, and does not wait."""
        self._end(self.kind.stop_signal)

    def stop(self) -> None:
        """Ends it, after STOP_SECONDS by force; its data stay."""
        self.ask_to_end()
        if not self.wait_for_end(STOP_SECONDS):
            self.kill()

    def kill(self) -> None:
        """SIGKILL, to it and to the processes that it has started, as a crash would."""
        children = _children(self.process.pid) if self.process and self.is_running() else ()
        self._end(signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.wait_for_end(STOP_SECONDS)
        # A process of several threads counts as ended a moment before the last of them lets go of its ports.
        deadline = time.monotonic() + STOP_SECONDS
        while not all(map(is_free, self.ports)) and time.monotonic() < deadline:
            time.sleep(0.01)

    def restart(self) -> None:
        """Starts it anew on the same port with the same data, killing it first, and waits until it answers."""
        self.kill()
        self.launch()
        self.wait()

    def remember(self) -> None:
        """Writes down what another process needs to find it again."""
        record = {
            "kind": self.name,
            "ports": self.ports,
            "password": self.password,
            "process": self.process and asdict(self.process),
        }
        new = self.folder / f"{_RECORD}.new"
        new.touch(mode=0o600)
        new.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        new.replace(self.folder / _RECORD)

    def _end(self, number: int) -> None:
        if self.process is not None and self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def wait_for_end(self, seconds: float) -> bool:
        """Waits until its process has ended, at most that long; whether it has."""
        if self.process is None or not self.is_running():
            return True
        with contextlib.suppress(ProcessLookupError):
            watched = os.pidfd_open(self.process.pid)
            try:
                select.select([watched], [], [], seconds)
            finally:
                os.close(watched)
        return not self.is_running()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it wrote nothing"


def remembered(kind: Kind, folder: Path) -> Server | None:
    """The server whose data lie in the folder, running or not; None where there is none."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    process = _Process(**record["process"]) if record["process"] else None
    return Server(kind, folder, tuple(record["ports"]), record["password"], outlives=True, process=process)


@cache
def _starter() -> ThreadPoolExecutor:
    """The one thread that starts servers: they end with the *thread* that forked them, so it is one that stays."""
    return ThreadPoolExecutor(1, thread_name_prefix="servers")


def _spawn(command: list[str], variables: Mapping[str, str], log: Path) -> int:
    """Starts the process and returns its id. Not `subprocess`, which wants every process awaited by who started it."""
    return os.posix_spawn(
        command[0],
        command,
        variables,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ],
    )


def _started(pid: int) -> str | None:
    """When a living process started, as the kernel counts; None where it has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # so that our own do not stay as zombies
    try:
        # After the name, which may hold anything, spaces and brackets included.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _children(pid: int) -> tuple[int, ...]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return tuple(map(int, text.read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        return ()
