"""What `docker/` promises, as far as it can be told without Docker: no image is built or run here.

Compose itself reads the file and linters judge it; what the files name is compared with the package; what the services
run before the first use, and their health checks, run against the real servers.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import RoundRobinPolicy
from confluent_kafka import Consumer

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.cli import COMMANDS, cli
from recruitment_platform.resources.kafka.log import open_event_log
from recruitment_platform.servers import cassandra, kafka, s3
from recruitment_platform.servers.server import Server
from recruitment_platform.settings import known_names
from recruitment_platform_tests.servers_fixtures import StartServer

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
ONE_OFF = {name for name, service in SERVICES.items() if service["restart"] == "no"}
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|TOKEN")


def stages() -> dict[str, str]:
    """The Dockerfile's stages: name to text."""
    return {text.split("\n")[0].split()[-1]: text for text in re.split(r"^FROM ", DOCKERFILE, flags=re.M)[1:]}


def copied() -> list[str]:
    """What the Dockerfile takes from the project."""
    return [
        source for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.M) for source in line.split()[:-1]
    ]


def program(name: str) -> Path:
    """A program of the tests' environment: a named skip where it is missing, a failure where `CI` is set."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        assert not os.environ.get("CI"), f"{name} is missing"
        pytest.skip(f"{name} is not installed: it comes with the test requirements, on Linux")
    return path


def copy_of_docker(folder: Path) -> Path:
    return shutil.copytree(DOCKER, folder / "docker", ignore=shutil.ignore_patterns(".env", "__pycache__"))


def compose(docker: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECRUITMENT_")}
    return subprocess.run(
        [program("docker-compose"), "-f", docker / "compose.yaml", "--profile", "*", *arguments],
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )


def run_script(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DOCKER / name, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_new_env_writes_a_secret_of_its_own_for_each_name_and_never_replaces_them(tmp_path: Path) -> None:
    docker = copy_of_docker(tmp_path)
    subprocess.run([docker / "new_env"], check=True)
    written = (docker / ".env").read_text(encoding="utf-8")
    secrets = dict(line.split("=") for line in written.splitlines())
    example = (DOCKER / "env.example").read_text(encoding="utf-8")
    assert list(secrets) == re.findall(r"^([^#\n].*)=$", example, flags=re.M)
    assert set(secrets) == set(re.findall(r"\$\{(\w+):\?", (DOCKER / "compose.yaml").read_text(encoding="utf-8")))
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in secrets.values())
    assert len(set(secrets.values())) == len(secrets)
    assert stat.S_IMODE((docker / ".env").stat().st_mode) == 0o600
    again = subprocess.run([docker / "new_env"], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert (docker / ".env").read_text(encoding="utf-8") == written


def test_compose_takes_the_file_and_passes_settings_on(tmp_path: Path) -> None:
    docker = copy_of_docker(tmp_path)
    subprocess.run([docker / "new_env"], check=True)
    with (docker / ".env").open("a", encoding="utf-8") as file:
        file.write("RECRUITMENT_TIME_ZONE=Asia/Ho_Chi_Minh\nRECRUITMENT_S3_ENDPOINT=\n")
    done = compose(docker, "config")
    assert (done.returncode, done.stderr) == (0, "")
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == set(SERVICES)
    settings = services["code"]["environment"]
    assert settings["RECRUITMENT_TIME_ZONE"] == "Asia/Ho_Chi_Minh"
    assert settings["RECRUITMENT_S3_ENDPOINT"] == ""
    assert settings["RECRUITMENT_REDSHIFT_HOST"] is None
    assert settings["RECRUITMENT_MYSQL_PASSWORD"] == services["mysql"]["environment"]["MYSQL_PASSWORD"]


def test_without_secrets_compose_says_what_to_run(tmp_path: Path) -> None:
    done = compose(copy_of_docker(tmp_path), "config", "--quiet")
    assert done.returncode != 0
    assert "is not set, run docker/new_env" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", "--failure-threshold", "style", "Dockerfile"),
        ("compose-lint", "check", "--no-env", "--strict-config", "--fail-on", "low", "compose.yaml"),
    ],
    ids=lambda command: command[0],
)
def test_linters_find_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run([program(command[0]), *command[1:]], cwd=DOCKER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_service_is_healthy_or_done_limited_and_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "no" if name in ONE_OFF else service["healthcheck"]["test"][0] != "NONE"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert not {"cap_add", "privileged", "network_mode", "pid"} & set(service)
    assert service["logging"]["options"]["max-size"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_services_wait_for_what_they_need() -> None:
    for name, service in SERVICES.items():
        for needed, wait in service.get("depends_on", {}).items():
            done = "service_completed_successfully"
            assert wait["condition"] == (done if needed in ONE_OFF else "service_healthy"), (name, needed)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_is_root(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        users = re.findall(r"^USER (\d+):\d+$", stages()[service["build"]["target"]], flags=re.M)
        assert "user" not in service
    else:
        users = [str(service["user"]).split(":")[0]]
    assert users
    assert users[-1] not in ("0", "root")


def test_images_are_of_the_versions_that_are_tested() -> None:
    tags = dict(service["image"].rsplit(":", 1) for service in SERVICES.values())
    tags |= dict(re.findall(r"^FROM (\S+):(\S+)", DOCKERFILE, flags=re.M))
    assert all(re.match(r"v?\d+\.\d+\.\d+", tag) for tag in tags.values()), tags
    assert tags["recruitment-platform"] == tags["recruitment-platform-s3"] == VERSION
    assert tags["cassandra"] == cassandra.VERSION
    assert tags["apache/kafka"] == kafka.VERSION
    assert tags["versity/versitygw"] == f"v{s3.VERSION}"


def test_every_secret_comes_from_the_environment() -> None:
    found = 0
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) and value is not None:
                assert re.fullmatch(r"\$\{\w+:\?is not set, run docker/new_env\}", value), (name, variable)
                found += 1
    assert found
    files = [path for path in DOCKER.rglob("*") if path.is_file() and path.suffix in (".yaml", ".example", "")]
    for path in files:
        if path.name != ".env":
            lines = path.read_text(encoding="utf-8").splitlines()
            given = [line for line in lines if re.match(r"[A-Z0-9_]*(PASSWORD|SECRET|KEY)[A-Z0-9_]*=.", line)]
            assert not given, path


def test_only_what_uses_the_stores_knows_their_passwords() -> None:
    knowing = {
        name
        for name, service in SERVICES.items()
        if any(
            SECRET.search(variable) and variable.startswith("RECRUITMENT")
            for variable in service.get("environment", {})
        )
    }
    assert knowing == {"first-start", "migrate", "code", "ingest", "cli", "metrics"}


def test_every_setting_that_is_named_is_known() -> None:
    texts = [path.read_text(encoding="utf-8") for path in DOCKER.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    named = {name for text in texts for name in re.findall(r"\bRECRUITMENT_[A-Z0-9_]+\b", text)}
    assert len(named) > 20
    assert named <= known_names()


def test_every_command_is_one_of_the_platform_or_dagster() -> None:
    from dagster._cli import create_dagster_cli
    from dagster._daemon.cli import create_dagster_daemon_cli
    from dagster_webserver.cli import dagster_webserver

    programs: dict[str, click.Command] = {
        "recruitment-platform": cli,
        "dagster": create_dagster_cli(),
        "dagster-daemon": create_dagster_daemon_cli(),
        "dagster-webserver": dagster_webserver,
    }
    checked = set()
    for name, service in SERVICES.items():
        if service.get("build", {}).get("target") != "platform":
            continue
        health = service.get("healthcheck", {"test": [None]})["test"][1:]
        for first, *rest in filter(None, (service.get("entrypoint", []) + service["command"], health)):
            checked.add(first)
            if first == "python":
                assert rest[0].replace("/opt/recruitment/", "") in copied(), name
            elif first == "spark-class":
                assert Path(sys.executable).with_name(first).exists()
                assert rest[0].startswith("org.apache.spark.deploy.")
            else:
                parse(programs[first], [argument.replace("/opt/recruitment", str(ROOT)) for argument in rest])
    assert checked == {*programs, "python", "spark-class"}
    assert {"migrate", "ingest"} <= set(COMMANDS)


def parse(command: click.Command, arguments: list[str]) -> None:
    """Fails where the command or an option is unknown; runs nothing."""
    name: str | None = command.name
    while isinstance(command, click.Group) and arguments != ["--help"]:
        name, found, arguments = command.resolve_command(click.Context(command), arguments)
        assert found is not None
        command = found
    if arguments != ["--help"]:
        command.make_context(name, list(arguments))


def test_the_image_is_made_of_files_that_exist_and_are_let_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert let_in == set(copied())
    assert all((ROOT / source).exists() for source in copied())
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DOCKER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_image_has_what_is_pinned() -> None:
    assert re.findall(r"pip install .*", DOCKERFILE) == ["pip install --disable-pip-version-check -c constraints.txt ."]


def test_the_images_java_is_made_at_its_build(tmp_path: Path) -> None:
    (line,) = re.findall(r"-c \\\n +'(.+?)'", stages()["build"], flags=re.S)
    link = tmp_path / "java"
    script = line.replace("\\\n", "").replace("/opt/recruitment/java", str(link))
    bare = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=bare, cwd=ROOT, check=True)
    told = subprocess.run(
        [link / "bin" / "java", "--add-modules=jdk.incubator.vector", "-version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "version" in told.stderr
    assert str(tmp_path / "cache") in str(link.resolve())


def test_runs_and_schedules_keep_their_names_between_compose_and_the_machine() -> None:
    both = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (ROOT / "workspace.yaml", DOCKER / "workspace.yaml")
    ]
    names = [entry[kind]["location_name"] for workspace in both for entry in workspace["load_from"] for kind in entry]
    assert len(set(names)) == 1
    server = both[1]["load_from"][0]["grpc_server"]
    assert server["host"] in SERVICES
    assert str(server["port"]) in SERVICES[server["host"]]["command"]


def test_the_first_start_makes_a_user_and_a_bucket_and_may_run_again(
    server_start: StartServer, s3_server: Server, bucket: str
) -> None:
    server = server_start("cassandra")
    variables = {
        **server.environment(),
        **s3_server.environment(),
        "RECRUITMENT_PROFILE": "servers",
        "RECRUITMENT_CASSANDRA_USER": "platform",
        "RECRUITMENT_CASSANDRA_PASSWORD": "it's ours",
        "RECRUITMENT_S3_BUCKET": f"{bucket}-new",
        "CASSANDRA_ADMIN_PASSWORD": "theirs; not ours",
    }
    for _ in range(2):
        done = run_script("first_start.py", **variables)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with pytest.raises(NoHostAvailable):
        ask(server, "cassandra", "cassandra", "LIST ROLES")
    rows = ask(
        server, "cassandra", "theirs; not ours", "SELECT is_superuser FROM system_auth.roles WHERE role = 'platform'"
    )
    assert rows == [(False,)]
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    ask(server, "platform", "it's ours", f"CREATE KEYSPACE ours WITH replication = {replication}")
    client = s3.client(s3_server)
    client.head_bucket(Bucket=f"{bucket}-new")
    client.close()


def test_a_first_start_that_fails_says_where_and_no_secret(s3_server: Server) -> None:
    code = (
        "import first_start; from recruitment_platform.addresses import S3Address; first_start.make_bucket(S3Address())"
    )
    wrong = {"RECRUITMENT_S3_SECRET_KEY": "wrong-secret", "PYTHONPATH": str(DOCKER), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | s3_server.environment() | wrong,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StoreUnavailableError: the bucket recruitment at http://" in done.stderr
    assert "wrong-secret" not in done.stderr


@pytest.mark.timeout(60)
def test_the_ingest_is_healthy_while_it_is_in_the_group(kafka_server: Server, topic: str) -> None:
    variables = {**kafka_server.environment(), "RECRUITMENT_KAFKA_GROUP": topic}
    assert run_script("health.py", "ingest", **variables).returncode == 1
    consumer = Consumer(
        {"bootstrap.servers": variables["RECRUITMENT_KAFKA_SERVERS"], "group.id": topic, "log_level": 0}
    )
    assigned: list[object] = []
    open_event_log(KafkaAddress(servers=variables["RECRUITMENT_KAFKA_SERVERS"], topic=topic)).create_topic(1)
    consumer.subscribe([topic], on_assign=lambda _, partitions: assigned.append(partitions))
    while not assigned:
        consumer.poll(0.1)
    assert run_script("health.py", "ingest", **variables).returncode == 0
    consumer.close()
    assert run_script("health.py", "ingest", **variables).returncode == 1


def test_a_page_that_is_not_served_is_not_healthy() -> None:
    assert run_script("health.py", "http", "http://127.0.0.1:1/").returncode == 1
    assert run_script("health.py").returncode == 2


def ask(server: Server, user: str, password: str, statement: str) -> list[tuple[object, ...]]:
    cluster = Cluster(
        [server.host],
        port=server.port,
        auth_provider=PlainTextAuthProvider(user, password),
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(RoundRobinPolicy())},
        protocol_version=5,
    )
    try:
        return [tuple(row) for row in cluster.connect().execute(statement)]
    finally:
        cluster.shutdown()
