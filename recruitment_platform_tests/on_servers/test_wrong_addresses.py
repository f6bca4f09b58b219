"""A wrong password, an unknown host, a closed port, a missing keyspace, table, bucket or topic: one clear line each.

And none of them tells the secret: not in the message, not in what it was caused by.
"""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from recruitment_platform.errors import PlatformError
from recruitment_platform.resources.stores import (
    open_event_lake,
    open_log,
    open_object_store,
    open_relational_store,
    open_warehouse,
)
from recruitment_platform.settings import Settings
from recruitment_platform_tests.cli.command_line import assert_clear, free_port
from recruitment_platform_tests.on_servers.platform import Platform

WRONG = "Wr0ng-secret-of-a-test"
NOWHERE = "no-such-host.invalid"


def ask_lake(settings: Settings) -> None:
    open_event_lake(settings).days()


def ask_relational(settings: Settings) -> None:
    open_relational_store(settings).counts()


def ask_objects(settings: Settings) -> None:
    open_object_store(settings).list("")


def ask_warehouse(settings: Settings) -> None:
    open_warehouse(settings, open_object_store(settings)).ledger()


def ask_event_log(settings: Settings) -> None:
    log = open_log(settings)
    assert log is not None
    log.topic()


@pytest.mark.parametrize(
    ("ask", "wrong", "told"),
    [
        (ask_lake, {"CASSANDRA_PASSWORD": WRONG}, "RECRUITMENT_CASSANDRA_PASSWORD"),
        (ask_lake, {"CASSANDRA_HOSTS": NOWHERE}, NOWHERE),
        (ask_lake, {"CASSANDRA_PORT": "closed"}, "closed"),
        (ask_lake, {"CASSANDRA_KEYSPACE": "nowhere"}, "migrate"),
        (ask_lake, {"CASSANDRA_DATACENTER": "elsewhere"}, "RECRUITMENT_CASSANDRA_DATACENTER"),
        (ask_relational, {"MYSQL_PASSWORD": WRONG}, "RECRUITMENT_MYSQL_PASSWORD"),
        (ask_relational, {"MYSQL_HOST": NOWHERE}, NOWHERE),
        (ask_relational, {"MYSQL_PORT": "closed"}, "closed"),
        (ask_relational, {"MYSQL_DATABASE": "nowhere"}, "nowhere"),
        (ask_objects, {"S3_SECRET_KEY": WRONG}, "RECRUITMENT_S3_SECRET_KEY"),
        (ask_objects, {"S3_ACCESS_KEY": "nobody"}, "RECRUITMENT_S3_ACCESS_KEY"),
        (ask_objects, {"S3_ENDPOINT": f"http://{NOWHERE}:1"}, NOWHERE),
        (ask_objects, {"S3_ENDPOINT": "http://127.0.0.1:closed"}, "closed"),
        (ask_objects, {"S3_BUCKET": "nowhere-at-all"}, "nowhere-at-all"),
        (ask_event_log, {"KAFKA_SERVERS": f"{NOWHERE}:1"}, NOWHERE),
        (ask_event_log, {"KAFKA_SERVERS": "127.0.0.1:closed"}, "closed"),
        (ask_event_log, {"KAFKA_TOPIC": "nowhere"}, "migrate"),
        (ask_warehouse, {"REDSHIFT_PASSWORD": WRONG}, "password"),
        (ask_warehouse, {"REDSHIFT_HOST": NOWHERE}, NOWHERE),
        (ask_warehouse, {"REDSHIFT_PORT": "closed"}, "closed"),
        (ask_warehouse, {"REDSHIFT_DATABASE": "nowhere"}, "nowhere"),
        (ask_warehouse, {"REDSHIFT_SCHEMA_NAME": "nowhere"}, "nowhere"),
        (ask_warehouse, {}, "migrate"),
    ],
    ids=lambda value: "-".join(f"{name}={given}" for name, given in value.items()) if isinstance(value, dict) else "",
)
def test_what_is_wrong_with_an_address_is_told_in_one_line_without_secrets(
    servers: Platform,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Settings], None],
    wrong: dict[str, str],
    told: str,
) -> None:
    closed = str(free_port())
    monkeypatch.setenv("RECRUITMENT_HOME", str(tmp_path))
    for name, value in servers.settings.items():
        monkeypatch.setenv(name, value)
    for name, value in wrong.items():
        monkeypatch.setenv(f"RECRUITMENT_{name}", value.replace("closed", closed))
    with pytest.raises(PlatformError) as raised:
        ask(Settings.from_environment())
    message = str(raised.value)
    assert told.replace("closed", closed) in message
    assert "\n" not in message
    shown = "".join(traceback.format_exception(raised.value))
    assert not [secret for secret in {WRONG, *servers.secrets} if secret in shown]


def test_the_command_line_ends_with_3_and_one_line(servers: Platform) -> None:
    assert_clear(servers.call("migrate", RECRUITMENT_CASSANDRA_PORT=str(free_port())), 3, "Cassandra")
