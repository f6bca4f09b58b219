"""A range of days in one run, with the real embedded stores: what is published, and what is told of each day."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from recruitment_platform.assets import metadata
from recruitment_platform.assets.plot import LONGEST
from recruitment_platform.automation.run import RunOutcome
from recruitment_platform.pipeline.publish import STAGING_CHECKS, TABLE_CHECKS, current_facts
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.protocols import DayState
from recruitment_platform_tests.runs import a_site, check_results, day, materializations, run, statuses
from recruitment_platform_tests.site import Site, click, time_uuid

DAYS = 3
DAILY = ("raw_tracking", "job_hourly_events", "s3_staged_events", "redshift_fact_events", "mysql_events")


@dataclass
class Ran:
    """A site whose days were run once, and what the run told."""

    site: Site
    instance: dg.DagsterInstance
    outcome: RunOutcome

    def metadata(self, asset: str, number: int) -> dict[str, Any]:
        return _values(materializations(self.instance, self.outcome.run_id)[asset, str(day(number))])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    site = a_site(tmp_path_factory.mktemp("home"), DAYS)
    # Day 0 also has two duplicates and a conflict, a click without job and bid, and an id that stands on another day.
    again = click("2024-03-01 00:00", 0, bid="0.50")
    site.send([again, again, {**again, "ua": "another"}], "test:again")
    jobless = time_uuid(datetime(2024, 3, 1, 12, tzinfo=UTC), 77)
    site.send([{"create_time": jobless, "custom_track": "click"}], "test:jobless")
    site.send([click("2024-03-01 13:00", 88), click("2024-03-01 13:00", 88, ts="2024-02-29 23:59:00")], "test:two-days")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ran(site, instance, run(site, instance, DAYS))


def test_a_range_is_published_in_one_run(ran: Ran) -> None:
    assert ran.outcome.success, ran.outcome.message
    assert set(ran.site.warehouse.ledger()) == {day(number) for number in range(DAYS)}
    runs = ran.instance.get_runs(dg.RunsFilter(job_name="daily_facts"))
    assert [found.run_id for found in runs] == [ran.outcome.run_id]


def test_every_daily_asset_is_materialized_for_every_day(ran: Ran) -> None:
    found = set(materializations(ran.instance, ran.outcome.run_id))
    assert found == {(asset, str(day(number))) for asset in DAILY for number in range(DAYS)}


def test_raw_tracking_tells_how_the_day_adds_up(ran: Ran) -> None:
    told = ran.metadata("raw_tracking", 0)
    snapshot = current_snapshot(ran.site.objects, day(0))
    assert snapshot is not None
    assert snapshot.listing is not None
    expected = {
        "dagster/partition_row_count": 9,
        "accepted": 12,
        "distinct": 9,
        "duplicates": 2,
        "conflicts": 1,
        "kinds": {"click": 5, "conversion": 1, "qualified": 1, "unqualified": 1, "not_countable": 1},
        "fallback_times": 9,
        "clicks_without_job": 1,
        "clicks_without_bid": 1,
        "ids_on_two_days": 1,
        "sources": "\n".join(
            (
                "| source | rows | positions |",
                "| --- | --- | --- |",
                "| `test:site` | 7 | 2 to 7 |",
                "| `test:again` | 3 | 1 to 3 |",
                "| `test:jobless` | 1 | 1 to 1 |",
                "| `test:two-days` | 1 | 1 to 1 |",
            )
        ),
        "rejected_rows_of_sources": 0,
        "listing": ran.site.objects.uri(snapshot.listing.key),
        "snapshot": 1,
        "manifest": ran.site.objects.uri(f"raw_tracking/dt={day(0)}/manifests/000001.json"),
        "watermark": {"test:site": 7, "test:again": 3, "test:jobless": 1, "test:two-days": 1},
        "positions": {
            "test:again": "1 to 3",
            "test:jobless": "1 to 1",
            "test:site": "2 to 7",
            "test:two-days": "1 to 1",
        },
        "digest": snapshot.digest,
    }
    assert told == expected
    assert pq.read_table(told["listing"], partitioning=None).num_rows == 2
    assert "listing" not in ran.metadata("raw_tracking", 1)


@pytest.mark.parametrize("asset", ["job_hourly_events", "s3_staged_events", "redshift_fact_events"])
def test_each_day_of_the_facts_tells_its_own_figures(ran: Ran, asset: str) -> None:
    told = [ran.metadata(asset, number) for number in range(DAYS)]
    facts = [current_facts(ran.site.objects, day(number)) for number in range(DAYS)]
    assert [one["digest"] for one in told] == [one.digest for one in facts if one]
    assert [one["clicks"] for one in told] == [5, 3, 3]
    assert [one["spend"] for one in told] == ["1.750000 USD", "4.500000 USD", "7.500000 USD"]
    assert [one["spend_micros"] for one in told] == [1_750_000, 4_500_000, 7_500_000]
    assert [one["dagster/partition_row_count"] for one in told] == [one.rows for one in facts if one]
    for one in told:
        assert (one["conversion"], one["qualified_application"], one["disqualified_application"]) == (1, 1, 1)
        assert (one["snapshot"], one["dim_jobs_version"], one["engine"]) == (1, 1, "duckdb")


@pytest.mark.parametrize("asset", ["s3_staged_events", "redshift_fact_events"])
def test_the_data_version_of_each_published_day_is_its_digest(ran: Ran, asset: str) -> None:
    found = materializations(ran.instance, ran.outcome.run_id)
    ledger = ran.site.warehouse.ledger()
    for number in range(DAYS):
        assert found[asset, str(day(number))].tags == {"dagster/data_version": ledger[day(number)].digest}
    assert statuses(ran.site, ran.instance, asset, DAYS) == ["MATERIALIZED"] * DAYS


def test_s3_staged_events_names_its_manifest_and_files(ran: Ran) -> None:
    told = ran.metadata("s3_staged_events", 1)
    (entry,) = current_facts(ran.site.objects, day(1)).files
    assert Path(told["manifest"]).is_file()
    assert told["manifest_number"] == 1
    assert entry.key in told["files"]
    assert told["bytes"] == entry.size
    assert told["watermark"] == {"test:site": 14}


@pytest.mark.parametrize("asset", ["s3_staged_events", "redshift_fact_events"])
def test_the_first_that_is_shown_of_a_day_is_its_plot(ran: Ran, asset: str) -> None:
    told = [ran.metadata(asset, number) for number in range(DAYS)]
    assert {next(iter(one)) for one in told} == {"plot"}
    assert len({one["plot"] for one in told}) == DAYS
    for one in told:
        assert one["plot"].startswith("![clicks and spend by hour](data:image/svg+xml,")
        assert len(one["plot"]) <= LONGEST


@pytest.mark.parametrize("asset", ["s3_staged_events", "redshift_fact_events"])
def test_the_facts_lead_to_their_manifest_and_files(ran: Ran, asset: str) -> None:
    told = ran.metadata(asset, 1)
    (entry,) = current_facts(ran.site.objects, day(1)).files
    assert Path(told["manifest"]).is_file()
    assert told["files"] == f"- `{ran.site.objects.uri(entry.key)}`, {entry.rows} rows"
    assert Path(ran.site.objects.uri(entry.key)).is_file()


def test_the_facts_lead_to_the_audit_and_tell_what_loads_changed(ran: Ran) -> None:
    told = ran.metadata("redshift_fact_events", 1)["audit"]
    first, _, header, _, *loads = told.splitlines()
    assert first.startswith(f"`recruitment-platform audit {day(1)}` explains the day")
    assert header == "| loaded, UTC | rows | clicks | USD | clicks ± | USD ± |"
    assert [load.split(" | ")[1:] for load in loads] == [["4", "3", "4.500000", "+3", "+4.500000 |"]]


def test_many_loads_and_sources_still_fit_what_is_shown_unasked(ran: Ran) -> None:
    row = ran.site.warehouse.ledger()[day(0)]
    loads = [replace(row, rows=10**9 - n, clicks=10**9 - n, spend_micros=10**15 - n) for n in range(30)]
    entry = metadata.audit_entry(day(0), loads, "USD").md_str
    assert entry.endswith("| 999,999,971 | 999,999,971 | 999,999,999.999971 | -1 | -0.000001 |\nand 25 before")
    snapshot = current_snapshot(ran.site.objects, day(0))
    brought = [DayState(day(0), f"file:{n:064x}", 10**6, 10**6 - n, 0) for n in range(30)]
    positions = {state.source: (1, 10**6) for state in brought}
    told = metadata.snapshot_metadata(ran.site.objects, replace(snapshot, positions=positions), brought, {})
    assert "| `file:000000000000…` | 1,000,000 | 1 to 1000000 |\n" in told["sources"].md_str
    assert told["sources"].md_str.endswith("\nand 22 more")
    assert max(len(entry), len(told["sources"].md_str)) <= LONGEST


def test_the_facts_show_rates_and_the_busiest_rows_with_names(ran: Ran) -> None:
    told = ran.metadata("redshift_fact_events", 1)
    assert told["rates"].splitlines() == [
        "- 33.33 % of the clicks became applications",
        "- 100.00 % of the applications were qualified",
        "- 1.5000 USD a click",
        "- 4.5000 USD an application",
    ]
    header, _, *rows = told["preview"].splitlines()
    assert header == "| hour | job | company | publisher | clicks | applications | spend |"
    assert rows[:3] == [
        "| 0 | 1 Cook | 100 | 1 | 1 | 0 | 1.50 |",
        "| 8 | 2 Nurse | 101 | 1 | 1 | 0 | 1.50 |",
        "| 16 | 1 Cook | 100 | 1 | 1 | 0 | 1.50 |",
    ]


def test_the_reports_have_the_rows_of_the_fact_table(ran: Ran) -> None:
    events = ran.site.relational.events(day(0), day(DAYS - 1))
    assert events.num_rows
    assert events.equals(ran.site.warehouse.facts(day(0), day(DAYS - 1)))
    ledger = ran.site.warehouse.ledger()
    found = materializations(ran.instance, ran.outcome.run_id)
    for number in range(DAYS):
        told, loaded = ran.metadata("mysql_events", number), ran.metadata("redshift_fact_events", number)
        for name in ("dagster/partition_row_count", "clicks", "spend", "manifest_number", "digest"):
            assert told[name] == loaded[name]
        tags = found["mysql_events", str(day(number))].tags
        assert tags == {"dagster/data_version": ledger[day(number)].digest}


def test_dim_jobs_tells_its_version_and_what_changed(ran: Ran) -> None:
    (refresh,) = ran.instance.get_runs(dg.RunsFilter(job_name="refresh_dim_jobs"))
    found = materializations(ran.instance, refresh.run_id)
    told = _values(found["dim_jobs", None])
    assert {name: told[name] for name in ("dagster/row_count", "version", "opened", "closed", "publishers")} == {
        "dagster/row_count": 2,
        "version": 1,
        "opened": 0,
        "closed": 0,
        "publishers": 0,
    }
    assert found["dim_jobs", None].tags["dagster/data_version"] == told["digest"]


def test_every_check_passes_over_all_days(ran: Ran) -> None:
    found = check_results(ran.instance, ran.outcome.run_id)
    assert set(found) == {*STAGING_CHECKS, *TABLE_CHECKS}
    for name, result in found.items():
        assert result.passed, name
        assert result.metadata["days_checked"].value == DAYS
        assert result.metadata["bad_days"].value == {}


def test_the_warehouse_has_the_dimensions_that_the_view_joins(ran: Ran) -> None:
    rows = ran.site.warehouse.query(
        "select job_title, sum(clicks) from job_performance group by job_title order by job_title"
    )
    assert [tuple(row.values()) for row in rows.to_pylist()][:2] == [("Cook", 7), ("Nurse", 3)]


def test_a_day_without_events_is_published_empty(ran: Ran) -> None:
    outcome = run(ran.site, ran.instance, 1, first=10)
    assert outcome.success, outcome.message
    assert ran.site.warehouse.ledger([day(10)])[day(10)].rows == 0
    told = _values(materializations(ran.instance, outcome.run_id)["redshift_fact_events", str(day(10))])
    assert (told["dagster/partition_row_count"], told["preview"]) == (0, "no rows")
    assert told["plot"].startswith("![")
    assert told["rates"] == "none"


def test_days_again_alone_or_in_a_range_keep_their_digests(ran: Ran) -> None:
    before = {found: row.digest for found, row in ran.site.warehouse.ledger().items()}
    assert run(ran.site, ran.instance, 1, first=1).success
    assert run(ran.site, ran.instance, DAYS).success
    assert {found: row.digest for found, row in ran.site.warehouse.ledger().items()} == before
    assert ran.site.warehouse.ledger()[day(1)].manifest == 1


def test_a_run_removes_what_killed_writers_left_behind(ran: Ran) -> None:
    left = [
        ran.site.lake.root / "tracking" / "event_date=2024-03-01" / "killed.parquet",
        ran.site.objects.root / "raw_tracking" / "dt=2024-03-01" / ".writing-killed",
    ]
    for file in left:
        file.write_bytes(b"half of")
    young = left[0].with_name("busy.parquet")
    young.write_bytes(b"half of")
    for file in left:
        os.utime(file, (0, 0))
    assert run(ran.site, ran.instance, 1).success
    assert [file.exists() for file in (*left, young)] == [False, False, True]


def _values(materialization: dg.AssetMaterialization) -> dict[str, Any]:
    return {name: value.value for name, value in materialization.metadata.items()}
