"""Sources read again are compared with the lake row by row: what was lost or invented is named."""

import gzip
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.ingest import event_log, readers
from recruitment_platform.ingest.rejected import write_rejected
from recruitment_platform.ingest.rereading import Reread, Unreadable, reread_file
from recruitment_platform.pipeline import source_audit
from recruitment_platform.pipeline.source_audit import ComparedSource, DifferingRow, audit_sources
from recruitment_platform.resources.kafka.log import open_event_log
from recruitment_platform.resources.protocols import RejectedRow, SourceState
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.servers.server import Server
from recruitment_platform.simulation.again import made_again
from recruitment_platform.simulation.record import ALL_FAULTS
from recruitment_platform_tests.ingest.event_files import event, time_uuid, write_csv, write_json_lines, write_parquet
from recruitment_platform_tests.ingest.stores import Stores, no_progress
from recruitment_platform_tests.ingest.test_event_log import BAD, Topic, clicks
from recruitment_platform_tests.pipeline.tampering import change_lake
from recruitment_platform_tests.resources.lake_batches import events_in
from recruitment_platform_tests.simulation.homes import OPENING, make_home
from recruitment_platform_tests.site import RULES, Site

DAY = date(2022, 7, 12)
OTHER = "2022-07-11 03:20:41"


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path / "home")


def compare(stores: Stores, day: date = DAY) -> list[ComparedSource]:
    def read_again(state: SourceState, first: int, last: int) -> Reread | Unreadable:
        return reread_file(door_rules(stores.settings), state)

    return audit_sources(stores.lake, day, read_again, no_progress)


WRITERS = [("a.csv", write_csv), ("a.jsonl", write_json_lines), ("a.parquet", write_parquet)]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_file_has_what_the_lake_has_of_the_day_bad_rows_duplicates_and_other_days_beside(
    stores: Stores, tmp_path: Path, name: str, write: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "BATCH_ROWS", 7)
    rows = [event(number % 17, bid="-1" if number == 3 else "1.5") for number in range(20)]
    write(tmp_path / name, [*rows, event(30, ts=OTHER), event(31, ua="line\nbreak")])
    stores.take("tracking", tmp_path / name)
    (found,) = compare(stores)
    assert (found.problem, found.unreadable, found.read_from) == ("", "", str(tmp_path / name))
    assert (found.in_source, found.in_lake, found.mended) == (20, 20, 0)
    (found,) = compare(stores, DAY - timedelta(days=1))
    assert (found.problem, found.in_source, found.in_lake) == ("", 1, 1)


def test_rows_that_the_lake_lost_are_named(stores: Stores, tmp_path: Path) -> None:
    # The lost one is a duplicate: no count of distinct events would tell.
    write_csv(tmp_path / "a.csv", [event(1), event(2), event(1), event(4)])
    source = stores.take("tracking", tmp_path / "a.csv").source
    change_lake(stores.lake, DAY, source, "SELECT * FROM rows WHERE position NOT IN (4, 5)")
    (found,) = compare(stores)
    assert found.problem == "2 rows of it are missing in the lake"
    assert found.rows == (DifferingRow("missing", time_uuid(1), 4), DifferingRow("missing", time_uuid(4), 5))


def test_rows_that_are_in_no_source_are_named(stores: Stores, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [event(1), event(2)])
    source = stores.take("tracking", tmp_path / "a.csv").source
    invented = f"SELECT * REPLACE (3 AS position, '{time_uuid(9)}' AS create_time) FROM rows WHERE position = 2"
    change_lake(stores.lake, DAY, source, f"SELECT * FROM rows UNION ALL {invented}")
    (found,) = compare(stores)
    assert found.problem == "1 rows in the lake are not in it"
    assert found.rows == (DifferingRow("extra", time_uuid(9), 3),)


