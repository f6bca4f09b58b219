"""The servers over TLS: used where their authority is trusted, and refused in one clear line where it is not.

Their certificates name 127.0.0.1 alone: `localhost` is this machine too, by a name that they do not have.
"""

import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from recruitment_platform.errors import PlatformError
from recruitment_platform.resources.cassandra.lake import migrate_cassandra
from recruitment_platform.resources.kafka import log as kafka_log
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.servers.kafka import client_settings
from recruitment_platform.servers.ports import HOST
from recruitment_platform.servers.server import Server, Tls
from recruitment_platform.servers.starting import KINDS, PLATFORM
from recruitment_platform.settings import Settings
from recruitment_platform_tests.on_servers.platform import BETWEEN, DAYS, Platform, on_servers
from recruitment_platform_tests.on_servers.test_wrong_addresses import (
    ask_event_log,
    ask_lake,
    ask_objects,
    ask_relational,
)
from recruitment_platform_tests.servers_fixtures import running

TRAFFIC = (*BETWEEN, "--events-per-day", "500", "--faults", "all")
USER, PASSWORD = "someone", "a-password-that-TLS-hides"

CASSANDRA, KAFKA, MYSQL, S3 = (f"RECRUITMENT_{name}_" for name in ("CASSANDRA", "KAFKA", "MYSQL", "S3"))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for 127.0.0.1, and the authority that has signed it by another one."""
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    authority = trustme.CA()
    issued = authority.create_child_ca().issue_cert(HOST)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    found = Tls(folder / "authority.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(found.authority)
    found.certificate.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for certificate in issued.cert_chain_pems:
        certificate.write_to_path(found.certificate, append=True)
    return found


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that has signed nothing of it."""
    path = tmp_path_factory.mktemp("another") / "authority.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def guarded(servers_folder: Path, tls: Tls) -> Iterator[Mapping[str, Server]]:
    """The servers of the platform, by the names of their kinds, which speak TLS alone."""
    # A folder of its own: a process that comes back to this file has another authority, to which former data are bound.
    folder = Path(tempfile.mkdtemp(dir=servers_folder))
    folder.chmod(0o755)
    with ExitStack() as stack:
        start = contextmanager(running)
        yield {name: stack.enter_context(start(replace(KINDS[name], tls=tls), folder)) for name in PLATFORM}


def test_the_whole_platform_runs_over_tls_with_a_user_of_kafka(
    guarded: Mapping[str, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = guarded["kafka"]
    by_address = on_servers(tmp_path / "home", guarded.values())
    by_user = {
        f"{KAFKA}SECURITY": "sasl_ssl",
        f"{KAFKA}SERVERS": f"{server.host}:{server.ports[2]}",
        f"{KAFKA}USER": USER,
        f"{KAFKA}PASSWORD": PASSWORD,
    }
    platform = replace(by_address, settings={**by_address.settings, **by_user})
    admin = AdminClient({**client_settings(server), "log_level": 0})
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    made = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())])
    made[USER].result(30)
    for command in (("migrate",), ("produce", *TRAFFIC), ("ingest",), ("run", *BETWEEN)):
        platform.succeed(*command)
    assert platform.truths() == ["matched"] * DAYS
    ask_event_log(settings_of(by_address, monkeypatch))
    wrong = {**platform.settings, f"{KAFKA}PASSWORD": f"not-{PASSWORD}"}
    refused(ask_event_log, replace(platform, settings=wrong), f"{KAFKA}PASSWORD", monkeypatch)


