"""The day's snapshot: rule 1, promise 1, and who wins of two."""

import sqlite3
from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import ReconciliationError
from recruitment_platform.model.contract import RAW_TRACKING
from recruitment_platform.model.door import DoorRules
from recruitment_platform.model.schemas import arrow_schema
from recruitment_platform.pipeline import day_errors
from recruitment_platform.pipeline.manifests import SnapshotManifest, history, snapshot_manifests
from recruitment_platform.pipeline.snapshot import current_snapshot, take_snapshots
from recruitment_platform.resources.protocols import LakeScan
from recruitment_platform_tests.pipeline.tampering import change_lake
from recruitment_platform_tests.resources.lake_batches import events_in
from recruitment_platform_tests.site import RULES, Site, click, event

DAY = date(2025, 6, 2)


def snapshot(site: Site, day: date = DAY, run_id: str = "run") -> SnapshotManifest:
    ((_, taken),) = take_snapshots(site.lake, site.objects, [day], time_zone=site.rules.time_zone, run_id=run_id)
    assert isinstance(taken, SnapshotManifest), taken
    return taken


def rows(site: Site, manifest: SnapshotManifest) -> list[dict[str, object]]:
    return [row for file in manifest.files for row in pq.read_table(site.objects.local(file.key)).to_pylist()]


def test_duplicates_and_conflicts_are_counted_and_the_smallest_hash_counts(site: Site) -> None:
    first = click("2025-06-02 10:00", 1, bid="1")
    other = {**first, "bid": "2"}
    site.send([first, first, other, click("2025-06-02 11:00", 2), event("2025-06-02 11:00", 3)])
    taken = snapshot(site)
    assert (taken.accepted, taken.distinct, taken.duplicates, taken.conflicts) == (5, 3, 1, 1)
    assert taken.kinds == {"click": 2, "conversion": 0, "qualified": 0, "unqualified": 0, "not_countable": 1}
    versions = events_in(site.lake.scan(DAY)).to_pylist()
    smallest = min((v for v in versions if v["create_time"] == first["create_time"]), key=lambda v: v["payload_hash"])
    counted = {row["create_time"]: row for row in rows(site, taken)}
    assert counted[first["create_time"]]["bid_micros"] == smallest["bid_micros"]
    assert taken.click_micros == smallest["bid_micros"] + 250_000
    assert taken.listing is not None
    listed = pq.read_table(site.objects.local(taken.listing.key)).to_pylist()
    assert [(row["reason"], row["create_time"], row["source"]) for row in listed] == [
        ("conflict", first["create_time"], "test:site")
    ]
    assert listed[0]["payload_hash"] != smallest["payload_hash"]


def test_the_positions_lead_back_to_where_each_event_first_came(site: Site) -> None:
    first = click("2025-06-02 10:00", 1)
    site.send([event("2025-06-01 09:00", 9), first, click("2025-06-02 11:00", 2)], "kafka:tracking/0@id")
    site.send([event("2025-06-01 09:00", 8), first, {**first, "bid": "2"}, first], "kafka:tracking/1@id")
    assert snapshot(site).positions == {"kafka:tracking/0@id": (2, 3), "kafka:tracking/1@id": (3, 3)}
    assert snapshot(site, DAY + timedelta(days=1)).positions == {}


def test_the_same_id_on_another_day_is_a_second_event_and_is_listed(site: Site) -> None:
    today = click("2025-06-02 00:01", 1)
    site.send([today, {**today, "ts": "2025-06-01 23:59:00"}, click("2025-06-02 05:00", 2)])
    taken = snapshot(site)
    assert (taken.distinct, taken.conflicts, taken.ids_on_two_days) == (2, 0, 1)
    assert taken.listing is not None
    listed = pq.read_table(site.objects.local(taken.listing.key)).to_pylist()
    assert [(row["reason"], row["create_time"]) for row in listed] == [("id_on_two_days", today["create_time"])]
    assert snapshot(site, DAY - timedelta(days=1)).ids_on_two_days == 1


@pytest.mark.parametrize(
    ("custom_track", "kind", "measure"),
    [
        ("click", "click", 1),
        ("clicks", "click", 1),
        ("conversion", "conversion", 2),
        ("qualified", "qualified", 3),
        ("unqualified", "unqualified", 4),
        ("Click", "not_countable", 0),
        ("alive", "not_countable", 0),
        ("interview_scheduled", "not_countable", 0),
        ("", "not_countable", 0),
    ],
)
def test_custom_track_decides_the_kind_and_which_count_of_the_facts_it_adds_to(
    site: Site, custom_track: str, kind: str, measure: int
) -> None:
    site.send([event("2025-06-02 10:00", custom_track=custom_track)])
    (row,) = rows(site, snapshot(site))
    assert (row["kind"], row["measure"]) == (kind, measure)


