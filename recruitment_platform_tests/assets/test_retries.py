"""Where a store is away a step is tried again within its run; nothing else is, for nothing else changes by itself."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from recruitment_platform.assets import steps
from recruitment_platform.assets.steps import EXIT_CODE
from recruitment_platform.automation.in_flight import RANGE_END_TAG, RANGE_START_TAG
from recruitment_platform.definitions import build_definitions
from recruitment_platform.errors import InputError, ReconciliationError, SettingsError, StoreUnavailableError
from recruitment_platform.transforms.engines import DuckDBEngine
from recruitment_platform_tests.runs import a_site, day, run, settings_of
from recruitment_platform_tests.site import Site

STEPS = {
    "lake": ("daily_facts", "raw_tracking"),
    "engine": ("daily_facts", "raw_tracking"),
    "warehouse": ("daily_facts", "publish"),
    "relational": ("refresh_dim_jobs", "dim_jobs"),
}
"""The first step that asks for each store."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return a_site(tmp_path, 1)


def failing(store: Any, times: int, error: Exception) -> Callable[[], Any]:
    """Opens the store, once that has failed so often."""
    left = [error] * times

    def opened() -> Any:
        if left:
            raise left.pop()
        return store

    return opened


def unattended(site: Site, instance: dg.DagsterInstance, job: str, overrides: dict[str, Any], **more: Any) -> Any:
    """A run of the day as the daemon starts it."""
    settings = settings_of(site, retry_pause=timedelta(milliseconds=10), **more)
    tags = {RANGE_START_TAG: str(day(0)), RANGE_END_TAG: str(day(0))} if job == "daily_facts" else {}
    return (
        build_definitions(settings, overrides)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    )


def retried(result: Any) -> list[str]:
    return [event.step_key for event in result.all_events if event.is_step_up_for_retry]


@pytest.mark.parametrize("store", STEPS)
def test_a_step_whose_store_is_away_is_tried_again_until_it_is_back(
    site: Site, instance: dg.DagsterInstance, store: str
) -> None:
    job, step = STEPS[store]
    opened = DuckDBEngine() if store == "engine" else getattr(site, store)
    away = failing(opened, 2, StoreUnavailableError("it is away"))
    result = unattended(site, instance, job, {store: away})
    assert result.success
    assert retried(result) == [step, step]


def test_a_store_that_stays_away_fails_the_step_with_its_own_words_after_the_last_retry(
    site: Site, instance: dg.DagsterInstance
) -> None:
    away = failing(site.warehouse, 99, StoreUnavailableError("it is away"))
    result = unattended(site, instance, "daily_facts", {"warehouse": away}, step_retries=1)
    assert retried(result) == ["publish"]
    told = result.failure_data_for_node("publish").user_failure_data
    assert told.description == f"1 of 1 days failed\n{day(0)}: it is away"
    assert told.metadata[EXIT_CODE].value == StoreUnavailableError.exit_code


@pytest.mark.parametrize("error", [ReconciliationError("no"), InputError("no"), SettingsError("no"), ValueError("no")])
def test_what_does_not_change_by_itself_is_not_tried_again(
    site: Site, instance: dg.DagsterInstance, error: Exception
) -> None:
    result = unattended(site, instance, "daily_facts", {"lake": failing(site.lake, 1, error)})
    assert not result.success
    assert retried(result) == []


def test_where_a_day_is_bad_and_a_store_away_nothing_is_tried_again(site: Site, instance: dg.DagsterInstance) -> None:
    site.relational.replace_events(day(0), 99, "d", site.warehouse.facts(day(0), day(0)))  # a newer manifest
    away = failing(site.warehouse, 99, StoreUnavailableError("it is away"))
    result = unattended(site, instance, "daily_facts", {"warehouse": away})
    assert not result.success
    assert retried(result) == []


def test_a_run_of_the_command_line_is_told_at_once(site: Site, instance: dg.DagsterInstance) -> None:
    away = failing(site.lake, 1, StoreUnavailableError("it is away"))
    outcome = run(site, instance, 1, overrides={"lake": away}, retry_pause=timedelta(seconds=600))
    assert (outcome.message, outcome.exit_code) == ("it is away", StoreUnavailableError.exit_code)


def test_who_cancels_a_run_is_obeyed(site: Site, instance: dg.DagsterInstance) -> None:
    """Dagster's own policy of retries would start the step again."""

    def cancelled() -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal did not come")

    result = unattended(site, instance, "daily_facts", {"lake": cancelled})
    assert not result.success
    assert retried(result) == []


def test_pauses_double_and_differ_at_random(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.random, "uniform", lambda low, high: high)
    away = failing(site.lake, 2, StoreUnavailableError("it is away"))
    result = unattended(site, instance, "daily_facts", {"lake": away})
    waits = [event.step_retry_data.seconds_to_wait for event in result.all_events if event.is_step_up_for_retry]
    assert waits == [pytest.approx(0.015), pytest.approx(0.03)]
