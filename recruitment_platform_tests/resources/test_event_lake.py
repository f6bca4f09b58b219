"""What every implementation of `EventLake` promises."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.model.door import LAKE_SCHEMA
from recruitment_platform.resources.cassandra.lake import migrate_cassandra, open_cassandra_lake
from recruitment_platform.resources.lake.parquet import open_lake
from recruitment_platform.resources.protocols import DayState, EventLake, SourceState
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.resources.cassandra_lakes import address_of, empty
from recruitment_platform_tests.resources.lake_batches import (
    INGEST_DAY,
    RULES,
    append_all,
    contents,
    events_of,
    hash_sum,
    rejected_row,
    through_door,
)
from recruitment_platform_tests.site import click

Open = Callable[[], EventLake]
FILE, OTHER = "file:" + "a" * 64, "file:" + "b" * 64
MONDAY, TUESDAY, WEDNESDAY = date(2024, 5, 6), date(2024, 5, 7), date(2024, 5, 8)


@pytest.fixture(scope="module")
def cassandra_address(cassandra_server: Server) -> CassandraAddress:
    address = address_of(cassandra_server, f"lake{uuid4().hex[:12]}")
    migrate_cassandra(address, RULES)
    return address


@pytest.fixture(params=["parquet", "cassandra"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same lake of a test, each time anew: a further implementation is a further parameter here."""
    if request.param == "parquet":
        return lambda: open_lake(tmp_path / "lake", RULES)
    address = request.getfixturevalue("cassandra_address")
    empty(address)
    return lambda: open_cassandra_lake(address, RULES)


@pytest.fixture
def lake(opened: Open) -> EventLake:
    return opened()


def seven_events(*, coded: bool) -> pa.Table:
    """Seven events: three of Monday, three of Tuesday, one of Wednesday, not in the order of their days."""
    clocks = ("06 10:00", "07 09:00", "06 23:59", "08 00:00", "07 00:00", "06 10:00", "07 23:59")
    rows = [click(f"2024-05-{clock}", at, dl=f"page {at}") for at, clock in enumerate(clocks)]
    return through_door(FILE, rows, coded=coded)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return seven_events(coded=False)


def test_an_empty_lake_answers_every_question(lake: EventLake) -> None:
    scan = lake.scan(MONDAY)
    assert (scan.watermark, scan.accepted, scan.duplicates) == ({}, 0, 0)
    assert events_of(lake, MONDAY).schema.equals(LAKE_SCHEMA)
    assert events_of(lake, MONDAY).num_rows == 0
    assert lake.ids_on_two_days(MONDAY, WEDNESDAY).to_pydict() == {"create_time": [], "event_date": []}
    assert lake.progress(FILE) == 0
    assert (lake.days(), lake.day_states(), lake.day_states([MONDAY]), lake.sources()) == ([], [], [], [])
    assert (list(lake.rejected()), lake.rejected_by_ingest_day()) == ([], {})


@pytest.mark.parametrize("coded", [False, True])
def test_what_is_appended_is_found_by_day_exactly_as_the_door_gave_it(
    lake: EventLake, events: pa.Table, coded: bool
) -> None:
    assert append_all(lake, FILE, seven_events(coded=coded))
    assert lake.days() == [MONDAY, TUESDAY, WEDNESDAY]
    for day, positions in ((MONDAY, [1, 3, 6]), (TUESDAY, [2, 5, 7]), (WEDNESDAY, [4])):
        expected = events.filter(pa.array([position in positions for position in range(1, 8)]))
        assert events_of(lake, day).to_pylist() == expected.to_pylist()
        assert events_of(lake, day).schema.equals(LAKE_SCHEMA)
        assert (lake.scan(day).watermark, lake.scan(day).accepted) == ({FILE: positions[-1]}, len(positions))
        state = DayState(day, FILE, positions[-1], len(positions), hash_sum(expected))
        assert lake.day_states([day]) == [state]
        assert state in lake.day_states()


def test_every_handle_sees_what_is_stored_and_a_lake_opened_again_holds_it(opened: Open, events: pa.Table) -> None:
    first, second = opened(), opened()
    append_all(first, FILE, events.slice(0, 3))
    assert second.progress(FILE) == 3
    append_all(second, FILE, events.slice(3))
    assert contents(first) == contents(second) == contents(opened())


