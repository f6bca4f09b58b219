"""Kafka's failures, each one clear line that tells no secret; real servers, one of them with users and rights."""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.errors import PlatformError, SettingsError, StoreUnavailableError
from recruitment_platform.ingest.event_log import drain, follow
from recruitment_platform.resources.kafka import log as kafka
from recruitment_platform.resources.kafka.log import KafkaEventLog, open_event_log
from recruitment_platform.servers.ports import free_port
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.servers_fixtures import StartServer
from recruitment_platform_tests.site import RULES, Site

SECRET = "correct-horse-battery"
WRONG = "another-battery-staple"


def write_one(log: KafkaEventLog) -> None:
    with log.writer() as writer:
        writer.write([None], [b"{}"])
        writer.flush()


def uses(site: Site) -> dict[str, Callable[[KafkaEventLog], object]]:
    """Every way to use a log."""
    return {
        "look": lambda log: log.topic(),
        "write": write_one,
        "drain": lambda log: drain(log, site.lake, RULES),
        "follow": lambda log: follow(log, site.lake, RULES, lambda: False),
    }


def assert_one_clear_line(error: PlatformError, *words: str) -> None:
    text = str(error)
    assert "\n" not in text
    missing = [word for word in words if word not in text]
    assert not missing, text


def at(server: Server, **more: Any) -> KafkaAddress:
    return KafkaAddress(**{"servers": f"{server.host}:{server.port}", **more})


def test_a_topic_is_made_once_and_keeps_what_it_is(kafka_server: Server, topic: str) -> None:
    log = open_event_log(at(kafka_server, topic=topic))
    assert log.create_topic(3)
    made = log.topic()
    assert made.partitions == (0, 1, 2)
    assert not log.create_topic(5)
    assert log.topic() == made


@pytest.mark.parametrize("use", ["look", "write", "drain", "follow"])
def test_a_missing_topic_is_told_with_the_command_that_makes_it(
    kafka_server: Server, topic: str, tmp_path: Path, use: str
) -> None:
    log = open_event_log(at(kafka_server, topic=topic))
    with pytest.raises(StoreUnavailableError) as failed:
        uses(Site(tmp_path))[use](log)
    assert_one_clear_line(failed.value, topic, "create it: recruitment-platform migrate")


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1", "Connection refused"), ("no-such-host.invalid", "resolve")],
    ids=["closed port", "unknown host"],
)
def test_a_kafka_that_is_not_there_is_told_with_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, words: str
) -> None:
    monkeypatch.setattr(kafka, "PATIENCE", 1.0)
    monkeypatch.setattr(kafka, "DELIVERY_SECONDS", 1)
    servers = f"{host}:{free_port()}"
    for use in uses(Site(tmp_path)).values():
        with pytest.raises(StoreUnavailableError) as failed:
            use(open_event_log(KafkaAddress(servers=servers)))
        assert_one_clear_line(failed.value, servers, words, "RECRUITMENT_KAFKA_SERVERS")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"servers": None}, "RECRUITMENT_KAFKA_SERVERS"),
        ({"security": "sasl_plaintext"}, "RECRUITMENT_KAFKA_PASSWORD"),
        ({"security": "ssl", "tls_ca": "no/such.pem"}, "RECRUITMENT_KAFKA_TLS_CA"),
    ],
)
def test_settings_that_lack_something_are_refused_by_name(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        open_event_log(KafkaAddress(**{"servers": "127.0.0.1:9", **settings}))


def test_tls_with_a_server_that_has_none_is_told(kafka_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "PATIENCE", 3.0)
    with pytest.raises(PlatformError) as failed:
        open_event_log(at(kafka_server, security="ssl")).topic()
    assert_one_clear_line(failed.value, f"{kafka_server.host}:{kafka_server.port}")


@pytest.fixture
def guarded(server_start: StartServer) -> KafkaAddress:
    """A Kafka that knows two users: `reader` may read the topic `tracking`, `stranger` nothing at all."""
    server = server_start("kafka")
    admin_port, port = server.port, free_port()
    server.stop()
    path = server.folder / "kafka.properties"
    text = path.read_text(encoding="utf-8")
    for name, more in (
        ("listeners=", f",SASL_PLAINTEXT://{server.host}:{port}"),
        ("advertised.listeners=", f",SASL_PLAINTEXT://{server.host}:{port}"),
        ("listener.security.protocol.map=", ",SASL_PLAINTEXT:SASL_PLAINTEXT"),
    ):
        lines = (line + more if line.startswith(name) else line for line in text.splitlines())
        text = "\n".join(lines) + "\n"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    text += (
        "sasl.enabled.mechanisms=SCRAM-SHA-512\n"
        f"listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={module} required;\n"
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
        "super.users=User:ANONYMOUS\n"
    )
    path.write_text(text, encoding="utf-8")
    server.launch()
    server.wait()
    admin = AdminClient({"bootstrap.servers": f"{server.host}:{admin_port}", "log_level": 0})
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    users = [UserScramCredentialUpsertion(user, credential, SECRET.encode()) for user in ("reader", "stranger")]
    for future in admin.alter_user_scram_credentials(users).values():
        future.result(30)
    assert open_event_log(at(server)).create_topic(1)
    allowed = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, "User:reader", "*", operation, AclPermissionType.ALLOW)
        for kind, name, operation in (
            (ResourceType.TOPIC, "tracking", AclOperation.READ),
            (ResourceType.TOPIC, "tracking", AclOperation.DESCRIBE),
            (ResourceType.GROUP, "recruitment-platform", AclOperation.READ),
        )
    ]
    for future in admin.create_acls(allowed).values():
        future.result(30)
    return KafkaAddress(
        servers=f"{server.host}:{port}", security="sasl_plaintext", user="reader", password=SecretStr(SECRET)
    )


def test_users_are_told_what_they_may_not_and_nobody_is_told_their_password(
    guarded: KafkaAddress, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ways = uses(Site(tmp_path))
    told = ""

    def refused(use: str, *words: str, **changed: Any) -> None:
        nonlocal told
        log = open_event_log(guarded.model_copy(update=changed))
        with pytest.raises(SettingsError) as failed:
            ways[use](log)
        assert_one_clear_line(failed.value, str(guarded.servers), *words)
        told += repr(log) + "".join(traceback.format_exception(failed.value))

    for use in ways:
        refused(use, "refuses the user reader", "RECRUITMENT_KAFKA_PASSWORD", password=SecretStr(WRONG))
        refused(use, "does not let stranger use the topic tracking", user="stranger")
    refused("write", "does not let reader use the topic tracking", "1 messages were not delivered")
    refused("follow", "GROUP_AUTHORIZATION_FAILED", group="others")
    assert ways["drain"](open_event_log(guarded)).received == 0  # type: ignore[attr-defined]
    told += caplog.text + "".join(capfd.readouterr())
    assert SECRET not in told
    assert WRONG not in told
