"""The platform as its users run it: the real web page and daemon, two processes, and a backfill from the page's API."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from recruitment_platform.automation.instance import open_instance
from recruitment_platform_tests.automation.daemon import NEVER, Page, daemon, environment_of, until, web_page
from recruitment_platform_tests.runs import a_site, day, settings_of
from recruitment_platform_tests.site import Site

DAYS = 3

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


@pytest.mark.timeout(900)
def test_a_backfill_from_the_page_runs_a_range_at_once_and_publishes_it(tmp_path: Path) -> None:
    site = a_site(tmp_path / "home", DAYS)
    environment = environment_of(settings_of(site, freshness_grace=NEVER))
    with web_page(tmp_path / "page.log", environment) as page:
        launched = [
            page.ask(LAUNCH, days=[str(day(number)) for number in numbers]) for numbers in (range(DAYS - 1), [DAYS - 1])
        ]
        assert {one["__typename"] for one in launched} == {"LaunchBackfillSuccess"}, launched
        log = tmp_path / "daemon.log"
        with daemon(log, environment):
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
