"""What can go wrong with a MySQL server ends in one clear line, without a secret, and changes nothing."""

import logging
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any

import certifi
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from recruitment_platform.addresses import MySQLAddress
from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.relational.bulk import WORTH_A_FILE
from recruitment_platform.resources.relational.mysql import open_mysql
from recruitment_platform.resources.relational.store import METADATA, SqlRelationalStore
from recruitment_platform.servers.ports import free_port
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.resources.relational_stores import (
    ALIASES,
    FIRST,
    ask,
    empty,
    fresh_database,
    table_rows,
)
from recruitment_platform_tests.servers_fixtures import StartServer

SECRET = "sesame-of-mysql"


def address_of(environment: dict[str, str]) -> MySQLAddress:
    return MySQLAddress(
        **{
            name.removeprefix("RECRUITMENT_MYSQL_").lower(): value
            for name, value in environment.items()
            if name.startswith("RECRUITMENT_MYSQL_")
        }
    )


@pytest.fixture
def store(mysql_environment: dict[str, str]) -> SqlRelationalStore:
    store = open_mysql(address_of(mysql_environment))
    empty(store)
    return store


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": "nowhere.invalid"}, r"cannot be reached \(.+\): start it, or set RECRUITMENT_MYSQL_HOST"),
        ({"port": 0}, r"cannot be reached \(Connection refused\)"),
        ({"password": SecretStr(SECRET)}, "refuses user recruitment: set RECRUITMENT_MYSQL_USER and"),
        ({"password": None}, "refuses user recruitment"),
        ({"user": "nobody"}, "refuses user nobody"),
        ({"database": "absent"}, "database absent, does not exist: create it, or set RECRUITMENT_MYSQL_DATABASE"),
        ({"tls_ca": Path(__file__)}, "RECRUITMENT_MYSQL_TLS_CA, cannot be used"),
        ({"tls_ca": Path("/nowhere.pem")}, r"RECRUITMENT_MYSQL_TLS_CA, cannot be used \(No such file"),
    ],
    ids=["host", "port", "password", "no password", "user", "database", "no certificate", "no file"],
)
def test_an_address_that_leads_nowhere_is_told_in_one_line_without_a_secret(
    mysql_environment: dict[str, str], change: dict[str, Any], message: str
) -> None:
    address = address_of(mysql_environment)
    assert address.password is not None
    changed = address.model_copy(update={**change, **({"port": free_port()} if change.get("port") == 0 else {})})
    with pytest.raises(StoreUnavailableError, match=message) as refused:
        open_mysql(changed)
    told = str(refused.value)
    assert f"MySQL at {changed.host}:{changed.port}" in told
    assert "\n" not in told
    for secret in (SECRET, address.password.get_secret_value()):
        assert secret not in "".join(traceback.format_exception(refused.value))


def test_a_user_without_rights_is_told_which(mariadb_server: Server, mysql_environment: dict[str, str]) -> None:
    address = address_of(mysql_environment)
    user = address.model_copy(update={"user": "reader", "password": SecretStr(SECRET)})
    open_mysql(address)
    ask(mariadb_server, f"CREATE OR REPLACE USER reader@'%' IDENTIFIED BY '{SECRET}'")
    try:
        with pytest.raises(StoreUnavailableError, match="is not open to user reader: grant the rights"):
            open_mysql(user)
        ask(mariadb_server, f"GRANT SELECT ON {address.database}.* TO reader@'%'")
        store = open_mysql(user)
        with pytest.raises(
            StoreUnavailableError, match=r"lets user reader not do that \(UPDATE command denied"
        ) as told:
            store.upsert("job", [{"id": 1}])
        assert SECRET not in "".join(traceback.format_exception(told.value))
    finally:
        ask(mariadb_server, "DROP USER reader@'%'")


