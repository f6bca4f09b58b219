"""`ui`: Dagster's webserver and daemon on this home, and the code server that both ask; they end together.

What belongs here: starting, watching and ending them. What does not: what they serve (`definitions`).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
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
LOCATION = "recruitment_platform"
"""The code location's name, as in `workspace.yaml`: Dagster knows runs, backfills and switched schedules by it."""

QUIET = ("--log-level", "warning")

START_SECONDS = 120.0
"""How long each of them may need to come up."""

END_SECONDS = 30.0
"""How long each of them may need to end by itself; then it is killed."""

Processes = dict[str, subprocess.Popen[bytes]]


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
    processes: Processes = {}
    with _ended_by_signals(), ExitStack() as stack:
        # A socket's path must be short, so it cannot lie in the home. One code server for both: of its own, the daemon
        # would start another one every minute.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recruitment-")))
        code, workspace = folder / "code", folder / "workspace.yaml"
        server = {"socket": str(code), "location_name": LOCATION}
        workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
        start = ("code-server", "start", "-m", MODULE, "--socket", str(code), "--use-python-environment-entry-point")
        asking = ("--workspace", str(workspace), *QUIET)
        programs: tuple[tuple[str, list[str], Callable[[], bool]], ...] = (
            ("code server", ["dagster", *start, *QUIET], lambda: _answers(code)),
            ("daemon", ["dagster._daemon", "run", *asking], lambda: True),
            ("webserver", ["dagster_webserver", "-h", HOST, "-p", str(port), *asking], lambda: _serves(port)),
        )
        try:
            for name, program, is_up in programs:
                stack.enter_context(_running(processes, name, program, environment))
                _wait_for(name, is_up, processes)
            note(f"Dagster is at http://{HOST}:{port} (Ctrl-C ends it)")
            while True:
                _check_alive(processes)
                time.sleep(0.5)
        except KeyboardInterrupt:
            note("ending Dagster")


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
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends everything as Ctrl-C does, in background jobs of a shell too, which ignore Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Signals that are ignored here would be ignored by what is started here, and Dagster treats both alike.
    former = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _running(processes: Processes, name: str, program: list[str], environment: Mapping[str, str]) -> Iterator[None]:
    """The program, in a session of its own so that Ctrl-C reaches it once, from here; ended at the end."""
    process = subprocess.Popen([sys.executable, "-m", *program], env=environment, start_new_session=True)
    processes[name] = process
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(name: str, is_up: Callable[[], bool], processes: Processes) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_up():
        _check_alive(processes)
        if time.monotonic() > deadline:
            raise PlatformError(f"Dagster's {name} did not come up within {START_SECONDS:g} s; the lines above say why")
        time.sleep(0.2)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _serves(port: int) -> bool:
    try:
        with urlopen(f"http://{HOST}:{port}/server_info", timeout=5):
            return True
    except OSError:
        return False


def _check_alive(processes: Processes) -> None:
    for name, process in processes.items():
        code = process.poll()
        if code is not None:
            raise PlatformError(f"Dagster's {name} ended by itself (exit code {code}); the lines above say why")
