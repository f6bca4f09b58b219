"""The two sensors that ask for days, tick by tick on a real instance, with real runs where one is needed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from recruitment_platform.automation.sensors import FRESHNESS, LATE_DATA
from recruitment_platform_tests.automation.ticks import (
    Daemon,
    a_site_of_today,
    ago,
    holding,
    lose_an_event,
    send,
    settings_at_once,
)
from recruitment_platform_tests.site import Site

FAILURE, SUCCESS, CANCELED = (dg.DagsterRunStatus[name] for name in ("FAILURE", "SUCCESS", "CANCELED"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return a_site_of_today(tmp_path / "home")


@pytest.fixture
def daemon(site: Site, instance: dg.DagsterInstance) -> Daemon:
    """With dim_jobs refreshed, as on every day before the daily job."""
    site.employ()
    ready = Daemon(instance, settings_at_once(site))
    ready.refresh()
    return ready


def test_a_missing_day_is_asked_for_until_it_is_there(site: Site, daemon: Daemon) -> None:
    send(site, 3)
    look = daemon.look(FRESHNESS)
    assert (look.jobs, look.days) == (["daily_facts"], [[3, 2, 1]])
    assert daemon.run(look.requests[0])
    assert daemon.look(FRESHNESS).message == "every expected day is published"
    assert set(site.warehouse.ledger()) == {ago(3), ago(2), ago(1)}


def test_late_events_ask_for_exactly_their_own_days_today_included(site: Site, daemon: Daemon) -> None:
    send(site, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
    (request,) = daemon.look(FRESHNESS).requests
    assert daemon.run(request)
    (request,) = daemon.look(LATE_DATA).requests
    assert (daemon.run(request), daemon.look(LATE_DATA).message) == (True, "no new data")
    send(site, 7, 3, 2, 0, source="test:late", number=1)
    look = daemon.look(LATE_DATA)
    assert look.days == [[0], [3, 2], [7]]
    before = site.warehouse.ledger()
    assert all(daemon.run(request) for request in look.requests)
    after = site.warehouse.ledger()
    assert {day for day in after if after[day] != before[day]} == {ago(7), ago(3), ago(2), ago(0)}
    assert daemon.look(LATE_DATA).message == "no new data"
    assert daemon.look(FRESHNESS).message == "every expected day is published"


def test_late_events_of_a_closed_day_are_asked_for_once_and_booked_beside_its_facts(site: Site, daemon: Daemon) -> None:
    send(site, 1)
    (request,) = daemon.look(FRESHNESS).requests
    assert daemon.run(request)
    site.warehouse.close_through(ago(1), datetime.now(UTC))
    before = site.warehouse.ledger()
    send(site, 1, source="test:late", number=1)
    (request,) = daemon.look(LATE_DATA).requests
    assert daemon.run(request)
    assert daemon.look(LATE_DATA).message == "no new data"
    assert site.warehouse.ledger() == before
    assert set(site.warehouse.adjusted()) == {ago(1)}


@pytest.mark.parametrize("status", NOT_FINISHED_STATUSES)
def test_a_day_in_flight_is_left_alone_in_every_status(site: Site, daemon: Daemon, status: dg.DagsterRunStatus) -> None:
    send(site, 1)
    run = daemon.launched(daemon.look(FRESHNESS).requests[0], status)
    look = daemon.look(FRESHNESS)
    assert look.requests == ()
    assert look.message == f"{ago(1)} in flight in run {run.run_id} (never loaded)"


def test_ranges_and_backfills_that_others_launched_are_left_alone_too(
    site: Site, daemon: Daemon, instance: dg.DagsterInstance
) -> None:
    send(site, 9)
    days = {"dagster/asset_partition_range_start": str(ago(8)), "dagster/asset_partition_range_end": str(ago(6))}
    daemon.launched(dg.RunRequest(job_name="__ASSET_JOB", tags=days))
    instance.add_backfill(
        PartitionBackfill(
            backfill_id="abcdefgh",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={},
            backfill_timestamp=0.0,
            partition_names=[str(ago(3)), str(ago(2))],
        )
    )
    assert daemon.look(FRESHNESS).days == [[1], [5, 4], [9]]


def test_a_failed_day_is_asked_for_again_up_to_the_cap_and_then_named(site: Site, daemon: Daemon) -> None:
    send(site, 3, 2, 1)
    lose_an_event(site, 2)
    keys = []
    for expected in ([3, 2, 1], [2], [2]):
        (request,) = (look := daemon.look(FRESHNESS)).requests
        assert look.days == [expected]
        keys.append(request.run_key)
        assert not daemon.run(request)
    assert len(set(keys)) == 3
    assert set(site.warehouse.ledger()) == {ago(3), ago(1)}
    look = daemon.look(FRESHNESS)
    assert look.requests == ()
    assert look.message.startswith(f"{ago(2)} given up after 3 attempts, the last in run ")
    assert "run it by hand" in look.message


def test_a_day_given_up_is_asked_for_again_once_its_input_is_another_and_healed_by_hand(
    site: Site, daemon: Daemon
) -> None:
    send(site, 1)
    lose_an_event(site, 1)
    for _ in range(3):
        assert not daemon.run(daemon.look(FRESHNESS).requests[0])
    assert daemon.look(FRESHNESS).requests == ()
    send(site, 1, source="test:late", number=1)
    assert daemon.look(FRESHNESS).days == [[1]]
    with closing(sqlite3.connect(site.lake.catalog)) as catalog, catalog:
        catalog.execute("UPDATE day_state SET rows = rows - 1 WHERE source = 'test:site'")
    by_hand = dg.RunRequest(job_name="daily_facts", tags={"dagster/partition": str(ago(1))})
    assert daemon.run(by_hand)
    assert daemon.look(FRESHNESS).message == "every expected day is published"


@pytest.mark.parametrize("status", [FAILURE, CANCELED, SUCCESS])
def test_a_run_after_which_the_day_is_as_before_was_an_attempt_whatever_became_of_it(
    site: Site, daemon: Daemon, status: dg.DagsterRunStatus
) -> None:
    send(site, 1)
    for _ in range(3):
        daemon.launched(daemon.look(FRESHNESS).requests[0], status)
    assert "given up after 3 attempts" in daemon.look(FRESHNESS).message


def test_between_attempts_there_is_a_pause_that_grows(site: Site, instance: dg.DagsterInstance) -> None:
    site.employ()
    send(site, 1)
    for pause, made, waits in ((3600, 1, True), (60, 1, True), (0, 2, False)):
        daemon = Daemon(instance, settings_at_once(site, attempt_pause=timedelta(seconds=pause)))
        if made > len(instance.get_runs()) - 1:
            daemon.refresh()
            daemon.launched(daemon.look(FRESHNESS).requests[0], FAILURE)
        assert (f"waiting for attempt {made + 1} until" in daemon.look(FRESHNESS).message) == waits


def test_with_each_attempt_a_range_is_shorter_so_that_a_day_that_kills_its_run_takes_no_other_along(
    site: Site, daemon: Daemon
) -> None:
    send(site, 8)
    sizes = []
    for _ in range(3):
        look = daemon.look(FRESHNESS)
        sizes.append([len(days) for days in look.days])
        for request in look.requests:
            daemon.launched(request, FAILURE)
    assert sizes == [[8], [2, 2, 2, 2], [1] * 8]


def test_a_range_has_at_most_the_days_of_a_run(site: Site, daemon: Daemon, instance: dg.DagsterInstance) -> None:
    send(site, 5)
    small = Daemon(instance, settings_at_once(site, days_per_run=2))
    assert small.look(FRESHNESS).days == [[2, 1], [4, 3], [5]]


def test_neither_a_lost_cursor_nor_a_lost_or_repeated_look_changes_anything(site: Site, daemon: Daemon) -> None:
    send(site, 2)
    first = daemon.look(FRESHNESS)
    assert daemon.look(FRESHNESS) == first
    assert daemon.look(FRESHNESS, cursor="rubbish") == first


def test_a_backfill_of_old_days_does_not_make_a_missing_yesterday_look_healthy(site: Site, daemon: Daemon) -> None:
    send(site, 9, 1)
    old = {"dagster/asset_partition_range_start": str(ago(9)), "dagster/asset_partition_range_end": str(ago(2))}
    assert daemon.run(dg.RunRequest(job_name="daily_facts", tags=old))
    assert daemon.look(FRESHNESS).days == [[1]]


def test_a_loaded_day_whose_newest_run_failed_is_asked_for(site: Site, daemon: Daemon) -> None:
    import duckdb

    send(site, 1)
    assert daemon.run(daemon.look(FRESHNESS).requests[0])
    with duckdb.connect(str(site.warehouse.path)) as connection:
        connection.execute("DELETE FROM redshift_fact_events")
    by_hand = dg.RunRequest(job_name="daily_facts", tags={"dagster/partition": str(ago(1))})
    assert not daemon.run(by_hand)
    assert daemon.look(LATE_DATA).message == "no new data"
    look = daemon.look(FRESHNESS)
    assert look.days == [[1]]


def test_dim_jobs_are_refreshed_before_any_day_is_asked_for(site: Site, instance: dg.DagsterInstance) -> None:
    send(site, 1)
    daemon = Daemon(instance, settings_at_once(site))
    look = daemon.look(FRESHNESS)
    assert look.jobs == ["refresh_dim_jobs"]
    running = daemon.launched(look.requests[0], dg.DagsterRunStatus.STARTED)
    assert daemon.look(LATE_DATA).message == "no new data"
    assert daemon.look(FRESHNESS).message.startswith("dim_jobs is refreshed first")
    instance.report_run_failed(running)
    look = daemon.look(FRESHNESS)
    assert look.jobs == ["refresh_dim_jobs"]
    assert daemon.run(look.requests[0])
    assert daemon.look(FRESHNESS).jobs == ["daily_facts"]


def test_where_dim_jobs_cannot_be_refreshed_days_go_on_with_those_in_force_if_there_are_any(
    site: Site, instance: dg.DagsterInstance
) -> None:
    send(site, 1)
    daemon = Daemon(instance, settings_at_once(site))
    for _ in range(3):
        daemon.launched(daemon.look(FRESHNESS).requests[0], FAILURE)
    look = daemon.look(FRESHNESS)
    assert look.requests == ()
    assert "dim_jobs could not be refreshed, 3 times" in look.message
    site.employ()
    assert daemon.look(FRESHNESS).jobs == ["daily_facts"]


def test_while_a_program_holds_the_warehouse_the_look_is_put_off_and_told_in_one_line(
    site: Site, daemon: Daemon, instance: dg.DagsterInstance
) -> None:
    send(site, 1)
    assert daemon.run(daemon.look(FRESHNESS).requests[0])
    send(site, 1, source="test:late", number=1)
    hurried = Daemon(instance, settings_at_once(site, warehouse_wait=timedelta(seconds=1)))
    with holding(site.warehouse.path) as holder:
        look = hurried.look(LATE_DATA)
    assert look.requests == ()
    assert f"PID {holder.pid}" in look.message
    assert hurried.look(LATE_DATA).days == [[1]]


def test_failures_in_a_row_slow_today_down_though_each_look_finds_another_input(
    site: Site, instance: dg.DagsterInstance
) -> None:
    site.employ()
    daemon = Daemon(instance, settings_at_once(site, attempt_pause=timedelta(seconds=60)))
    daemon.refresh()
    for number in range(3):
        send(site, 0, number=number)
        daemon.launched(daemon.look(LATE_DATA).requests[0], FAILURE)
    send(site, 0, number=9)
    assert "waiting for attempt 1 until" in daemon.look(LATE_DATA).message
