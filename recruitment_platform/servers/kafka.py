"""Kafka as a process of this machine: its jars, its settings, its storage."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from recruitment_platform.servers.java import java
from recruitment_platform.servers.server import Kind, Server
from recruitment_platform.servers.software import installed, maven, run

VERSION = "4.3.1"

_HERE = Path(__file__).parent
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
_PROBE_SECONDS = 2.0


def _install() -> Path:
    java()
    return installed(f"kafka-{VERSION}", lambda folder: maven(_HERE / "kafka_pom.xml", folder))


def _prepare(server: Server, software: Path) -> None:
    tls = server.kind.tls
    names = ["kafka.properties", *(["kafka_tls.properties"] if tls else [])]
    # Of two lines of one name the last holds.
    template = Template("".join((_HERE / name).read_text(encoding="utf-8") for name in names))
    settings = template.substitute(
        host=server.host,
        port=server.port,
        controller_port=server.ports[1],
        login_port=server.ports[2],
        folder=server.folder,
        certificate=tls and tls.certificate,
        authority=tls and tls.authority,
    )
    path = server.folder / "kafka.properties"
    path.write_text(settings, encoding="utf-8")
    run(
        [*_java(software, "128M"), "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(path)],
        "making Kafka's storage",
    )


def _command(server: Server, software: Path) -> Sequence[str]:
    return [*_java(software, "256M"), "kafka.Kafka", str(server.folder / "kafka.properties")]


def _java(software: Path, memory: str) -> list[str]:
    return [
        *(java()[0], f"-Xmx{memory}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
        *("-cp", f"{software}/*"),
    ]


def client_settings(server: Server) -> dict[str, str]:
    """What librdkafka must be told to reach it."""
    tls = server.kind.tls
    trust = {"security.protocol": "ssl", "ssl.ca.location": str(tls.authority)} if tls else {}
    return {"bootstrap.servers": f"{server.host}:{server.port}", **trust}


def _probe(server: Server) -> str | None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({**client_settings(server), "log_level": 0})
    try:
        found = client.list_topics(timeout=_PROBE_SECONDS).brokers
    except KafkaException as error:
        return str(error)
    return None if found else "no broker has registered"


def _addresses(server: Server) -> dict[str, str]:
    tls = server.kind.tls
    trust = {"RECRUITMENT_KAFKA_SECURITY": "ssl", "RECRUITMENT_KAFKA_TLS_CA": str(tls.authority)} if tls else {}
    return {"RECRUITMENT_KAFKA_SERVERS": f"{server.host}:{server.port}", **trust}


KIND = Kind(
    name="kafka",
    title=f"Kafka {VERSION}",
    # For clients, for the controller, and with TLS for clients that log in.
    ports=3,
    user=None,
    install=_install,
    prepare=_prepare,
    command=_command,
    probe=_probe,
    addresses=_addresses,
)