WRONG: Mapping[str, tuple[Callable[[Settings], None], Mapping[str, str], str]] = {
    "Cassandra, another authority": (ask_lake, {f"{CASSANDRA}TLS_CA": "another"}, "RECRUITMENT_CASSANDRA_TLS_CA"),
    "Cassandra, without TLS": (ask_lake, {f"{CASSANDRA}TLS_CA": ""}, "_TLS_CA if it speaks TLS"),
    "Kafka, another authority": (ask_event_log, {f"{KAFKA}TLS_CA": "another"}, "RECRUITMENT_KAFKA_TLS_CA"),
    "Kafka, another name": (ask_event_log, {f"{KAFKA}SERVERS": "localhost:port"}, "KAFKA_SERVERS has a name"),
    "Kafka, without TLS": (ask_event_log, {f"{KAFKA}SECURITY": "plaintext"}, "RECRUITMENT_KAFKA_SECURITY"),
    "MySQL, another authority": (ask_relational, {f"{MYSQL}TLS_CA": "another"}, "RECRUITMENT_MYSQL_TLS_CA"),
    "MySQL, another name": (ask_relational, {f"{MYSQL}HOST": "localhost"}, "RECRUITMENT_MYSQL_HOST"),
    "S3, another authority": (ask_objects, {f"{S3}TLS_CA": "another"}, "RECRUITMENT_S3_TLS_CA"),
    "S3, another name": (ask_objects, {f"{S3}ENDPOINT": "https://localhost:port"}, "is not trusted (hostname"),
    "S3, without TLS": (ask_objects, {f"{S3}ENDPOINT": "http://127.0.0.1:port"}, "RECRUITMENT_S3_ENDPOINT"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_server_that_is_not_to_be_trusted_is_not_used_and_told_in_one_line_without_secrets(
    guarded: Mapping[str, Server], another: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    ask, wrong, told = WRONG[case]
    platform = on_servers(tmp_path, guarded.values())
    port = str(guarded["kafka" if ask is ask_event_log else "s3"].port)
    changed = {name: value.replace("another", str(another)).replace("port", port) for name, value in wrong.items()}
    refused(ask, replace(platform, settings={**platform.settings, **changed}), told, monkeypatch)


PLAIN: Mapping[str, tuple[Callable[[Settings], None], str, str]] = {
    "cassandra": (ask_lake, f"{CASSANDRA}TLS_CA", "RECRUITMENT_CASSANDRA_TLS_CA"),
    "kafka": (ask_event_log, f"{KAFKA}SECURITY", "RECRUITMENT_KAFKA_SECURITY"),
    "mariadb": (ask_relational, f"{MYSQL}TLS_CA", "RECRUITMENT_MYSQL_TLS_CA"),
    "s3": (ask_objects, f"{S3}ENDPOINT", "RECRUITMENT_S3_ENDPOINT"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_server_that_speaks_no_tls_is_not_used_where_it_is_asked_for(
    request: pytest.FixtureRequest, tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ask, setting, told = PLAIN[name]
    platform = on_servers(tmp_path, [request.getfixturevalue(f"{name}_server")])
    values = {
        "SECURITY": "ssl",
        "TLS_CA": str(tls.authority),
        "ENDPOINT": platform.settings.get(setting, "").replace("http", "https"),
    }
    changed = {setting: values[setting.removeprefix("RECRUITMENT_").partition("_")[2]]}
    refused(ask, replace(platform, settings={**platform.settings, **changed}), told, monkeypatch)


def test_what_is_not_checked_is_only_what_the_settings_say(
    guarded: Mapping[str, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = on_servers(tmp_path, guarded.values(), cassandra_keyspace="by_another_name")
    # Cassandra's nodes tell of one another by address, which certificates seldom name: the authority is what counts.
    # And where no authority is given, TLS is used with MySQL all the same if it is there.
    more = {f"{CASSANDRA}HOSTS": "localhost", f"{MYSQL}TLS_CA": "", f"{MYSQL}HOST": "localhost"}
    settings = settings_of(replace(platform, settings={**platform.settings, **more}), monkeypatch)
    migrate_cassandra(settings.cassandra, door_rules(settings))
    ask_lake(settings)
    ask_relational(settings)


def settings_of(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECRUITMENT_HOME", str(platform.home))
    for name, value in platform.settings.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def refused(ask: Callable[[Settings], None], platform: Platform, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is not used, and one line says which setting to look at, and no secret."""
    monkeypatch.setattr(kafka_log, "PATIENCE", 3.0)
    with pytest.raises(PlatformError) as raised:
        ask(settings_of(platform, monkeypatch))
    message = str(raised.value)
    assert told in message
    assert "\n" not in message
    shown = "".join(traceback.format_exception(raised.value))
    assert not [secret for secret in platform.secrets if secret in shown]
