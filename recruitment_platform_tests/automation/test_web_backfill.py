"""Backfills from the page's API, parted into runs by the real daemon; of those that wait the newest days go first."""

from pathlib import Path

import dagster as dg
import pytest

from recruitment_platform.automation.in_flight import RANGE_END_TAG, RANGE_START_TAG
from recruitment_platform.automation.instance import open_instance
from recruitment_platform_tests.automation.daemon import NEVER, daemon, environment_of, until, web_page
from recruitment_platform_tests.automation.test_web import LAUNCH, ended
from recruitment_platform_tests.runs import a_site, day, settings_of

DAYS = 5
DAYS_PER_RUN = 2


@pytest.mark.timeout(600)
def test_a_backfill_is_parted_by_the_setting_and_goes_on_with_the_newest_days(tmp_path: Path) -> None:
    site = a_site(tmp_path / "home", DAYS)
    settings = settings_of(site, days_per_run=DAYS_PER_RUN, freshness_grace=NEVER)
    environment = environment_of(settings)
    log = tmp_path / "daemon.log"
    with web_page(tmp_path / "page.log", environment) as page:
        launched = page.ask(LAUNCH, days=[str(day(number)) for number in range(DAYS)])
        with daemon(log, environment):
            backfill = until(lambda: ended(page, launched["backfillId"]), log)
    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert sorted(site.warehouse.ledger()) == [day(number) for number in range(DAYS)]
    with open_instance(settings) as instance:
        records = instance.get_run_records(dg.RunsFilter(job_name="daily_facts"))
    begun = [found.dagster_run.tags for found in sorted(records, key=lambda record: record.start_time or 0.0)]
    ranges = [(tags[RANGE_START_TAG], tags[RANGE_END_TAG]) for tags in begun]
    assert sorted(ranges) == [
        ("2024-03-01", "2024-03-02"),
        ("2024-03-03", "2024-03-04"),
        ("2024-03-05", "2024-03-05"),
    ]
    # The first may have begun before the others were handed in.
    assert ranges[1:] == sorted(ranges[1:], reverse=True)
