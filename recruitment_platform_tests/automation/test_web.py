"""The platform as its users run it: the real web page and daemon, two processes, and a backfill from the page's API."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests

from recruitment_platform.automation.instance import open_instance, prepare_dagster_home
from recruitment_platform_tests.runs import a_site, day, settings_of
from recruitment_platform_tests.site import Site

ROOT = Path(__file__).parents[2]
MODULE = "recruitment_platform.definitions"
DAYS = 3
SECONDS = 150

LAUNCH = """
mutation ($days: [String!]!) {
  launchPartitionBackfill(backfillParams: {
    selector: {
      partitionSetName: "daily_facts_partition_set",
      repositorySelector: {repositoryLocationName: "recruitment_platform.definitions", repositoryName: "__repository__"}
    },
    partitionNames: $days
  }) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs { runId status } error { message } }
    ... on PythonError { message }
  }
}
"""
ASSET = """
query {
  assetNodeOrError(assetKey: {path: ["redshift_fact_events"]}) {
    ... on AssetNode {
      description
      partitionStats { numMaterialized numFailed }
      assetMaterializations(partitions: ["2024-03-02"], limit: 1) { metadataEntries { label } tags { key value } }
    }
  }
}
"""


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
def program(module: str, log: Path, environment: dict[str, str], *arguments: str) -> Iterator[None]:
    """The program as a process of its own; at the end SIGINT must end it, without an error."""
    with (
        log.open("w") as output,
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
            yield
            assert process.poll() is None, log.read_text()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, log.read_text()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its code server would outlive it by half a minute


@contextmanager
def web_page(log: Path, environment: dict[str, str]) -> Iterator[Page]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = Page(f"http://127.0.0.1:{port}")
    with program("dagster_webserver", log, environment, "-h", "127.0.0.1", "-p", str(port)):
        until(lambda: answers(page), log)
        yield page


def answers(page: Page) -> bool:
    try:
        return requests.get(f"{page.address}/server_info", timeout=5).ok
    except requests.ConnectionError:
        return False


def until(condition: Any, log: Path) -> Any:
    """What the condition returns once that is true; fails, with the log, where it takes too long."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    pytest.fail(f"waited {SECONDS} s in vain\n{log.read_text()}")


def test_a_backfill_from_the_page_runs_a_range_at_once_and_publishes_it(tmp_path: Path) -> None:
    site = a_site(tmp_path / "home", DAYS)
    settings = settings_of(site)
    environment = os.environ | {
        "DAGSTER_HOME": str(prepare_dagster_home(settings)),
        "RECRUITMENT_HOME": str(settings.home),
        "RECRUITMENT_ENGINE": "duckdb",
        "PYTHONPATH": str(ROOT),
    }
    with web_page(tmp_path / "page.log", environment) as page:
        launched = [
            page.ask(LAUNCH, days=[str(day(number)) for number in numbers]) for numbers in (range(DAYS - 1), [DAYS - 1])
        ]
        assert {one["__typename"] for one in launched} == {"LaunchBackfillSuccess"}, launched
        log = tmp_path / "daemon.log"
        with program("dagster._daemon", log, environment, "run"):
            backfills = [until(lambda one=one: ended(page, one["backfillId"]), log) for one in launched]
        assert [found["status"] for found in backfills] == ["COMPLETED_SUCCESS"] * 2, backfills
        assert [len(found["runs"]) for found in backfills] == [1, 1]
        asset = page.ask(ASSET)

    ledger = site.warehouse.ledger()
    assert set(ledger) == {day(number) for number in range(DAYS)}
    assert [site.warehouse.totals([found])[found].clicks for found in ledger] == [3] * DAYS
    assert asset["partitionStats"] == {"numMaterialized": DAYS, "numFailed": 0}
    (materialization,) = asset["assetMaterializations"]
    assert {"spend", "digest", "plot"} <= {entry["label"] for entry in materialization["metadataEntries"]}
    assert {"key": "dagster/data_version", "value": ledger[day(1)].digest} in materialization["tags"]
    assert " - dagster - DEBUG - " not in log.read_text(), "every event of a run is written to the terminal"
    one, other = run_times(site)
    assert one[1] <= other[0], "two runs that load the warehouse were under way at once"


def ended(page: Page, backfill_id: str) -> Any:
    found = page.ask(BACKFILL, id=backfill_id)
    return found if found["status"] not in ("REQUESTED", "COMPLETING") else None


def run_times(site: Site) -> list[tuple[float, float]]:
    """When the daily runs started and ended, in order."""
    with open_instance(settings_of(site)) as instance:
        records = instance.get_run_records(dg.RunsFilter(job_name="daily_facts"))
    return sorted((record.start_time or 0.0, record.end_time or 0.0) for record in records)
