"""A bad day never holds up good ones: they are published, it is named, fails, and keeps its former facts."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.jobs import DAILY_FACTS
from recruitment_platform.automation.run import RANGE_END_TAG, RANGE_START_TAG
from recruitment_platform.definitions import build_definitions
from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.resources.warehouse.embedded import DuckDBWarehouse
from recruitment_platform.settings import Settings
from recruitment_platform_tests.operations import watched_stores
from recruitment_platform_tests.runs import (
    a_site,
    check_results,
    day,
    materializations,
    run,
    settings_of,
    statuses,
)
from recruitment_platform_tests.site import Site, click

HOLD = """
import sys, time, duckdb
with duckdb.connect(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def late_click(site: Site, number: int) -> None:
    """One more click on that day."""
    midnight = datetime(2024, 3, 1, tzinfo=UTC) + timedelta(days=number)
    site.send([click(midnight + timedelta(hours=20), 500)], f"test:late:{number}")


def lose_an_event(site: Site, event_date: date) -> None:
    """Makes the day's state tell one event more than the lake holds of it."""
    with closing(sqlite3.connect(site.lake.catalog)) as catalog, catalog:
        changed = catalog.execute(
            "UPDATE day_state SET rows = rows + 1 WHERE event_date = ? AND source = 'test:site'", [str(event_date)]
        )
        assert changed.rowcount == 1


def test_of_five_days_with_one_bad_four_are_published(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    site = a_site(tmp_path, 5)
    assert run(site, instance, 5).success
    before = site.warehouse.ledger()
    for number in range(5):
        late_click(site, number)
    lose_an_event(site, day(2))

    outcome = run(site, instance, 5)

    assert not outcome.success
    assert list(outcome.failed_days) == [day(2)]
    assert "day_state tells 9 accepted events, the lake holds 8" in outcome.failed_days[day(2)]
    assert outcome.message.startswith(f"1 of 5 days failed\n{day(2)}: raw_tracking {day(2)}: day_state tells 9")
    assert outcome.exit_code == ReconciliationError.exit_code
    after = site.warehouse.ledger()
    assert {found for found in after if after[found].manifest == 2} == {day(n) for n in (0, 1, 3, 4)}
    assert after[day(2)] == before[day(2)]
    told = materializations(instance, outcome.run_id)
    assert {partition for asset, partition in told if asset in _PUBLISHED} == {str(day(n)) for n in (0, 1, 3, 4)}
    assert {found: totals.clicks for found, totals in site.warehouse.totals(before).items()} == {
        day(n): 3 if n == 2 else 4 for n in range(5)
    }


def test_a_bad_day_shows_as_failed_and_its_error_beside_it(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    site = a_site(tmp_path, 3)
    lose_an_event(site, day(1))

    outcome = run(site, instance, 3)

    found = materializations(instance, outcome.run_id)
    for asset in ("raw_tracking", "job_hourly_events"):
        assert "day_state tells" in found[asset, str(day(1))].metadata["error"].value
        assert "error" not in found[asset, str(day(0))].metadata
    for asset in ("s3_staged_events", "redshift_fact_events"):
        assert (asset, str(day(1))) not in found
        assert statuses(site, instance, asset, 3) == ["MATERIALIZED", "FAILED", "MATERIALIZED"]


def test_checks_are_told_before_the_step_fails_and_name_the_bad_days(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    site = a_site(tmp_path, 3)
    site.send([click("2024-03-01 22:00", 900, job_id="999")], "test:unknown-job")
    lose_an_event(site, day(1))

    results = check_results(instance, run(site, instance, 3).run_id)

    assert {name for name, result in results.items() if not result.passed} == {"reconciles", "dims_cover_jobs"}
    reconciles = results["reconciles"]
    assert reconciles.severity == dg.AssetCheckSeverity.ERROR
    assert list(reconciles.metadata["bad_days"].value) == [str(day(1))]
    assert reconciles.metadata["days_checked"].value == 3
    covered = results["dims_cover_jobs"]
    assert covered.severity == dg.AssetCheckSeverity.WARN
    assert covered.metadata["bad_days"].value == {str(day(0)): "1 jobs are unknown: 999"}
    assert results["table_matches_manifest"].metadata["days_checked"].value == 2


def daily_job() -> dg.JobDefinition:
    """The daily job by this process's settings: what Dagster runs again it builds again, by this name."""
    return build_definitions(Settings.from_environment()).resolve_job_def(DAILY_FACTS)


def test_run_again_from_its_failed_step_a_bad_day_stays_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = a_site(tmp_path, 2)
    monkeypatch.setenv("RECRUITMENT_HOME", str(site.home))
    monkeypatch.setenv("RECRUITMENT_ENGINE", "duckdb")
    with open_instance(settings_of(site)) as instance:
        assert run(site, instance, 2).success
        late_click(site, 0)
        late_click(site, 1)
        lose_an_event(site, day(1))
        failed = run(site, instance, 2)
        days = {RANGE_START_TAG: str(day(0)), RANGE_END_TAG: str(day(1))}
        for _ in range(2):  # again, and again from there
            options = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
            with dg.execute_job(
                dg.reconstructable(daily_job), instance, tags=days, reexecution_options=options, raise_on_error=False
            ) as again:
                (event,) = [event for event in again.all_events if event.is_step_failure]
                assert {event.step_key for event in again.all_events if event.is_step_start} == {"publish"}
                told = event.step_failure_data.user_failure_data
                assert told is not None, event.step_failure_data.error
                assert list(told.metadata["failed_days"].value) == [str(day(1))]
                failed = replace(failed, run_id=again.run_id)
    assert site.warehouse.ledger()[day(1)].manifest == 1


def test_a_day_that_was_mended_is_published(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    site = a_site(tmp_path, 2)
    lose_an_event(site, day(1))
    assert not run(site, instance, 2).success
    with closing(sqlite3.connect(site.lake.catalog)) as catalog, catalog:
        catalog.execute("UPDATE day_state SET rows = rows - 1 WHERE event_date = ?", [str(day(1))])
    assert run(site, instance, 1, first=1).success
    assert set(site.warehouse.ledger()) == {day(0), day(1)}


def test_while_another_program_holds_the_warehouse_one_day_waits_and_the_others_fail_at_once(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    site = a_site(tmp_path, 4)
    assert run(site, instance, 1).success
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(site.warehouse.path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            hurried = Site(site.home)
            hurried.warehouse = DuckDBWarehouse(site.warehouse.path, timedelta(seconds=1), site.objects)
            asked: list[str] = []
            stores = watched_stores(hurried, lambda moment, operation: asked.append(f"{moment} {operation}"))
            outcome = run(site, instance, 4, overrides={"warehouse": stores["warehouse"]})
        finally:
            holder.kill()

    assert outcome.exit_code == StoreUnavailableError.exit_code
    assert set(outcome.failed_days) == {day(number) for number in range(4)}
    (message,) = set(outcome.failed_days.values())
    assert str(holder.pid) in message
    assert outcome.message.count(message) == 1
    assert asked == ["before warehouse.closed_through"]
    assert set(site.warehouse.ledger()) == {day(0)}
    staged = {
        partition for asset, partition in materializations(instance, outcome.run_id) if asset == "s3_staged_events"
    }
    assert staged == {str(day(number)) for number in range(4)}
    assert not check_results(instance, outcome.run_id)["table_matches_manifest"].passed


def test_a_table_that_was_changed_by_hand_is_found(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    import duckdb

    site = a_site(tmp_path, 2)
    assert run(site, instance, 2).success
    with duckdb.connect(str(site.warehouse.path)) as connection:
        connection.execute("DELETE FROM redshift_fact_events WHERE dates = ? AND hours = 0", [day(1)])
    outcome = run(site, instance, 2)
    assert list(outcome.failed_days) == [day(1)]
    result = check_results(instance, outcome.run_id)["table_matches_manifest"]
    assert not result.passed
    assert list(result.metadata["bad_days"].value) == [str(day(1))]


@pytest.mark.parametrize(
    ("selected", "published", "loaded"),
    [
        pytest.param(["s3_staged_events"], 2, 1, id="staged only"),
        pytest.param(["redshift_fact_events"], 1, 1, id="loaded only, of what is staged"),
        pytest.param(["s3_staged_events", "redshift_fact_events"], 2, 2, id="both"),
    ],
)
def test_each_published_asset_can_be_materialized_alone(
    tmp_path: Path, instance: dg.DagsterInstance, selected: list[str], published: int, loaded: int
) -> None:
    site = a_site(tmp_path, 1)
    assert run(site, instance, 1).success
    late_click(site, 0)
    _materialize(site, instance, ["raw_tracking", "job_hourly_events"])
    result = _materialize(site, instance, selected)

    found = {asset for asset, _ in materializations(instance, result.run_id)}
    assert found == set(selected)
    assert len(site.objects.list(f"s3_staged_events/dt={day(0)}/manifests/")) == published
    assert site.warehouse.ledger()[day(0)].manifest == loaded
    told = check_results(instance, result.run_id)
    assert {"reconciles" in told, "table_matches_manifest" in told} == {name in selected for name in _PUBLISHED}


def test_of_the_checks_those_are_told_that_were_asked_for(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    site = a_site(tmp_path, 1)
    assert run(site, instance, 1).success
    job = build_definitions(settings_of(site)).resolve_job_def(DAILY_FACTS)
    one = {dg.AssetCheckKey(dg.AssetKey("s3_staged_events"), "digest")}
    days = {RANGE_START_TAG: str(day(0)), RANGE_END_TAG: str(day(0))}

    staged = job.get_subset(asset_selection={dg.AssetKey("s3_staged_events")}, asset_check_selection=one)
    result = staged.execute_in_process(instance=instance, tags=days)
    assert set(check_results(instance, result.run_id)) == {"digest"}

    alone = job.get_subset(asset_selection=set(), asset_check_selection=one)
    result = alone.execute_in_process(instance=instance, tags=days, raise_on_error=False)
    told = result.failure_data_for_node("publish").user_failure_data
    assert told is not None
    assert told.description == (
        "these checks are evaluated while a day is published: materialize their asset with them"
    )


_PUBLISHED = ("s3_staged_events", "redshift_fact_events")


def _materialize(site: Site, instance: dg.DagsterInstance, assets: list[str]) -> Any:
    job = build_definitions(settings_of(site)).resolve_job_def(DAILY_FACTS)
    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags={RANGE_START_TAG: str(day(0)), RANGE_END_TAG: str(day(0))},
    )
