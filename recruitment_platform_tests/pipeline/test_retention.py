"""What is superseded is removed once it is old enough; what is in force, or may still be needed, never is."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.facts import compute_facts
from recruitment_platform.pipeline.manifests import manifest_key, snapshot_manifests
from recruitment_platform.pipeline.publish import current_facts, load_day, stage_day, verify
from recruitment_platform.pipeline.retention import BEING_WRITTEN, clean_superseded
from recruitment_platform.pipeline.snapshot import current_snapshot, take_snapshots
from recruitment_platform.transforms.engines import DuckDBEngine
from recruitment_platform_tests.site import Site, click

DAY = date(2025, 6, 2)
OTHER = DAY + timedelta(days=1)
WEEK = timedelta(days=7)
LATER = datetime.now(UTC) + timedelta(days=30)


def snapshot(site: Site, run_id: str, day: date = DAY) -> None:
    for _ in take_snapshots(site.lake, site.objects, [day], time_zone="UTC", run_id=run_id):
        pass


def compute(site: Site, run_id: str, day: date = DAY) -> None:
    for _ in compute_facts(site.objects, DuckDBEngine(), [day], lake_name=site.lake.name, run_id=run_id):
        pass


def publish(site: Site, run_id: str, day: date = DAY) -> None:
    """The whole path for the day, after one more event."""
    site.send([click(datetime(day.year, day.month, day.day, 9, tzinfo=UTC), len(keys(site, "")))], f"test:{run_id}")
    snapshot(site, run_id, day)
    compute(site, run_id, day)
    stage_day(site.objects, day, run_id)
    load_day(site.objects, site.warehouse, day, run_id)


def keys(site: Site, prefix: str) -> set[str]:
    return {found.key for found in site.objects.list(prefix)}


@contextmanager
def untouched(site: Site) -> Iterator[None]:
    before = keys(site, "")
    yield
    assert keys(site, "") == before


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of `thrice`."""
    site = Site(tmp_path_factory.mktemp("template"))
    site.employ()
    for run_id in ("one", "two", "three"):
        publish(site, run_id)
    return site.home


@pytest.fixture
def thrice(template: Path, tmp_path: Path) -> Site:
    """A day that was published three times, each time from more events."""
    return Site(Path(shutil.copytree(template, tmp_path / "home")))


def test_only_what_is_in_force_stays_once_the_rest_is_old(thrice: Site) -> None:
    clean_superseded(thrice.objects, [DAY], WEEK, LATER)
    snapshot_in_force, facts_in_force = current_snapshot(thrice.objects, DAY), current_facts(thrice.objects, DAY)
    assert snapshot_in_force is not None
    assert facts_in_force is not None
    assert keys(thrice, "raw_tracking/") == {
        manifest_key(snapshot_manifests(DAY), 3),
        *(entry.key for entry in snapshot_in_force.files),
    }
    assert keys(thrice, "job_hourly_events/") == {
        f"job_hourly_events/dt={DAY}/candidates/000003.json",
        *(entry.key for entry in facts_in_force.files),
    }
    assert keys(thrice, "s3_staged_events/") == {f"s3_staged_events/dt={DAY}/manifests/000003.json"}


def test_what_stays_is_whole_and_numbers_go_on(thrice: Site) -> None:
    before = thrice.warehouse.ledger()
    clean_superseded(thrice.objects, [DAY], WEEK, LATER)
    facts, behind = current_facts(thrice.objects, DAY), current_snapshot(thrice.objects, DAY)
    assert facts is not None
    assert behind is not None
    assert verify(thrice.objects, facts, behind) == {}
    stage_day(thrice.objects, DAY, "three")
    load_day(thrice.objects, thrice.warehouse, DAY, "three")
    assert thrice.warehouse.ledger() == before
    publish(thrice, "four")
    assert thrice.warehouse.ledger()[DAY].manifest == 4


def test_nothing_that_was_superseded_lately_is_removed(thrice: Site) -> None:
    with untouched(thrice):
        assert clean_superseded(thrice.objects, [DAY], WEEK) == 0