def test_a_source_grows_by_batches(lake: EventLake, events: pa.Table) -> None:
    for at in range(7):
        assert append_all(lake, FILE, events.slice(at, 1))
        assert lake.progress(FILE) == at + 1
    monday = events.filter(pa.array([True, False, True, False, False, True, False]))
    assert lake.day_states([MONDAY]) == [DayState(MONDAY, FILE, 6, 3, hash_sum(monday))]
    assert lake.sources() == [SourceState(FILE, (), 7, 7, 7, 0)]
    assert events_of(lake, MONDAY).to_pylist() == monday.to_pylist()


@pytest.mark.parametrize("after", [0, 2, 4, 7])
def test_a_batch_that_does_not_follow_the_progress_changes_nothing(
    lake: EventLake, events: pa.Table, after: int
) -> None:
    append_all(lake, FILE, events.slice(0, 3))
    before = contents(lake)
    batch = events.slice(3, 2)
    rows = [rejected_row(FILE, 9)]
    assert not lake.append(FILE, accepted=batch, rejected=rows, after=after, last_position=9, received=3)
    assert contents(lake) == before


def test_a_batch_without_accepted_rows_moves_the_source_on(lake: EventLake, events: pa.Table) -> None:
    append_all(lake, FILE, events.slice(0, 0), [rejected_row(FILE, 1)])
    assert lake.append(FILE, accepted=events.slice(0, 0), rejected=[], after=1, last_position=40, received=0)
    assert (lake.progress(FILE), lake.days()) == (40, [])
    assert lake.sources() == [SourceState(FILE, (), 40, 1, 0, 1)]


def test_a_day_has_a_watermark_for_each_source_and_duplicates_are_counted_as_accepted(
    lake: EventLake, events: pa.Table
) -> None:
    append_all(lake, FILE, events)
    again = through_door(OTHER, [click("2024-05-06 10:00", 0, dl="page 0"), click("2024-05-06 10:00", 0, dl="changed")])
    append_all(lake, OTHER, again)
    assert lake.scan(MONDAY).watermark == {FILE: 6, OTHER: 2}
    assert lake.scan(MONDAY).accepted == 5
    assert events_of(lake, MONDAY).num_rows + lake.scan(MONDAY).duplicates == 5
    assert [(state.event_date, state.source) for state in lake.day_states([MONDAY, WEDNESDAY])] == [
        (MONDAY, FILE),
        (MONDAY, OTHER),
        (WEDNESDAY, FILE),
    ]


def test_a_sources_paths_are_kept_each_once(lake: EventLake, events: pa.Table) -> None:
    for path in ("b.csv", "a.csv", "b.csv"):
        lake.register_path(FILE, path)
    append_all(lake, FILE, events)
    lake.register_path(FILE, "folder/ü \udcff.csv")
    (state,) = lake.sources()
    assert state.paths == ("a.csv", "b.csv", "folder/ü \\udcff.csv")


def test_rejected_rows_are_listed_in_order_and_counted_by_ingest_day(lake: EventLake, events: pa.Table) -> None:
    rows = [rejected_row(FILE, 9, content='{"ua":"é \0"}', path="a.csv"), rejected_row(FILE, 8)]
    append_all(lake, FILE, events, rows)
    append_all(lake, OTHER, events.slice(0, 0), [rejected_row(OTHER, 1, ingest_date=MONDAY)])
    assert list(lake.rejected()) == [rejected_row(OTHER, 1, ingest_date=MONDAY), rows[1], rows[0]]
    assert list(lake.rejected(ingest_date=MONDAY)) == [rejected_row(OTHER, 1, ingest_date=MONDAY)]
    assert lake.rejected_by_ingest_day() == {MONDAY: 1, INGEST_DAY: 2}
    assert lake.sources() == [SourceState(FILE, (), 9, 9, 7, 2), SourceState(OTHER, (), 1, 1, 0, 1)]
    assert list(lake.rejected(table="job")) == []


def test_rejected_rows_of_other_tables_are_kept_once_and_not_again_when_settled(lake: EventLake) -> None:
    rows = [rejected_row(FILE, 2, table="job"), rejected_row(FILE, 3, table="job")]
    assert (lake.reject(rows), lake.reject(rows), lake.reject([])) == (2, 0, 0)
    assert list(lake.rejected(table="job")) == rows
    assert (lake.settle(rows[:1]), lake.settle(rows[:1])) == (1, 0)
    assert lake.reject(rows) == 0
    assert list(lake.rejected()) == rows[1:]
    assert lake.sources() == []


