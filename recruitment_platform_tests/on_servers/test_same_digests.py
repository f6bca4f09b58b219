"""Embedded and servers give the same digest (promise 5), with Kafka in front and without anyone calling `ingest`."""

from pathlib import Path
from typing import Any

import pytest

from recruitment_platform_tests.on_servers.platform import BETWEEN, DAYS, TRAFFIC, Platform, embedded


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The traffic, simulated into an embedded platform and published there."""
    platform = embedded(tmp_path_factory.mktemp("embedded") / "home")
    platform.succeed("simulate", *TRAFFIC)
    platform.succeed("run", *BETWEEN)
    assert platform.truths() == ["matched"] * DAYS
    return platform


def test_events_through_kafka_become_the_same_facts_as_embedded_and_no_secret_is_kept_or_told(
    local: Platform, servers: Platform, redshift_gate: Any
) -> None:
    sent = len(redshift_gate.statements())
    told = []
    for command in (("migrate",), ("produce", *TRAFFIC), ("ingest",), ("run", *BETWEEN)):
        outcome = servers.call(*command)
        assert outcome.code == 0, outcome
        told += [outcome.out, outcome.err]
    assert servers.truths() == ["matched"] * DAYS
    assert servers.ledger() == local.ledger()
    kept = [path.read_bytes() for path in servers.home.rglob("*") if path.is_file()]
    assert sum(b"job_hourly_events" in content for content in kept) >= 1, "runs' events and logs lie in the home"
    texts = [text.encode() for text in (*told, *redshift_gate.statements(sent))] + kept
    assert len(servers.secrets) == 4
    assert not [secret for secret in servers.secrets if any(secret.encode() in text for text in texts)]


def test_a_run_takes_in_what_is_in_kafka_before_it_reads_the_watermark(local: Platform, servers: Platform) -> None:
    servers.succeed("migrate")
    servers.succeed("migrate")
    servers.succeed("produce", *TRAFFIC)
    servers.succeed("run", *BETWEEN)
    first = servers.ledger()
    assert first == local.ledger()
    servers.succeed("produce", *TRAFFIC)
    servers.succeed("run", *BETWEEN)
    assert servers.ledger() == first, "what was there already was published again"


def test_the_simulator_writes_to_cassandra_as_to_the_embedded_lake(
    local: Platform, servers_without_kafka_and_redshift: Platform, tmp_path: Path
) -> None:
    platform = servers_without_kafka_and_redshift
    platform.succeed("migrate")
    platform.succeed("simulate", *TRAFFIC)
    platform.succeed("run", *BETWEEN)
    assert platform.truths() == ["matched"] * DAYS
    assert platform.ledger() == local.ledger()