def test_no_secret_is_shown_by_the_store_itself(mysql_environment: dict[str, str], caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    address = address_of(mysql_environment)
    assert address.password is not None
    store = open_mysql(address)
    store.upsert("job", [{"id": 1}])
    for shown in (repr(store), str(store.engine), str(store.engine.url), caplog.text):
        assert address.password.get_secret_value() not in shown


def test_rows_are_in_no_error(store: SqlRelationalStore) -> None:
    with pytest.raises(sa.exc.DBAPIError) as refused:
        store.upsert("job", [{"id": 1, "title": SECRET * 100}])
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    assert store.counts() == {}


def test_a_server_that_offers_no_tls_is_not_sent_a_password_where_tls_is_asked_for(
    mysql_environment: dict[str, str],
) -> None:
    address = address_of(mysql_environment).model_copy(update={"tls_ca": Path(certifi.where())})
    with pytest.raises(StoreUnavailableError, match="offers no TLS, which RECRUITMENT_MYSQL_TLS_CA asks for"):
        open_mysql(address)


def test_a_writer_that_is_held_up_for_too_long_is_told_and_has_changed_nothing(
    mysql_environment: dict[str, str],
) -> None:
    store = open_mysql(address_of(mysql_environment), wait_seconds=1)
    empty(store)
    with store.engine.begin() as other:
        other.execute(METADATA.tables["write_lock"].update().values(taken=0))
        assert store.counts() == {}, "readers are not held up"
        for write in (
            lambda: store.upsert("job", [{"id": 1}]),
            lambda: store.refresh_dim_jobs(FIRST, "USD", ALIASES),
        ):
            with pytest.raises(StoreUnavailableError, match="is held by another program: wait until") as held:
                write()
            assert "\n" not in str(held.value)
    assert store.upsert("job", [{"id": 1}]) == 1


def test_a_reader_sees_one_instant(store: SqlRelationalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    store.refresh_dim_jobs(FIRST, "USD", ALIASES)
    statements = count()

    @sa.event.listens_for(store.engine, "after_cursor_execute")
    def refresh_in_between(connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        if "dim_jobs_refresh" in statement and next(statements) == 0:
            store.upsert("job", [{"id": 2, "title": "Waiter"}])
            store.refresh_dim_jobs(FIRST, "USD", ALIASES)

    version, rows = store.dim_jobs()
    assert (version, rows.num_rows) == (1, 1)
    version, rows = store.dim_jobs()
    assert (version, rows.num_rows) == (2, 2)


def test_a_writer_that_waited_sees_what_the_other_one_wrote(store: SqlRelationalStore) -> None:
    rows = [{"id": number, "title": "Cook"} for number in range(1, 400)]
    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(lambda _: store.upsert("job", rows), range(6))) == [0] * 5 + [399]


def test_a_new_store_may_be_opened_by_many_at_once(mariadb_server: Server) -> None:
    for _ in range(3):
        with fresh_database(mariadb_server) as environment, ThreadPoolExecutor(6) as pool:
            address, barrier = address_of(environment), Barrier(6)

            def open_and_write(number: int, address: MySQLAddress = address, barrier: Barrier = barrier) -> int:
                barrier.wait()
                return open_mysql(address).upsert("job", [{"id": number}])

            assert list(pool.map(open_and_write, range(1, 7))) == [1] * 6
            assert open_mysql(address).counts() == {"job": 6}


def many_jobs(title: str) -> list[dict[str, Any]]:
    return [{"id": number, "title": title} for number in range(1, 2 * WORTH_A_FILE)]


@pytest.fixture
def own_server(server_start: StartServer) -> tuple[Server, SqlRelationalStore]:
    server = server_start("mariadb")
    return server, open_mysql(address_of(server.environment()))


def kill_at(server: Server, store: SqlRelationalStore, chosen: Callable[[str], bool]) -> None:
    """Has the server killed just before it is sent the first statement that is chosen."""
    killed = count()

    @sa.event.listens_for(store.engine, "before_cursor_execute")
    def kill(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if chosen(statement) and next(killed) == 0:
            server.kill()


@pytest.mark.parametrize("statement", ["INSERT INTO dim_jobs_refresh", "LOAD DATA", "UPDATE dim_jobs"])
def test_a_server_killed_in_mid_refresh_has_the_former_dimension_and_the_refresh_can_be_run_again(
    own_server: tuple[Server, SqlRelationalStore], statement: str
) -> None:
    server, store = own_server
    store.upsert("job", many_jobs("Cook"))
    store.refresh_dim_jobs(FIRST, "USD", ALIASES)
    before = store.dim_jobs()
    store.upsert("job", many_jobs("Chef"))
    later = FIRST.replace(hour=1)
    kill_at(server, store, lambda sent: sent.lstrip().startswith(statement))

    with pytest.raises(StoreUnavailableError, match="was lost in the middle: what was not committed is undone") as lost:
        store.refresh_dim_jobs(later, "USD", ALIASES)
    assert "\n" not in str(lost.value)
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        store.dim_jobs()

    server.restart()
    assert store.dim_jobs() == before
    done = store.refresh_dim_jobs(later, "USD", ALIASES)
    assert (done.version, done.opened, done.closed) == (2, len(many_jobs("")), len(many_jobs("")))


def test_a_server_that_refuses_files_is_told_of_once_and_gets_the_same_rows(
    own_server: tuple[Server, SqlRelationalStore], caplog: pytest.LogCaptureFixture
) -> None:
    server, store = own_server
    assert store.upsert("job", many_jobs("Cook")) == len(many_jobs(""))
    expected = table_rows(store, "job")
    empty(store)
    ask(server, "SET GLOBAL local_infile = 0")
    assert store.upsert("job", many_jobs("Cook")) == len(many_jobs(""))
    assert table_rows(store, "job") == expected
    assert store.upsert("job", many_jobs("Chef")) == len(many_jobs(""))
    assert caplog.text.count("refuses LOAD DATA LOCAL") == 1


def test_a_file_is_given_to_no_server_that_asks_for_one_unasked(store: SqlRelationalStore, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("1\n")
    connection = store.engine.raw_connection()
    with pytest.raises(RuntimeError, match="local_infile option is false"):
        connection.cursor().execute("LOAD DATA LOCAL INFILE %s INTO TABLE job (id)", [str(file)])
    connection.invalidate()


def test_what_a_file_would_change_silently_is_an_error_as_with_insert(store: SqlRelationalStore) -> None:
    rows = [*many_jobs("Cook"), {"id": 100_000, "title": "x" * 513}]
    with pytest.raises(sa.exc.DataError, match="Data too long for column 'title'"):
        store.upsert("job", rows)
    assert store.counts() == {}
