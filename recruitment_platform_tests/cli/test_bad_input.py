"""What a user can do wrong: one or two clear lines, an exit code that is not 0, and nothing half-written."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest

from recruitment_platform_tests.cli.command_line import Call, assert_clear, call
from recruitment_platform_tests.cli.exports import HEADER, clicks, jobs

TODAY = datetime.now(UTC).date()
CSV = HEADER.encode()

FILES = {
    "empty": ("bad.csv", b"", ["bad.csv", "is empty"]),
    "header only": ("bad.csv", CSV + b"\n", ["bad.csv", "header"]),
    "blank lines": ("bad.csv", b"\n\n\n", ["bad.csv", "blank"]),
    "binary": ("bad.csv", bytes(range(256)) * 40, ["bad.csv", "binary"]),
    "no Parquet": ("bad.parquet", b"\0" * 400, ["bad.parquet", "Parquet"]),
    "half a Parquet": ("bad.parquet", b"PAR1" + b"\0" * 400, ["bad.parquet"]),
    "half a gzip": ("bad.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\3abc", ["bad.csv.gz", "gzip"]),
    "unknown kind": ("bad.xlsx", b"PK", ["bad.xlsx", ".csv"]),
    "no row of use": ("bad.csv", CSV + b"\nno uuid,click,1,1,0.25,,\n", ["bad.csv", "none of its rows"]),
    "wrong columns": ("bad.csv", b"a,b\n1,2\n", ["bad.csv", "create_time"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, within: Call, kind: str) -> None:
    name, content, words = FILES[kind]
    path = tmp_path / name
    path.write_bytes(content)
    outcome = within("import", "tracking", str(path))
    told = [line for line in outcome.err.splitlines() if not line.startswith(str(path))]
    assert (outcome.code, outcome.out, len(told)) == (2, "", 1), outcome
    assert all(word in told[0] for word in words), outcome.err
    assert "there are no events" in within("status").err


def test_files_that_are_none_are_refused_before_anything_is_made(tmp_path: Path, home: Path, within: Call) -> None:
    good = clicks(tmp_path / "good.csv", 1)
    assert_clear(within("import", "tracking", str(good), str(tmp_path / "no.csv")), 2, "no.csv", "does not exist")
    assert_clear(within("import", "tracking", str(good), str(tmp_path)), 2, "is a directory")
    assert_clear(within("import", "trackin", str(good)), 2, "trackin", "tracking", "master_publisher")
    assert_clear(within("rejected", "replay", str(tmp_path / "no.csv")), 2, "no.csv", "does not exist")
    assert not home.exists()


def test_of_several_files_the_good_ones_are_taken_in_and_the_bad_ones_named(tmp_path: Path, within: Call) -> None:
    good, bad = clicks(tmp_path / "good.csv", 3), tmp_path / "bad.csv"
    bad.write_text("")
    outcome = within("import", "tracking", str(bad), str(good))
    assert outcome.code == 2
    assert f"{good}: 3 rows received: 3 accepted" in outcome.err
    assert f"error: {bad}: is empty" in outcome.err
    assert "2025-06-02" in within("status").out


DAYS = {
    "no such day": (["--from", "2025-02-30", "--to", "2025-03-01"], "2025-02-30"),
    "no day at all": (["--from", "yesterday", "--to", "2025-03-01"], "yesterday"),
    "another form": (["--from", "20250301", "--to", "2025-03-01"], "2022-07-06"),
    "backwards": (["--from", "2025-03-02", "--to", "2025-03-01"], "2025-03-02"),
    "before the first": (["--from", "2019-12-31", "--to", "2025-03-01"], "RECRUITMENT_FIRST_DAY"),
    "tomorrow": (["--from", "2025-03-01", "--to", str(TODAY + timedelta(days=2))], "today"),
    "one is missing": (["--from", "2025-03-01"], "--to"),
}


@pytest.mark.parametrize("kind", DAYS)
@pytest.mark.parametrize("command", ["run", "simulate"])
def test_days_that_cannot_be_are_refused(home: Path, within: Call, command: str, kind: str) -> None:
    options, word = DAYS[kind]
    assert_clear(within(command, *options), 2, word)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RECRUITMENT_ENGINE", "flink", ["RECRUITMENT_ENGINE", "spark", "duckdb"]),
        ("RECRUITMENT_ENGIN", "spark", ["RECRUITMENT_ENGIN;", "RECRUITMENT_ENGINE"]),
        ("RECRUITMENT_TIME_ZONE", "Mars/Olympus", ["RECRUITMENT_TIME_ZONE", "Asia/Ho_Chi_Minh"]),
        ("RECRUITMENT_FIRST_DAY", "2020-13-01", ["RECRUITMENT_FIRST_DAY"]),
    ],
)
def test_settings_that_cannot_be_are_named(
    home: Path, within: Call, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert_clear(within("status"), 2, *words)
    assert within("--help").code == 0


def test_settings_that_contradict_the_lake_are_refused(
    tmp_path: Path, within: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    within("import", "tracking", str(clicks(tmp_path / "good.csv", 1)))
    monkeypatch.setenv("RECRUITMENT_TIME_ZONE", "Asia/Ho_Chi_Minh")
    assert_clear(within("status"), 2, "RECRUITMENT_TIME_ZONE", "UTC", "Asia/Ho_Chi_Minh")


@pytest.mark.parametrize("command", ["import", "simulate", "demo", "ui", "run", "status", "query"])
def test_a_home_that_is_a_file_is_refused(tmp_path: Path, home: Path, within: Call, command: str) -> None:
    home.write_text("mine")
    arguments = {
        "import": ["job", str(jobs(tmp_path / "job.csv"))],
        "simulate": ["--from", "2025-06-01", "--to", "2025-06-02"],
        "run": ["--from", "2025-06-01", "--to", "2025-06-02"],
        "query": ["select 1"],
    }
    assert_clear(within(command, *arguments.get(command, [])), 2, "RECRUITMENT_HOME", "is a file")
    assert home.read_text() == "mine"


@pytest.mark.parametrize("command", ["import", "simulate", "demo", "ui"])
def test_a_home_that_cannot_be_made_is_refused(
    tmp_path: Path, within: Call, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Under /proc nobody can make a folder, root included."""
    monkeypatch.setenv("RECRUITMENT_HOME", "/proc/recruitment")
    arguments = {
        "import": ["job", str(jobs(tmp_path / "job.csv"))],
        "simulate": ["--from", "2025-06-01", "--to", "2025-06-02"],
    }
    assert_clear(within(command, *arguments.get(command, [])), 3, "/proc/recruitment", "RECRUITMENT_HOME")


