"""The services of `docker/compose.yaml` that are Dagster's and ours, without Docker: by their commands, as processes.

Each has the environment that Compose and the image give it, with the servers of the tests in place of the stores and
folders in place of the volume, and is healthy when its own health check says so. What does not belong here: the file
itself (`test_docker`), and how images are built, which no test does.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recruitment_platform.servers.ports import free_port
from recruitment_platform.servers.server import Server
from recruitment_platform_tests.automation.test_web import BACKFILL, Page
from recruitment_platform_tests.on_servers.platform import YESTERDAY, on_servers
from recruitment_platform_tests.test_docker import DOCKER, DOCKERFILE, SERVICES, stages

IMAGE = "/opt/recruitment/docker"
PORTS = {"code": 4000, "webserver": 3000}
SECONDS = 240

REFRESH = """
mutation {
  launchRun(executionParams: {
    mode: "default",
    selector: {
      repositoryLocationName: "recruitment_platform", repositoryName: "__repository__", jobName: "refresh_dim_jobs"
    }
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUN = """
query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }
"""
LAUNCH = """
mutation ($days: [String!]!) {
  launchPartitionBackfill(backfillParams: {
    selector: {
      partitionSetName: "daily_facts_partition_set",
      repositorySelector: {repositoryLocationName: "recruitment_platform", repositoryName: "__repository__"}
    },
    partitionNames: $days
  }) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@dataclass(frozen=True)
class Machine:
    """Where the services run: `volume` is the volume `home`, `stores` the settings that lead to the tests' servers."""

    folder: Path
    stores: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})

    @property
    def volume(self) -> Path:
        return self.folder / "data"

    @property
    def home(self) -> Path:
        """The user's own folder, which no service may write to."""
        return self.folder / "nobodys"

    def environment(self, name: str) -> dict[str, str]:
        """What the service finds: the image's variables, and its own."""
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("RECRUITMENT_", "DAGSTER_", "CASSANDRA_"))
        }
        image = dict(
            re.findall(r"^(?:ENV|   ) (RECRUITMENT_HOME|DAGSTER_HOME|PYTHONUNBUFFERED)=(\S+)", DOCKERFILE, re.M)
        )
        image |= {"HOME": str(self.home), "NUMBA_CACHE_DIR": str(self.folder / "numba")}
        given = SERVICES[name].get("environment", {})
        # What is not set in Compose's own environment is not passed on; an engine is, as there is no cluster here.
        own = {key: str(value) for key, value in given.items() if value is not None}
        if own:
            assert "RECRUITMENT_ENGINE" in given
            own |= {"RECRUITMENT_ENGINE": "duckdb", **self.stores}
        return clean | {key: self.here(value) for key, value in (image | own).items()}

    def command(self, name: str, given: list[str]) -> list[str]:
        """The command, with this machine's ports and paths in place of the image's."""
        program, *arguments = [self.here(part) for part in given]
        found = sys.executable if program == "python" else Path(sys.executable).with_name(program)
        return [str(found), *arguments]

    def here(self, text: str) -> str:
        """The same on this machine: ports, the volume's folder, and the image's."""
        for service, port in PORTS.items():
            text = re.sub(rf"\b{port}\b", str(self.ports[service]), text)
        text = text.replace(f"{IMAGE}/workspace.yaml", str(self.folder / "workspace.yaml"))
        text = text.replace(IMAGE, str(DOCKER))
        return re.sub(r"^/data(?=/|$)", str(self.volume), text)

    def is_healthy(self, name: str) -> bool:
        """Whether the service's own health check says so."""
        kind, *check = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self.command(name, check), env=self.environment(name), cwd=self.volume, capture_output=True, check=False
        )
        return done.returncode == 0

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """The service, once it is healthy; at the end it is asked to end as Docker asks, and must do so in its time."""
        log = self.folder / f"{name}.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                self.command(name, SERVICES[name]["command"]),
                env=self.environment(name),
                cwd=self.volume,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                deadline = time.monotonic() + SECONDS
                while not self.is_healthy(name):
                    assert process.poll() is None, f"{name} ended with {process.returncode}: {log.read_text()}"
                    assert time.monotonic() < deadline, f"{name} is not healthy: {log.read_text()}"
                    time.sleep(0.5)
                yield
                assert process.poll() is None, f"{name} ended with {process.returncode}: {log.read_text()}"
                process.send_signal(signal.SIGTERM)
                process.wait(60)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def once(self, name: str, *arguments: str) -> None:
        """Runs a service that ends by itself, or the service `cli` with these arguments."""
        service = SERVICES[name]
        command = [*service.get("entrypoint", []), *(arguments or service["command"])]
        done = subprocess.run(
            self.command(name, command),
            env=self.environment(name),
            cwd=self.volume,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture
def machine(
    tmp_path: Path,
    cassandra_server: Server,
    kafka_server: Server,
    mariadb_server: Server,
    s3_server: Server,
    keyspace: str,
    topic: str,
    database: str,
) -> Machine:
    platform = on_servers(
        tmp_path,
        (cassandra_server, kafka_server, mariadb_server, s3_server),
        cassandra_keyspace=keyspace,
        kafka_topic=topic,
        kafka_group=topic,
        mysql_database=database,
        s3_prefix=f"{keyspace}/",
    )
    machine = Machine(tmp_path, platform.settings)
    machine.volume.mkdir()
    workspace = (DOCKER / "workspace.yaml").read_text(encoding="utf-8")
    # In Compose's network a service is found by its name.
    text = machine.here(workspace.replace("host: code", "host: 127.0.0.1"))
    (tmp_path / "workspace.yaml").write_text(text, encoding="utf-8")
    return machine


@pytest.mark.timeout(900)
def test_the_services_become_healthy_and_a_backfill_from_the_page_publishes_what_came_by_kafka(
    machine: Machine,
) -> None:
    day = str(YESTERDAY)
    assert "WORKDIR /data" in stages()["platform"]
    machine.once("migrate")
    with ExitStack() as stack:
        for name in ("code", "webserver", "daemon", "ingest"):
            stack.enter_context(machine.running(name))
        machine.once("cli", "produce", "--from", day, "--to", day, "--events-per-day", "300")
        page = Page(f"http://127.0.0.1:{machine.ports['webserver']}")
        refresh = page.ask(REFRESH)["run"]["runId"]
        assert ended(page, RUN, refresh) == "SUCCESS", (machine.folder / "code.log").read_text()
        backfill = page.ask(LAUNCH, days=[day])["backfillId"]
        assert ended(page, BACKFILL, backfill) == "COMPLETED_SUCCESS", (machine.folder / "code.log").read_text()
    status = subprocess.run(
        machine.command("cli", ["recruitment-platform", "status", "--from", day, "--to", day]),
        env=machine.environment("cli"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "matched" in status.stdout
    assert not machine.home.exists(), "a service has written to its user's folder, which is read-only in its container"


def ended(page: Page, query: str, number: str) -> str:
    """The status of the run or backfill, once it has ended."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        status: str = page.ask(query, id=number)["status"]
        if status in ("SUCCESS", "FAILURE", "COMPLETED_SUCCESS", "COMPLETED_FAILED"):
            return status
        time.sleep(1)
    raise AssertionError(f"{number} does not end, it is {status}")
