"""Ids on two days, found by late events alone: the same as by all events of all days."""

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from recruitment_platform.resources.cassandra.lake import migrate_cassandra, open_cassandra_lake
from recruitment_platform.resources.lake.parquet import open_lake
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.resources.cassandra_lakes import address_of
from recruitment_platform_tests.resources.lake_batches import RULES, append_all, through_door
from recruitment_platform_tests.site import click

FILE = "file:" + "a" * 64
FIRST = datetime(2024, 5, 1, tzinfo=UTC)
DAYS = 14


@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York"])
def test_ids_on_two_days_are_those_that_reading_every_event_would_find(
    cassandra_server: Server, keyspace: str, tmp_path: Path, time_zone: str
) -> None:
    rules = replace(RULES, time_zone=time_zone)
    chance = random.Random(29)
    rows = []
    for number in range(300):
        received = FIRST + timedelta(minutes=chance.randrange(DAYS * 24 * 60))
        for _ in range(chance.choice((1, 1, 2, 3))):
            believed = received - timedelta(minutes=chance.choice((-5, 0, 1, 60, 1440, 4000, chance.randrange(11_000))))
            rows.append(click(received, number, ts=f"{believed:%Y-%m-%d %H:%M:%S}"))
    events = through_door(FILE, rows, rules=rules)
    address = address_of(cassandra_server, keyspace)
    migrate_cassandra(address, rules)
    lakes = open_cassandra_lake(address, rules), open_lake(tmp_path / "lake", rules)
    days: dict[str, set[date]] = defaultdict(set)
    for row in events.select(["create_time", "event_date"]).to_pylist():
        days[row["create_time"]].add(row["event_date"])
    on_two_days = sorted((id_, day) for id_, of_id in days.items() if len(of_id) > 1 for day in of_id)
    for lake in lakes:
        append_all(lake, FILE, events)
    first = date(2024, 4, 24)
    found = 0
    for start, length in ((0, 0), (7, 0), (8, 0), (11, 2), (20, 0), (5, 20), (-30, 90)):
        asked = first + timedelta(days=start), first + timedelta(days=start + length)
        expected = [(id_, day) for id_, day in on_two_days if asked[0] <= day <= asked[1]]
        for lake in lakes:
            listed = [(row["create_time"], row["event_date"]) for row in lake.ids_on_two_days(*asked).to_pylist()]
            assert listed == expected, (lake.name, asked)
        found += len(expected)
    assert found > 100