def limit_files(size: int) -> None:
    """From here on no file of this process grows beyond `size` bytes, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 1 MB at the folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    """Whether this machine lets its user mount a disk: root does, save in some containers."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


FULL_DISKS = ["limit", "disk"] if can_mount() else ["limit"]
"""A full disk is a limit on the size of files, everywhere; and a real one where it can be mounted."""


@pytest.mark.parametrize("full", FULL_DISKS)
def test_a_full_disk_is_told_and_what_was_imported_is_whole(tmp_path: Path, full: str) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    home = folder / "home"
    good, large = clicks(tmp_path / "good.csv", 20), large_file(tmp_path / "large.csv")
    with small_disk(folder) if full == "disk" else limited() as before:
        assert call(home, "import", "tracking", str(good), before=before).code == 0
        assert_clear(call(home, "import", "tracking", str(large), before=before), 3, "home/lake")
        days = call(home, "status", "--from", "2025-06-02", "--to", "2025-06-02").out
        assert days.splitlines()[2].split() == ["2025-06-02", "missing", "20"]
        files = [path for path in (home / "lake" / "tracking").rglob("*") if path.is_file()]
        assert len(files) == 1


@contextmanager
def limited() -> Iterator[Callable[[], None]]:
    """What a process must do first so that its disk seems full."""
    yield partial(limit_files, 300_000)


def large_file(path: Path) -> Path:
    """A CSV of one day whose events need more than a megabyte however they are compressed."""
    header, *rows = clicks(path, 1500).read_text().splitlines()
    noisy = (f"{row},{os.urandom(512).hex()},{os.urandom(1024).hex()}" for row in rows)
    path.write_text("\n".join([f"{header},ua,dl", *noisy]) + "\n")
    return path


def hold(path: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with duckdb.connect(path):
        ready.set()
        signal.pause()


def test_a_warehouse_that_another_program_holds_is_named_with_the_holder(tmp_path: Path, home: Path) -> None:
    home.mkdir()
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=hold, args=(home / "warehouse.duckdb", ready), daemon=True)
    holder.start()
    try:
        assert ready.wait(60)
        outcome = call(home, "query", "select 1", RECRUITMENT_WAREHOUSE_WAIT="1")
        assert_clear(outcome, 3, "warehouse.duckdb", f"PID {holder.pid}", "within 1 s")
    finally:
        holder.kill()
        holder.join()
