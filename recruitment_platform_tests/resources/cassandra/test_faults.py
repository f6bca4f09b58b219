"""The lake on Cassandra under several writers, killed ones, a server that goes away, and wrong addresses."""

import os
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.errors import SettingsError, StoreUnavailableError
from recruitment_platform.model.door import LAKE_SCHEMA
from recruitment_platform.pipeline.snapshot import LAKE_COLUMNS
from recruitment_platform.resources.cassandra import rejected as cassandra_rejected
from recruitment_platform.resources.cassandra.lake import CassandraLake, migrate_cassandra, open_cassandra_lake
from recruitment_platform.resources.protocols import SourceState
from recruitment_platform.servers.ports import free_port
from recruitment_platform.servers.server import Server
from recruitment_platform.sql import connect_duckdb
from recruitment_platform_tests.resources.cassandra.process import BATCH
from recruitment_platform_tests.resources.cassandra_lakes import address_of, empty
from recruitment_platform_tests.resources.lake_batches import (
    RULES,
    append_all,
    contents,
    events_of,
    hash_sum,
    rejected_row,
    through_door,
)
from recruitment_platform_tests.servers_fixtures import StartServer
from recruitment_platform_tests.site import click

FILE = "file:" + "a" * 64
ROWS = 20 * BATCH
FIRST = date(2024, 5, 6)


@pytest.fixture(scope="module")
def address(cassandra_server: Server) -> CassandraAddress:
    """A keyspace that several migrations have made at once."""
    found = address_of(cassandra_server, f"faults{uuid4().hex[:12]}")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: migrate_cassandra(found, RULES), range(3)))
    return found


@pytest.fixture
def lake(address: CassandraAddress) -> CassandraLake:
    empty(address)
    return open_cassandra_lake(address, RULES)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return through_door(FILE, [click(f"2024-05-0{at % 3 + 6} 10:00", at, uid=str(at)) for at in range(ROWS)])


