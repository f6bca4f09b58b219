"""What can go wrong with the embedded relational store's file ends in one clear line, and changes nothing."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Timer

import pytest
import sqlalchemy as sa

from recruitment_platform.errors import StoreUnavailableError
from recruitment_platform.resources.relational.store import open_relational
from recruitment_platform_tests.resources.relational_stores import ALIASES, FIRST, table_rows


def test_the_folder_is_made_and_readers_are_not_held_up_by_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "operational.sqlite"
    store = open_relational(path, busy_seconds=0)
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    store.refresh_dim_jobs(FIRST, "USD", ALIASES)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM job")
        again = open_relational(path, busy_seconds=0)
        assert again.counts() == {"job": 1}
        assert again.dim_jobs()[1].num_rows == 1


def test_a_file_held_by_another_program_is_waited_for_and_then_named(tmp_path: Path) -> None:
    path = tmp_path / "operational.sqlite"
    store = open_relational(path, busy_seconds=0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for write in (
            lambda: store.upsert("job", [{"id": 1}]),
            lambda: store.store_generic("search", ["{}"]),
            lambda: store.refresh_dim_jobs(FIRST, "USD", ALIASES),
        ):
            with pytest.raises(StoreUnavailableError, match=r"operational\.sqlite is held by another program") as held:
                write()
            assert "\n" not in str(held.value)
        other.execute("ROLLBACK")
    assert store.upsert("job", [{"id": 1}]) == 1


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    store = open_relational(tmp_path / "operational.sqlite")
    store.upsert("job", [{"id": 1, "title": "Cook"}])
    with store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    @sa.event.listens_for(store.engine, "connect")
    def bound(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    many = [{"id": number, "title": "x" * 500} for number in range(1, 1001)]
    with pytest.raises(StoreUnavailableError, match="the disk is full: nothing was changed"):
        store.upsert("job", many)
    assert [(row["id"], row["title"]) for row in table_rows(store, "job")] == [(1, "Cook")]


def a_folder(path: Path) -> None:
    path.mkdir()


def a_file_for_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file")


def another_format(path: Path) -> None:
    path.write_bytes(b"PAR1" * 5000)


def read_only_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.symlink_to("/proc/self")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (a_folder, "cannot be opened"),
        (a_file_for_folder, "cannot be made"),
        (another_format, "is not a SQLite database"),
        (read_only_folder, "cannot be opened"),
    ],
)
def test_a_path_that_cannot_hold_the_store_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "home" / "operational.sqlite"
    path.parent.mkdir()
    spoil(path)
    with pytest.raises(StoreUnavailableError, match=message) as refused:
        open_relational(path, busy_seconds=0.1)
    assert str(path.parent) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_new_store_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"operational_{attempt}.sqlite"
        barrier = Barrier(6)

        def open_and_write(number: int, path: Path = path, barrier: Barrier = barrier) -> int:
            barrier.wait()
            return open_relational(path).upsert("job", [{"id": number}])

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(open_and_write, range(1, 7))) == [1] * 6
        assert open_relational(path).counts() == {"job": 6}


def test_a_new_store_waits_for_another_program_that_has_only_begun_the_file(tmp_path: Path) -> None:
    path = tmp_path / "operational.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        assert open_relational(path, busy_seconds=10).counts() == {}
        release.join()


def test_a_mistake_of_the_program_is_not_passed_off_as_an_unavailable_store(tmp_path: Path) -> None:
    store = open_relational(tmp_path / "operational.sqlite")
    with pytest.raises(sa.exc.ProgrammingError):
        store.upsert("job", [{"id": 1, "title": object()}])
