"""`ui`: Dagster's webserver and daemon on this home, as two processes that end together.

What belongs here: starting, watching and ending them. What does not: what they serve (`definitions`).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

import click

from recruitment_platform.automation.instance import prepare_dagster_home
from recruitment_platform.cli.progress import note
from recruitment_platform.cli.stores import new_or_existing_stores
from recruitment_platform.errors import InputError, PlatformError
from recruitment_platform.settings import Settings

HOST = "127.0.0.1"
PORT = 3000
MODULE = "recruitment_platform.definitions"
PROGRAMS = {"webserver": "dagster_webserver", "daemon": "dagster._daemon"}

START_SECONDS = 120.0
"""How long the web page may need to come up."""

END_SECONDS = 30.0
"""How long the two may need to end by themselves; then they are killed."""


@click.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Port of the web page.")
def command(port: int) -> None:
    """Serves Dagster's web page on this machine, and runs the daemon: schedules, sensors, queued runs and backfills.

    Runs until Ctrl-C.

    \b
    Example:
      recruitment-platform ui --port 3001
    """
    settings = Settings.from_environment()
    _check_port(port)
    new_or_existing_stores(settings)
    home = prepare_dagster_home(settings)
    environment = os.environ | {"DAGSTER_HOME": str(home), "RECRUITMENT_HOME": str(settings.home)}
    common = ("-m", MODULE, "--log-level", "warning")
    webserver = _program("webserver", "-h", HOST, "-p", str(port), *common)
    daemon = _program("daemon", "run", *common)
    with _sigterm_as_interrupt(), _running(environment, webserver, daemon) as processes:
        _wait_for_page(port, processes)
        note(f"Dagster is at http://{HOST}:{port} (Ctrl-C ends it)")
        try:
            while True:
                _check_alive(processes)
                time.sleep(0.5)
        except KeyboardInterrupt:
            note("ending the webserver and the daemon")


def _program(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", PROGRAMS[name], *arguments]


def _check_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); end what uses it, or choose another by --port"
            ) from error


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the two processes as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def _running(environment: dict[str, str], *programs: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The programs, each in a session of its own so that Ctrl-C reaches them once, from here; ended at the end."""
    processes = [subprocess.Popen(program, env=environment, start_new_session=True) for program in programs]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + END_SECONDS
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for_page(port: int, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _check_alive(processes)
        try:
            with urlopen(f"http://{HOST}:{port}/server_info", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise PlatformError(f"Dagster's web page did not come up within {START_SECONDS:g} s; what it wrote above says why")


def _check_alive(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for name, process in zip(PROGRAMS, processes, strict=True):
        code = process.poll()
        if code is not None:
            raise PlatformError(f"Dagster's {name} ended by itself (exit code {code}); what it wrote above says why")