def test_mended_rows_are_taken_in_once_under_their_own_positions(lake: EventLake, events: pa.Table) -> None:
    append_all(lake, FILE, events, [rejected_row(FILE, position) for position in (8, 9, 10)])
    mended = through_door(
        FILE,
        [
            click("2024-05-06 12:00", 9),
            click("2024-05-08 12:00", 10),
            click("2024-05-06 12:00", 11),
            click("2024-05-06", 7),
        ],
        [8, 9, 8, 5],
    )
    assert (lake.replay(mended), lake.replay(mended)) == (2, 0)
    assert list(lake.rejected()) == [rejected_row(FILE, 10)]
    assert lake.sources() == [SourceState(FILE, (), 10, 10, 9, 1)]
    assert lake.progress(FILE) == 10
    replayed = f"replayed:{FILE}"
    assert lake.day_states([MONDAY])[1:] == [DayState(MONDAY, replayed, 2, 1, hash_sum(mended.slice(0, 1)))]
    assert lake.day_states([WEDNESDAY])[1:] == [DayState(WEDNESDAY, replayed, 2, 1, hash_sum(mended.slice(1, 1)))]
    assert lake.scan(MONDAY).watermark == {FILE: 6, replayed: 2}
    assert lake.scan(MONDAY).accepted == 4
    assert events_of(lake, MONDAY).to_pylist()[-1] == mended.slice(0, 1).to_pylist()[0]


def test_each_replay_raises_the_watermark_of_the_days_it_changes_and_of_no_other(lake: EventLake) -> None:
    for source in (FILE, OTHER):
        append_all(lake, source, LAKE_SCHEMA.empty_table(), [rejected_row(source, position) for position in (1, 2, 3)])
    positions = []
    for at, (source, clock) in enumerate(
        [(FILE, "06 10:00"), (FILE, "07 10:00"), (FILE, "06 09:00"), (OTHER, "06 08:00")]
    ):
        assert lake.replay(through_door(source, [click(f"2024-05-{clock}", at)], [at % 3 + 1])) == 1
        positions.append([lake.scan(day).watermark for day in (MONDAY, TUESDAY)])
    by_file, by_other = f"replayed:{FILE}", f"replayed:{OTHER}"
    assert positions == [
        [{by_file: 1}, {}],
        [{by_file: 1}, {by_file: 2}],
        [{by_file: 3}, {by_file: 2}],
        [{by_file: 3, by_other: 1}, {by_file: 2}],
    ]


def test_ids_that_stand_on_two_days_are_listed_for_the_days_asked(lake: EventLake) -> None:
    received = {number: f"2024-05-0{number} 12:00" for number in range(1, 9)}
    ids = {number: click(clock, number)["create_time"] for number, clock in received.items()}
    rows = [
        click(received[1], 1, ts="2024-05-01 12:00:00"),
        click(received[1], 1, ts="2024-04-24 12:00:00"),
        click(received[2], 2),
        click(received[2], 2),
        click(received[3], 3),
        click(received[3], 3, ts="2024-05-02 23:00:00", dl="other"),
        click(received[8], 8, ts="2024-05-08 12:00:00"),
        click(received[8], 8, ts="2024-05-01 12:00:00"),
    ]
    append_all(lake, FILE, through_door(FILE, rows[:5]))
    append_all(lake, OTHER, through_door(OTHER, rows[5:]))

    def listed(first: date, last: date) -> list[tuple[str, date]]:
        table = lake.ids_on_two_days(first, last)
        assert table.schema.names == ["create_time", "event_date"]
        return sorted((row["create_time"], row["event_date"]) for row in table.to_pylist())

    first, second, third, eighth = (date(2024, 5, day) for day in (1, 2, 3, 8))
    assert listed(first, first) == sorted([(ids[1], first), (ids[8], first)])
    assert listed(eighth, eighth) == [(ids[8], eighth)]
    assert listed(second, third) == sorted([(ids[3], second), (ids[3], third)])
    assert listed(date(2024, 5, 4), date(2024, 5, 7)) == []
    assert len(listed(date(2020, 1, 1), date(2030, 1, 1))) == 6