def test_age_counts_from_when_a_manifest_was_superseded_not_from_when_it_was_made(thrice: Site) -> None:
    numbers = [f"{number:06}.json" for number in (1, 2, 3)]
    made = [found.modified for found in thrice.objects.list(f"s3_staged_events/dt={DAY}/manifests/")]
    # exactly a week after 2 came into force: 1 is old enough, 2 is younger although its successor exists
    clean_superseded(thrice.objects, [DAY], WEEK, made[1] + WEEK + timedelta(microseconds=1))
    left = keys(thrice, f"s3_staged_events/dt={DAY}/manifests/")
    assert left == {f"s3_staged_events/dt={DAY}/manifests/{name}" for name in numbers[1:]}


def test_an_old_snapshot_behind_facts_in_force_stays(site: Site) -> None:
    site.employ()
    publish(site, "one")
    site.send([click("2025-06-02 10:00", 500)], "test:more")
    snapshot(site, "two")  # newer, but nothing was computed from it yet
    clean_superseded(site.objects, [DAY], timedelta(0), LATER)
    assert keys(site, "raw_tracking/") >= {manifest_key(snapshot_manifests(DAY), number) for number in (1, 2)}
    stage_day(site.objects, DAY, "one")


def test_the_files_of_facts_in_force_stay_though_the_day_was_computed_again_since(site: Site) -> None:
    site.employ()
    publish(site, "one")
    compute(site, "two")
    assert stage_day(site.objects, DAY, "two").facts.run_id == "one"  # the same rows: the manifest stays
    clean_superseded(site.objects, [DAY], timedelta(0), LATER)
    facts, behind = current_facts(site.objects, DAY), current_snapshot(site.objects, DAY)
    assert facts is not None
    assert behind is not None
    assert verify(site.objects, facts, behind) == {}
    assert f"job_hourly_events/dt={DAY}/candidates/000001.json" not in keys(site, "")


def test_a_candidate_that_another_run_has_yet_to_publish_stays_with_its_snapshot(site: Site) -> None:
    site.employ()
    publish(site, "one")
    compute(site, "slow")  # computed from snapshot 1, not yet published
    publish(site, "fast")
    clean_superseded(site.objects, [DAY], timedelta(hours=1))
    assert stage_day(site.objects, DAY, "slow").facts.run_id == "fast"


def test_files_that_no_manifest_names_are_removed_only_when_no_run_can_still_name_them(thrice: Site) -> None:
    orphans = {f"raw_tracking/dt={DAY}/killed-1.parquet", f"job_hourly_events/run=killed/dt={DAY}/001-x.parquet"}
    for key in orphans:
        thrice.objects.put_if_absent(key, b"orphan")
    clean_superseded(thrice.objects, [DAY], timedelta(0), datetime.now(UTC) + BEING_WRITTEN - timedelta(minutes=1))
    assert orphans <= keys(thrice, "")
    clean_superseded(thrice.objects, [DAY], timedelta(0), datetime.now(UTC) + BEING_WRITTEN + timedelta(minutes=1))
    assert not orphans & keys(thrice, "")


def test_other_days_are_left_alone(thrice: Site) -> None:
    publish(thrice, "other", OTHER)
    with untouched(thrice):
        assert clean_superseded(thrice.objects, [OTHER], timedelta(0), LATER) == 0


def test_an_error_stays_while_it_says_how_the_day_stands(thrice: Site) -> None:
    day_errors.record(thrice.objects, "older", DAY, "did not add up")
    day_errors.record(thrice.objects, "newer", DAY, "did not add up either")
    clean_superseded(thrice.objects, [DAY], WEEK)
    assert len(keys(thrice, "day_errors/")) == 2
    clean_superseded(thrice.objects, [DAY], WEEK, LATER)
    assert keys(thrice, "day_errors/") == {f"day_errors/run=newer/dt={DAY}.json"}
    publish(thrice, "mended")
    clean_superseded(thrice.objects, [DAY], WEEK, LATER)
    assert keys(thrice, "day_errors/") == set()


def test_an_empty_store_has_nothing_to_clean(site: Site) -> None:
    assert clean_superseded(site.objects, [DAY], timedelta(0), LATER) == 0
