"""Runs started from the command line: what they tell, and what becomes of those that cannot go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from recruitment_platform.automation.backfill import Chunk, run_chunks
from recruitment_platform.automation.instance import (
    PROCESS_TAG,
    PROCESSES,
    fail_abandoned_runs,
    open_instance,
    process_tag,
    tag_with_process,
)
from recruitment_platform.automation.run import run_partitions
from recruitment_platform.definitions import build_definitions
from recruitment_platform.errors import InputError, SettingsError, StoreUnavailableError
from recruitment_platform.settings import Settings
from recruitment_platform_tests.runs import FIRST, a_site, day, run, settings_of
from recruitment_platform_tests.site import Site

FAILURE = dg.DagsterRunStatus.FAILURE
REFRESH_LATER = datetime(2020, 6, 1, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return a_site(tmp_path, 1)


def test_a_run_tells_each_step_of_each_day_and_nothing_else(
    site: Site, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    assert run_partitions(instance, settings_of(site), day(0), day(1), progress=lines.append).success
    assert capfd.readouterr() == ("", "")
    assert lines == [
        "dim_jobs: version 1, 0 opened, 0 closed, 2 rows",
        "raw_tracking 2024-03-01: 7 distinct of 7 accepted events",
        "raw_tracking 2024-03-02: 0 distinct of 0 accepted events",
        "job_hourly_events: computing 2 days on duckdb",
        "job_hourly_events 2024-03-01: 4 rows, 3 clicks",
        "job_hourly_events 2024-03-02: 0 rows, 0 clicks",
        "published 2024-03-01",
        "published 2024-03-02",
        "2 of 2 days published",
    ]


def test_dim_jobs_is_refreshed_as_of_the_given_instant(site: Site, instance: dg.DagsterInstance) -> None:
    site.employ([{"id": "3", "title": "Baker", "status": "1"}], as_of=datetime(2020, 1, 2, tzinfo=UTC))
    site.relational.upsert("job", [{"id": 3, "title": "Baker and cook", "status": 1}])
    assert run_partitions(instance, settings_of(site), day(0), day(0), as_of=REFRESH_LATER).success
    versions = [row for row in site.relational.dim_jobs()[1].to_pylist() if row["job_id"] == 3]
    assert [(row["title"], row["valid_to"]) for row in versions] == [
        ("Baker", REFRESH_LATER),
        ("Baker and cook", None),
    ]


def test_where_dim_jobs_cannot_be_refreshed_no_day_is_run(site: Site, instance: dg.DagsterInstance) -> None:
    assert run_partitions(instance, settings_of(site), day(0), day(0), as_of=REFRESH_LATER).success
    before = site.warehouse.ledger()
    outcome = run_partitions(instance, settings_of(site), day(0), day(0), as_of=REFRESH_LATER - timedelta(days=1))
    assert not outcome.success
    assert outcome.exit_code == InputError.exit_code
    assert "2020-05-31" in outcome.message
    assert "\n" not in outcome.message
    assert len(instance.get_runs(dg.RunsFilter(job_name="daily_facts"))) == 1
    assert site.warehouse.ledger() == before


def test_a_store_that_cannot_be_opened_fails_the_run_with_its_own_words(
    site: Site, instance: dg.DagsterInstance
) -> None:
    outcome = run(site, instance, 1, time_zone="Europe/Berlin")
    assert outcome.exit_code == SettingsError.exit_code
    assert outcome.message.startswith("RECRUITMENT_TIME_ZONE is Europe/Berlin, but the lake at")
    assert outcome.failed_days == {}


def test_a_step_that_breaks_is_told_with_its_error_and_its_run(site: Site, instance: dg.DagsterInstance) -> None:
    def broken() -> Site:
        raise ZeroDivisionError("of all things")

    outcome = run(site, instance, 1, overrides={"lake": broken})
    assert outcome.message == f"run {outcome.run_id} failed: ZeroDivisionError: of all things"
    assert outcome.exit_code == 1


def test_ctrl_c_ends_the_run_which_is_recorded_as_failed(site: Site, instance: dg.DagsterInstance) -> None:
    def interrupted() -> Site:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        return site

    with pytest.raises(KeyboardInterrupt):
        run(site, instance, 1, overrides={"lake": interrupted})
    (found,) = instance.get_runs(dg.RunsFilter(job_name="daily_facts"))
    assert found.status == dg.DagsterRunStatus.FAILURE


@pytest.fixture
def late_ctrl_c(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when all steps of a run have ended and it is recorded as such: Dagster handles it no more."""
    handle = instance.handle_new_event

    def interrupted(event: dg.EventLogEntry, **how: Any) -> None:
        handle(event, **how)
        if event.dagster_event_type == dg.DagsterEventType.RUN_SUCCESS:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(instance, "handle_new_event", interrupted)


@pytest.mark.usefixtures("late_ctrl_c")
def test_ctrl_c_at_the_very_end_of_the_refresh_begins_no_days(site: Site, instance: dg.DagsterInstance) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(site, instance, 1)
    (found,) = instance.get_runs()
    assert (found.job_name, found.status) == ("refresh_dim_jobs", dg.DagsterRunStatus.SUCCESS)


