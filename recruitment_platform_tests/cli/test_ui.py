"""`ui`: Dagster comes up on the home, says where, and leaves nothing behind."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import Request, urlopen

from recruitment_platform_tests.cli.command_line import MODULE, assert_clear, call, environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def ui(home: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*MODULE, "ui", "--port", str(port)]
    with log.open("wb") as err, subprocess.Popen(command, env=environment(home, {}), stderr=err) as process:
        try:
            deadline = time.monotonic() + 120
            while f"http://127.0.0.1:{port}" not in log.read_text() or "Ctrl-C" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield process
        finally:
            process.terminate()


def processes_of(home: Path) -> list[str]:
    """Command lines of processes that work on this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"RECRUITMENT_HOME={home}\0" in (process / "environ").read_text():
                found.append((process / "cmdline").read_text())
    return found


def test_ui_serves_the_assets_refuses_a_taken_port_and_ends_whole(home: Path, tmp_path: Path) -> None:
    port = free_port()
    with ui(home, port, tmp_path / "log") as process:
        question = json.dumps({"query": "{ assetNodes { assetKey { path } } }"}).encode()
        asked = Request(f"http://127.0.0.1:{port}/graphql", question, {"content-type": "application/json"})
        with urlopen(asked, timeout=60) as answer:
            names = {node["assetKey"]["path"][-1] for node in json.load(answer)["data"]["assetNodes"]}
        assert {"raw_tracking", "dim_jobs", "job_hourly_events", "s3_staged_events", "redshift_fact_events"} <= names
        assert_clear(call(home, "ui", "--port", str(port)), 2, str(port), "--port")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert processes_of(home) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
