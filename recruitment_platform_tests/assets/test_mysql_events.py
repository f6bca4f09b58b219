"""The reports' `events` have the days that are published, whatever becomes of the fact table or of other days."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from recruitment_platform.errors import ReconciliationError, StoreUnavailableError, SupersededError
from recruitment_platform.pipeline.manifests import publish, staged_manifests
from recruitment_platform.pipeline.publish import current_facts
from recruitment_platform.pipeline.reports import report_day
from recruitment_platform_tests.operations import watched_stores
from recruitment_platform_tests.runs import FIRST, a_site, day, materializations, run
from recruitment_platform_tests.site import Site, click


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def with_a_store_away(site: Site, *operations: str) -> dict[str, Any]:
    """The site's stores, of which these operations fail as where a server is away."""

    def watcher(moment: str, operation: str) -> None:
        if (moment, operation) in {("before", name) for name in operations}:
            raise StoreUnavailableError(f"{operation} is away")

    stores = watched_stores(site, watcher)
    return {name: stores[name] for name in ("relational", "warehouse")}


def reported(site: Site, days: int) -> set[date]:
    return set(site.relational.events(day(0), day(days - 1))["dates"].to_pylist())


def test_a_bad_day_holds_up_no_good_one(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    site = a_site(tmp_path, 3)
    assert run(site, instance, 3).success
    for number in range(3):
        site.send([click(f"2024-03-0{1 + number} 22:00", 500)], f"test:late:{number}")
    before = site.relational.events(day(1), day(1))
    with closing(sqlite3.connect(site.lake.catalog)) as catalog, catalog:
        catalog.execute("UPDATE day_state SET rows = rows + 1 WHERE event_date = ?", [str(day(1))])
    outcome = run(site, instance, 3)
    assert list(outcome.failed_days) == [day(1)]
    assert site.relational.events(day(1), day(1)).equals(before)
    for number in (0, 2):
        events = site.relational.events(day(number), day(number))
        assert events.equals(site.warehouse.facts(day(number), day(number)))
        assert sum(events["clicks"].to_pylist()) == 4


def test_a_day_that_the_warehouse_cannot_take_is_reported_all_the_same(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    site = a_site(tmp_path, 2)
    outcome = run(site, instance, 2, overrides=with_a_store_away(site, "warehouse.load_day"))
    assert outcome.exit_code == StoreUnavailableError.exit_code
    assert set(outcome.failed_days) == {day(0), day(1)}
    assert site.warehouse.ledger() == {}
    assert reported(site, 2) == {day(0), day(1)}
    told = {found for found in materializations(instance, outcome.run_id) if found[0] == "mysql_events"}
    assert told == {("mysql_events", str(day(number))) for number in range(2)}


def test_while_the_relational_store_is_away_the_fact_table_is_loaded_and_the_next_run_catches_up(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    site = a_site(tmp_path, 2)
    outcome = run(site, instance, 2, overrides=with_a_store_away(site, "relational.replace_events"))
    assert outcome.exit_code == StoreUnavailableError.exit_code
    assert set(outcome.failed_days.values()) == {"relational.replace_events is away"}
    assert set(site.warehouse.ledger()) == {day(0), day(1)}
    assert reported(site, 2) == set()
    assert run(site, instance, 2).success
    assert reported(site, 2) == {day(0), day(1)}


def test_a_day_that_fails_in_both_tells_of_both(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    site = a_site(tmp_path, 1)
    overrides = with_a_store_away(site, "warehouse.load_day", "relational.replace_events")
    outcome = run(site, instance, 1, overrides=overrides)
    assert outcome.failed_days == {day(0): "warehouse.load_day is away; relational.replace_events is away"}
    assert outcome.exit_code == StoreUnavailableError.exit_code


def test_a_day_is_reported_from_its_manifest_in_force(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    site = a_site(tmp_path, 1)
    with pytest.raises(ReconciliationError, match="mysql_events 2024-03-01: nothing is staged"):
        report_day(site.objects, site.relational, FIRST)
    assert run(site, instance, 1).success
    manifest = current_facts(site.objects, FIRST)
    assert manifest is not None
    assert report_day(site.objects, site.relational, FIRST) == manifest

    nothing = replace(manifest, number=2, files=(), rows=0, clicks=0, spend_micros=0, digest="0" * 64)
    assert publish(site.objects, staged_manifests(FIRST), nothing)
    assert report_day(site.objects, site.relational, FIRST) == nothing
    assert site.relational.events(FIRST, FIRST).num_rows == 0

    site.objects.delete([f"{staged_manifests(FIRST)}000002.json"])
    with pytest.raises(SupersededError, match="manifest 2 is already there; 1 is older"):
        report_day(site.objects, site.relational, FIRST)

    wrong = replace(manifest, number=3, clicks=manifest.clicks + 1)
    assert publish(site.objects, staged_manifests(FIRST), wrong)
    with pytest.raises(ReconciliationError, match=r"the files of manifest 3 have clicks \d+ instead of \d+"):
        report_day(site.objects, site.relational, FIRST)

    gone = replace(manifest, number=4)
    assert publish(site.objects, staged_manifests(FIRST), gone)
    site.objects.delete([entry.key for entry in manifest.files])
    with pytest.raises(ReconciliationError, match=r"the staged file .+ is gone; materialize the day again"):
        report_day(site.objects, site.relational, FIRST)
    assert site.relational.events(FIRST - timedelta(days=1), FIRST).num_rows == 0
