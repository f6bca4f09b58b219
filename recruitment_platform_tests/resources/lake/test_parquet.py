"""The embedded lake's own promises: its folder, its settings, and one clear line for whatever is wrong with them."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recruitment_platform.errors import PlatformError, SettingsError, StoreUnavailableError
from recruitment_platform.model.door import DOOR_VERSION
from recruitment_platform.resources.lake.parquet import ParquetLake, open_lake
from recruitment_platform_tests.resources.lake_batches import (
    RULES,
    append_all,
    contents,
    events_in,
    events_of,
    rejected_row,
    through_door,
)
from recruitment_platform_tests.site import click

FILE, OTHER = "file:" + "a" * 64, "file:" + "b" * 64
DAY = date(2024, 5, 6)


@pytest.fixture
def lake(tmp_path: Path) -> ParquetLake:
    return open_lake(tmp_path / "lake", RULES)


def nine_events(*, coded: bool) -> pa.Table:
    rows = [click(f"2024-05-0{at % 3 + 6} 10:00", at, dl=f"page {at % 4}", bn="Chrome") for at in range(9)]
    return through_door(FILE, rows, coded=coded)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return nine_events(coded=False)


def event_files(lake: ParquetLake) -> list[Path]:
    return sorted(path for path in lake.root.glob("tracking/*/*") if path.is_file())


@pytest.mark.parametrize(
    ("changes", "name", "stored", "given"),
    [
        ({"time_zone": "Asia/Ho_Chi_Minh"}, "RECRUITMENT_TIME_ZONE", "UTC", "Asia/Ho_Chi_Minh"),
        ({"first_day": date(2021, 1, 1)}, "RECRUITMENT_FIRST_DAY", "2020-01-01", "2021-01-01"),
        ({"max_age": timedelta(days=8)}, "RECRUITMENT_MAX_EVENT_AGE", "7 days, 0:00:00", "8 days, 0:00:00"),
        ({"max_ahead": timedelta(0)}, "RECRUITMENT_MAX_EVENT_AHEAD", "0:05:00", "0:00:00"),
    ],
)
def test_a_lake_is_refused_under_other_rules_than_it_was_begun_with(
    lake: ParquetLake, changes: dict[str, Any], name: str, stored: str, given: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is {given}, but the lake at .* was begun with {stored}"):
        open_lake(lake.root, replace(RULES, **changes))
    assert open_lake(lake.root, replace(RULES)) == lake


def test_a_lake_of_another_version_of_the_doors_rules_is_refused(lake: ParquetLake) -> None:
    with lake.writing() as connection:
        connection.execute("UPDATE settings SET value = '0' WHERE name = 'version of the door'")
    with pytest.raises(SettingsError, match=f"^version of the door is {DOOR_VERSION}, but .* was begun with 0"):
        open_lake(lake.root, RULES)


def without_catalog(lake: ParquetLake) -> None:
    lake.catalog.unlink()


def catalog_is_a_folder(lake: ParquetLake) -> None:
    lake.catalog.unlink()
    lake.catalog.mkdir()


def catalog_is_no_database(lake: ParquetLake) -> None:
    lake.catalog.write_bytes(b"no database at all" * 1000)


def catalog_of_another_program(lake: ParquetLake) -> None:
    lake.catalog.unlink()
    with closing(sqlite3.connect(lake.catalog)) as connection:
        connection.execute("CREATE TABLE something (x)")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_catalog, "has event files but no catalog.sqlite: put that file back from a backup"),
        (catalog_is_a_folder, "cannot be used: unable to open database file"),
        (catalog_is_no_database, "cannot be used: file is not a database; put catalog.sqlite back from a backup"),
        (catalog_of_another_program, "cannot be used: no such table: settings"),
    ],
)
def test_a_damaged_catalog_is_told_in_one_line_and_nothing_is_made_anew(
    lake: ParquetLake, events: pa.Table, damage: Callable[[ParquetLake], None], said: str
) -> None:
    append_all(lake, FILE, events)
    damage(lake)
    before = sorted(lake.root.rglob("*"))
    with pytest.raises(StoreUnavailableError, match=f"^the lake at .* {said}") as error:
        open_lake(lake.root, RULES)
    assert "\n" not in str(error.value)
    assert sorted(lake.root.rglob("*")) == before


def test_a_catalog_that_goes_away_meanwhile_is_not_replaced_by_an_empty_one(
    lake: ParquetLake, events: pa.Table
) -> None:
    append_all(lake, FILE, events)
    lake.catalog.unlink()
    with pytest.raises(StoreUnavailableError, match="unable to open database file"):
        lake.days()
    assert not lake.catalog.exists()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_lost_or_truncated_event_file_is_an_error_never_fewer_events(
    lake: ParquetLake, events: pa.Table, damage: Callable[[Path], None]
) -> None:
    append_all(lake, FILE, events)
    (file,) = lake.root.glob(f"tracking/event_date={DAY}/*")
    damage(file)
    for look in (lambda: lake.scan(DAY), lambda: lake.ids_on_two_days(DAY, DAY)):
        with pytest.raises(StoreUnavailableError, match=f"has lost or damaged tracking/event_date={DAY}/{file.name}"):
            look()
    assert lake.scan(DAY + timedelta(days=1)).accepted == 3


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, cause in (
        (Path("/proc/lake"), "No such file or directory"),
        (tmp_path / "file", "File exists|Not a directory"),
        (tmp_path / "file" / "lake", "Not a directory"),
    ):
        with pytest.raises(
            PlatformError, match=f"^the lake at {root} cannot be used: ({cause}); make the folder"
        ) as error:
            open_lake(root, RULES)
        assert isinstance(error.value, StoreUnavailableError)


def test_a_writer_that_waits_too_long_for_another_gives_up_and_leaves_nothing(
    lake: ParquetLake, events: pa.Table
) -> None:
    impatient = replace(lake, wait=timedelta(milliseconds=20))
    with lake.writing():
        for write in (
            lambda: append_all(impatient, FILE, events),
            lambda: impatient.register_path(FILE, "a.csv"),
            lambda: impatient.reject([rejected_row(FILE, 1, table="job")]),
            lambda: impatient.clean(timedelta(0)),
        ):
            with pytest.raises(StoreUnavailableError, match="database is locked; another program is writing to it"):
                write()
        assert impatient.days() == []
    assert event_files(lake) == []
    assert append_all(impatient, FILE, events)


def test_a_scan_stays_as_it_was_however_much_is_appended_later(lake: ParquetLake, events: pa.Table) -> None:
    append_all(lake, FILE, events)
    scan = lake.scan(DAY)
    append_all(lake, OTHER, through_door(OTHER, [click("2024-05-06 11:00", 11)]))
    assert (scan.watermark, scan.accepted) == ({FILE: 7}, 3)
    assert events_in(scan).num_rows == 3
    assert lake.scan(DAY).accepted == 4


def test_clean_removes_what_no_catalog_lists_once_it_is_old_and_nothing_else(
    lake: ParquetLake, events: pa.Table
) -> None:
    append_all(lake, FILE, events)
    before = contents(lake)
    kept = event_files(lake)
    folder = kept[0].parent
    leftovers = [folder / "unfinished.new", folder / "unlisted.parquet", lake.root / "catalog.sqlite.0a.new-wal"]
    for path in leftovers:
        path.write_bytes(b"PAR1")
    assert lake.clean(timedelta(hours=1)) == 0
    assert lake.clean(timedelta(0)) == len(leftovers)
    assert event_files(lake) == kept
    assert contents(lake) == before


def test_events_written_beforehand_are_seen_once_they_are_listed_and_not_where_they_are_dropped(
    lake: ParquetLake, events: pa.Table
) -> None:
    written = [lake.write(events) for _ in range(2)]
    assert lake.days() == []
    rows = events.num_rows
    taken = [
        lake.append(FILE, accepted=each, rejected=[], after=0, last_position=rows, received=rows) for each in written
    ]
    assert taken == [True, False]
    kept = contents(lake)
    for each in written:
        lake.drop(each)
    assert contents(lake) == kept
    assert len(event_files(lake)) == len(written[0].files) == 3


def test_a_writer_whose_files_were_cleaned_away_fails_and_is_not_in_the_lake(
    lake: ParquetLake, events: pa.Table
) -> None:
    errors: list[StoreUnavailableError] = []

    def write() -> None:
        try:
            append_all(lake, FILE, events)
        except StoreUnavailableError as error:
            errors.append(error)

    writer = Thread(target=write)
    with lake.writing() as connection:
        writer.start()
        while len([path for path in event_files(lake) if path.suffix == ".parquet"]) < 3:
            time.sleep(0.01)
        for path in event_files(lake):
            path.unlink()
        connection.execute("SELECT 1")
    writer.join()
    assert [str(error).partition(";")[0] for error in errors] == [
        f"the lake at {lake.root} cannot be used: No such file or directory"
    ]
    assert contents(lake) == contents(open_lake(lake.root.with_name("empty"), RULES))


def test_threads_may_share_one_lake(lake: ParquetLake, events: pa.Table) -> None:
    sources = [f"file:{number}" for number in range(4)]

    def take_all(source: str) -> None:
        while (after := lake.progress(source)) < events.num_rows:
            append_all(lake, source, events.slice(after, 3), after=after)

    threads = [Thread(target=take_all, args=(source,)) for source in sources * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(state.source, state.accepted) for state in lake.sources()] == [(source, 9) for source in sources]
    assert events_of(lake, DAY).num_rows == lake.scan(DAY).accepted == 12


def test_the_search_for_ids_on_two_days_reaches_as_far_as_a_time_may_lie_from_the_receive_time(tmp_path: Path) -> None:
    rules = replace(RULES, max_age=timedelta(days=30))
    lake = open_lake(tmp_path / "lake", rules)
    early = click("2024-05-31 12:00", 1, ts="2024-05-01 12:00:00")
    late = click("2024-05-31 12:00", 1, ts="2024-05-31 12:05:00")
    for source, row in ((FILE, early), (OTHER, late)):
        append_all(lake, source, through_door(source, [row], rules=rules))
    for day in (date(2024, 5, 1), date(2024, 5, 31)):
        assert lake.ids_on_two_days(day, day).to_pylist() == [{"create_time": early["create_time"], "event_date": day}]


def test_what_no_door_made_and_counts_that_do_not_add_up_are_refused(lake: ParquetLake, events: pa.Table) -> None:
    takes: dict[str, Any] = {"accepted": events, "rejected": [], "after": 0, "last_position": 9, "received": 9}
    for changes in ({"received": 10}, {"after": 10}, {"accepted": events.drop_columns("flags")}):
        with pytest.raises(ValueError, match=r"are not 9 accepted|events for the lake are"):
            lake.append(FILE, **{**takes, **changes})
    with pytest.raises(ValueError, match="by append"):
        lake.reject([rejected_row(FILE, 1)])
    assert event_files(lake) == []
    assert lake.sources() == []


@pytest.mark.parametrize("coded", [False, True])
def test_event_files_hold_their_days_events_in_order_compressed_and_with_the_contracts_types(
    lake: ParquetLake, events: pa.Table, coded: bool
) -> None:
    given = nine_events(coded=coded)
    assert any(map(pa.types.is_dictionary, given.schema.types)) is coded
    append_all(lake, FILE, given)
    (file,) = lake.root.glob(f"tracking/event_date={DAY}/*.parquet")
    assert pq.read_schema(file).equals(events.schema)
    of_day = pa.concat_tables([events.slice(at, 1) for at in (0, 3, 6)])
    assert pq.read_table(file, partitioning=None).equals(of_day)
    assert events_of(lake, DAY).equals(of_day)
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
    # A day's dictionary has that day's texts, and none of other days.
    pages = pq.read_table(file, columns=["dl"], partitioning=None, read_dictionary=["dl"])["dl"].chunk(0).dictionary
    assert sorted(pages.to_pylist()) == ["page 0", "page 2", "page 3"]