@pytest.mark.usefixtures("late_ctrl_c")
def test_ctrl_c_at_the_very_end_of_a_run_keeps_it_and_begins_no_other(site: Site, instance: dg.DagsterInstance) -> None:
    settings = settings_of(site)
    chunks = [Chunk(day(number), day(number)) for number in range(2)]
    ended = {}
    with pytest.raises(KeyboardInterrupt):
        ended.update(run_chunks(instance, settings, build_definitions(settings), chunks, progress=lambda _: None))
    assert [(chunk, outcome.success) for chunk, outcome in ended.items()] == [(chunks[0], True)]
    assert len(instance.get_runs()) == 1


@pytest.mark.usefixtures("late_ctrl_c")
def test_ctrl_c_at_the_very_end_of_the_last_run_leaves_nothing_undone(site: Site, instance: dg.DagsterInstance) -> None:
    settings = settings_of(site)
    ran = run_chunks(instance, settings, build_definitions(settings), [Chunk(day(0), day(0))], progress=lambda _: None)
    assert [outcome.success for _, outcome in ran] == [True]


def test_days_that_are_no_partitions_are_refused_before_anything_is_run(
    site: Site, instance: dg.DagsterInstance
) -> None:
    for first, last in ((day(0), day(-1)), (day(0), day(100_000)), (day(-100_000), day(0))):
        with pytest.raises(InputError):
            run_partitions(instance, settings_of(site), first, last)
    assert instance.get_runs() == []


def test_the_home_has_dagsters_settings_which_may_be_changed_there(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with open_instance(settings) as instance:
        concurrency = instance.get_concurrency_config()
        assert concurrency.pool_config.pool_granularity == dg._core.instance.config.PoolGranularity.RUN
        assert concurrency.pool_config.default_pool_limit == 1
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled
        assert Path(instance.storage_directory()).is_relative_to(settings.dagster_home)
    config = settings.dagster_home / "dagster.yaml"
    config.write_text("telemetry:\n  enabled: false\n")
    with open_instance(settings) as instance:
        assert not instance.run_monitoring_enabled


def test_runs_stay_in_the_home(site: Site) -> None:
    with open_instance(settings_of(site)) as instance:
        outcome = run(site, instance, 1)
    with open_instance(settings_of(site)) as again:
        found = again.get_run_by_id(outcome.run_id)
        assert found is not None
        assert found.status == dg.DagsterRunStatus.SUCCESS
        assert found.tags["dagster/asset_partition_range_start"] == str(FIRST)


def test_a_run_whose_process_is_gone_is_failed_and_one_that_lives_is_not(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    gone = subprocess.run(
        [sys.executable, "-c", DIE_HOLDING, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert gone.returncode == -9, gone.stderr
    with open_instance(settings) as instance, process_tag(settings) as alive:
        runs = {
            name: instance.add_run(dg.DagsterRun(job_name="daily_facts", tags=tags, status=dg.DagsterRunStatus.STARTED))
            for name, tags in {
                "gone": {PROCESS_TAG: gone.stdout.strip()},
                "alive": alive,
                "of the daemon": {},
            }.items()
        }
        with open_instance(settings) as other:
            statuses = {name: other.get_run_by_id(found.run_id).status.name for name, found in runs.items()}
    assert statuses == {"gone": "FAILURE", "alive": "STARTED", "of the daemon": "STARTED"}


def test_a_run_that_is_run_again_is_not_taken_for_gone_by_the_tag_of_the_former_one(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    tags = {PROCESS_TAG: "gone"}
    with open_instance(settings) as instance:
        former = instance.add_run(dg.DagsterRun(job_name="daily_facts", tags=tags, status=FAILURE))
        again = instance.add_run(
            dg.DagsterRun(
                job_name="daily_facts",
                tags=tags,
                status=dg.DagsterRunStatus.STARTING,
                parent_run_id=former.run_id,
                root_run_id=former.run_id,
            )
        )
        assert fail_abandoned_runs(instance, settings) == []
        tag_with_process(instance, again.run_id)
        assert fail_abandoned_runs(instance, settings) == []
        instance.add_run_tags(again.run_id, {PROCESS_TAG: "gone too"})
        assert fail_abandoned_runs(instance, settings) == [again.run_id]


def test_what_processes_that_are_gone_held_is_removed_and_what_is_held_stays(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    gone = subprocess.run(
        [sys.executable, "-c", DIE_HOLDING, str(tmp_path)], capture_output=True, text=True, check=False
    )
    with open_instance(settings) as instance, process_tag(settings) as tag:
        tag_with_process(instance, instance.add_run(dg.DagsterRun(job_name="daily_facts")).run_id)
        held = {path.name for path in (settings.dagster_home / PROCESSES).iterdir()}
        assert tag[PROCESS_TAG] in held
        assert len(held) == 2
        fail_abandoned_runs(instance, settings)
        assert {path.name for path in (settings.dagster_home / PROCESSES).iterdir()} == held
    assert gone.stdout.strip() not in held


DIE_HOLDING = """
import os, signal, sys
from pathlib import Path
from recruitment_platform.automation.instance import PROCESS_TAG, process_tag
from recruitment_platform.settings import Settings

with process_tag(Settings(home=Path(sys.argv[1]))) as tag:
    print(tag[PROCESS_TAG], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_home_that_cannot_be_written_is_told_in_one_line() -> None:
    with (
        pytest.raises(StoreUnavailableError, match=r"^Dagster's storage /proc/1/nowhere/dagster cannot be used: "),
        open_instance(Settings(home=Path("/proc/1/nowhere"))),
    ):
        pass
