"""Settings come from the environment alone, are checked as a whole, and keep secrets to themselves."""

from pathlib import Path

import pytest

from recruitment_platform.addresses import CassandraAddress
from recruitment_platform.errors import SettingsError
from recruitment_platform.settings import GROUPS, Settings, group_names, known_names

SECRET = "s3cret-of-a-test"
SECRETS = [name for group in GROUPS for name in group_names(group) if name.endswith(("_PASSWORD", "_SECRET_KEY"))]


def test_an_address_alone_moves_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECRUITMENT_PROFILE", "servers")
    monkeypatch.setenv("RECRUITMENT_CASSANDRA_HOSTS", "a.example, b.example,")
    monkeypatch.setenv("RECRUITMENT_CASSANDRA_PORT", "19042")
    monkeypatch.setenv("RECRUITMENT_MYSQL_TLS_CA", "")
    settings = Settings.from_environment()
    assert settings.cassandra.hosts == ("a.example", "b.example")
    assert settings.cassandra.port == 19042
    assert settings.mysql.tls_ca is None
    assert (settings.has_kafka, settings.has_redshift) == (False, False)
    monkeypatch.setenv("RECRUITMENT_KAFKA_SERVERS", "k.example:9092")
    monkeypatch.setenv("RECRUITMENT_REDSHIFT_CLUSTER", "facts")
    monkeypatch.setenv("RECRUITMENT_REDSHIFT_IAM_ROLE", "default")
    settings = Settings.from_environment()
    assert (settings.has_kafka, settings.has_redshift) == (True, True)


def test_the_local_profile_has_neither_kafka_nor_redshift_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECRUITMENT_KAFKA_SERVERS", "k.example:9092")
    monkeypatch.setenv("RECRUITMENT_REDSHIFT_HOST", "r.example")
    settings = Settings.from_environment()
    assert (settings.profile, settings.has_kafka, settings.has_redshift) == ("local", False, False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"CASSANDRA_HOST": "a"},
            "unknown setting RECRUITMENT_CASSANDRA_HOST; known are .*CASSANDRA_HOSTS",
        ),
        ({"CASSANDRA_PORT": "70000"}, "^RECRUITMENT_CASSANDRA_PORT: "),
        ({"CASSANDRA_HOSTS": " , "}, "^RECRUITMENT_CASSANDRA_HOSTS: "),
        ({"CASSANDRA_KEYSPACE": "x; DROP"}, "^RECRUITMENT_CASSANDRA_KEYSPACE: "),
        ({"S3_ENDPOINT": "localhost:9000"}, "^RECRUITMENT_S3_ENDPOINT: "),
        ({"S3_BUCKET": "No_Bucket"}, "^RECRUITMENT_S3_BUCKET: "),
        ({"REDSHIFT_TLS": "maybe"}, "^RECRUITMENT_REDSHIFT_TLS: "),
        ({"SPARK_MASTER": "here"}, "^RECRUITMENT_SPARK_MASTER: "),
        ({"DAYS_PER_RUN": "-1"}, "^RECRUITMENT_DAYS_PER_RUN: "),
        ({"PROFILE": "cloud"}, "^RECRUITMENT_PROFILE: "),
        ({"PROFILE": "aws"}, "needed is RECRUITMENT_REDSHIFT_HOST or RECRUITMENT_REDSHIFT_CLUSTER"),
        ({"PROFILE": "aws", "REDSHIFT_HOST": "r.example"}, "needed is RECRUITMENT_REDSHIFT_IAM_ROLE"),
        (
            {"PROFILE": "servers", "S3_ENDPOINT": "http://s.example"},
            "needed is RECRUITMENT_S3_ACCESS_KEY and RECRUITMENT_S3_SECRET_KEY",
        ),
    ],
)
def test_what_cannot_be_used_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"RECRUITMENT_{name}", value)
    with pytest.raises(SettingsError, match=told) as raised:
        Settings.from_environment()
    assert "\n" not in str(raised.value)


def test_no_secret_is_printed_with_the_settings_nor_told_where_one_is_misplaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, SECRET)
    settings = Settings.from_environment()
    assert settings.cassandra.password is not None
    assert settings.cassandra.password.get_secret_value() == SECRET
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown
    monkeypatch.setenv("RECRUITMENT_CASSANDRA_PORT", SECRET)
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment()
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert len(SECRETS) == 5


def test_every_group_reads_its_own_prefix() -> None:
    names = known_names()
    assert {"RECRUITMENT_HOME", "RECRUITMENT_CASSANDRA_HOSTS", "RECRUITMENT_SPARK_MEMORY"} <= names
    assert not names & {f"RECRUITMENT_{group.upper()}" for group in GROUPS}
    assert Settings(home=Path("nowhere"), cassandra=CassandraAddress(port=1)).cassandra.port == 1
