"""The command line as a user calls it: in a process of its own, or within the test's where nothing depends on that.

What belongs here: calling it and what came of that. What does not: what must come of it (the tests).
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Dagster's own event log, on Python 3.12 and later, is let do as in pytest's settings.
_DAGSTERS = "ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning:dagster._core.storage.event_log.sql_event_log"
MODULE = (sys.executable, "-W", "error", "-W", _DAGSTERS, "-m", "recruitment_platform.cli")


@dataclass(frozen=True)
class Outcome:
    """Exit code and what was written."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


def environment(home: Path | str, settings: Mapping[str, str]) -> dict[str, str]:
    """The test's environment, with no other settings than these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECRUITMENT_")}
    return inherited | {"RECRUITMENT_HOME": str(home)} | settings


def call(home: Path | str, *arguments: str, before: Callable[[], None] | None = None, **settings: str) -> Outcome:
    """Runs the command in a process of its own; `before` runs in that process first."""
    done = subprocess.run(
        [*MODULE, *arguments],
        env=environment(home, settings),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=280,
        preexec_fn=before,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def free_port() -> int:
    """A port of this machine that nothing serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def ui(home: Path, port: int, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command `ui`, once it says that the page is up; SIGTERM ends it."""
    command = [*MODULE, "ui", "--port", str(port)]
    with log.open("wb") as err, subprocess.Popen(command, env=environment(home, settings), stderr=err) as process:
        try:
            deadline = time.monotonic() + 120
            while f"http://127.0.0.1:{port}" not in log.read_text() or "Ctrl-C" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield process
        finally:
            process.terminate()


@contextmanager
def metrics_page(home: Path, port: int, log: Path, *options: str, **settings: str) -> Iterator[None]:
    """The command `metrics`, once it says that it listens; SIGTERM ends it, with exit code 0."""
    command = [*MODULE, "metrics", "--port", str(port), *options]
    with log.open("wb") as err, subprocess.Popen(command, env=environment(home, settings), stderr=err) as process:
        try:
            deadline = time.monotonic() + 120
            while f"http://127.0.0.1:{port}/metrics" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
        assert process.wait(60) == 0, log.read_text()


def assert_clear(outcome: Outcome, code: int, *words: str) -> None:
    """One or two lines that say what happened, nothing on stdout, and the exit code."""
    lines = outcome.err.splitlines()
    assert outcome.code == code, outcome
    assert outcome.out == "", outcome
    assert 1 <= len(lines) <= 2, outcome.err
    assert lines[0].startswith("error: "), outcome.err
    missing = [word for word in words if word not in outcome.err]
    assert not missing, outcome.err
