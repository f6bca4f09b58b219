"""What Kafka's topic can be and become, and what of it gets into the lake: nothing is skipped without a word."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.errors import ReconciliationError, StoreUnavailableError
from recruitment_platform.ingest import event_log
from recruitment_platform.ingest.event_log import Ingested, drain, follow
from recruitment_platform.ingest.rejected import replay, write_rejected
from recruitment_platform.model import door
from recruitment_platform.pipeline.snapshot import current_snapshot
from recruitment_platform.resources.kafka import log as kafka
from recruitment_platform.resources.kafka.log import KafkaEventLog, open_event_log
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.runs import a_site, day, materializations, run, settings_of
from recruitment_platform_tests.site import RULES, Site, click, event

BAD = (b"no json", b"[1]", None, b"\xff")


@dataclass
class Topic:
    """A topic of two partitions and an embedded lake."""

    log: KafkaEventLog
    site: Site

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.log.address.servers, "log_level": 0})

    def send(self, values: Iterable[Any], partition: int = 0, **settings: Any) -> None:
        """Sends messages: events, or bytes as they are."""
        producer = Producer({"bootstrap.servers": self.log.address.servers, "log_level": 0, **settings})
        for value in values:
            data = json.dumps(value).encode() if isinstance(value, dict) else value
            producer.produce(self.log.address.topic, data, partition=partition)
        assert producer.flush(30) == 0

    def drain(self) -> Ingested:
        return drain(self.log, self.site.lake, RULES)

    def follow(self, until: int, lake: Any = None) -> Ingested:
        """Follows until that many messages are in."""
        came = count()
        done = 0

        def progress(more: int) -> None:
            nonlocal done
            done += more

        # Twenty seconds at most: each look takes a tenth.
        return follow(self.log, lake or self.site.lake, RULES, lambda: done >= until or next(came) > 400, progress)

    def source(self, partition: int = 0) -> str:
        return self.log.topic().source(partition)

    def positions(self) -> dict[str, int]:
        return {state.source: state.last_position for state in self.site.lake.sources()}

    def make_anew(self) -> None:
        name = self.log.address.topic
        former = self.log.topic().id
        self.admin.delete_topics([name])[name].result(30)
        while not self.log.create_topic(2) or self.log.topic().id == former:
            continue


@pytest.fixture
def topic_site(kafka_server: Server, topic: str, tmp_path: Path) -> Topic:
    address = KafkaAddress(servers=f"{kafka_server.host}:{kafka_server.port}", topic=topic, group=topic)
    log = open_event_log(address)
    assert log.create_topic(2)
    return Topic(log, Site(tmp_path / "home"))


def clicks(first: int, rows: int) -> list[dict[str, str | None]]:
    return [click("2024-03-01 10:00", number) for number in range(first, first + rows)]


def test_what_is_there_comes_in_once_and_what_comes_later_too(topic_site: Topic) -> None:
    topic_site.send(clicks(0, 5))
    topic_site.send(clicks(5, 3), partition=1)
    assert topic_site.drain() == Ingested(8, 8, 0, 0)
    assert topic_site.drain() == Ingested()
    topic_site.send(clicks(8, 2))
    assert topic_site.follow(2) == Ingested(2, 2, 0, 0)
    assert topic_site.positions() == {topic_site.source(0): 7, topic_site.source(1): 3}
    group = ConsumerGroupTopicPartitions(topic_site.log.address.group)
    (told,) = topic_site.admin.list_consumer_group_offsets([group]).values()
    assert {place.partition: place.offset for place in told.result(30).topic_partitions} == {0: 7, 1: 3}


def test_bad_messages_are_kept_aside_with_their_offset_and_taken_in_once_mended(
    topic_site: Topic, tmp_path: Path
) -> None:
    name = topic_site.log.address.topic
    negative = click("2024-03-01 10:00", 5, bid="-1")
    topic_site.send([*clicks(0, 2), *BAD, negative, *clicks(7, 1)], partition=1)
    assert topic_site.drain() == Ingested(8, 3, 5, 0)
    rejected = list(topic_site.site.lake.rejected())
    assert [(row.source, row.position, row.path) for row in rejected] == [
        (topic_site.source(1), position, f"{name}/1 offset {position - 1}") for position in (3, 4, 5, 6, 7)
    ]
    assert [row.reason for row in rejected] == [
        f"is not valid JSON: Expecting value at character 1 (topic {name}, partition 1, offset 2)",
        f"is not a JSON object (topic {name}, partition 1, offset 3)",
        f"has no value (topic {name}, partition 1, offset 4)",
        f"is not UTF-8 (topic {name}, partition 1, offset 5)",
        "bid is negative",
    ]
    path = tmp_path / "mended.jsonl"
    with path.open("w", encoding="utf-8") as out:
        write_rejected((row for row in rejected if row.position == 7), out, "jsonl")
    path.write_text(path.read_text(encoding="utf-8").replace('"-1"', '"1"'), encoding="utf-8")
    done = replay(settings_of(topic_site.site), topic_site.site.lake, topic_site.site.relational, path)
    assert (done.replayed, done.still_rejected) == (1, ())
    assert topic_site.drain() == Ingested()


def test_a_topic_made_anew_is_another_source_of_which_nothing_is_skipped(topic_site: Topic) -> None:
    topic_site.send(clicks(0, 5))
    topic_site.drain()
    former = topic_site.source()
    topic_site.make_anew()
    topic_site.send(clicks(5, 3))
    assert topic_site.drain() == Ingested(3, 3, 0, 0)
    assert topic_site.positions() == {former: 5, topic_site.source(): 3}


def test_a_topic_made_anew_between_reading_and_writing_is_not_taken_for_the_former_one(
    topic_site: Topic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topic_site.send(clicks(0, 5))
    former = topic_site.source()
    real = event_log._Ingest.write
    calls = count()

    def write(ingest: Any) -> None:
        if ingest.rows and next(calls) == 0:
            topic_site.make_anew()
            topic_site.send(clicks(5, 9))
        real(ingest)

    monkeypatch.setattr(event_log._Ingest, "write", write)
    assert topic_site.drain() == Ingested(9, 9, 0, 0)
    assert topic_site.positions() == {topic_site.source(): 9}
    assert former not in topic_site.positions()
    assert "was made anew" in caplog.text


@pytest.mark.parametrize("known", [0, 2])
def test_messages_that_the_topic_deleted_unread_are_told_by_their_number(
    topic_site: Topic, caplog: pytest.LogCaptureFixture, known: int
) -> None:
    if known:
        topic_site.send(clicks(0, known))
        topic_site.drain()
    topic_site.send(clicks(known, 10 - known))
    place = TopicPartition(topic_site.log.address.topic, 0, 7)
    topic_site.admin.delete_records([place])[place].result(30)
    done = topic_site.drain()
    assert done == Ingested(3, 3, 0, 7 - known)
    assert f"{7 - known} messages are lost, from offset {known} to 6" in caplog.text
    assert topic_site.drain() == Ingested()


def test_offsets_that_transactions_take_are_no_losses(topic_site: Topic, caplog: pytest.LogCaptureFixture) -> None:
    servers, name = topic_site.log.address.servers, topic_site.log.address.topic
    producer = Producer({"bootstrap.servers": servers, "transactional.id": name, "log_level": 0})
    producer.init_transactions(30)
    for number, ends in enumerate((producer.commit_transaction, producer.abort_transaction) * 2):
        producer.begin_transaction()
        producer.produce(name, json.dumps(click("2024-03-01 10:00", number)).encode(), partition=0)
        # An abort before the broker knows of the message would be none of a transaction of its.
        producer.flush(30)
        ends(30)
    assert topic_site.drain() == Ingested(2, 2, 0, 0)
    topic_site.send(clicks(10, 1))
    assert topic_site.follow(1) == Ingested(1, 1, 0, 0)
    assert "lost" not in caplog.text


def test_a_lake_that_is_ahead_of_the_log_is_a_failure_and_no_silence(topic_site: Topic) -> None:
    topic_site.send(clicks(0, 3))
    topic_site.site.send(clicks(0, 5), topic_site.source())
    with pytest.raises(ReconciliationError, match="up to offset 4, but the log ends at 2"):
        topic_site.drain()


def test_an_event_on_which_the_door_breaks_holds_up_no_others(
    topic_site: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def through(raw: Any, *arguments: Any) -> Any:
        if "poison" in raw.column("ua").to_pylist():
            raise ValueError("broken\nover lines")
        return door.through(raw, *arguments)

    monkeypatch.setattr(event_log, "through", through)
    topic_site.send([*clicks(0, 4), click("2024-03-01 10:00", 4, ua="poison"), *clicks(5, 6), b"no json"])
    assert topic_site.drain() == Ingested(12, 10, 2, 0)
    rejected = {row.position: row.reason for row in topic_site.site.lake.rejected()}
    assert rejected[5] == "cannot be judged: broken"
    assert topic_site.drain() == Ingested()


class FailingLake:
    """The lake, away at some of its calls."""

    def __init__(self, lake: Any, fails: Callable[[str], bool]) -> None:
        self._lake, self._fails = lake, fails

    def __getattr__(self, name: str) -> Any:
        if name in ("append", "progress") and self._fails(name):
            raise StoreUnavailableError("the lake is away")
        return getattr(self._lake, name)


def test_an_ingester_waits_while_the_lake_is_away_and_loses_nothing(
    topic_site: Topic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_log, "LONGEST_PAUSE", 0.2)
    calls = count()
    topic_site.send(clicks(0, 5))
    lake = FailingLake(topic_site.site.lake, lambda name: next(calls) in (0, 3, 4, 7))
    assert topic_site.follow(5, lake) == Ingested(5, 5, 0, 0)
    assert caplog.text.count("the lake is away; trying again") == 4
    failing = FailingLake(topic_site.site.lake, lambda name: True)
    with pytest.raises(StoreUnavailableError, match="the lake is away"):
        drain(topic_site.log, failing, RULES)


def test_no_more_is_read_than_a_batch_before_it_is_written(topic_site: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "BATCH_ROWS", 10)
    monkeypatch.setattr(kafka, "READ_AT_ONCE", 10)
    sizes = []
    real = event_log._Ingest.write
    monkeypatch.setattr(event_log._Ingest, "write", lambda ingest: (sizes.append(ingest.rows), real(ingest))[1])
    topic_site.send(clicks(0, 45))
    assert topic_site.drain().accepted == 45
    assert max(sizes) == 10


def test_a_run_takes_in_what_waits_in_kafka_and_tells_the_offsets(
    kafka_server: Server, topic: str, tmp_path: Path
) -> None:
    site = a_site(tmp_path / "home", 2)
    address = KafkaAddress(servers=f"{kafka_server.host}:{kafka_server.port}", topic=topic)
    waiting = Topic(open_event_log(address), site)
    assert waiting.log.create_topic(1)
    waiting.send([click("2024-03-01 09:00", 700), event("2024-03-02 09:00", 701), click("2024-03-01 09:30", 702)])
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run(site, instance, 2, overrides={"event_log": lambda: waiting.log})
        assert outcome.success, outcome.message
        told = materializations(instance, outcome.run_id)["raw_tracking", str(day(0))].metadata
    assert told["positions"].value[waiting.source()] == "offsets 0 to 2"
    snapshot = current_snapshot(site.objects, day(0))
    assert snapshot is not None
    assert snapshot.positions[waiting.source()] == (1, 3)
    assert snapshot.watermark[waiting.source()] == 3
    assert site.warehouse.ledger()[day(0)].clicks == 5
