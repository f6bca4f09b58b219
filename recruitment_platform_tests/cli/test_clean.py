"""`clean` removes what killed runs left and what is superseded, of all days; nothing that is in force or in use."""

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from recruitment_platform.cli import cli
from recruitment_platform.pipeline.publish import current_facts
from recruitment_platform.pipeline.retention import clean_superseded, days_with_objects
from recruitment_platform_tests.runs import a_site, day, run
from recruitment_platform_tests.site import Site, click


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("RECRUITMENT_HOME", str(tmp_path / "home"))
    return a_site(tmp_path / "home", 2)


def clean(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["clean", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return str(done.stderr)


def test_leftovers_of_that_age_are_removed_and_counted(site: Site) -> None:
    left = [
        site.lake.root / "tracking" / "event_date=2024-03-01" / "killed.parquet",
        site.objects.root / "raw_tracking" / ".writing-killed",
    ]
    young = left[1].with_name(".writing-busy")
    for file in (*left, young):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half of")
    for file in left:
        os.utime(file, (0, 0))
    assert "1 leftovers removed from the lake, 1 from the object store" in clean()
    assert [file.exists() for file in (*left, young)] == [False, False, True]
    assert "0 leftovers removed from the lake, 1 from the object store" in clean("--older-than", "0")


def test_what_is_superseded_goes_of_every_day_and_what_is_in_force_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(site, instance, 2).success
        for number in range(2):
            site.send([click(f"2024-03-0{1 + number} 22:00", 500)], f"test:late:{number}")
        assert run(site, instance, 2).success
    assert days_with_objects(site.objects) == {day(0), day(1)}
    assert "0 superseded objects removed" in clean()
    monkeypatch.setenv("RECRUITMENT_KEEP_SUPERSEDED", "0")
    told = clean()
    assert "0 superseded" not in told.replace("10 superseded", "")
    for number in range(2):
        facts = current_facts(site.objects, day(number))
        assert facts is not None
        assert facts.number == 2
        assert all(site.objects.local(entry.key).is_file() for entry in facts.files)
    assert clean_superseded(site.objects, [day(0), day(1)], timedelta(0)) == 0
