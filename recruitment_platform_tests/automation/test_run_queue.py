"""The priorities of runs that wait: those of newer days go first. That Dagster keeps to them: `test_web_backfill`."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from recruitment_platform.automation.in_flight import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.run_queue import PRIORITY_TAG, NewestDaysFirst, priority
from recruitment_platform.settings import Settings
from recruitment_platform_tests.runs import day


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({PARTITION_TAG: str(day(0))}, -30),
        ({PARTITION_TAG: str(day(30))}, 0),
        ({RANGE_START_TAG: str(day(0)), RANGE_END_TAG: str(day(20))}, -10),
        ({RANGE_START_TAG: str(day(0)), RANGE_END_TAG: str(day(20)), PRIORITY_TAG: "5"}, None),
        ({}, None),
    ],
)
def test_a_runs_priority_is_minus_the_age_of_its_newest_day(tags: Mapping[str, str], expected: int | None) -> None:
    assert priority(dg.DagsterRun(job_name="any", tags=tags), day(30)) == expected


def test_a_new_homes_queue_has_these_priorities(tmp_path: Path) -> None:
    with open_instance(Settings(home=tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, NewestDaysFirst)
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 4
