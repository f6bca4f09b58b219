"""A week of real volume on the real servers, Kafka in front, is the same week as on the embedded stores (promise 5)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.measured import measured
from recruitment_platform_tests.on_servers.platform import Platform
from recruitment_platform_tests.soak.test_volume import days, ledger, say

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
FIRST = YESTERDAY - timedelta(days=6)
BETWEEN = ("--from", str(FIRST), "--to", str(YESTERDAY))
TRAFFIC = (*BETWEEN, "--events-per-day", "200000", "--faults", "all")


def test_a_week_through_kafka_and_cassandra_has_the_digests_of_the_embedded_one(
    tmp_path: Path, servers: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(home: Path, settings: Mapping[str, str], *arguments: str) -> str:
        run = measured(home, *arguments, settings=settings)
        say(capsys, f"{home.name}: {arguments[0]}, 7 days of 200,000 events", run)
        return run.stdout

    digests = {}
    for home, settings, sending in (
        (tmp_path / "embedded", {"RECRUITMENT_ENGINE": "duckdb"}, ("simulate",)),
        (tmp_path / "servers", servers.settings, ("migrate", "produce", "ingest")),
    ):
        for command in sending:
            step(home, settings, command, *(TRAFFIC if command in ("simulate", "produce") else ()))
        step(home, settings, "run", *BETWEEN)
        assert step(home, settings, "status", *BETWEEN).count("matched") == 7
        digests[home.name] = ledger(home, settings)
    assert digests["servers"] == digests["embedded"]
    assert [row["dates"] for row in digests["servers"]] == days(FIRST)
