"""The life of a server's process: with whom it ends, what is told when it does not start, what it finds again."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.servers.starting import KINDS, known_servers, start_server, start_servers, stop_servers
from recruitment_platform_tests.servers_fixtures import StartServer

STARTS = """
import sys
from pathlib import Path
from recruitment_platform.servers.starting import start_server
print(start_server(sys.argv[1], Path(sys.argv[2])).process.pid, flush=True)
sys.stdin.read()
"""


def ended(pid: int) -> bool:
    """Whether the process ends within a time that is ample."""
    with suppress(ProcessLookupError):
        watched = os.pidfd_open(pid)
        try:
            return bool(select.select([watched], [], [], 30)[0])
        finally:
            os.close(watched)
    return True


# PostgreSQL runs as another user where root starts it, which the kernel takes as a reason to forget whose child it is.
@pytest.mark.parametrize("name", ["s3", "postgres"])
def test_a_server_ends_with_the_process_that_started_it_even_if_that_is_killed(
    name: str, open_folder: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"{name}_server")  # which is skipped where its software cannot be had
    command = [sys.executable, "-c", STARTS, name, str(open_folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        pid = int(starter.stdout.readline())
        starter.kill()
        starter.wait()

    assert ended(pid)


def test_a_server_that_a_thread_has_restarted_lives_on_when_the_thread_has_ended(server_start: StartServer) -> None:
    server = server_start("s3")
    thread = threading.Thread(target=server.restart)
    thread.start()
    thread.join()

    assert not server.wait_for_end(0.5)
    assert server.problem() is None


def test_what_keeps_a_server_from_starting_is_told_with_its_last_words_and_the_others_end(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, s3_server: object
) -> None:
    says = [sys.executable, "-c", "print('first'); print('no room for data'); raise SystemExit(3)"]
    broken = replace(KINDS["mariadb"], prepare=lambda *_: None, install=lambda: Path("/"), command=lambda *_: says)
    monkeypatch.setattr("recruitment_platform.servers.starting.KINDS", {**KINDS, "mariadb": broken})

    with pytest.raises(StoreUnavailableError, match=r"MariaDB has ended: no room for data; see .*mariadb/log\.txt"):
        start_servers(["s3", "mariadb"], open_folder)

    assert [server.name for server in known_servers(open_folder)] == ["mariadb", "s3"]
    assert not any(server.is_running() for server in known_servers(open_folder))


def test_a_server_whose_port_another_program_has_taken_is_not_started(server_start: StartServer) -> None:
    server = server_start("s3")
    server.kill()
    with socket.create_server((server.host, server.port)):
        with pytest.raises(StoreUnavailableError, match=rf"port {server.port} of S3 .* is another program's"):
            start_server("s3", server.folder.parent)
        assert not server.is_running()


def test_a_server_goes_on_where_it_was_and_one_that_runs_is_left_as_it_is(server_start: StartServer) -> None:
    server = server_start("s3")
    folder = server.folder.parent

    assert start_server("s3", folder) == server
    server.kill()
    assert [known.is_running() for known in known_servers(folder)] == [False]
    again = start_server("s3", folder)
    assert (again.port, again.password) == (server.port, server.password)
    assert again.process != server.process
    stop_servers([again])
    assert not again.is_running()


def test_what_a_start_that_was_killed_half_way_has_left_is_made_anew(open_folder: Path, s3_server: object) -> None:
    half = open_folder / "s3" / "data" / "recruitment"
    half.mkdir(parents=True)

    server = start_server("s3", open_folder)

    assert server.problem() is None
    server.kill()


def test_another_process_with_the_same_number_is_not_taken_for_the_server(server_start: StartServer) -> None:
    came: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    server = server_start("s3")
    server.kill()
    server.process = replace(server.process, pid=os.getpid())
    server.remember()

    (found,) = known_servers(server.folder.parent)

    assert not found.is_running()
    found.stop()
    signal.signal(signal.SIGTERM, former)
    assert came == [], "this process was asked to end"


def test_ports_are_below_those_that_the_system_gives_to_connections(s3_server: object) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert s3_server.port < lowest
