"""A real Spark cluster and a real Spark Connect server as processes of a test run, each started when first asked for.

What belongs here: their processes, small, and ended with the test run. What does not: what is run on them. A process
has one Spark alone, so tests run their side of it in processes of their own.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyspark
import pytest

from recruitment_platform.servers.ports import HOST, free_port
from recruitment_platform.servers.server import Kind, Server
from recruitment_platform.transforms.java import java_environment

WORKERS = 2
EXECUTOR_MEMORY = "512m"  # the least that Spark takes

_JARS = Path(pyspark.__file__).parent / "jars"
_OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util"),
    *("java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs", "sun.security.action"),
    "sun.util.calendar",
)
_SMALL = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True)
class Cluster:
    """A master and its workers."""

    master: Server
    workers: tuple[Server, ...]

    @property
    def url(self) -> str:
        """What `RECRUITMENT_SPARK_MASTER` is set to."""
        return f"spark://{self.master.host}:{self.master.port}"

    def logs(self) -> str:
        """All that its processes and the executors of its applications wrote."""
        folders = [self.master.folder, *(worker.folder for worker in self.workers)]
        found = (
            path for folder in folders for path in folder.rglob("*") if path.name in ("log.txt", "stdout", "stderr")
        )
        return "\n".join(path.read_text(errors="replace") for path in found)


@pytest.fixture(scope="session")
def spark_cluster(servers_folder: Path) -> Iterator[Cluster]:
    """A standalone cluster for all tests: whoever ends a worker restarts it.

    Its executors find no keys for a bucket on their own: those of their environment are wrong.
    """
    master = _server("spark-master", servers_folder, 2, _master)
    master.wait()
    url = f"spark://{master.host}:{master.port}"
    wrong = {"AWS_ACCESS_KEY_ID": "recruitment", "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_EC2_METADATA_DISABLED": "true"}
    workers = tuple(
        _server(f"spark-worker-{number}", servers_folder, 2, _worker, {"URL": url, **wrong})
        for number in range(WORKERS)
    )
    for worker in workers:
        worker.wait()
    yield Cluster(master, workers)
    for server in (*workers, master):
        server.kill()


@pytest.fixture(scope="session")
def spark_connect(servers_folder: Path) -> Iterator[Server]:
    """A Spark Connect server for all tests; `sc://host:port` leads to it."""
    server = _server("spark-connect", servers_folder, 1, _connect)
    server.wait()
    yield server
    server.kill()


def _server(name: str, folder: Path, ports: int, command: object, variables: Mapping[str, str] | None = None) -> Server:
    given = dict(variables or {})
    url = given.pop("URL", "")
    kind = Kind(
        name=name,
        title=f"Spark {pyspark.__version__} ({name})",
        ports=ports,
        user=None,
        install=lambda: _JARS,
        prepare=lambda server, software: None,
        command=lambda server, software: command(server, url),
        probe=lambda server: None,
        addresses=lambda server: {},
        variables=lambda server, software: _environment() | given,
    )
    home = folder / name
    home.mkdir()
    server = Server(kind, home, tuple(free_port() for _ in range(ports)), "", outlives=False)
    server.launch()
    return server


def _environment() -> dict[str, str]:
    # The version of Scala is told, because no script of Spark's own looks for it here.
    return java_environment(os.environ) | {"SPARK_LOCAL_IP": HOST, "SPARK_SCALA_VERSION": "2.13"}


def _java(memory: str, main: str, *more: str) -> list[str]:
    java = Path(_environment()["JAVA_HOME"], "bin", "java")
    return [str(java), "-cp", f"{_JARS}/*", f"-Xmx{memory}", *_SMALL, *more, main]


def _master(server: Server, url: str) -> Sequence[str]:
    ports = ("--port", str(server.port), "--webui-port", str(server.ports[1]))
    return [*_java("192m", "org.apache.spark.deploy.master.Master"), "--host", server.host, *ports]


def _worker(server: Server, url: str) -> Sequence[str]:
    return [
        *_java("192m", "org.apache.spark.deploy.worker.Worker"),
        *("--host", server.host, "--port", str(server.port), "--webui-port", str(server.ports[1])),
        *("--cores", "1", "--memory", "700m", "--work-dir", str(server.folder / "work"), url),
    ]


def _connect(server: Server, url: str) -> Sequence[str]:
    opened = (f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED)
    settings = {
        "spark.connect.grpc.binding.address": server.host,
        "spark.connect.grpc.binding.port": str(server.port),
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": server.folder.as_uri(),
        "spark.sql.shuffle.partitions": "4",
        # Others than the platform's, so that a session that does not set its own would be found out.
        "spark.sql.ansi.enabled": "false",
        "spark.sql.session.timeZone": "Asia/Ho_Chi_Minh",
    }
    return [
        *_java("600m", "org.apache.spark.deploy.SparkSubmit", *opened),
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--master", "local[2]"),
        *(word for name, value in settings.items() for word in ("--conf", f"{name}={value}")),
        "spark-internal",
    ]