def test_a_row_of_other_content_is_told_as_lost_and_invented(stores: Stores, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [event(1), event(2)])
    source = stores.take("tracking", tmp_path / "a.csv").source
    change_lake(stores.lake, DAY, source, "SELECT * REPLACE (payload_hash + position // 3 AS payload_hash) FROM rows")
    (found,) = compare(stores)
    assert [(row.what, row.position) for row in found.rows] == [("missing", 3), ("extra", 3)]


def test_only_the_first_differing_rows_are_told_and_all_are_counted(stores: Stores, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [event(number) for number in range(40)])
    source = stores.take("tracking", tmp_path / "a.csv").source
    change_lake(stores.lake, DAY, source, "SELECT * FROM rows WHERE position > 30")
    (found,) = compare(stores)
    assert (found.missing, [row.position for row in found.rows]) == (29, list(range(2, 12)))


def test_mended_rows_have_no_like_in_the_source_and_more_than_were_replayed_are_invented(
    stores: Stores, tmp_path: Path
) -> None:
    write_csv(tmp_path / "a.csv", [event(1), event(2, bid="-1"), event(3, bid="-1")])
    source = stores.take("tracking", tmp_path / "a.csv").source
    mended = tmp_path / "mended.jsonl"
    with mended.open("w", encoding="utf-8") as out:
        write_rejected((row for row in stores.lake.rejected() if row.position == 3), out, "jsonl")
    mended.write_text(mended.read_text(encoding="utf-8").replace('"-1"', '"1"'), encoding="utf-8")
    assert stores.replay(mended).replayed == 1
    (found,) = compare(stores)
    assert (found.problem, found.in_source, found.in_lake, found.mended) == ("", 1, 2, 1)
    change_lake(
        stores.lake,
        DAY,
        source,
        "FROM rows UNION ALL SELECT * REPLACE (4 AS position) FROM rows WHERE position = 2",
    )
    (found,) = compare(stores)
    assert (found.mended, found.problem) == (1, "1 rows in the lake are not in it")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.rename(path.with_name("b.csv")), "a.csv: there is no such file"),
        (lambda path: path.write_text("create_time\nx\n"), "a.csv: has other content now"),
        (lambda path: path.write_text(""), "a.csv: is empty"),
    ],
)
def test_a_file_that_is_gone_or_changed_is_told_and_is_no_loss(
    stores: Stores, tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1), event(2)])
    stores.take("tracking", path)
    change(path)
    (found,) = compare(stores)
    assert (found.problem, found.in_lake) == ("", 2)
    assert found.unreadable == f"gone or changed: {tmp_path / told}"


def test_a_file_is_found_at_any_path_it_was_imported_from_compressed_or_not(stores: Stores, tmp_path: Path) -> None:
    path, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    write_csv(path, [event(1), event(2)])
    packed.write_bytes(gzip.compress(path.read_bytes()))
    stores.take("tracking", path)
    stores.take("tracking", packed)
    path.unlink()
    (found,) = compare(stores)
    assert (found.problem, found.read_from, found.in_source) == ("", str(packed), 2)


def test_what_was_not_yet_taken_in_of_a_source_is_not_missing(stores: Stores, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [event(number) for number in range(10)])
    whole = stores.take("tracking", tmp_path / "a.csv").source
    stopped = Stores(tmp_path / "stopped")
    rows = events_in(stores.lake.scan(DAY))
    first = rows.filter([position <= 6 for position in rows["position"].to_pylist()])
    assert stopped.lake.append(whole, accepted=first, rejected=[], after=0, last_position=6, received=len(first))
    stopped.lake.register_path(whole, str(tmp_path / "a.csv"))
    (found,) = compare(stopped)
    assert (found.problem, found.in_source, found.in_lake) == ("", 5, 5)


