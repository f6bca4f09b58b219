"""The platform as its users run it: Dagster's real daemon and web page on a home, and a webhook that takes alerts.

What belongs here: starting, asking, killing and ending them. What does not: sensors without a daemon (`ticks`).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
import requests
from dagster._core.scheduler.instigation import InstigatorType

from recruitment_platform.automation.instance import open_instance, prepare_dagster_home
from recruitment_platform.settings import GROUPS, PREFIX, Settings

ROOT = Path(__file__).parents[2]
MODULE = "recruitment_platform.definitions"
SECONDS = 400
"""How long anything may take, on a machine that is busy with other things too."""

NEVER = timedelta(days=36_500)
"""A grace for tests of something else than freshness: no day is expected, so that none is asked for but with events."""


def environment_of(settings: Settings, **more: str) -> dict[str, str]:
    """The environment in which a program has these settings (of no group), and its instance in their home."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set if name not in GROUPS}
    named = {f"{PREFIX}{name.upper()}": _text(value) for name, value in given.items() if value is not None}
    own = {"DAGSTER_HOME": str(prepare_dagster_home(settings)), "PYTHONPATH": str(ROOT)}
    return os.environ | named | own | more


def _text(value: object) -> str:
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds():f}S"
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)


@contextmanager
def program(module: str, log: Path, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program as a process of its own; at the end SIGINT must end it without an error, unless it was killed."""
    with (
        log.open("a") as output,
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments, "-m", MODULE],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
            if process.returncode != -signal.SIGKILL:
                assert process.poll() is None, log.read_text()
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 0, log.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its code server would outlive it by half a minute


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the program, its code server and its runs at once, as a power failure does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


@contextmanager
def daemon(log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon, with a code server of its own."""
    with program("dagster._daemon", log, environment, "run") as process:
        yield process


@dataclass(frozen=True)
class Page:
    """Dagster's web page of a home."""

    address: str

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a GraphQL answer without errors."""
        answer = requests.post(f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=60)
        assert answer.status_code == 200, answer.text
        assert "errors" not in answer.json(), answer.text
        return next(iter(answer.json()["data"].values()))


@contextmanager
def web_page(log: Path, environment: dict[str, str]) -> Iterator[Page]:
    """Dagster's web page, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = Page(f"http://127.0.0.1:{port}")
    with program("dagster_webserver", log, environment, "-h", "127.0.0.1", "-p", str(port)):
        until(lambda: _answers(page), log)
        yield page


def until(condition: Callable[[], Any], log: Path, seconds: float = SECONDS) -> Any:
    """What the condition returns once that is true; fails, with the log, where it takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail(f"waited {seconds} s in vain\n{log.read_text()}")


def runs(
    settings: Settings, job: str = "daily_facts", *, statuses: Sequence[dg.DagsterRunStatus] | None = None
) -> list[dg.RunRecord]:
    """The home's runs of the job, the oldest first."""
    with open_instance(settings) as instance:
        return instance.get_run_records(dg.RunsFilter(job_name=job, statuses=statuses), ascending=True)


def ticks(settings: Settings, sensor: str) -> list[str]:
    """What the sensor's newest ticks told: why it skipped, or how many runs it asked for; the newest first."""
    with open_instance(settings) as instance:
        states = [state for state in instance.all_instigator_state() if state.instigator_name == sensor]
        found = [
            tick
            for state in states
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=20)
        ]
    return [tick.skip_reason or f"{len(tick.run_ids)} runs" for tick in found]


def cursors(settings: Settings) -> dict[str, str | None]:
    """What each sensor that has ticked keeps for its next tick."""
    with open_instance(settings) as instance:
        states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return {state.instigator_name: state.instigator_data.cursor for state in states}


def _answers(page: Page) -> bool:
    try:
        return requests.get(f"{page.address}/server_info", timeout=5).ok
    except requests.ConnectionError:
        return False


@dataclass
class Webhook:
    """A real HTTP server that takes alerts: `statuses` are its next answers, 200 once there are none left."""

    address: str = ""
    alerts: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Webhook]:
    """The server, at an address with a secret in it."""
    taken = Webhook()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(taken.statuses.pop(0) if taken.statuses else 200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of its base
            """Tells nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        taken.address = f"http://127.0.0.1:{server.server_port}/services/s3cret-of-a-test"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield taken
        finally:
            server.shutdown()
            thread.join()
