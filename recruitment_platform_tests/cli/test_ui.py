"""`ui`: Dagster comes up on the home, says where, and leaves nothing behind."""

import json
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from recruitment_platform_tests.cli.command_line import assert_clear, call, free_port, ui


def processes_of(home: Path) -> list[str]:
    """Command lines of processes that work on this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"RECRUITMENT_HOME={home}\0" in (process / "environ").read_text():
                found.append((process / "cmdline").read_text())
    return found


def ask(port: int, question: str) -> Any:
    """The data of the page's answer."""
    body = json.dumps({"query": question}).encode()
    asked = Request(f"http://127.0.0.1:{port}/graphql", body, {"content-type": "application/json"})
    with urlopen(asked, timeout=60) as answer:
        return json.load(answer)["data"]


def test_ui_serves_the_assets_refuses_a_taken_port_and_ends_whole(home: Path, tmp_path: Path) -> None:
    port = free_port()
    with ui(home, port, tmp_path / "log") as process:
        names = {
            node["assetKey"]["path"][-1] for node in ask(port, "{ assetNodes { assetKey { path } } }")["assetNodes"]
        }
        assert {"raw_tracking", "dim_jobs", "job_hourly_events", "s3_staged_events", "redshift_fact_events"} <= names
        # What was launched or switched before is known by the location's name: each start must give it the same.
        locations = ask(
            port, "{ locationStatusesOrError { ... on WorkspaceLocationStatusEntries { entries { name } } } }"
        )
        assert locations["locationStatusesOrError"]["entries"] == [{"name": "recruitment_platform"}]
        assert_clear(call(home, "ui", "--port", str(port)), 2, str(port), "--port")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert processes_of(home) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
