"""`servers up`, `status` and `down`, as a shell calls them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recruitment_platform.servers.starting import known_servers, stop_servers
from recruitment_platform_tests.cli.command_line import MODULE, Outcome, call, environment

PRINTS = """
from recruitment_platform.settings import Settings
settings = Settings.from_environment()
print(settings.profile, settings.s3.endpoint, settings.mysql.port, settings.mysql.password)
"""


@pytest.fixture
def home(tmp_path: Path, s3_server: object, mariadb_server: object) -> Iterator[Path]:
    """A home for servers whose software is here; what the test leaves running ends."""
    yield tmp_path
    stop_servers(known_servers(tmp_path / "servers"))


def servers(home: Path, *arguments: str) -> Outcome:
    return call(home, "servers", *arguments)


def shell(home: Path, script: str, **variables: str) -> str:
    command = " ".join(f'"{part}"' for part in MODULE)
    done = subprocess.run(
        ["bash", "-euc", script.replace("recruitment-platform", command)],
        env=environment(home, variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_shell_that_evaluates_what_up_writes_is_led_to_servers_that_outlive_the_command(home: Path) -> None:
    told = shell(
        home, f'eval "$(recruitment-platform servers up s3 mariadb)"; "{sys.executable}" -c "$PRINTS"', PRINTS=PRINTS
    )

    running = {server.name: server for server in known_servers(home / "servers")}
    s3, mariadb = running["s3"], running["mariadb"]
    assert told.split() == ["servers", f"http://{s3.host}:{s3.port}", str(mariadb.port), "**********"]
    assert [s3.problem(), mariadb.problem()] == [None, None]


def test_up_tells_again_what_runs_and_down_ends_it_so_that_up_goes_on_with_its_data(home: Path) -> None:
    first = servers(home, "up", "s3")
    assert first.code == 0
    assert servers(home, "up", "s3").out == first.out

    assert servers(home, "down").code == 0
    assert "ended" in servers(home, "status").out
    assert servers(home, "down").err == "none was running\n"

    assert servers(home, "up", "s3").out == first.out


def test_status_tells_what_answers_and_no_password(home: Path) -> None:
    assert servers(home, "status").err.startswith("this home has no servers; recruitment-platform servers up starts")

    servers(home, "up", "s3", "mariadb")
    servers(home, "down", "mariadb")

    found = servers(home, "status")
    states = {line.split()[0]: line.split()[1] for line in found.out.splitlines()[2:]}
    assert states == {"mariadb": "ended", "s3": "answers"}
    assert not any(server.password in found.out + found.err for server in known_servers(home / "servers"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("up", "oracle"), "'oracle' is not one of 'cassandra', 'kafka', 'mariadb', 's3', 'postgres'"),
        (("down", "kafka"), "this home has no kafka: it has no servers"),
    ],
)
def test_a_name_that_is_no_server_s_is_refused(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    found = servers(tmp_path, *arguments)

    assert found.code == 2
    assert told in found.err


def test_where_the_software_cannot_be_had_up_tells_what_to_install_and_writes_no_settings(tmp_path: Path) -> None:
    found = call(tmp_path, "servers", "up", "s3", XDG_CACHE_HOME=str(tmp_path), PATH="/nowhere")

    assert (found.code, found.out) == (2, "")
    assert found.err == "error: go is not on this machine: apt-get install golang-go\n"