@pytest.fixture(scope="module")
def events_file(events: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "events.parquet"
    pq.write_table(events, path)
    return path


def started(command: str, address: CassandraAddress, events_file: Path) -> subprocess.Popen[str]:
    assert address.password is not None
    variables = {
        "PORT": str(address.port),
        "KEYSPACE": address.keyspace,
        "USER": str(address.user),
        "PASSWORD": address.password.get_secret_value(),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "recruitment_platform_tests.resources.cassandra.process", command, events_file, FILE],
        env={**os.environ, **{f"RECRUITMENT_CASSANDRA_{name}": value for name, value in variables.items()}},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def let_go(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def assert_holds_once(lake: CassandraLake, events: pa.Table) -> None:
    """Every event is in the lake, once, and what is known of source and days says so."""
    held = pa.concat_tables([events_of(lake, day) for day in lake.days()]).sort_by("position")
    assert held.equals(events)
    assert lake.sources() == [SourceState(FILE, (), ROWS, ROWS, ROWS, 0)]
    for state in lake.day_states():
        of_day = events.filter(pc.equal(events["event_date"], state.event_date))
        assert (state.rows, state.hash_sum) == (of_day.num_rows, hash_sum(of_day))


def test_a_writer_killed_between_its_rows_and_their_source_leaves_nothing_to_be_seen(
    lake: CassandraLake, events: pa.Table, events_file: Path
) -> None:
    append_all(lake, FILE, events.slice(0, BATCH))
    before = contents(lake)
    process = started("die", lake.address, events_file)
    process.communicate(timeout=120)
    assert process.returncode == -9
    ((rows,),) = lake.connection.rows.execute("SELECT count(*) FROM tracking")
    assert rows == 2 * BATCH
    assert contents(lake) == before
    for at in range(BATCH, ROWS, 7 * BATCH):
        append_all(lake, FILE, events.slice(at, 7 * BATCH))
    assert_holds_once(lake, events)


def test_of_two_writers_of_a_source_each_batch_is_brought_by_one(
    lake: CassandraLake, events: pa.Table, events_file: Path
) -> None:
    processes = [started("take", lake.address, events_file) for _ in range(2)]
    let_go(processes)
    own = [int(process.communicate(timeout=240)[0]) for process in processes]
    assert sum(own) == ROWS / BATCH
    assert_holds_once(lake, events)


def test_rejected_rows_of_a_killed_writer_count_only_with_the_batch_that_brings_them(lake: CassandraLake) -> None:
    """The writer that was killed had another ingest day than the one that brought its rows in the end."""
    cassandra_rejected.write(lake.connection, FILE, [rejected_row(FILE, 1, ingest_date=FIRST), rejected_row(FILE, 2)])
    assert list(lake.rejected()) == []
    append_all(lake, FILE, LAKE_SCHEMA.empty_table(), [rejected_row(FILE, 1)])
    assert list(lake.rejected()) == [rejected_row(FILE, 1)]
    assert lake.rejected_by_ingest_day() == {rejected_row(FILE, 1).ingest_date: 1}


def test_a_replay_whose_rows_were_written_but_never_counted_can_be_done_with_other_content(
    lake: CassandraLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(lake, FILE, LAKE_SCHEMA.empty_table(), [rejected_row(FILE, 1)])
    before = contents(lake)

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    first, second = (through_door(FILE, [click("2024-05-06 10:00", number)]) for number in (1, 2))
    with monkeypatch.context() as patched:
        patched.setattr("recruitment_platform.resources.cassandra.sources._batch", fails)
        with pytest.raises(KeyboardInterrupt):
            lake.replay(first)
    assert contents(lake) == before
    assert lake.replay(second) == 1
    assert events_of(lake, FIRST).equals(second)


def test_an_outage_of_the_server_in_mid_ingest_loses_nothing_and_readers_are_told(
    server_start: StartServer, events: pa.Table, events_file: Path
) -> None:
    server = server_start("cassandra")
    address = address_of(server, "outage")
    migrate_cassandra(address, RULES)
    lake = open_cassandra_lake(address, RULES)
    process = started("take", address, events_file)
    let_go([process])
    while lake.progress(FILE) < 2 * BATCH:
        pass
    impatient = replace(lake, wait=timedelta(0))
    scan = impatient.scan(FIRST, LAKE_COLUMNS)
    server.kill()
    assert process.poll() is None
    told = f"Cassandra at {address.hosts[0]}:{address.port} cannot be used: .*nothing that was acknowledged is lost"
    with connect_duckdb() as engine, pytest.raises(StoreUnavailableError, match=told), scan.read_by(engine):
        engine.execute("CREATE TABLE held AS SELECT * FROM events")
    with pytest.raises(StoreUnavailableError, match=told):
        append_all(impatient, FILE, events)
    server.restart()
    assert int(process.communicate(timeout=240)[0]) == ROWS / BATCH
    assert_holds_once(lake, events)


def test_a_wrong_address_or_login_is_told_in_one_line_without_the_password(address: CassandraAddress) -> None:
    secret = "a-secret-nobody-may-see"
    closed = free_port()
    at = f"Cassandra at 127.0.0.1:{address.port}"
    cases = {
        f"{at} cannot be used: it refuses user recruitment; see RECRUITMENT_CASSANDRA_USER"
        " and RECRUITMENT_CASSANDRA_PASSWORD": {"password": SecretStr(secret)},
        f"{at} cannot be used: it refuses no user; see RECRUITMENT_CASSANDRA_USER and RECRUITMENT_CASSANDRA_PASSWORD": {
            "user": None
        },
        f"Cassandra at nowhere.invalid:{address.port} cannot be used: no such host is known;"
        " see RECRUITMENT_CASSANDRA_HOSTS": {"hosts": ("nowhere.invalid",), "password": SecretStr(secret)},
        f"{at} has no keyspace nowhere: run `recruitment-platform migrate`, or see RECRUITMENT_CASSANDRA_KEYSPACE": {
            "keyspace": "nowhere"
        },
        f"Cassandra at 127.0.0.1:{closed} cannot be used: [Errno 111]": {"port": closed, "password": SecretStr(secret)},
    }
    for expected, values in cases.items():
        with pytest.raises(StoreUnavailableError) as caught:
            open_cassandra_lake(address.model_copy(update=values), RULES)
        assert str(caught.value).startswith(expected)
        assert "\n" not in str(caught.value)
        assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_lake_keeps_to_the_rules_and_buckets_it_was_begun_with(address: CassandraAddress) -> None:
    other = replace(RULES, time_zone="Asia/Ho_Chi_Minh")
    for use in (open_cassandra_lake, migrate_cassandra):
        with pytest.raises(SettingsError, match="RECRUITMENT_TIME_ZONE is Asia/Ho_Chi_Minh, but the lake in keyspace"):
            use(address, other)
    more = address.model_copy(update={"buckets": 7})
    migrate_cassandra(more, RULES)
    assert open_cassandra_lake(more, RULES).buckets == address.buckets
