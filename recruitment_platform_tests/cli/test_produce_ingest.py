"""`produce` and `ingest`: events into Kafka, and out of it into the lake on Cassandra."""

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recruitment_platform.resources.cassandra.lake import migrate_cassandra
from recruitment_platform.resources.kafka.log import open_event_log
from recruitment_platform.resources.stores import door_rules, open_event_lake
from recruitment_platform.servers.server import Server
from recruitment_platform.settings import Settings
from recruitment_platform_tests.cli.command_line import MODULE, Call, Outcome, assert_clear, environment
from recruitment_platform_tests.ingest.event_files import event, write_csv, write_json_lines, write_parquet

ROWS = 20


@dataclass(frozen=True)
class Platform:
    """Settings that lead to the servers, and the command line with them."""

    variables: dict[str, str]
    call: Callable[..., Outcome]

    @property
    def settings(self) -> Settings:
        return Settings.from_environment()


@pytest.fixture
def platform(
    home: Path,
    within: Call,
    kafka_server: Server,
    cassandra_server: Server,
    topic: str,
    keyspace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Platform:
    """An empty lake on Cassandra, and an empty topic."""
    variables = {
        "RECRUITMENT_PROFILE": "servers",
        **kafka_server.environment(),
        **cassandra_server.environment(),
        "RECRUITMENT_KAFKA_TOPIC": topic,
        "RECRUITMENT_KAFKA_GROUP": topic,
        "RECRUITMENT_CASSANDRA_KEYSPACE": keyspace,
        "RECRUITMENT_CASSANDRA_BUCKETS": "2",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    platform = Platform(variables, within)
    settings = platform.settings
    migrate_cassandra(settings.cassandra, door_rules(settings))
    assert open_event_log(settings.kafka).create_topic(2)
    return platform


def test_files_go_through_kafka_into_the_lake_once_whatever_their_format(platform: Platform, tmp_path: Path) -> None:
    rows = [event(number, uid=f"1-{number % 3}", ua=f"agent\n{number}") for number in range(ROWS)]
    write_csv(tmp_path / "a.csv", rows)
    write_json_lines(tmp_path / "b.jsonl", rows)
    with (tmp_path / "b.jsonl").open("a", encoding="utf-8") as out:
        out.write('{"create_time":\n')
    write_parquet(tmp_path / "c.parquet", rows)
    files = [str(tmp_path / name) for name in ("a.csv", "b.jsonl", "c.parquet")]
    sent = platform.call("produce", *files)
    assert (sent.code, sent.out) == (0, ""), sent.err
    assert sent.err.splitlines() == [
        f"{files[0]}: {ROWS} events sent",
        f"{files[1]}: {ROWS} events sent; 1 rows are malformed, and sent as they stand",
        f"{files[2]}: {ROWS} events sent",
    ]
    taken = platform.call("ingest")
    assert (taken.code, taken.out) == (0, ""), taken.err
    assert f"{3 * ROWS + 1} messages received: {3 * ROWS} accepted, 1 rejected" in taken.err
    again = platform.call("ingest")
    assert "0 messages received: 0 accepted, 0 rejected" in again.err
    settings = platform.settings
    lake = open_event_lake(settings)
    assert sum(state.rows for state in lake.day_states()) == 3 * ROWS
    (refused,) = lake.rejected()
    assert refused.reason.startswith("is not valid JSON: ")
    assert f"(topic {settings.kafka.topic}, partition " in refused.reason


def test_following_takes_in_what_comes_and_ends_cleanly_on_sigterm(platform: Platform, tmp_path: Path) -> None:
    home = Path(str(platform.settings.home))
    write_csv(tmp_path / "a.csv", [event(number) for number in range(ROWS)])
    with subprocess.Popen(
        [*MODULE, "ingest", "--follow"],
        env=environment(home, platform.variables),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert "following the topic" in process.stderr.readline()
            assert platform.call("produce", str(tmp_path / "a.csv")).code == 0
            lake = open_event_lake(platform.settings)
            while sum(state.rows for state in lake.day_states()) < ROWS:
                assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, out) == (0, ""), err
    assert err.endswith(f"ended: {ROWS} messages received: {ROWS} accepted, 0 rejected\n")


def test_simulated_traffic_is_sent_once_and_not_into_a_topic_with_other_events(
    platform: Platform, tmp_path: Path, mariadb_server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**mariadb_server.environment(), "RECRUITMENT_MYSQL_DATABASE": database}.items():
        monkeypatch.setenv(name, value)
    days = ("--from", "2024-03-04", "--to", "2024-03-04")
    sent = platform.call("produce", *days, "--events-per-day", "50", "--faults", "none")
    assert sent.code == 0, sent.err
    again = platform.call("produce", *days)
    assert again.err == sent.err.replace("simulated events", "simulated events, all sent already")
    events = int(sent.err.split()[2])
    assert f"{events} messages received: {events} accepted" in platform.call("ingest").err
    write_csv(tmp_path / "a.csv", [event(1)])
    other = f"{platform.settings.kafka.topic}-other"
    monkeypatch.setenv("RECRUITMENT_KAFKA_TOPIC", other)
    assert open_event_log(platform.settings.kafka).create_topic(1)
    assert platform.call("produce", str(tmp_path / "a.csv")).code == 0
    assert_clear(platform.call("produce", *days), 2, "the topic already holds other events", "RECRUITMENT_KAFKA_TOPIC")


def test_what_cannot_be_done_is_one_clear_line(platform: Platform, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [event(1)])
    assert_clear(platform.call("produce"), 2, "say what to send")
    assert_clear(platform.call("produce", str(path), "--seed", "3"), 2, "not both")
    path.write_text("", encoding="utf-8")
    assert_clear(platform.call("produce", str(path)), 2, "is empty")
    monkeypatch.setenv("RECRUITMENT_KAFKA_TOPIC", "no-such-topic")
    for command in (("produce", str(path)), ("ingest",), ("ingest", "--follow")):
        outcome = platform.call(*command)
        assert outcome.code == 3
        assert "has no topic no-such-topic; create it: recruitment-platform migrate" in outcome.err
    monkeypatch.setenv("RECRUITMENT_PROFILE", "local")
    for command in (("produce", str(path)), ("ingest",)):
        assert_clear(platform.call(*command), 2, "RECRUITMENT_PROFILE", "RECRUITMENT_KAFKA_SERVERS")