def test_clicks_without_job_or_bid_and_fallback_times_are_counted(site: Site) -> None:
    site.send(
        [
            click("2025-06-02 10:00", 1, job_id=""),
            click("2025-06-02 10:00", 2, job_id="0", bid=""),
            click("2025-06-02 10:00", 3, bid="0", ts="2025-06-02 09:59:00"),
            event("2025-06-02 10:00", 4, job_id=""),
        ]
    )
    taken = snapshot(site)
    assert (taken.clicks_without_job, taken.clicks_without_bid, taken.fallback_times) == (2, 1, 3)


def test_the_file_has_the_contracts_columns_and_hours_of_the_time_zone(site: Site, tmp_path: object) -> None:
    site.send([click("2025-06-02 10:00")])
    taken = snapshot(site)
    assert pq.read_schema(site.objects.local(taken.files[0].key)).names == list(RAW_TRACKING.column_names)
    found = pq.read_table(site.objects.local(taken.files[0].key)).schema
    assert [field.type for field in found] == [field.type for field in arrow_schema(RAW_TRACKING)]


def test_an_hour_that_comes_twice_shares_its_number(tmp_path: object) -> None:
    site = Site(tmp_path / "berlin", DoorRules(time_zone="Europe/Berlin", first_day=RULES.first_day))  # type: ignore[operator]
    day = date(2025, 10, 26)
    site.send([click(f"2025-10-{d} {h:02}:30", d * 100 + h) for d, h in [(25, 22), (26, 0), (26, 1), (26, 22)]])
    taken = snapshot(site, day)
    assert sorted(row["event_hour"] for row in rows(site, taken)) == [0, 2, 2, 23]  # type: ignore[type-var]


def test_an_equal_snapshot_is_not_written_again(site: Site) -> None:
    site.send([click("2025-06-02 10:00")])
    first = snapshot(site, run_id="one")
    assert snapshot(site, run_id="two") == first
    assert len(history(site.objects, snapshot_manifests(DAY), SnapshotManifest)) == 1
    assert len([found for found in site.objects.list("raw_tracking/") if found.key.endswith(".parquet")]) == 1


def test_duplicates_alone_advance_the_watermark_and_keep_the_digest(site: Site) -> None:
    site.send([click("2025-06-02 10:00")])
    first = snapshot(site)
    site.send([click("2025-06-02 10:00")])
    second = snapshot(site)
    assert second.number == 2
    assert (second.digest, second.duplicates) == (first.digest, 1)
    assert second.watermark["test:site"] > first.watermark["test:site"]


def test_a_day_without_events_has_an_empty_snapshot(site: Site) -> None:
    taken = snapshot(site)
    assert (taken.accepted, taken.distinct, taken.rows, sum(taken.kinds.values())) == (0, 0, 0, 0)


def test_a_day_that_does_not_add_up_is_recorded_and_others_go_on(site: Site) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    site.send([click("2025-06-02 10:00"), click("2025-06-03 10:00")])
    with sqlite3.connect(site.lake.catalog) as catalog:
        catalog.execute("UPDATE day_state SET rows = rows + 1 WHERE event_date = ?", [str(DAY)])
    catalog.close()
    taken = dict(take_snapshots(site.lake, site.objects, days, time_zone="UTC", run_id="run"))
    assert isinstance(taken[DAY], ReconciliationError)
    assert "2 accepted" in str(taken[DAY])
    assert isinstance(taken[days[1]], SnapshotManifest)
    assert day_errors.recorded(site.objects, "run", DAY) == str(taken[DAY])
    assert day_errors.recorded(site.objects, "run", days[1]) is None
    assert current_snapshot(site.objects, DAY) is None


def test_events_of_a_source_that_no_state_tells_of_are_never_published(site: Site) -> None:
    site.send([click("2025-06-02 10:00", 1)])
    change_lake(site.lake, DAY, "test:site", "SELECT * REPLACE ('elsewhere' AS source) FROM rows")
    ((_, taken),) = take_snapshots(site.lake, site.objects, [DAY], time_zone="UTC", run_id="run")
    assert isinstance(taken, ReconciliationError)
    assert str(taken).startswith(f"raw_tracking {DAY}: the lake holds events of which its day_state does not tell")
    assert "elsewhere" in str(taken)
    assert current_snapshot(site.objects, DAY) is None


def test_an_older_look_at_the_lake_takes_another_and_never_replaces_a_newer_snapshot(site: Site) -> None:
    site.send([click("2025-06-02 10:00", 1)])
    old = site.lake.scan(DAY)
    site.send([click("2025-06-02 10:00", 2)])
    newest = snapshot(site, run_id="newest")

    class Slow:
        """The lake, whose first look is from before the second click."""

        looks = 0

        def scan(self, day: date, columns: Sequence[str]) -> LakeScan:
            self.looks += 1
            return old if self.looks == 1 else site.lake.scan(day, columns)

        ids_on_two_days = site.lake.ids_on_two_days

    slow = Slow()
    ((_, taken),) = take_snapshots(slow, site.objects, [DAY], time_zone="UTC", run_id="older")  # type: ignore[arg-type]
    assert taken == newest
    assert slow.looks == 2