def test_a_row_that_was_rejected_when_it_came_is_not_missing_where_it_would_be_accepted_now(
    stores: Stores, tmp_path: Path
) -> None:
    # As one whose create_time lay in the future then.
    write_csv(tmp_path / "a.csv", [event(1), event(2)])
    whole = stores.take("tracking", tmp_path / "a.csv").source
    then = Stores(tmp_path / "then")
    rows = events_in(stores.lake.scan(DAY))
    refused = RejectedRow("tracking", whole, 3, "create_time lies in the future", "{}", DAY)
    first = rows.filter([position == 2 for position in rows["position"].to_pylist()])
    assert then.lake.append(whole, accepted=first, rejected=[refused], after=0, last_position=3, received=2)
    then.lake.register_path(whole, str(tmp_path / "a.csv"))
    (found,) = compare(then)
    assert (found.problem, found.in_source, found.in_lake) == ("", 1, 1)


def test_simulated_traffic_is_made_again_and_is_what_the_lake_has(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    home.simulate(*ALL_FAULTS)

    def read_again(state: SourceState, first: int, last: int) -> Reread | Unreadable:
        return made_again(home.settings, state)

    found = audit_sources(home.lake, OPENING, read_again, no_progress)
    assert len(found) == 2
    assert [(source.problem, source.read_from) for source in found] == [("", "the simulator")] * 2
    assert all(source.in_source == source.in_lake > 0 for source in found)
    lost = "SELECT * FROM rows WHERE position <> (SELECT min(position) FROM rows)"
    change_lake(home.lake, OPENING, found[1].source, lost)
    again = audit_sources(home.lake, OPENING, read_again, no_progress)
    assert [source.missing for source in again] == [0, 1]
    elsewhere = make_home(tmp_path / "elsewhere")
    why = made_again(elsewhere.settings, SourceState(found[0].source, (), 9, 9, 9, 0))
    assert why == Unreadable("it was simulated by another home, or by another version of the simulator")


LOG_DAY = date(2024, 3, 1)


@pytest.fixture
def topic_site(kafka_server: Server, topic: str, tmp_path: Path) -> Topic:
    address = KafkaAddress(servers=f"{kafka_server.host}:{kafka_server.port}", topic=topic, group=topic)
    log = open_event_log(address)
    assert log.create_topic(2)
    return Topic(log, Site(tmp_path / "home"))


def test_offsets_lead_back_to_the_messages_as_far_as_kafka_has_them(
    topic_site: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_again(state: SourceState, first: int, last: int) -> Reread | Unreadable:
        return event_log.reread(topic_site.log, RULES, state.source, first, last)

    def compared() -> list[ComparedSource]:
        return audit_sources(topic_site.site.lake, LOG_DAY, read_again, no_progress)

    monkeypatch.setattr(event_log, "BATCH_ROWS", 20)
    topic_site.send([*clicks(0, 50), *BAD, *clicks(0, 5)])
    topic_site.send(clicks(60, 30), partition=1)
    topic_site.drain()
    first, second = compared()
    name = topic_site.log.address.topic
    assert (first.problem, first.read_from) == ("", f"Kafka {name}/0, offsets 0 to 58")
    assert (first.in_source, first.in_lake, second.in_source, second.in_lake) == (55, 55, 30, 30)
    change_lake(topic_site.site.lake, LOG_DAY, first.source, "FROM rows WHERE position NOT IN (1, 55)")
    first, _ = compared()
    assert first.problem == "2 rows of it are missing in the lake"
    assert [row.position for row in first.rows] == [1, 55]
    # What Kafka has deleted can neither be missing nor extra.
    place = TopicPartition(name, 0, 30)
    topic_site.admin.delete_records([place])[place].result(30)
    first, _ = compared()
    assert (first.expired, first.in_lake, [row.position for row in first.rows]) == (30, 24, [55])
    monkeypatch.setattr(source_audit, "MARGIN", 0)
    topic_site.make_anew()
    assert [found.unreadable for found in compared()] == [
        f"the topic {name} has no such partition any more, or was made anew"
    ] * 2
