"""Whatever is killed in the middle of its work, the truth is matched once the same is done again.

One platform on servers of its own goes through all of it, and each of its days has a fault of its own.
"""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from recruitment_platform.servers.server import Server
from recruitment_platform_tests.on_servers.held import Held, Moment, command, succeed
from recruitment_platform_tests.on_servers.platform import YESTERDAY, Platform

FLUSH = "recruitment_platform.resources.kafka.log:LogWriter.flush"
COMMIT_OFFSETS = "recruitment_platform.resources.kafka.log:LogReader.commit"
CHANGE_SOURCE = "recruitment_platform.resources.cassandra.lake:change"
ASK_MYSQL = "pymysql.cursors:Cursor.execute"
PUT_MANIFEST = "recruitment_platform.resources.objects.s3:S3Store.put_if_absent"


@dataclass(frozen=True)
class Place:
    """A platform whose servers may be killed, and the gate before its PostgreSQL."""

    platform: Platform
    servers: Mapping[str, Server]
    gate: Any

    def run(
        self, day: date, at: Moment | None = None, platform: Platform | None = None
    ) -> AbstractContextManager[Held]:
        """The day's run, started."""
        return command(platform or self.platform, "run", "--from", str(day), "--to", str(day), at=at)

    def wait_until_held(self, number: int) -> None:
        """Returns when the gate holds the statement that this number was given for."""
        # A minute each: a run that has to share the machine takes longer to come there.
        assert any(self.gate.wait_until_reached(number) for _ in range(4))


def kill_mariadb_in_mid_dimension(place: Place, day: date) -> None:
    with place.run(day, Moment(ASK_MYSQL, "INSERT INTO dim_jobs_refresh")) as run:
        kill_while_held(place.servers["mariadb"], run)
        assert_told(run, "MySQL at")
    place.servers["mariadb"].restart()


def kill_s3_between_files_and_manifest(place: Place, day: date) -> None:
    with place.run(day, Moment(PUT_MANIFEST, "^s3_staged_events/.*manifests/")) as run:
        kill_while_held(place.servers["s3"], run)
        assert_told(run, "the object store s3://")
    place.servers["s3"].restart()


def kill_postgres_between_copy_and_commit(place: Place, day: date) -> None:
    copied = place.gate.hold("COPY", "after")
    with place.run(day) as run:
        place.wait_until_held(copied)
        place.servers["postgres"].restart()
        place.gate.forget_faults()
        assert run.ends()[0] == 0, "a load that the server has lost is made again"


def kill_the_client_just_before_commit(place: Place, day: date) -> None:
    written = place.gate.hold("INSERT INTO load_ledger", "after")
    with place.run(day) as run:
        place.wait_until_held(written)
        run.kill()
    place.gate.forget_faults()


def kill_the_client_just_after_commit(place: Place, day: date) -> None:
    written = place.gate.hold("INSERT INTO load_ledger", "after")
    with place.run(day) as run:
        place.wait_until_held(written)
        committed = place.gate.hold("COMMIT", "after")
        place.gate.release(written)
        place.wait_until_held(committed)
        run.kill()
    place.gate.forget_faults()


def load_an_empty_day_twice_at_once(place: Place, day: date) -> None:
    """From two machines, which know nothing of one another's runs."""
    other = replace(place.platform, home=place.platform.home.with_name("another"))
    shutil.copytree(place.platform.home, other.home)
    began = place.gate.hold(r"LOCK TABLE\s+load_ledger", "before")
    with place.run(day) as first:
        place.wait_until_held(began)
        with place.run(day, platform=other) as second:
            assert second.ends()[0] == 0
        place.gate.forget_faults()
        assert first.ends()[0] == 0


FAULTS = (
    kill_mariadb_in_mid_dimension,
    kill_s3_between_files_and_manifest,
    kill_postgres_between_copy_and_commit,
    kill_the_client_just_before_commit,
    kill_the_client_just_after_commit,
    load_an_empty_day_twice_at_once,
)
DAYS = [YESTERDAY - timedelta(days=number) for number in reversed(range(len(FAULTS)))]
BETWEEN = ("--from", str(DAYS[0]), "--to", str(DAYS[-1]))
TRAFFIC = (*BETWEEN, "--events-per-day", "300", "--faults", "all", "--seed", "11")


@pytest.mark.timeout(1200)
def test_whatever_is_killed_in_mid_work_the_truth_is_matched_in_the_end(
    private: tuple[Platform, dict[str, Server]], private_gate: Any
) -> None:
    platform, servers = private
    succeed(platform, "migrate")
    kill_kafka_in_mid_produce(platform, servers["kafka"])
    kill_the_ingester_between_write_and_commit_of_offsets(platform)
    kill_cassandra_in_mid_ingest(platform, servers["cassandra"])
    for day, fault in zip(DAYS, FAULTS, strict=True):
        fault(Place(platform, servers, private_gate), day)
        succeed(platform, "run", "--from", str(day), "--to", str(day))
        status = succeed(platform, "status", "--from", str(day), "--to", str(day))
        assert "matched" in status, (fault.__name__, status)
    whole = succeed(platform, "status", *BETWEEN)
    assert whole.count("matched") == len(DAYS)
    assert "differ" not in whole


def kill_kafka_in_mid_produce(platform: Platform, kafka: Server) -> None:
    with command(platform, "produce", *TRAFFIC, at=Moment(FLUSH, number=2)) as produce:
        produce.comes()
        kafka.kill()
        produce.goes_on()
        kafka.restart()
        assert produce.ends()[0] == 0


def kill_the_ingester_between_write_and_commit_of_offsets(platform: Platform) -> None:
    with command(platform, "ingest", at=Moment(COMMIT_OFFSETS)) as ingest:
        ingest.comes()
        ingest.kill()


def kill_cassandra_in_mid_ingest(platform: Platform, cassandra: Server) -> None:
    with command(platform, "ingest", at=Moment(CHANGE_SOURCE, number=2)) as ingest:
        ingest.comes()
        cassandra.kill()
        ingest.goes_on()
        cassandra.restart()
        assert ingest.ends()[0] == 0


def kill_while_held(server: Server, run: Held) -> None:
    run.comes()
    server.kill()
    run.goes_on()


def assert_told(run: Held, words: str) -> None:
    code, told = run.ends()
    assert code == 3, told
    assert words in told
    assert "Traceback" not in told
